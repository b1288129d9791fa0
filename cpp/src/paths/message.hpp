// SPDX-License-Identifier: MIT
/// The message of one edge along one Clebsch-Gordan path (docs/conventions.md), for every path and number type.
///
/// Written once for a register of channels V: all instruction sets of the CPU, CUDA, and the dual numbers of training,
/// where R, M and H are duals, tables and G are not. With R the radial function and M = Σ_m2 C[m1 m2 m3] Y[m2]:
///     A_i[m3]  += R Σ_m1 M[m3][m1] H_j[m1]
///     dE/dH[m1] = R t[m1],  t[m1] = Σ_m3 M[m3][m1] G[m3];   dE/dr = R' Σ_m1 H[m1] t[m1]
///     dE/dY[m2] = R Σ C[m1 m2 m3] H[m1] G[m3]
/// Zeros of C and M are known to the compiler. `m(m3 (2 l_in + 1) + m1)` gives an element of M: a CPU reads what it
/// made for all channels of the edge, a CUDA thread adds it up.
#pragma once

#include "clebsch_gordan.hpp"
#include "kernels.hpp"
#include "kernels/simd.hpp"

namespace qdml {
namespace QDML_ISA {

/// Whether entry k is the first (step -1) or last (step 1) of its pair (m_in, m_out).
template <class C>
constexpr bool ends_pair(int k, int step) {
    const int other = k + step;
    return other < 0 || other >= C::size || C::entries[other].in != C::entries[k].in ||
           C::entries[other].out != C::entries[k].out;
}

/// First entry of a pair, and entries of the pair that begins at entry k.
template <class C>
constexpr int pair_start(int in, int out) {
    int k = 0;
    while (C::entries[k].in != in || C::entries[k].out != out) ++k;
    return k;
}
template <class C>
constexpr int pair_size(int k) {
    int n = 1;
    while (!ends_pair<C>(k + n - 1, 1)) ++n;
    return n;
}

template <class F, int... I>
QDML_INLINE void unroll(const F& body, std::integer_sequence<int, I...>) {
    (body(std::integral_constant<int, I>()), ...);
}

/// body(k) for k = 0..N-1, k a constant.
template <int N, class F>
QDML_INLINE void unroll(const F& body) {
    unroll(body, std::make_integer_sequence<int, N>());
}

/// body(m_in, m_out) for all pairs that the path couples, as constants.
template <class C, class F>
QDML_INLINE void for_coupled(const F& body) {
    unroll<C::size>([&](auto k) {
        if constexpr (ends_pair<C>(k, -1)) {
            constexpr CouplingEntry c = C::entries[k];
            body(std::integral_constant<int, c.in>(), std::integral_constant<int, c.out>());
        }
    });
}

/// An element of M; `y(m2)` gives the harmonics of the path's degree.
template <class real, class C, int In, int Out, class V, class Y>
QDML_INLINE V coupling(const Y& y) {
    constexpr int first = pair_start<C>(In, Out);
    V sum;
    unroll<pair_size<C>(first)>([&](auto n) {
        constexpr CouplingEntry c = C::entries[first + n];
        const V term = static_cast<Constant<real>>(c.value) * y(std::integral_constant<int, c.edge>());
        if constexpr (n == 0) {
            sum = term;
        } else {
            sum += term;
        }
    });
    return sum;
}

/// R of an edge, and its derivative when asked for; `table` at knot 0, value, these channels.
template <class real, bool Derivative>
QDML_INLINE Register<real> radial(const EdgeRecord<real>& edge, const Constant<real>* table,
                                  Register<real>& derivative) {
    using V = Register<real>;
    const Constant<real>* row = table + edge.knot * (2 * kBlock);
    V value = V{};
    unroll<4>([&](auto a) {
        const auto c = load(row + a * kBlock);
        value += c * edge.weight[a];
        if constexpr (Derivative) {
            derivative += c * edge.weight_derivative[a];
        }
    });
    return value;
}

/// Number of an element of M, as a constant.
template <int NIn, int In, int Out>
QDML_INLINE constexpr auto element(std::integral_constant<int, In>, std::integral_constant<int, Out>) {
    return std::integral_constant<int, Out * NIn + In>();
}

/// sum[m3] += R Σ_m1 M[m3][m1] H[m1]; `sender` at component 0 of these channels.
template <class real, int LIn, int LEdge, int LOut, class V, class M>
QDML_INLINE void path_message(V* sum, const V& r, const real* sender, const M& m) {
    using C = Coupling<LIn, LEdge, LOut>;
    constexpr int NIn = 2 * LIn + 1, NOut = 2 * LOut + 1;
    if constexpr (LEdge == 0) {
        unroll<NOut>([&](auto k) { sum[k] += r * load(sender + k * kBlock); });
    } else if constexpr (NIn <= NOut) {
        V x[NIn];
        unroll<NIn>([&](auto k) { x[k] = r * load(sender + k * kBlock); });
        for_coupled<C>([&](auto in, auto to) { sum[to] += m(element<NIn>(in, to)) * x[in]; });
    } else {
        V x[NIn], y[NOut] = {};
        unroll<NIn>([&](auto k) { x[k] = load(sender + k * kBlock); });
        for_coupled<C>([&](auto in, auto to) { y[to] += m(element<NIn>(in, to)) * x[in]; });
        unroll<NOut>([&](auto k) { sum[k] += r * y[k]; });
    }
}

/// The adjoint for the sender's own H: sum[m1] += R t[m1], grad_y[2 LEdge + 1] = dE/dY; gives Σ_m1 H t, which is dE/dr
/// over R'. `receiver`: G at component 0 of these channels. No harmonics with LEdge = 0.
template <class real, int LIn, int LEdge, int LOut, class V, class M>
QDML_INLINE V path_message_backward(V* sum, V* grad_y, const V& r, const V* own,
                                    const Constant<real>* receiver, const M& m) {
    using C = Coupling<LIn, LEdge, LOut>;
    constexpr int NIn = 2 * LIn + 1, NOut = 2 * LOut + 1;
    Register<Constant<real>> other[NOut];
    V t[NIn] = {};
    unroll<NOut>([&](auto k) { other[k] = load(receiver + k * kBlock); });
    if constexpr (LEdge == 0) {
        unroll<NIn>([&](auto k) { t[k] = V(other[k]); });
    } else {
        V product;
        unroll<2 * LEdge + 1>([&](auto k) { grad_y[k] = V{}; });
        unroll<C::size>([&](auto k) {
            constexpr CouplingEntry entry = C::entries[k];
            if constexpr (ends_pair<C>(k, -1)) {
                t[entry.in] += other[entry.out] * m(std::integral_constant<int, entry.out * NIn + entry.in>());
                product = own[entry.in] * other[entry.out];
            }
            grad_y[entry.edge] += static_cast<Constant<real>>(entry.value) * product;
        });
        unroll<2 * LEdge + 1>([&](auto k) { grad_y[k] = grad_y[k] * r; });
    }
    V along = V{};
    unroll<NIn>([&](auto k) {
        along += own[k] * t[k];
        sum[k] += r * t[k];
    });
    return along;
}

/// First layer, path (0, L, L), whose C is the unit matrix: from the scalar s of the sender and G `own` of the receiver
/// grad_y[2 L + 1] = dE/dY; gives Σ M G, which is dE/dr over R' s.
template <class real, int L, class V, class M>
QDML_INLINE V first_message_backward(V* grad_y, const V& r, const V& s, const V* own, const M& m) {
    V along = V{};
    unroll<2 * L + 1>([&](auto k) {
        if constexpr (L == 0) {
            along += own[k];
        } else {
            along += m(k) * own[k];
        }
        grad_y[k] = r * s * own[k];
    });
    return along;
}

}  // namespace QDML_ISA
}  // namespace qdml
