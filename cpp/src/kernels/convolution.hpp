// SPDX-License-Identifier: MIT
/// Sums of messages over the rows of the edge list: forward, sender-centric backward, first layer.
///
/// Loop order atom -> block -> register -> neighbours: the sums of a row stay in registers, every sum
/// has a fixed order, and nothing is written by two threads.
#pragma once

#include "message_backward.hpp"

namespace qdml {
namespace QDML_ISA {

constexpr int kPrefetch = 2;  ///< edges ahead: the gathered rows lie scattered in memory

template <int M, class real>
QDML_INLINE void prefetch_row(const real* row) {
    for (int m = 0; m < M; ++m) __builtin_prefetch(row + m * kBlock);
}

/// Coefficients of one block at this edge's first knot.
template <class real, int P, class coefficient>
QDML_INLINE coefficient* at_knot(const Convolution<real, Constant<real>>& c, coefficient* table,
                                 int block, int lane, std::int64_t edge) {
    return table + (block * c.n_knots + c.edges[edge].knot) * (P * kBlock) + lane;
}

template <class real, int P>
QDML_INLINE Radial<real, P> radial_at(const Convolution<real, Constant<real>>& c, int block,
                                      int lane, std::int64_t edge) {
    return {at_knot<real, P>(c, c.table, block, lane, edge), c.edges[edge]};
}

template <class real, class Y>
void convolution_forward(const Convolution<real, Constant<real>>& c, const int* rows, int n,
                         const real* h, Constant<real>* out) {
    using V = Register<real>;
    constexpr int M = component_count(Y::l_in);
    const std::int64_t width_in = std::int64_t(c.n_blocks) * (M * kBlock);
    const std::int64_t width_out = std::int64_t(c.n_blocks) * (Y::stored() * kBlock);
    for (int i = 0; i < n; ++i) {
        const std::int64_t begin = c.row_start[rows[i]], end = c.row_start[rows[i] + 1];
        for (int block = 0; block < c.n_blocks; ++block) {
            const real* h_block = h + block * (M * kBlock);
            for (int lane = 0; lane < kBlock; lane += kLanes<real>) {
                V a[Y::symmetric()] = {};
                for (std::int64_t edge = begin; edge < end; ++edge) {
                    if (edge + kPrefetch < end && lane == 0) {
                        prefetch_row<M>(h_block + c.other[edge + kPrefetch] * width_in);
                    }
                    message_forward<Y>(a, c.edges[edge],
                                       radial_at<real, Y::n_terms()>(c, block, lane, edge),
                                       h_block + c.other[edge] * width_in + lane);
                }
                store_sums<Y>(out + i * width_out + block * (Y::stored() * kBlock) + lane, a);
            }
        }
    }
}

/// What the backward pass keeps of an edge: its gradient.
template <class real>
struct EdgeGradients {
    EdgeGradient<Constant<real>>* gradient;  ///< [n_edges], added to

    template <int P>
    QDML_INLINE Radial<real, P> radial(const Convolution<real, Constant<real>>& c, int block,
                                       int lane, std::int64_t edge) const {
        return radial_at<real, P>(c, block, lane, edge);
    }
    QDML_INLINE void add(std::int64_t edge, const MessageGradient<Register<real>>& g) const {
        add_sums<Constant<real>>(gradient[edge].value, g.direction[0], g.direction[1],
                                 g.direction[2], g.r);
    }
};

template <class real, class Y, class Kept>
QDML_INLINE void sum_gradients(const Convolution<real, Constant<real>>& c, const int* rows, int n,
                               const real* h, const Constant<real>* g, Constant<real>* out,
                               const Kept& kept) {
    using V = Register<real>;
    constexpr int M = component_count(Y::l_in), P = Y::n_terms();
    const std::int64_t width_in = std::int64_t(c.n_blocks) * (M * kBlock);
    const std::int64_t width_out = std::int64_t(c.n_blocks) * (Y::stored() * kBlock);
    for (int i = 0; i < n; ++i) {
        const std::int64_t begin = c.row_start[rows[i]], end = c.row_start[rows[i] + 1];
        for (int block = 0; block < c.n_blocks; ++block) {
            const Constant<real>* g_block = g + block * (Y::stored() * kBlock);
            for (int lane = 0; lane < kBlock; lane += kLanes<real>) {
                V sender[M], sum[symmetric_offset(Y::l_in + 1)] = {};
                load_reversed<Y::l_in>(sender, h + rows[i] * width_in + block * (M * kBlock) + lane);
                for (std::int64_t edge = begin; edge < end; ++edge) {
                    if (edge + kPrefetch < end && lane == 0) {
                        prefetch_row<Y::stored()>(g_block + c.other[edge + kPrefetch] * width_out);
                    }
                    const auto grad = message_backward<Y>(
                        sum, c.edges[edge], kept.template radial<P>(c, block, lane, edge), sender,
                        g_block + c.other[edge] * width_out + lane);
                    kept.add(edge, grad);
                }
                store_reversed<Y::l_in>(out + i * width_in + block * (M * kBlock) + lane, sum);
            }
        }
    }
}

template <class real, class Y>
void convolution_backward(const Convolution<real>& c, const int* rows, int n, const real* h,
                          const real* g, real* out, EdgeGradient<real>* gradient) {
    sum_gradients<real, Y>(c, rows, n, h, g, out, EdgeGradients<real>{gradient});
}

template <class real, class Y>
void convolution_first_gradient(const Convolution<real>& c, const int* rows, int n, const real* h,
                                const real* g, EdgeGradient<real>* gradient) {
    static_assert(Y::l_in == 0, "senders of the first layer are scalars of their species");
    using V = Register<real>;
    const std::int64_t width_in = std::int64_t(c.n_blocks) * kBlock;
    const std::int64_t width_out = std::int64_t(c.n_blocks) * (Y::stored() * kBlock);
    for (int i = 0; i < n; ++i) {
        const std::int64_t begin = c.row_start[rows[i]], end = c.row_start[rows[i] + 1];
        for (std::int64_t edge = begin; edge < end; ++edge) {
            MessageGradient<V> sum = {};
            for (int block = 0; block < c.n_blocks; ++block) {
                for (int lane = 0; lane < kBlock; lane += kLanes<real>) {
                    const V sender[1] = {load(h + c.other[edge] * width_in + block * kBlock + lane)};
                    V unused[1] = {};
                    const auto grad = message_backward<Y>(
                        unused, c.edges[edge], radial_at<real, Y::n_terms()>(c, block, lane, edge),
                        sender, g + i * width_out + block * (Y::stored() * kBlock) + lane);
                    for (int k = 0; k < 3; ++k) sum.direction[k] += grad.direction[k];
                    sum.r += grad.r;
                }
            }
            add_sums<real>(gradient[edge].value, sum.direction[0], sum.direction[1],
                           sum.direction[2], sum.r);
        }
    }
}

}  // namespace QDML_ISA
}  // namespace qdml
