// SPDX-License-Identifier: MIT
/// The parts of the table of the device, filled by one translation unit each.
#pragma once

#include "../device/interface.hpp"
#include "portability.cuh"

namespace qdml {
namespace cuda {

/// Layout of the sums: summed (0) or separated (1).
template <int kSeparated>
struct Separated {};

/// Sums of messages in one layout (messages.cu); arguments as in DeviceKernels.
template <class real, int kSeparated>
struct Messages {
    static int forward(void* stream, int l_in, int l_out, const DeviceMessages<real>& m, const real* h, real* out);
    static int backward(void* stream, int l_in, int l_out, const DeviceMessages<real>& m, const real* h, const real* g,
                        real* out, EdgeGradient<real>* gradient);
    static int first_gradient(void* stream, int l_out, const DeviceMessages<real>& m, const real* h, const real* g,
                              EdgeGradient<real>* gradient);
};

/// Messages along Clebsch-Gordan paths (paths.cu).
void add_path_kernels(DeviceKernels<float>&);
void add_path_kernels(DeviceKernels<double>&);
void add_node_kernels(DeviceKernels<float>&);
void add_node_kernels(DeviceKernels<double>&);
void add_edge_kernels(DeviceInterface&);
void add_force_kernels(DeviceInterface&);
void add_list_kernels(DeviceInterface&);
/// Inclusive sums of n numbers in place.
int add_up(cudaStream_t stream, long long n, std::int64_t* values);

inline cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }

}  // namespace cuda
}  // namespace qdml
