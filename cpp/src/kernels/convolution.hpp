// SPDX-License-Identifier: MIT
/// Sums of messages over the rows of the edge list: forward, sender-centric backward, first layer.
///
/// Loop order atom -> block -> register -> neighbours: the sums of a row stay in registers, every sum
/// has a fixed order, and nothing is written by two threads.
#pragma once

#include "message.hpp"

namespace qdml {
namespace QDML_ISA {

constexpr int kPrefetch = 2;  ///< edges ahead: the gathered rows lie scattered in memory

template <int M, class real>
QDML_INLINE void prefetch_row(const real* row) {
    for (int m = 0; m < M; ++m) __builtin_prefetch(row + m * kBlock);
}

/// Table of one block at this edge's first knot.
template <class real, int P>
QDML_INLINE Radial<real, P> radial_at(const Convolution<real>& c, int block, int lane,
                                      std::int64_t edge) {
    const EdgeRecord<real>& e = c.edges[edge];
    return {c.table + (block * c.n_knots + e.knot) * (P * kBlock) + lane, e};
}

template <class real, int LI, int LO>
void convolution_forward(const Convolution<real>& c, const int* rows, int n, const real* h,
                         real* out) {
    using V = Register<real>;
    constexpr int P = term_count(LI, LO);
    constexpr int M_IN = component_count(LI) * kBlock, M_OUT = component_count(LO) * kBlock;
    const std::int64_t width_in = std::int64_t(c.n_blocks) * M_IN;
    const std::int64_t width_out = std::int64_t(c.n_blocks) * M_OUT;
    for (int i = 0; i < n; ++i) {
        const std::int64_t begin = c.row_start[rows[i]], end = c.row_start[rows[i] + 1];
        for (int block = 0; block < c.n_blocks; ++block) {
            const real* h_block = h + block * M_IN;
            for (int lane = 0; lane < kBlock; lane += kLanes<real>) {
                Aggregate<V> a = {};
                for (std::int64_t edge = begin; edge < end; ++edge) {
                    if (edge + kPrefetch < end && lane == 0) {
                        prefetch_row<component_count(LI)>(h_block +
                                                          c.other[edge + kPrefetch] * width_in);
                    }
                    message_forward<real, LI, LO>(a, c.edges[edge],
                                                  radial_at<real, P>(c, block, lane, edge),
                                                  h_block + c.other[edge] * width_in + lane);
                }
                real* to = out + i * width_out + block * M_OUT + lane;
                store(to, a.s);
                if constexpr (LO > 0) {
                    for (int k = 0; k < 3; ++k) store(to + (1 + k) * kBlock, a.v[k]);
                }
                if constexpr (LO > 1) {
                    const V third = (a.t[0] + a.t[1] + a.t[5]) * real(1.0 / 3.0);
                    store<real>(to + 4 * kBlock, a.t[0] - third);
                    store<real>(to + 5 * kBlock, a.t[1] - third);
                    for (int k = 2; k < 5; ++k) store(to + (4 + k) * kBlock, a.t[k]);
                }
            }
        }
    }
}

template <class real, int LI, int LO>
void convolution_backward(const Convolution<real>& c, const int* rows, int n, const real* h,
                          const real* g, real* out, EdgeGradient<real>* gradient) {
    using V = Register<real>;
    constexpr int P = term_count(LI, LO);
    constexpr int M_IN = component_count(LI) * kBlock, M_OUT = component_count(LO) * kBlock;
    const std::int64_t width_in = std::int64_t(c.n_blocks) * M_IN;
    const std::int64_t width_out = std::int64_t(c.n_blocks) * M_OUT;
    for (int i = 0; i < n; ++i) {
        const std::int64_t begin = c.row_start[rows[i]], end = c.row_start[rows[i] + 1];
        for (int block = 0; block < c.n_blocks; ++block) {
            const real* g_block = g + block * M_OUT;
            for (int lane = 0; lane < kBlock; lane += kLanes<real>) {
                const real* from = h + rows[i] * width_in + block * M_IN + lane;
                Sender<V> sender = {};
                sender.s = load(from);
                if constexpr (LI > 0) {
                    // Row i holds r̂ of i -> j, the message has -r̂: negating v_i and G_v (done once,
                    // by the caller of this layer) gives the same terms with the row's own r̂.
                    for (int k = 0; k < 3; ++k) sender.v[k] = -load(from + (1 + k) * kBlock);
                }
                if constexpr (LI > 1) {
                    for (int k = 0; k < 5; ++k) sender.t[k] = load(from + (4 + k) * kBlock);
                }
                SenderGradient<V> sum = {};
                for (std::int64_t edge = begin; edge < end; ++edge) {
                    if (edge + kPrefetch < end && lane == 0) {
                        prefetch_row<component_count(LO)>(g_block +
                                                          c.other[edge + kPrefetch] * width_out);
                    }
                    const auto grad = message_backward<real, LI, LO, true>(
                        sum, c.edges[edge], radial_at<real, P>(c, block, lane, edge), sender,
                        g_block + c.other[edge] * width_out + lane);
                    add_sums<real>(gradient[edge].value, grad.direction[0], grad.direction[1],
                                   grad.direction[2], grad.r);
                }
                real* to = out + i * width_in + block * M_IN + lane;
                store(to, sum.s);
                if constexpr (LI > 0) {
                    for (int k = 0; k < 3; ++k) store<real>(to + (1 + k) * kBlock, -sum.v[k]);
                }
                if constexpr (LI > 1) {  // from nine elements to the five that are stored
                    store<real>(to + 4 * kBlock, sum.n[0] - sum.n[5]);
                    store<real>(to + 5 * kBlock, sum.n[1] - sum.n[5]);
                    for (int k = 2; k < 5; ++k) store<real>(to + (4 + k) * kBlock, sum.n[k] * 2);
                }
            }
        }
    }
}

template <class real, int LO>
void convolution_first_gradient(const Convolution<real>& c, const int* rows, int n, const real* h,
                                const real* g, EdgeGradient<real>* gradient) {
    using V = Register<real>;
    constexpr int P = term_count(0, LO), M_OUT = component_count(LO) * kBlock;
    const std::int64_t width_in = std::int64_t(c.n_blocks) * kBlock;
    const std::int64_t width_out = std::int64_t(c.n_blocks) * M_OUT;
    for (int i = 0; i < n; ++i) {
        const std::int64_t begin = c.row_start[rows[i]], end = c.row_start[rows[i] + 1];
        for (std::int64_t edge = begin; edge < end; ++edge) {
            MessageGradient<V> sum = {};
            for (int block = 0; block < c.n_blocks; ++block) {
                for (int lane = 0; lane < kBlock; lane += kLanes<real>) {
                    Sender<V> sender = {};
                    sender.s = load(h + c.other[edge] * width_in + block * kBlock + lane);
                    SenderGradient<V> unused = {};
                    const auto grad = message_backward<real, 0, LO, false>(
                        unused, c.edges[edge], radial_at<real, P>(c, block, lane, edge), sender,
                        g + i * width_out + block * M_OUT + lane);
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
