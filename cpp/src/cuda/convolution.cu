// SPDX-License-Identifier: MIT
/// Sums of messages over the rows of the edge list on the device, from the CPU's own per-edge templates.
///
/// Launch shape: one warp per row, lane = channel; rows with more than 32 channels loop over groups of 32. Blocks of
/// four warps, no shared memory. Per edge a warp reads one 64-byte record (broadcast) and contiguous channels of
/// the table and the features. Every sum has one owner and a fixed order: bitwise reproducible.
#define QDML_ISA cuda
#include "convolution.cuh"
#include "lane.cuh"

#include "../kernels/message_backward.hpp"

namespace qdml {
namespace cuda {
namespace {

constexpr int kWarp = 32;
constexpr int kWarpsPerBlock = 4;

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

template <class real, int P>
__device__ __forceinline__ Radial<real, P> radial_at(const Convolution<real>& c, const Channel& at,
                                                     const EdgeRecord<real>& e) {
    return {c.table + (at.block * c.n_knots + e.knot) * (P * kBlock) + at.lane, e};
}

template <class real, class Y>
__global__ void forward_kernel(Convolution<real> c, int n_rows, const real* h, real* out) {
    constexpr int M_IN = component_count(Y::l_in) * kBlock, M_OUT = Y::stored() * kBlock;
    const int row = blockIdx.x * kWarpsPerBlock + threadIdx.x / kWarp;
    if (row >= n_rows) return;
    const long long width_in = (long long)c.n_blocks * M_IN, width_out = (long long)c.n_blocks * M_OUT;
    const int groups = (c.n_blocks * kBlock + kWarp - 1) / kWarp;
    for (int group = 0; group < groups; ++group) {
        const Channel at = channel_of(group, threadIdx.x % kWarp, c.n_blocks);
        if (!at.active) continue;
        real a[Y::symmetric()] = {};
        for (long long edge = c.row_start[row]; edge < c.row_start[row + 1]; ++edge) {
            const EdgeRecord<real>& e = c.edges[edge];
            message_forward<Y>(a, e, radial_at<real, Y::n_terms()>(c, at, e),
                               h + c.other[edge] * width_in + at.block * M_IN + at.lane);
        }
        store_sums<Y>(out + row * width_out + at.block * M_OUT + at.lane, a);
    }
}

template <class real, class Y>
__global__ void backward_kernel(Convolution<real> c, int n_rows, const real* h, const real* g, real* out,
                                EdgeGradient<real>* gradient) {
    constexpr int M_IN = component_count(Y::l_in) * kBlock, M_OUT = Y::stored() * kBlock;
    const int row = blockIdx.x * kWarpsPerBlock + threadIdx.x / kWarp;
    if (row >= n_rows) return;
    const int thread = threadIdx.x % kWarp;
    const long long width_in = (long long)c.n_blocks * M_IN, width_out = (long long)c.n_blocks * M_OUT;
    const int groups = (c.n_blocks * kBlock + kWarp - 1) / kWarp;
    for (int group = 0; group < groups; ++group) {
        const Channel at = channel_of(group, thread, c.n_blocks);
        real sender[component_count(Y::l_in)] = {}, sum[symmetric_offset(Y::l_in + 1)] = {};
        if (at.active) load_reversed<Y::l_in>(sender, h + row * width_in + at.block * M_IN + at.lane);
        for (long long edge = c.row_start[row]; edge < c.row_start[row + 1]; ++edge) {
            const EdgeRecord<real>& e = c.edges[edge];
            MessageGradient<real> grad = {};
            if (at.active) {
                grad = message_backward<Y>(sum, e, radial_at<real, Y::n_terms()>(c, at, e), sender,
                                           g + c.other[edge] * width_out + at.block * M_OUT + at.lane);
            }
            // All lanes enter the shuffles, also those without a channel.
            const real total[4] = {warp_sum(grad.direction[0]), warp_sum(grad.direction[1]),
                                   warp_sum(grad.direction[2]), warp_sum(grad.r)};
            if (thread < 4) gradient[edge].value[thread] += total[thread];
        }
        if (at.active) store_reversed<Y::l_in>(out + row * width_in + at.block * M_IN + at.lane, sum);
    }
}

/// Call `launch` with the layer of compile-time degrees and layout of sums.
template <int LI, int LO, class Launch>
cudaError_t dispatch(int l_in, int l_out, bool separated, Launch&& launch) {
    if (l_in == LI && l_out == LO) {
        if (separated) {
            launch(Layer<LI, LO, true>());
        } else {
            launch(Layer<LI, LO, false>());
        }
        return cudaGetLastError();
    }
    if constexpr (LO < kMaxDegree) {
        return dispatch<LI, LO + 1>(l_in, l_out, separated, launch);
    } else if constexpr (LI < kMaxDegree) {
        return dispatch<LI + 1, 0>(l_in, l_out, separated, launch);
    } else {
        return cudaErrorInvalidValue;
    }
}

int blocks_for(int n_rows) { return (n_rows + kWarpsPerBlock - 1) / kWarpsPerBlock; }

}  // namespace

template <class real>
cudaError_t convolution_forward(int l_in, int l_out, bool separated, const Convolution<real>& c, int n_rows,
                                const real* h, real* out, cudaStream_t stream) {
    if (n_rows == 0) return cudaSuccess;
    return dispatch<0, 0>(l_in, l_out, separated, [&](auto layer) {
        forward_kernel<real, decltype(layer)>
            <<<blocks_for(n_rows), kWarpsPerBlock * kWarp, 0, stream>>>(c, n_rows, h, out);
    });
}

template <class real>
cudaError_t convolution_backward(int l_in, int l_out, bool separated, const Convolution<real>& c, int n_rows,
                                 const real* h, const real* g, real* out, EdgeGradient<real>* gradient,
                                 cudaStream_t stream) {
    if (n_rows == 0) return cudaSuccess;
    return dispatch<0, 0>(l_in, l_out, separated, [&](auto layer) {
        backward_kernel<real, decltype(layer)>
            <<<blocks_for(n_rows), kWarpsPerBlock * kWarp, 0, stream>>>(c, n_rows, h, g, out, gradient);
    });
}

#define QDML_INSTANTIATE(real)                                                                                       \
    template cudaError_t convolution_forward<real>(int, int, bool, const Convolution<real>&, int, const real*,       \
                                                   real*, cudaStream_t);                                             \
    template cudaError_t convolution_backward<real>(int, int, bool, const Convolution<real>&, int, const real*,      \
                                                    const real*, real*, EdgeGradient<real>*, cudaStream_t);
QDML_INSTANTIATE(float)
QDML_INSTANTIATE(double)

}  // namespace cuda
}  // namespace qdml
