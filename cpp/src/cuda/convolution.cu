// SPDX-License-Identifier: MIT
/// Sums of messages over the rows of the edge list on the device, from the CPU's own per-edge templates.
///
/// Launch shape: one warp per row, lane = channel; rows with more than 32 channels loop over groups of 32. Blocks of
/// four warps, no shared memory. Per edge a warp reads one 64-byte record (broadcast) and contiguous channels of
/// the table and the features. Every sum has one owner and a fixed order: bitwise reproducible.
#define QDML_ISA cuda
#include "convolution.cuh"
#include "lane.cuh"

#include <type_traits>

#include "../kernels/message.hpp"

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

template <class real, int LI, int LO>
__global__ void forward_kernel(Convolution<real> c, int n_rows, const real* h, real* out) {
    constexpr int M_IN = component_count(LI) * kBlock, M_OUT = component_count(LO) * kBlock;
    const int row = blockIdx.x * kWarpsPerBlock + threadIdx.x / kWarp;
    if (row >= n_rows) return;
    const long long width_in = (long long)c.n_blocks * M_IN, width_out = (long long)c.n_blocks * M_OUT;
    const int groups = (c.n_blocks * kBlock + kWarp - 1) / kWarp;
    for (int group = 0; group < groups; ++group) {
        const Channel at = channel_of(group, threadIdx.x % kWarp, c.n_blocks);
        if (!at.active) continue;
        Aggregate<real> a = {};
        for (long long edge = c.row_start[row]; edge < c.row_start[row + 1]; ++edge) {
            const EdgeRecord<real>& e = c.edges[edge];
            message_forward<real, LI, LO>(a, e, radial_at<real, term_count(LI, LO)>(c, at, e),
                                          h + c.other[edge] * width_in + at.block * M_IN + at.lane);
        }
        real* to = out + row * width_out + at.block * M_OUT + at.lane;
        store(to, a.s);
        if constexpr (LO > 0) {
            for (int k = 0; k < 3; ++k) store(to + (1 + k) * kBlock, a.v[k]);
        }
        if constexpr (LO > 1) {
            const real third = (a.t[0] + a.t[1] + a.t[5]) * real(1.0 / 3.0);
            store(to + 4 * kBlock, a.t[0] - third);
            store(to + 5 * kBlock, a.t[1] - third);
            for (int k = 2; k < 5; ++k) store(to + (4 + k) * kBlock, a.t[k]);
        }
    }
}

template <class real, int LI, int LO>
__global__ void backward_kernel(Convolution<real> c, int n_rows, const real* h, const real* g, real* out,
                                EdgeGradient<real>* gradient) {
    constexpr int M_IN = component_count(LI) * kBlock, M_OUT = component_count(LO) * kBlock;
    const int row = blockIdx.x * kWarpsPerBlock + threadIdx.x / kWarp;
    if (row >= n_rows) return;
    const int thread = threadIdx.x % kWarp;
    const long long width_in = (long long)c.n_blocks * M_IN, width_out = (long long)c.n_blocks * M_OUT;
    const int groups = (c.n_blocks * kBlock + kWarp - 1) / kWarp;
    for (int group = 0; group < groups; ++group) {
        const Channel at = channel_of(group, thread, c.n_blocks);
        Sender<real> sender = {};
        if (at.active) {
            const real* from = h + row * width_in + at.block * M_IN + at.lane;
            sender.s = load(from);
            if constexpr (LI > 0) {
                for (int k = 0; k < 3; ++k) sender.v[k] = -load(from + (1 + k) * kBlock);
            }
            if constexpr (LI > 1) {
                for (int k = 0; k < 5; ++k) sender.t[k] = load(from + (4 + k) * kBlock);
            }
        }
        SenderGradient<real> sum = {};
        for (long long edge = c.row_start[row]; edge < c.row_start[row + 1]; ++edge) {
            const EdgeRecord<real>& e = c.edges[edge];
            MessageGradient<real> grad = {};
            if (at.active) {
                grad = message_backward<real, LI, LO, true>(
                    sum, e, radial_at<real, term_count(LI, LO)>(c, at, e), sender,
                    g + c.other[edge] * width_out + at.block * M_OUT + at.lane);
            }
            // All lanes enter the shuffles, also those without a channel.
            const real total[4] = {warp_sum(grad.direction[0]), warp_sum(grad.direction[1]),
                                   warp_sum(grad.direction[2]), warp_sum(grad.r)};
            if (thread < 4) gradient[edge].value[thread] += total[thread];
        }
        if (!at.active) continue;
        real* to = out + row * width_in + at.block * M_IN + at.lane;
        store(to, sum.s);
        if constexpr (LI > 0) {
            for (int k = 0; k < 3; ++k) store(to + (1 + k) * kBlock, -sum.v[k]);
        }
        if constexpr (LI > 1) {
            store(to + 4 * kBlock, sum.n[0] - sum.n[5]);
            store(to + 5 * kBlock, sum.n[1] - sum.n[5]);
            for (int k = 2; k < 5; ++k) store(to + (4 + k) * kBlock, sum.n[k] * 2);
        }
    }
}

/// Call `launch` with l_in and l_out as compile-time constants.
template <class Launch>
cudaError_t dispatch(int l_in, int l_out, Launch&& launch) {
    switch (3 * l_in + l_out) {
        case 0: launch(std::integral_constant<int, 0>{}, std::integral_constant<int, 0>{}); break;
        case 1: launch(std::integral_constant<int, 0>{}, std::integral_constant<int, 1>{}); break;
        case 2: launch(std::integral_constant<int, 0>{}, std::integral_constant<int, 2>{}); break;
        case 3: launch(std::integral_constant<int, 1>{}, std::integral_constant<int, 0>{}); break;
        case 4: launch(std::integral_constant<int, 1>{}, std::integral_constant<int, 1>{}); break;
        case 5: launch(std::integral_constant<int, 1>{}, std::integral_constant<int, 2>{}); break;
        case 6: launch(std::integral_constant<int, 2>{}, std::integral_constant<int, 0>{}); break;
        case 7: launch(std::integral_constant<int, 2>{}, std::integral_constant<int, 1>{}); break;
        case 8: launch(std::integral_constant<int, 2>{}, std::integral_constant<int, 2>{}); break;
        default: return cudaErrorInvalidValue;
    }
    return cudaGetLastError();
}

int blocks_for(int n_rows) { return (n_rows + kWarpsPerBlock - 1) / kWarpsPerBlock; }

}  // namespace

template <class real>
cudaError_t convolution_forward(int l_in, int l_out, const Convolution<real>& c, int n_rows, const real* h,
                                real* out, cudaStream_t stream) {
    if (n_rows == 0) return cudaSuccess;
    return dispatch(l_in, l_out, [&](auto li, auto lo) {
        forward_kernel<real, decltype(li)::value, decltype(lo)::value>
            <<<blocks_for(n_rows), kWarpsPerBlock * kWarp, 0, stream>>>(c, n_rows, h, out);
    });
}

template <class real>
cudaError_t convolution_backward(int l_in, int l_out, const Convolution<real>& c, int n_rows, const real* h,
                                 const real* g, real* out, EdgeGradient<real>* gradient, cudaStream_t stream) {
    if (n_rows == 0) return cudaSuccess;
    return dispatch(l_in, l_out, [&](auto li, auto lo) {
        backward_kernel<real, decltype(li)::value, decltype(lo)::value>
            <<<blocks_for(n_rows), kWarpsPerBlock * kWarp, 0, stream>>>(c, n_rows, h, g, out, gradient);
    });
}

#define QDML_INSTANTIATE(real)                                                                                    \
    template cudaError_t convolution_forward<real>(int, int, const Convolution<real>&, int, const real*, real*,   \
                                                   cudaStream_t);                                                 \
    template cudaError_t convolution_backward<real>(int, int, const Convolution<real>&, int, const real*,         \
                                                    const real*, real*, EdgeGradient<real>*, cudaStream_t);
QDML_INSTANTIATE(float)
QDML_INSTANTIATE(double)

}  // namespace cuda
}  // namespace qdml
