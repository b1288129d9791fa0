// SPDX-License-Identifier: MIT
/// What training keeps of an edge in the backward pass: the gradient in the radial table, or that in
/// the edge vector with its derivative.
#pragma once

#include "../kernels/convolution.hpp"
#include "../kernels/dual.hpp"
#include "kept.hpp"

namespace qdml {
namespace QDML_ISA {

/// A Radial that adds dE/dR · dR/dc to the gradient of its four coefficients c.
template <class real, int P>
struct RadialGradient : Radial<real, P> {
    using N = Constant<real>;
    N* gradient;  ///< knot n, term 0, this lane

    QDML_INLINE RadialGradient(const Radial<real, P>& radial, N* to)
        : Radial<real, P>(radial), gradient(to) {}
    QDML_INLINE void collect(int p, const Register<real>& overlap) const {
        for (int a = 0; a < 4; ++a) {
            N* c = gradient + (a * P + p) * kBlock;
            store<N>(c, load(c) + kept(overlap * this->e.weight[a]));
        }
    }
};

template <class real>
struct TableGradients {
    Constant<real>* table;  ///< as the table of Convolution

    template <int P>
    QDML_INLINE RadialGradient<real, P> radial(const Convolution<real, Constant<real>>& c,
                                               int block, int lane, std::int64_t edge) const {
        return {radial_at<real, P>(c, block, lane, edge),
                at_knot<real, P>(c, table, block, lane, edge)};
    }
    QDML_INLINE void add(std::int64_t, const MessageGradient<Register<real>>&) const {}
};

/// Gradients of the edges and their derivatives side by side.
template <class real>
struct DualEdgeGradients {
    EdgeGradient<real>* gradient;  ///< [2 n_edges], added to

    template <int P>
    QDML_INLINE Radial<Dual<real>, P> radial(const Convolution<Dual<real>, real>& c, int block,
                                             int lane, std::int64_t edge) const {
        return radial_at<Dual<real>, P>(c, block, lane, edge);
    }
    QDML_INLINE void add(std::int64_t edge,
                         const MessageGradient<Dual<Register<real>>>& g) const {
        const auto& d = g.direction;
        add_sums<real>(gradient[2 * edge].value, d[0].v, d[1].v, d[2].v, g.r.v);
        add_sums<real>(gradient[2 * edge + 1].value, d[0].e, d[1].e, d[2].e, g.r.e);
    }
};

/// The same rows with edges of duals.
template <class real>
QDML_INLINE Convolution<Dual<real>, real> with_duals(const Convolution<real>& c,
                                                     const void* edges) {
    return {c.row_start, c.other, static_cast<const EdgeRecord<Dual<real>>*>(edges),
            c.table,     c.n_knots, c.n_blocks};
}

}  // namespace QDML_ISA
}  // namespace qdml
