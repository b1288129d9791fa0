// SPDX-License-Identifier: MIT
/// How kernels over the rows of the edge list divide their work: warps for rows, lanes for channels.
#pragma once

#include "kernels.cuh"

namespace qdml {
namespace cuda {

constexpr int kWarpsPerBlock = 4;
constexpr int kThreads = kWarpsPerBlock * kWarp;

/// The channel a lane handles in group `group` of 32: block of 16 and lane inside it. Inactive past the last block.
struct Channel {
    int block;
    int lane;
    bool active;
};

__device__ __forceinline__ Channel channel_of(int group, int thread, int n_blocks) {
    const int block = group * (kWarp / kBlock) + thread / kBlock;
    return {block, thread % kBlock, block < n_blocks};
}

__host__ __device__ inline int groups_of(int n_blocks) { return (n_blocks * kBlock + kWarp - 1) / kWarp; }

/// Number of this warp in the launch.
__device__ __forceinline__ int warp_number() { return blockIdx.x * kWarpsPerBlock + threadIdx.x / kWarp; }
__device__ __forceinline__ int lane_number() { return threadIdx.x % kWarp; }
/// Number of this thread in a launch of kThreads each.
__device__ __forceinline__ long long thread_number() { return (long long)blockIdx.x * kThreads + threadIdx.x; }

/// Row number i of a launch: neighbours in the order are neighbours in space, so that warps that run together gather
/// the same rows.
template <class real>
__device__ __forceinline__ int row_number(const DeviceMessages<real>& m, int i) {
    return m.order == nullptr ? m.first + i : m.order[i];
}

}  // namespace cuda
}  // namespace qdml
