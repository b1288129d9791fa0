// SPDX-License-Identifier: MIT
/// What a pair of degrees means at compile time: terms, their places on the radial axis, their sums.
#pragma once

#include "tensor.hpp"

namespace qdml {
namespace QDML_ISA {

constexpr int component_count(int l) { return (l + 1) * (l + 1); }

/// A layer of messages from degrees 0..LI to 0..LO. Separated: every term has a sum ("slot") of its
/// own; summed: one slot per degree.
template <int LI, int LO, bool kSeparated>
struct Layer {
    static constexpr int l_in = LI, l_out = LO;
    static constexpr bool separated = kSeparated;

    /// The rule of docs/conventions.md, "The message".
    static constexpr bool has(int k) {
        return kTerm[k].l_in <= LI && kTerm[k].l_out <= LO &&
               (kTerm[k].l_edge <= 2 || LI == 3 || LO == 3);
    }
    /// Terms of this layer before k (all: k = kTerms), of one output degree or of any (-1).
    static constexpr int before(int k, int degree = -1) {
        int n = 0;
        for (int j = 0; j < k; ++j) n += has(j) && (degree < 0 || kTerm[j].l_out == degree) ? 1 : 0;
        return n;
    }
    static constexpr int n_terms() { return before(kTerms); }
    static constexpr int slots(int l) { return kSeparated ? before(kTerms, l) : 1; }
    static constexpr int slot(int k) { return kSeparated ? before(k, kTerm[k].l_out) : 0; }
    /// First stored component of degree l, and their number.
    static constexpr int stored_start(int l) {
        int n = 0;
        for (int d = 0; d < l; ++d) n += slots(d) * stored_count(d);
        return n;
    }
    static constexpr int stored() { return stored_start(LO + 1); }
    /// The same for tensors that keep their trace.
    static constexpr int symmetric_start(int l) {
        int n = 0;
        for (int d = 0; d < l; ++d) n += slots(d) * symmetric_count(d);
        return n;
    }
    static constexpr int symmetric() { return symmetric_start(LO + 1); }
    /// Whether a slot has a part of `rank` (below its degree) to be symmetrised with r̂.
    static constexpr bool has_part(int degree, int slot_, int rank) {
        for (int k = 0; k < kTerms; ++k) {
            if (!has(k) || kTerm[k].l_out != degree || slot(k) != slot_) continue;
            if (kTerm[k].rank == rank) return true;
            if (kSeparated && kTerm[k].partner >= 0 && kTerm[kTerm[k].partner].rank == rank) {
                return true;
            }
        }
        return false;
    }
};

/// The sender's tensors contracted with r̂: degree l leaves ranks l, l-1, .. 0.
constexpr int contracted_offset(int l, int rank) {
    return l * (l + 1) * (2 * l + 1) / 6 + rank * rank;
}
/// The same for their gradients, which are symmetric with a trace.
constexpr int contracted_gradient_offset(int l, int rank) {
    return l * (l + 1) * (l + 2) * (l + 3) / 24 + symmetric_offset(rank);
}

/// The four coefficients of an edge: value and derivative of the radial function of one term.
template <class real, int P>
struct Radial {
    using V = Register<real>;
    const Constant<real>* at;  ///< knot n, term 0, this lane
    const EdgeRecord<real>& e;

    QDML_INLINE V value(int p) const {
        const Constant<real>* c = at + p * kBlock;
        return load(c) * e.weight[0] + load(c + P * kBlock) * e.weight[1] +
               load(c + 2 * P * kBlock) * e.weight[2] + load(c + 3 * P * kBlock) * e.weight[3];
    }
    QDML_INLINE void both(int p, V& r, V& dr) const {
        const Constant<real>* c = at + p * kBlock;
        const auto c0 = load(c), c1 = load(c + P * kBlock), c2 = load(c + 2 * P * kBlock),
                   c3 = load(c + 3 * P * kBlock);
        const real *b = e.weight, *d = e.weight_derivative;
        r = c0 * b[0] + c1 * b[1] + c2 * b[2] + c3 * b[3];
        dr = c0 * d[0] + c1 * d[1] + c2 * d[2] + c3 * d[3];
    }
    /// Takes dE/dR of term p: nothing is kept (training/gradients.hpp keeps it).
    QDML_INLINE void collect(int, const V&) const {}
};

/// All contractions with r̂ of the tensor of degree L, whose stored components are in x already, and
/// of those below.
template <int L, int K = L, class real, class V>
QDML_INLINE void contract_all(V* x, const real* r) {
    if constexpr (K > 0) {
        contract<K>(x + contracted_offset(L, K - 1), x + contracted_offset(L, K), r);
        contract_all<L, K - 1>(x, r);
    } else if constexpr (L > 0) {
        contract_all<L - 1>(x, r);
    }
}

}  // namespace QDML_ISA
}  // namespace qdml
