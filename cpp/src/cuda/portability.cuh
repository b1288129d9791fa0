// SPDX-License-Identifier: MIT
/// CUDA, or its emulation on the host: kernels and the code that launches them are the same source in both.
#pragma once

#if defined(QDML_CUDA_EMULATED)
#include "emulation/emulation.hpp"
#else
#include <cuda_runtime.h>
#endif

namespace qdml {
namespace cuda {

constexpr int kWarp = 32;

/// Launch `kernel` on `grid` blocks of `block` threads; a grid of no blocks is no launch (CUDA refuses one).
/// Returns the launch's error.
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), long long grid, int block, cudaStream_t stream,
                   Arguments... arguments) {
    if (grid == 0) return cudaSuccess;
#if defined(QDML_CUDA_EMULATED)
    emulation::launch([=] { kernel(Parameters(arguments)...); }, grid, block, stream);
#else
    kernel<<<static_cast<unsigned>(grid), block, 0, stream>>>(Parameters(arguments)...);
#endif
    return cudaGetLastError();
}

/// Blocks of `per_block` that hold n.
constexpr long long blocks_for(long long n, int per_block) { return (n + per_block - 1) / per_block; }

}  // namespace cuda
}  // namespace qdml
