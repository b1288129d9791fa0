// SPDX-License-Identifier: MIT
/// The adjoint of kernels/message.hpp, for every layer and number type.
///
/// The receiver's gradient G of a slot (traceless, rank l, dE = Σ G dA over all elements) contracted
/// with r̂ down to rank k is G_k. Since a message is linear in the sender's contracted tensor x_k and
/// r̂ enters symmetrically, term k of rank k contributes R_k <x_k, G_k> to the energy, and
///   dE/dx_k += R_k G_k,   dE/dr += R'_k <x_k, G_k>,   dE/dr̂ += (l - k) R_k (G_(k+1) : x_k).
/// The chain x_k = x_(k+1) r̂ then gives, from low ranks to high,
///   dE/dx_(k+1) += sym(r̂ ⊗ dE/dx_k),   dE/dr̂ += x_(k+1) : dE/dx_k.
#pragma once

#include "message.hpp"

namespace qdml {
namespace QDML_ISA {

/// Gradient of one edge: dE/dr̂ (without the projection on the sphere) and dE/dr.
template <class V>
struct MessageGradient {
    V direction[3], r;
};

/// One term of a slot: y holds G contracted to each rank, rank k at k². Returns dE/dR.
template <class Y, int K, class real, class V>
QDML_INLINE V differentiate_term(V* out, V* gx, V* part, const V& R, const V* x, const V* y) {
    constexpr Term term = kTerm[K];
    const V* sender = x + contracted_offset(term.l_in, term.rank);
    const V* gradient = y + term.rank * term.rank;
    if constexpr (term.rank == term.l_in) {  // of the sender itself
        add_traceless<term.rank>(out + symmetric_offset(term.rank), R, gradient);
    } else {
        add_traceless<term.rank>(gx + contracted_gradient_offset(term.l_in, term.rank), R, gradient);
    }
    if constexpr (term.rank < term.l_out) {
        add_traceless<term.rank>(part + symmetric_offset(term.rank), R, sender);
    }
    return inner<term.rank, real>(sender, gradient);
}

template <class Y, int L, int S, int K, class real, class V, class RadialOfEdge>
QDML_INLINE void differentiate_slot(V* out, V* gx, V* part, V& grad_r, const RadialOfEdge& radial,
                                    const V* x, const V* y) {
    if constexpr (K < kTerms) {
        if constexpr (Y::has(K) && kTerm[K].l_out == L && Y::slot(K) == S) {
            V R, D;
            radial.both(Y::before(K), R, D);
            V overlap = differentiate_term<Y, K, real>(out, gx, part, R, x, y);
            if constexpr (Y::separated && kTerm[K].partner >= 0) {
                constexpr Constant<real> share = Constant<real>(-kTerm[K].factor);
                overlap += share * differentiate_term<Y, kTerm[K].partner, real>(
                                       out, gx, part, R * share, x, y);
            }
            grad_r += D * overlap;
            radial.collect(Y::before(K), overlap);
        }
        differentiate_slot<Y, L, S, K + 1, real>(out, gx, part, grad_r, radial, x, y);
    }
}

/// y: G of rank K at K², contracted to all ranks below.
template <int K, class real, class V>
QDML_INLINE void contract_receiver(V* y, const real* r) {
    if constexpr (K > 0) {
        contract<K>(y + (K - 1) * (K - 1), y + K * K, r);
        contract_receiver<K - 1>(y, r);
    }
}

/// dE/dr̂ += (L - k) G_(k+1) : part_k for all ranks below L.
template <class Y, int L, int S, int K, class real, class V>
QDML_INLINE void add_directions(V* grad, const V* part, const V* y) {
    if constexpr (K < L) {
        if constexpr (Y::has_part(L, S, K)) {
            V scaled[symmetric_count(K)];
            for (int i = 0; i < symmetric_count(K); ++i) {
                scaled[i] = L - K == 1 ? part[symmetric_offset(K) + i]
                                       : Constant<real>(L - K) * part[symmetric_offset(K) + i];
            }
            add_vector<K, real>(grad, y + (K + 1) * (K + 1), scaled);
        }
        add_directions<Y, L, S, K + 1, real>(grad, part, y);
    }
}

template <class Y, int L, int S, class real, class V, class RadialOfEdge>
QDML_INLINE void differentiate(V* out, V* gx, V* grad, V& grad_r, const real* r,
                               const RadialOfEdge& radial, const V* x, const Constant<real>* g) {
    if constexpr (L <= Y::l_out) {
        V y[component_count(L)], part[symmetric_offset(3)] = {};
        for (int m = 0; m < stored_count(L); ++m) {
            y[L * L + m] =
                load(g + (Y::stored_start(L) + S * stored_count(L) + m) * kBlock);
        }
        contract_receiver<L>(y, r);
        differentiate_slot<Y, L, S, 0, real>(out, gx, part, grad_r, radial, x, y);
        add_directions<Y, L, S, 0, real>(grad, part, y);
        if constexpr (S + 1 < Y::slots(L)) {
            differentiate<Y, L, S + 1>(out, gx, grad, grad_r, r, radial, x, g);
        } else {
            differentiate<Y, L + 1, 0>(out, gx, grad, grad_r, r, radial, x, g);
        }
    }
}

/// Back through the contractions of the sender's tensor of degree L, and those below.
template <int L, int K, class real, class V>
QDML_INLINE void contract_backward(V* out, V* gx, V* grad, const real* r, const V* x) {
    if constexpr (L > 0) {
        if constexpr (K < L) {
            const V* lower = gx + contracted_gradient_offset(L, K);
            V* upper = K + 1 == L ? out + symmetric_offset(L)
                                  : gx + contracted_gradient_offset(L, K + 1);
            add_product<K>(upper, r, lower);
            add_vector<K, real>(grad, x + contracted_offset(L, K + 1), lower);
            contract_backward<L, K + 1>(out, gx, grad, r, x);
        } else {
            contract_backward<L - 1, 0>(out, gx, grad, r, x);
        }
    }
}

/// Adjoint of message_forward. out: gradient of the sender's tensors, symmetric, rank l at
/// symmetric_offset(l), added to; sender: its stored components, degree l at l²; g: dE/dA of the
/// receiver [m][16] at this lane, as traceless tensors (from_stored). `radial` is a Radial, or one
/// that keeps dE/dR.
template <class Y, class real, class V, class RadialOfEdge>
QDML_INLINE MessageGradient<V> message_backward(V* out, const EdgeRecord<real>& e,
                                                const RadialOfEdge& radial, const V* sender,
                                                const Constant<real>* g) {
    V x[contracted_offset(4, 0)], gx[contracted_gradient_offset(4, 0)] = {};
    for (int l = 0; l <= Y::l_in; ++l) {
        for (int m = 0; m < stored_count(l); ++m) x[contracted_offset(l, l) + m] = sender[l * l + m];
    }
    contract_all<Y::l_in>(x, e.direction);
    MessageGradient<V> result = {};
    differentiate<Y, 0, 0>(out, gx, result.direction, result.r, e.direction, radial, x, g);
    contract_backward<Y::l_in, 0>(out, gx, result.direction, e.direction, x);
    return result;
}

/// Stored components of a row's own features at this lane. Row i holds r̂ of i -> j while the message
/// i -> j has -r̂; a term has as many factors r̂ as l_in + l_out, up to an even number. Negating the
/// odd degrees here, in G (once, by the caller) and in the gradient gives the same numbers.
template <int L, class real, class V>
QDML_INLINE void load_reversed(V* sender, const real* from) {
    for (int l = 0; l <= L; ++l) {
        for (int m = l * l; m < (l + 1) * (l + 1); ++m) {
            sender[m] = l % 2 == 0 ? load(from + m * kBlock) : -load(from + m * kBlock);
        }
    }
}

/// dE/d(stored components) of a row's own features, from the sums of message_backward.
template <int LI, int L = 0, class real, class V>
QDML_INLINE void store_reversed(real* to, const V* out) {
    if constexpr (L <= LI) {
        V y[stored_count(L)];
        to_stored<L, real>(y, out + symmetric_offset(L));
        for (int m = 0; m < stored_count(L); ++m) {
            store<real>(to + (L * L + m) * kBlock, L % 2 == 0 ? y[m] : -y[m]);
        }
        store_reversed<LI, L + 1>(to, out);
    }
}

}  // namespace QDML_ISA
}  // namespace qdml
