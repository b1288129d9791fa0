// SPDX-License-Identifier: MIT
/// Sums of messages over the rows of the edge list on the device, from the CPU's own per-edge templates.
///
/// One translation unit per number type and layout of the sums (QDML_REAL, QDML_SEPARATED). Launch shape: one warp per
/// row, lane = channel; rows with more than 32 channels loop over groups of 32. Blocks of four warps, no shared memory.
/// Per edge a warp reads one 64-byte record (broadcast) and contiguous channels of the table and the features. Every
/// sum has one owner and a fixed order: bitwise reproducible.
#define QDML_ISA cuda
#include "rows.cuh"

#include "../kernels/message_backward.hpp"

namespace qdml {
namespace cuda {
namespace {

template <class real, int P>
__device__ __forceinline__ Radial<real, P> radial_at(const Convolution<real>& c, const Channel& at,
                                                     const EdgeRecord<real>& e) {
    return {c.table + (at.block * c.n_knots + e.knot) * (P * kBlock) + at.lane, e};
}

template <class real, class Y>
__global__ void forward_kernel(DeviceMessages<real> m, const real* h, real* out) {
    constexpr int M_IN = component_count(Y::l_in) * kBlock, M_OUT = Y::stored() * kBlock;
    const Convolution<real>& c = m.convolution;
    if (warp_number() >= m.n_rows) return;
    const int row = row_number(m, warp_number());
    const long long width_in = (long long)c.n_blocks * M_IN, width_out = (long long)c.n_blocks * M_OUT;
    for (int group = 0; group < groups_of(c.n_blocks); ++group) {
        const Channel at = channel_of(group, threadIdx.x % kWarp, c.n_blocks);
        if (!at.active) continue;
        real a[Y::symmetric()] = {};
        for (long long edge = c.row_start[row]; edge < m.row_end[row]; ++edge) {
            const EdgeRecord<real>& e = c.edges[edge];
            message_forward<Y>(a, e, radial_at<real, Y::n_terms()>(c, at, e),
                               h + c.other[edge] * width_in + at.block * M_IN + at.lane);
        }
        store_sums<Y>(out + row * width_out + at.block * M_OUT + at.lane, a);
    }
}

template <class real, class Y>
__global__ void backward_kernel(DeviceMessages<real> m, const real* h, const real* g, real* out,
                                EdgeGradient<real>* gradient) {
    constexpr int M_IN = component_count(Y::l_in) * kBlock, M_OUT = Y::stored() * kBlock;
    const Convolution<real>& c = m.convolution;
    if (warp_number() >= m.n_rows) return;
    const int row = row_number(m, warp_number()), thread = threadIdx.x % kWarp;
    const long long width_in = (long long)c.n_blocks * M_IN, width_out = (long long)c.n_blocks * M_OUT;
    for (int group = 0; group < groups_of(c.n_blocks); ++group) {
        const Channel at = channel_of(group, thread, c.n_blocks);
        real sender[component_count(Y::l_in)] = {}, sum[symmetric_offset(Y::l_in + 1)] = {};
        if (at.active) load_reversed<Y::l_in>(sender, h + row * width_in + at.block * M_IN + at.lane);
        for (long long edge = c.row_start[row]; edge < m.row_end[row]; ++edge) {
            const EdgeRecord<real>& e = c.edges[edge];
            MessageGradient<real> grad = {};
            if (at.active) {
                grad = message_backward<Y>(sum, e, radial_at<real, Y::n_terms()>(c, at, e), sender,
                                           g + c.other[edge] * width_out + at.block * M_OUT + at.lane);
            }
            // all lanes enter the shuffles, also those without a channel
            const real four[4] = {grad.direction[0], grad.direction[1], grad.direction[2], grad.r};
            const real total = warp_sum_of_four(four, thread);
            if (thread % 8 == 0) gradient[edge].value[thread / 8] += total;
        }
        if (at.active) store_reversed<Y::l_in>(out + row * width_in + at.block * M_IN + at.lane, sum);
    }
}

/// First layer, receiver-centric: senders are scalars of their species.
template <class real, class Y>
__global__ void first_gradient_kernel(DeviceMessages<real> m, const real* h, const real* g,
                                      EdgeGradient<real>* gradient) {
    constexpr int M_OUT = Y::stored() * kBlock;
    const Convolution<real>& c = m.convolution;
    if (warp_number() >= m.n_rows) return;
    const int row = row_number(m, warp_number()), thread = threadIdx.x % kWarp;
    const long long width_in = (long long)c.n_blocks * kBlock, width_out = (long long)c.n_blocks * M_OUT;
    for (long long edge = c.row_start[row]; edge < m.row_end[row]; ++edge) {
        const EdgeRecord<real>& e = c.edges[edge];
        real four[4] = {};
        for (int group = 0; group < groups_of(c.n_blocks); ++group) {
            const Channel at = channel_of(group, thread, c.n_blocks);
            if (!at.active) continue;
            const real sender[1] = {load(h + c.other[edge] * width_in + at.block * kBlock + at.lane)};
            real unused[1] = {};
            const MessageGradient<real> grad =
                message_backward<Y>(unused, e, radial_at<real, Y::n_terms()>(c, at, e), sender,
                                    g + row * width_out + at.block * M_OUT + at.lane);
            for (int k = 0; k < 3; ++k) four[k] += grad.direction[k];
            four[3] += grad.r;
        }
        const real total = warp_sum_of_four(four, thread);
        if (thread % 8 == 0) gradient[edge].value[thread / 8] += total;
    }
}

/// Call `launch` with the layer of compile-time degrees and layout of sums.
template <int LI, int LO, class Launch>
int dispatch(int l_in, int l_out, Launch&& launch) {
    if (l_in == LI && l_out == LO) return launch(Layer<LI, LO, QDML_SEPARATED>());
    if constexpr (LO < kMaxDegree) {
        return dispatch<LI, LO + 1>(l_in, l_out, launch);
    } else if constexpr (LI < kMaxDegree) {
        return dispatch<LI + 1, 0>(l_in, l_out, launch);
    } else {
        return cudaErrorInvalidValue;
    }
}

template <int LO, class Launch>
int dispatch_first(int l_out, Launch&& launch) {
    if (l_out == LO) return launch(Layer<0, LO, QDML_SEPARATED>());
    if constexpr (LO < kMaxDegree) {
        return dispatch_first<LO + 1>(l_out, launch);
    } else {
        return cudaErrorInvalidValue;
    }
}

}  // namespace

template <class real, int kSeparated>
int Messages<real, kSeparated>::forward(void* stream, int l_in, int l_out, const DeviceMessages<real>& m, const real* h,
                                        real* out) {
    return dispatch<0, 0>(l_in, l_out, [&](auto layer) -> int {
        return launch(forward_kernel<real, decltype(layer)>, blocks_for(m.n_rows, kWarpsPerBlock), kThreads,
                      stream_of(stream), m, h, out);
    });
}

template <class real, int kSeparated>
int Messages<real, kSeparated>::backward(void* stream, int l_in, int l_out, const DeviceMessages<real>& m,
                                         const real* h, const real* g, real* out, EdgeGradient<real>* gradient) {
    return dispatch<0, 0>(l_in, l_out, [&](auto layer) -> int {
        return launch(backward_kernel<real, decltype(layer)>, blocks_for(m.n_rows, kWarpsPerBlock), kThreads,
                      stream_of(stream), m, h, g, out, gradient);
    });
}

template <class real, int kSeparated>
int Messages<real, kSeparated>::first_gradient(void* stream, int l_out, const DeviceMessages<real>& m, const real* h,
                                               const real* g, EdgeGradient<real>* gradient) {
    return dispatch_first<0>(l_out, [&](auto layer) -> int {
        return launch(first_gradient_kernel<real, decltype(layer)>, blocks_for(m.n_rows, kWarpsPerBlock), kThreads,
                      stream_of(stream), m, h, g, gradient);
    });
}

template struct Messages<QDML_REAL, QDML_SEPARATED>;

}  // namespace cuda
}  // namespace qdml
