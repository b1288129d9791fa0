// SPDX-License-Identifier: MIT
/// Edges of duals for the templates of paths/convolution.hpp, and what training keeps of an edge.
#pragma once

#include "../edge_geometry.hpp"
#include "../kernels/dual.hpp"
#include "../paths/convolution.hpp"
#include "kept.hpp"
#include "path_kernels.hpp"

namespace qdml {
namespace QDML_ISA {

template <class real>
struct DualEdges {
    const std::int64_t* row_start;
    const int* other;
    const EdgeRecord<Dual<real>>* edges;
    std::int64_t first_edge;
    const real *coupling, *derivative;
    std::int64_t stride;
    const real* table;

    QDML_INLINE explicit DualEdges(const DualPathConvolution<real>& c)
        : row_start(c.plain.row_start),
          other(c.plain.other),
          edges(static_cast<const EdgeRecord<Dual<real>>*>(c.edges)),
          first_edge(c.plain.first_edge),
          coupling(c.plain.coupling),
          derivative(c.coupling_derivative),
          stride(c.plain.stride),
          table(c.plain.table) {}
};

template <class real>
struct DualCouplingMatrix {
    const real *m, *derivative;
    std::int64_t stride;

    QDML_INLINE Dual<real> operator()(int k) const {
        return {m[k * stride], derivative[k * stride]};
    }
};

template <class real>
QDML_INLINE DualCouplingMatrix<real> coupling_of(const DualEdges<real>& c, std::int64_t edge) {
    const std::int64_t at = edge - c.first_edge;
    return {c.coupling + at, c.derivative + at, c.stride};
}

/// What a sum of derivatives goes on from is a derivative.
template <class V>
QDML_INLINE void go_on_from(Dual<V>& sum, const V& x) {
    sum = {zero<V>(), x};
}

/// Keeps the gradient in the four numbers of the radial table.
template <class real>
struct PathTableGradient {
    Constant<real>* table;  ///< [K + 1][2][16], added to

    template <int LEdge>
    QDML_INLINE void add(std::int64_t, int lane, const EdgeRecord<real>& edge,
                         const Register<real>*, const Register<real>&,
                         const Register<real>& along) const {
        using N = Constant<real>;
        N* row = table + edge.knot * (2 * kBlock) + lane;
        for (int a = 0; a < 4; ++a) {
            store<N>(row + a * kBlock, load(row + a * kBlock) + kept(along * edge.weight[a]));
        }
    }
};

/// Moments of the gradient of an edge, then those of its derivative.
template <class real>
struct DualMoments {
    real* moments;  ///< [2 n_edges of the tile][kMoments], added to

    template <int LEdge>
    QDML_INLINE void add(std::int64_t edge, int, const EdgeRecord<Dual<real>>&,
                         const Dual<Register<real>>* grad_y, const Dual<Register<real>>& slope,
                         const Dual<Register<real>>& along) const {
        Register<real> value[2 * LEdge + 1], derivative[2 * LEdge + 1];
        for (int k = 0; k < 2 * LEdge + 1; ++k) {
            value[k] = grad_y[k].v;
            derivative[k] = grad_y[k].e;
        }
        const auto grad_r = slope * along;
        real* at = moments + 2 * edge * kMoments;
        add_edge_moments<real, LEdge>(at, value, grad_r.v);
        add_edge_moments<real, LEdge>(at + kMoments, derivative, grad_r.e);
    }
};

template <class real>
void dual_path_harmonics(std::int64_t n, const void* edges, std::int64_t stride, real* y,
                         real* derivative) {
    constexpr int W = kLanes<real>;
    using V = Register<Dual<real>>;
    const auto* record = static_cast<const EdgeRecord<Dual<real>>*>(edges);
    for (std::int64_t e = 0; e < n; e += W) {
        V x[3] = {}, out[kHarmonics];
        for (int lane = 0; lane < W && e + lane < n; ++lane) {
            for (int k = 0; k < 3; ++k) {
                x[k].v[lane] = record[e + lane].direction[k].v;
                x[k].e[lane] = record[e + lane].direction[k].e;
            }
        }
        harmonics<Dual<real>>(x[0], x[1], x[2], out);
        for (int k = 0; k < kHarmonics; ++k) {
            store<real>(y + k * stride + e, out[k].v);
            store<real>(derivative + k * stride + e, out[k].e);
        }
    }
}

template <class real>
void dual_path_finish(std::int64_t n, const void* edges, const real* moments, real* out) {
    const auto* record = static_cast<const EdgeRecord<Dual<real>>*>(edges);
    for (std::int64_t e = 0; e < n; ++e) {
        real value[kHarmonics], derivative[kHarmonics];
        const real* at = moments + 2 * e * kMoments;
        Dual<real> g[kHarmonics], gradient[4] = {};
        gradient[3] = {sum_moments(at, value), sum_moments(at + kMoments, derivative)};
        for (int k = 0; k < kHarmonics; ++k) g[k] = {value[k], derivative[k]};
        harmonics_backward(record[e].direction, g, gradient);
        to_cartesian(record[e], gradient);
        for (int k = 0; k < 3; ++k) out[3 * e + k] = gradient[k].e;
    }
}

}  // namespace QDML_ISA
}  // namespace qdml
