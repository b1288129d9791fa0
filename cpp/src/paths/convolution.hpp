// SPDX-License-Identifier: MIT
/// Messages along Clebsch-Gordan paths: forward, sender-centric backward, first layer.
///
/// The mathematics of one edge is that of message.hpp. The sums of a row stay in registers; dE/dY and dE/dr
/// are folded to four lanes' groups before they are added to the moments of the edge. Every sum has
/// a fixed order, and nothing is written by two threads.
///
/// `real` is a number or, in training, a dual number (kernels/dual.hpp): then R, M and H are duals, the
/// tables and G are not, and of a result its derivative is kept.
#pragma once

#include "harmonics.hpp"
#include "message.hpp"

namespace qdml {
namespace QDML_ISA {

template <class real>
void path_harmonics(std::int64_t n, const EdgeRecord<real>* edges, std::int64_t stride, real* y) {
    constexpr int W = kLanes<real>;
    using V = Register<real>;
    for (std::int64_t e = 0; e < n; e += W) {
        V x[3] = {}, out[kHarmonics];
        for (int lane = 0; lane < W && e + lane < n; ++lane) {
            for (int k = 0; k < 3; ++k) x[k][lane] = edges[e + lane].direction[k];
        }
        harmonics<real>(x[0], x[1], x[2], out);
        for (int k = 0; k < kHarmonics; ++k) store<real>(y + k * stride + e, out[k]);
    }
}

template <class real, int LIn, int LEdge, int LOut>
void path_couple(std::int64_t n, const real* y, std::int64_t stride, real* m) {
    using C = Coupling<LIn, LEdge, LOut>;
    using V = Register<real>;
    for (std::int64_t e = 0; e < n; e += kLanes<real>) {
        const auto at = [&](auto k) { return load(y + (LEdge * LEdge + k) * stride + e); };
        for_coupled<C>([&](auto in, auto to) {
            store<real>(m + (to * (2 * LIn + 1) + in) * stride + e,
                        coupling<real, C, in, to, V>(at));
        });
    }
}

/// M of one edge: entries [m_out (2 l_in + 1) + m_in].
template <class real>
struct CouplingMatrix {
    const real* m;
    std::int64_t stride;

    QDML_INLINE real operator()(int k) const { return m[k * stride]; }
};

template <class real>
QDML_INLINE CouplingMatrix<real> coupling_of(const PathConvolution<real>& c, std::int64_t edge) {
    return {c.coupling + (edge - c.first_edge), c.stride};
}

/// Convolution: PathConvolution, or what training has in its place.
template <class real, int LIn, int LEdge, int LOut, class Convolution>
QDML_INLINE void sum_along_path(const Convolution& c, const int* rows, int n, const real* h,
                                std::int64_t h_width, Constant<real>* out, std::int64_t out_width) {
    using V = Register<real>;
    constexpr int NOut = 2 * LOut + 1;
    for (int i = 0; i < n; ++i) {
        const std::int64_t begin = c.row_start[rows[i]], end = c.row_start[rows[i] + 1];
        for (int lane = 0; lane < kBlock; lane += kLanes<real>) {
            V sum[NOut] = {};
            for (std::int64_t e = begin; e < end; ++e) {
                V unused;
                const V r = radial<real, false>(c.edges[e], c.table + lane, unused);
                path_message<real, LIn, LEdge, LOut>(sum, r, h + c.other[e] * h_width + lane,
                                                     coupling_of(c, e));
            }
            Constant<real>* to = out + i * out_width + lane;
            unroll<NOut>([&](auto k) { store<Constant<real>>(to + k * kBlock, sum[k]); });
        }
    }
}

template <class real, int LIn, int LEdge, int LOut>
void path_forward(const PathConvolution<real>& c, const int* rows, int n, const real* h,
                  std::int64_t h_width, real* out, std::int64_t out_width) {
    sum_along_path<real, LIn, LEdge, LOut>(c, rows, n, h, h_width, out, out_width);
}

/// First group of moments of the edges' degree: 0 | 1 | 2, 3 | 4, 5.
constexpr int moment_group(int l_edge) { return l_edge < 2 ? l_edge : 2 * l_edge - 2; }

/// sums[4] += the lanes of a, b, c, d, as four groups of partial sums or, with narrow registers, sums.
template <class real>
QDML_INLINE void add_moments(real* sums, const Register<real>& a, const Register<real>& b,
                             const Register<real>& c, const Register<real>& d) {
#ifdef QDML_SHUFFLE
    if constexpr (kLanes<real> >= 4) {
        store<real>(sums, load(sums) + fold_four<real>(a, b, c, d));
        return;
    }
#endif
    add_sums<real>(sums, a, b, c, d);
}

/// Lanes of one quantity in a group that add_moments wrote.
template <class real>
constexpr int moment_lanes() {
#ifdef QDML_SHUFFLE
    return kLanes<real> >= 4 ? kLanes<real> / 4 : 1;
#else
    return 1;
#endif
}

/// Add dE/dY[0..2 LEdge] and dE/dr of one edge.
template <class real, int LEdge>
QDML_INLINE void add_edge_moments(real* moments, const Register<real>* grad_y,
                                  const Register<real>& grad_r) {
    using V = Register<real>;
    real* at = moments + moment_group(LEdge) * kBlock;
    if constexpr (LEdge == 0) {
        add_moments<real>(at, grad_r, zero<V>(), zero<V>(), zero<V>());
    } else if constexpr (LEdge == 1) {
        add_moments<real>(at, grad_y[0], grad_y[1], grad_y[2], grad_r);
    } else {
        add_moments<real>(at, grad_y[0], grad_y[1], grad_y[2], grad_r);
        if constexpr (LEdge == 2) {
            add_moments<real>(at + kBlock, grad_y[3], grad_y[4], zero<V>(), zero<V>());
        } else {
            add_moments<real>(at + kBlock, grad_y[3], grad_y[4], grad_y[5], grad_y[6]);
        }
    }
}

/// What the engine keeps of an edge: the moments of its gradient.
template <class real>
struct EdgeMoments {
    real* moments;  ///< [n_edges of the tile][kMoments], added to

    template <int LEdge>
    QDML_INLINE void add(std::int64_t edge, int, const EdgeRecord<real>&,
                         const Register<real>* grad_y, const Register<real>& slope,
                         const Register<real>& along) const {
        add_edge_moments<real, LEdge>(moments + edge * kMoments, grad_y, slope * along);
    }
};

/// Let a sum go on from numbers in memory.
template <class V>
QDML_INLINE void go_on_from(V& sum, const V& x) {
    sum = x;
}

/// `kept.add<LEdge>(edge of the tile, lane, record, dE/dY, R', Σ_m1 H t)` takes what an edge has.
template <class real, int LIn, int LEdge, int LOut, class Convolution, class Kept>
QDML_INLINE void gradients_along_path(const Convolution& c, const int* rows, int n, const real* h,
                                      std::int64_t h_width, const Constant<real>* g,
                                      std::int64_t g_width, Constant<real>* grad_h,
                                      std::int64_t grad_width, const Kept& kept) {
    using V = Register<real>;
    constexpr int NIn = 2 * LIn + 1;
    for (int i = 0; i < n; ++i) {
        const std::int64_t begin = c.row_start[rows[i]], end = c.row_start[rows[i] + 1];
        for (int lane = 0; lane < kBlock; lane += kLanes<real>) {
            V own[NIn], sum[NIn];
            Constant<real>* to = grad_h + i * grad_width + lane;
            unroll<NIn>([&](auto k) {
                own[k] = load(h + rows[i] * h_width + lane + k * kBlock);
                go_on_from(sum[k], load(to + k * kBlock));
            });
            for (std::int64_t e = begin; e < end; ++e) {
                V slope = zero<V>();
                const V r = radial<real, true>(c.edges[e], c.table + lane, slope);
                V grad_y[2 * LEdge + 1] = {};
                const V along = path_message_backward<real, LIn, LEdge, LOut>(
                    sum, grad_y, r, own, g + c.other[e] * g_width + lane, coupling_of(c, e));
                kept.template add<LEdge>(e - c.first_edge, lane, c.edges[e], grad_y, slope, along);
            }
            unroll<NIn>([&](auto k) { store<Constant<real>>(to + k * kBlock, sum[k]); });
        }
    }
}

template <class real, int LIn, int LEdge, int LOut>
void path_backward(const PathConvolution<real>& c, const int* rows, int n, const real* h,
                   std::int64_t h_width, const real* g, std::int64_t g_width, real* grad_h,
                   std::int64_t grad_width, real* moments) {
    gradients_along_path<real, LIn, LEdge, LOut>(c, rows, n, h, h_width, g, g_width, grad_h,
                                                 grad_width, EdgeMoments<real>{moments});
}

template <class real, int L>
void path_first_gradient(const PathConvolution<real>& c, const int* rows, int n, const real* h,
                         std::int64_t h_width, const real* g, std::int64_t g_width,
                         real* moments) {
    using V = Register<real>;
    constexpr int N = 2 * L + 1;
    for (int i = 0; i < n; ++i) {
        const std::int64_t begin = c.row_start[rows[i]], end = c.row_start[rows[i] + 1];
        for (int lane = 0; lane < kBlock; lane += kLanes<real>) {
            V own[N];
            unroll<N>([&](auto k) { own[k] = load(g + i * g_width + lane + k * kBlock); });
            for (std::int64_t e = begin; e < end; ++e) {
                V slope = zero<V>(), grad_y[N];
                const V r = radial<real, true>(c.edges[e], c.table + lane, slope);
                const V s = load(h + c.other[e] * h_width + lane);
                const V along = first_message_backward<real, L>(grad_y, r, s, own, coupling_of(c, e));
                add_edge_moments<real, L>(moments + (e - c.first_edge) * kMoments, grad_y,
                                          slope * s * along);
            }
        }
    }
}

/// dE/dY [16] of an edge from its moments; returns dE/dr.
template <class real>
QDML_INLINE real sum_moments(const real* moments, real* grad_y) {
    constexpr int lanes = moment_lanes<real>();
    real sum[kMomentGroups][4];
    for (int group = 0; group < kMomentGroups; ++group) {
        for (int k = 0; k < 4; ++k) {
            const real* p = moments + group * kBlock + k * lanes;
            real total = 0;
            for (int lane = 0; lane < lanes; ++lane) total += p[lane];
            sum[group][k] = total;
        }
    }
    grad_y[0] = 0;  // Y_0 is a constant
    for (int k = 0; k < 3; ++k) {
        grad_y[1 + k] = sum[1][k];
        grad_y[4 + k] = sum[2][k];
        grad_y[9 + k] = sum[4][k];
    }
    grad_y[7] = sum[3][0];
    grad_y[8] = sum[3][1];
    for (int k = 0; k < 4; ++k) grad_y[12 + k] = sum[5][k];
    return sum[0][0] + sum[1][3] + sum[2][3] + sum[4][3];
}

template <class real>
void path_finish(std::int64_t n, const EdgeRecord<real>* edges, const real* moments,
                 EdgeGradient<real>* gradient) {
    for (std::int64_t e = 0; e < n; ++e) {
        real g[kHarmonics];
        const real grad_r = sum_moments(moments + e * kMoments, g);
        harmonics_backward(edges[e].direction, g, gradient[e].value);
        gradient[e].value[3] += grad_r;
    }
}

}  // namespace QDML_ISA
}  // namespace qdml
