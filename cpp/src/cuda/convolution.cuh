// SPDX-License-Identifier: MIT
/// Launchers of the message kernels on the device; arguments as in kernels/kernels.hpp, all pointers device memory.
#pragma once

#include <cuda_runtime_api.h>

#include "../kernels/kernels.hpp"

namespace qdml {
namespace cuda {

/// A of all rows: out [n_rows][blocks][m][16]. Launches one warp per (row, 32 channels) on `stream`; no allocation.
/// Returns the launch's error. Instantiated for float and double, l_in and l_out 0..3, summed and separated terms.
template <class real>
cudaError_t convolution_forward(int l_in, int l_out, bool separated, const Convolution<real>& c, int n_rows,
                                const real* h, real* out, cudaStream_t stream);

/// Sender-centric backward: g of the receivers as traceless tensors with odd degrees negated (as on the CPU), writes
/// dE/dH [n_rows][blocks][m][16] and adds to the rows' edge gradients. Edge gradients are summed over the channels of a
/// warp in a fixed order; one warp owns all channels of a row, so there are no atomics.
template <class real>
cudaError_t convolution_backward(int l_in, int l_out, bool separated, const Convolution<real>& c, int n_rows,
                                 const real* h, const real* g, real* out, EdgeGradient<real>* gradient,
                                 cudaStream_t stream);

}  // namespace cuda
}  // namespace qdml
