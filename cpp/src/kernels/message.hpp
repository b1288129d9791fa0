// SPDX-License-Identifier: MIT
/// The message of one edge (docs/conventions.md, "The message"), for every layer and number type.
///
/// Written once for a vector of channels V: fp32 and fp64 kernels, summed and separated terms, CPU
/// and CUDA are the same lines. With x_k the sender's tensor left by the contractions of term k and
/// R_k its radial function, a slot collects parts by rank, B_r = Σ R_k x_k, and the message is
///   sym(r̂ ⊗ (... sym(r̂ ⊗ (B_0 r̂ + B_1)) + B_2 ...)) + B_l.
#pragma once

#include "layer.hpp"

namespace qdml {
namespace QDML_ISA {

/// Add factor x of term K to the parts of a slot, or to the sum itself where nothing is left to do.
template <class Y, int K, class V>
QDML_INLINE void collect_term(V* sum, V* part, const V& factor, const V* x) {
    constexpr Term term = kTerm[K];
    const V* from = x + contracted_offset(term.l_in, term.rank);
    if constexpr (term.rank == term.l_out) {
        add_traceless<term.rank>(sum, factor, from);
    } else {
        add_traceless<term.rank>(part + symmetric_offset(term.rank), factor, from);
    }
}

template <class Y, int L, int S, int K, class real, class V>
QDML_INLINE void collect(V* sum, V* part, const Radial<real, Y::n_terms()>& radial, const V* x) {
    if constexpr (K < kTerms) {
        if constexpr (Y::has(K) && kTerm[K].l_out == L && Y::slot(K) == S) {
            const V R = radial.value(Y::before(K));
            collect_term<Y, K>(sum, part, R, x);
            if constexpr (Y::separated && kTerm[K].partner >= 0) {
                constexpr double share = -kTerm[K].factor;
                collect_term<Y, kTerm[K].partner>(sum, part, R * Constant<real>(share), x);
            }
        }
        collect<Y, L, S, K + 1>(sum, part, radial, x);
    }
}

/// From the parts of ranks below L to the sum of rank L, one factor r̂ at a time.
template <class Y, int L, int S, int K, bool kAny, class real, class V>
QDML_INLINE void symmetrise(V* sum, V* part, const real* r) {
    if constexpr (K < L) {
        constexpr bool any = kAny || Y::has_part(L, S, K);
        if constexpr (any) {
            V* to = K + 1 == L ? sum : part + symmetric_offset(K + 1);
            add_product<K>(to, r, part + symmetric_offset(K));
        }
        symmetrise<Y, L, S, K + 1, any>(sum, part, r);
    }
}

template <class Y, int L, int S, class real, class V>
QDML_INLINE void add_messages(V* a, const real* r, const Radial<real, Y::n_terms()>& radial,
                              const V* x) {
    if constexpr (L <= Y::l_out) {
        V part[symmetric_offset(3)] = {};
        V* sum = a + Y::symmetric_start(L) + S * symmetric_count(L);
        collect<Y, L, S, 0>(sum, part, radial, x);
        symmetrise<Y, L, S, 0, false>(sum, part, r);
        if constexpr (S + 1 < Y::slots(L)) {
            add_messages<Y, L, S + 1>(a, r, radial, x);
        } else {
            add_messages<Y, L + 1, 0>(a, r, radial, x);
        }
    }
}

/// A += message of one edge. a: sums with their traces [Y::symmetric()]; h: sender [m][16] at this
/// lane.
template <class Y, class real, class V>
QDML_INLINE void message_forward(V* a, const EdgeRecord<real>& e,
                                 const Radial<real, Y::n_terms()>& radial, const real* h) {
    V x[contracted_offset(4, 0)];
    for (int l = 0; l <= Y::l_in; ++l) {
        for (int m = 0; m < stored_count(l); ++m) {
            x[contracted_offset(l, l) + m] = load(h + (l * l + m) * kBlock);
        }
    }
    contract_all<Y::l_in>(x, e.direction);
    add_messages<Y, 0, 0>(a, e.direction, radial, x);
}

/// The sums of a row without their traces, to [m][16] at this lane.
template <class Y, int L = 0, class real, class V>
QDML_INLINE void store_sums(real* to, const V* a) {
    if constexpr (L <= Y::l_out) {
        for (int s = 0; s < Y::slots(L); ++s) {
            V y[stored_count(L)];
            remove_trace<L, real>(y, a + Y::symmetric_start(L) + s * symmetric_count(L));
            const int first = Y::stored_start(L) + s * stored_count(L);
            for (int m = 0; m < stored_count(L); ++m) store<real>(to + (first + m) * kBlock, y[m]);
        }
        store_sums<Y, L + 1>(to, a);
    }
}

}  // namespace QDML_ISA
}  // namespace qdml
