// SPDX-License-Identifier: MIT
/// Messages along one Clebsch-Gordan path over the rows of the edge list on the device, from the CPU's own templates.
///
/// One translation unit per number type (QDML_REAL). Launch shape: lane = channel, one warp per row and group of 32
/// channels in the forward kernel, one warp per row in the others, which add up what an edge gets from all channels.
/// Blocks of four warps, no shared memory. Harmonics and M of an edge are made in registers by every lane. Every sum
/// has one owner and a fixed order, paths one launch after the other: bitwise reproducible.
#define QDML_ISA cuda
#include "rows.cuh"

#include "../paths/harmonics.hpp"
#include "../paths/message.hpp"

namespace qdml {
namespace cuda {
namespace {

/// Y of an edge up to the degree of the path; gives elements of M. What is not used is never computed.
template <class real, int LIn, int LEdge, int LOut>
struct EdgeCoupling {
    real y[kHarmonics];

    __device__ __forceinline__ explicit EdgeCoupling(const EdgeRecord<real>& e) {
        harmonics<real>(e.direction[0], e.direction[1], e.direction[2], y);
    }
    template <int I>
    __device__ __forceinline__ real operator()(std::integral_constant<int, I>) const {
        constexpr int NIn = 2 * LIn + 1;
        return coupling<real, Coupling<LIn, LEdge, LOut>, I % NIn, I / NIn, real>(
            [this](auto k) { return y[LEdge * LEdge + k]; });
    }
};

/// Values of the table of a path at knot 0 for these channels.
template <class real>
__device__ __forceinline__ const real* table_at(const Convolution<real>& c, const Channel& at) {
    return c.table + (long long)at.block * c.n_knots * (2 * kBlock) + at.lane;
}

template <class real, int LIn, int LEdge, int LOut>
__global__ void path_forward_kernel(DevicePath p, DeviceMessages<real> m, const real* h, real* out) {
    constexpr int NIn = 2 * LIn + 1, NOut = 2 * LOut + 1;
    const Convolution<real>& c = m.convolution;
    const int n_groups = groups_of(c.n_blocks), which = warp_number() / n_groups;
    if (which >= m.n_rows) return;
    const Channel at = channel_of(warp_number() % n_groups, threadIdx.x % kWarp, c.n_blocks);
    if (!at.active) return;
    const int row = row_number(m, which);
    h += p.h_offset + at.block * NIn * kBlock + at.lane;
    real sum[NOut] = {};
    for (long long edge = c.row_start[row]; edge < m.row_end[row]; ++edge) {
        const EdgeRecord<real>& e = c.edges[edge];
        real unused = 0;
        const real r = radial<real, false>(e, table_at(c, at), unused);
        path_message<real, LIn, LEdge, LOut>(sum, r, h + (long long)c.other[edge] * p.h_width,
                                             EdgeCoupling<real, LIn, LEdge, LOut>(e));
    }
    out += (long long)row * p.sum_width + p.sum_offset + at.block * NOut * kBlock + at.lane;
    unroll<NOut>([&](auto k) { out[k * kBlock] = sum[k]; });
}

/// Add dE/dY and dE/dr of one edge over the lanes of the warp, all of which must enter.
template <class real, int L>
__device__ __forceinline__ void add_moments(real* moments, const real* grad_y, real grad_r, int thread) {
    if constexpr (L == 0) {
        const real total = warp_sum(grad_r);
        if (thread == 0) moments[0] += total;
    } else {
        constexpr int n = 2 * L + 2;
        real v[8] = {};
        unroll<2 * L + 1>([&](auto k) { v[k] = grad_y[k]; });
        v[n - 1] = grad_r;
        unroll<(n + 3) / 4>([&](auto quarter) {
            const real total = warp_sum_of_four(v + 4 * quarter, thread);
            const int k = 4 * quarter + thread / 8;
            if (thread % 8 == 0 && k < n) moments[k == n - 1 ? 0 : L * L + k] += total;
        });
    }
}

template <class real, int LIn, int LEdge, int LOut>
__global__ void path_backward_kernel(DevicePath p, DeviceMessages<real> m, const real* h, const real* g, real* grad_h,
                                     real* moments) {
    constexpr int NIn = 2 * LIn + 1, NOut = 2 * LOut + 1;
    const Convolution<real>& c = m.convolution;
    if (warp_number() >= m.n_rows) return;
    const int row = row_number(m, warp_number()), thread = threadIdx.x % kWarp;
    for (int group = 0; group < groups_of(c.n_blocks); ++group) {
        const Channel at = channel_of(group, thread, c.n_blocks);
        const long long in_row = (long long)row * p.h_width + p.h_offset + at.block * NIn * kBlock + at.lane;
        const real* receivers = g + p.sum_offset + at.block * NOut * kBlock + at.lane;
        real own[NIn] = {}, sum[NIn] = {};
        if (at.active) {
            unroll<NIn>([&](auto k) {
                own[k] = load(h + in_row + k * kBlock);
                sum[k] = grad_h[in_row + k * kBlock];
            });
        }
        for (long long edge = c.row_start[row]; edge < m.row_end[row]; ++edge) {
            const EdgeRecord<real>& e = c.edges[edge];
            real grad_y[2 * LEdge + 1] = {}, grad_r = 0;
            if (at.active) {
                real slope = 0;
                const real r = radial<real, true>(e, table_at(c, at), slope);
                grad_r = slope * path_message_backward<real, LIn, LEdge, LOut>(
                                     sum, grad_y, r, own, receivers + (long long)c.other[edge] * p.sum_width,
                                     EdgeCoupling<real, LIn, LEdge, LOut>(e));
            }
            add_moments<real, LEdge>(moments + edge * kHarmonics, grad_y, grad_r, thread);
        }
        if (at.active) {
            unroll<NIn>([&](auto k) { grad_h[in_row + k * kBlock] = sum[k]; });
        }
    }
}

/// First layer, receiver-centric: senders are scalars of their species.
template <class real, int L>
__global__ void path_first_kernel(DevicePath p, DeviceMessages<real> m, const real* h, const real* g, real* moments) {
    constexpr int N = 2 * L + 1;
    const Convolution<real>& c = m.convolution;
    if (warp_number() >= m.n_rows) return;
    const int row = row_number(m, warp_number()), thread = threadIdx.x % kWarp;
    for (long long edge = c.row_start[row]; edge < m.row_end[row]; ++edge) {
        const EdgeRecord<real>& e = c.edges[edge];
        const EdgeCoupling<real, 0, L, L> matrix(e);
        real grad_y[N] = {}, grad_r = 0;
        for (int group = 0; group < groups_of(c.n_blocks); ++group) {
            const Channel at = channel_of(group, thread, c.n_blocks);
            if (!at.active) continue;
            real own[N], part[N], slope = 0;
            const real* sums = g + (long long)row * p.sum_width + p.sum_offset + at.block * N * kBlock + at.lane;
            unroll<N>([&](auto k) { own[k] = load(sums + k * kBlock); });
            const real r = radial<real, true>(e, table_at(c, at), slope);
            const real s = load(h + (long long)c.other[edge] * p.h_width + p.h_offset + at.block * kBlock + at.lane);
            grad_r += slope * s * first_message_backward<real, L>(part, r, s, own, matrix);
            unroll<N>([&](auto k) { grad_y[k] += part[k]; });
        }
        add_moments<real, L>(moments + edge * kHarmonics, grad_y, grad_r, thread);
    }
}

/// One warp per row, lane = edge.
template <class real>
__global__ void path_finish_kernel(DeviceMessages<real> m, const real* moments, EdgeGradient<real>* gradient) {
    if (warp_number() >= m.n_rows) return;
    const int row = m.first + warp_number();
    for (long long edge = m.convolution.row_start[row] + threadIdx.x % kWarp; edge < m.row_end[row]; edge += kWarp) {
        real* sum = gradient[edge].value;
        harmonics_backward(m.convolution.edges[edge].direction, moments + edge * kHarmonics, sum);
        sum[3] += moments[edge * kHarmonics];
    }
}

/// Degrees of a path at compile time.
template <int LIn, int LEdge, int LOut>
struct Degrees {
    static constexpr bool triangle = LOut <= LIn + LEdge && LIn <= LOut + LEdge && LEdge <= LIn + LOut;
};

constexpr int kDegrees = kMaxDegree + 1;

/// launch(Degrees) with those of the path.
template <int I = 0, class Launch>
int dispatch(const DevicePath& p, const Launch& launch) {
    if constexpr (I < kDegrees * kDegrees * kDegrees) {
        using D = Degrees<I / (kDegrees * kDegrees), I / kDegrees % kDegrees, I % kDegrees>;
        if constexpr (D::triangle) {
            if ((p.l_in * kDegrees + p.l_edge) * kDegrees + p.l_out == I) return launch(D());
        }
        return dispatch<I + 1>(p, launch);
    } else {
        return cudaErrorInvalidValue;
    }
}

template <class real, int LIn, int LEdge, int LOut>
int launch_forward(Degrees<LIn, LEdge, LOut>, void* stream, const DevicePath& p, const DeviceMessages<real>& m,
                   const real* h, real* out) {
    const long long warps = (long long)m.n_rows * groups_of(m.convolution.n_blocks);
    return launch(path_forward_kernel<real, LIn, LEdge, LOut>, blocks_for(warps, kWarpsPerBlock), kThreads,
                  stream_of(stream), p, m, h, out);
}

template <class real, int LIn, int LEdge, int LOut>
int launch_backward(Degrees<LIn, LEdge, LOut>, void* stream, const DevicePath& p, const DeviceMessages<real>& m,
                    const real* h, const real* g, real* grad_h, real* moments) {
    return launch(path_backward_kernel<real, LIn, LEdge, LOut>, blocks_for(m.n_rows, kWarpsPerBlock), kThreads,
                  stream_of(stream), p, m, h, g, grad_h, moments);
}

template <class real, int LIn, int L, int LOut>
int launch_first(Degrees<LIn, L, LOut>, void* stream, const DevicePath& p, const DeviceMessages<real>& m, const real* h,
                 const real* g, real* moments) {
    if constexpr (LIn == 0) {
        return launch(path_first_kernel<real, L>, blocks_for(m.n_rows, kWarpsPerBlock), kThreads, stream_of(stream), p,
                      m, h, g, moments);
    } else {
        return cudaErrorInvalidValue;
    }
}

template <class real>
int path_forward(void* stream, const DevicePath& p, const DeviceMessages<real>& m, const real* h, real* out) {
    return dispatch(p, [&](auto degrees) { return launch_forward(degrees, stream, p, m, h, out); });
}

template <class real>
int path_backward(void* stream, const DevicePath& p, const DeviceMessages<real>& m, const real* h, const real* g,
                  real* grad_h, real* moments) {
    return dispatch(p, [&](auto degrees) { return launch_backward(degrees, stream, p, m, h, g, grad_h, moments); });
}

template <class real>
int path_first_gradient(void* stream, const DevicePath& p, const DeviceMessages<real>& m, const real* h, const real* g,
                        real* moments) {
    return dispatch(p, [&](auto degrees) { return launch_first(degrees, stream, p, m, h, g, moments); });
}

template <class real>
int path_finish(void* stream, const DeviceMessages<real>& m, const real* moments, EdgeGradient<real>* gradient) {
    return launch(path_finish_kernel<real>, blocks_for(m.n_rows, kWarpsPerBlock), kThreads, stream_of(stream), m,
                  moments, gradient);
}

}  // namespace

void add_path_kernels(DeviceKernels<QDML_REAL>& k) {
    k.path_forward = path_forward<QDML_REAL>;
    k.path_backward = path_backward<QDML_REAL>;
    k.path_first_gradient = path_first_gradient<QDML_REAL>;
    k.path_finish = path_finish<QDML_REAL>;
}

}  // namespace cuda
}  // namespace qdml
