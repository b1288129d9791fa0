// SPDX-License-Identifier: MIT
/// Symmetric tensors of rank 0 to 3, one vector of channels per component.
///
/// A traceless tensor has 2 K + 1 stored components (docs/conventions.md, "Features"):
///   rank 1: x y z;  rank 2: xx yy xy yz zx;  rank 3: xxx xxy xyy yyy xxz xyz yyz.
/// A symmetric one with its trace has the eliminated ones after them: zz; xzz yzz zzz.
/// Tensors are pointers to local arrays, which the compiler keeps in registers once inlined.
#pragma once

#include "../terms.hpp"
#include "kernels.hpp"
#include "simd.hpp"

namespace qdml {
namespace QDML_ISA {

constexpr int stored_count(int k) { return 2 * k + 1; }
constexpr int symmetric_count(int k) { return (k + 1) * (k + 2) / 2; }
/// Start of rank k in arrays that hold the symmetric tensors of all ranks one after the other.
constexpr int symmetric_offset(int k) { return k * (k + 1) * (k + 2) / 6; }

/// y (rank K - 1) = A r̂ of a traceless A.
template <int K, class real, class V>
QDML_INLINE void contract(V* y, const V* a, const real* r) {
    if constexpr (K == 1) {
        y[0] = a[0] * r[0] + a[1] * r[1] + a[2] * r[2];
    } else if constexpr (K == 2) {
        y[0] = a[0] * r[0] + a[2] * r[1] + a[4] * r[2];
        y[1] = a[2] * r[0] + a[1] * r[1] + a[3] * r[2];
        y[2] = a[4] * r[0] + a[3] * r[1] - (a[0] + a[1]) * r[2];
    } else {
        y[0] = a[0] * r[0] + a[1] * r[1] + a[4] * r[2];
        y[1] = a[2] * r[0] + a[3] * r[1] + a[6] * r[2];
        y[2] = a[1] * r[0] + a[2] * r[1] + a[5] * r[2];
        y[3] = a[5] * r[0] + a[6] * r[1] - (a[1] + a[3]) * r[2];
        y[4] = a[4] * r[0] + a[5] * r[1] - (a[0] + a[2]) * r[2];
    }
}

/// Sum over all 3^K elements of A B, both traceless.
template <int K, class real, class V>
QDML_INLINE V inner(const V* a, const V* b) {
    using N = Constant<real>;
    if constexpr (K == 0) {
        return a[0] * b[0];
    } else if constexpr (K == 1) {
        return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    } else if constexpr (K == 2) {  // 2 (xx xx + yy yy) + xx yy + yy xx is xx, yy and zz together
        return N(2) * (a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3] + a[4] * b[4]) +
               a[0] * b[1] + a[1] * b[0];
    } else {
        const V triple = a[1] * b[1] + a[2] * b[2] + a[4] * b[4] + a[6] * b[6] +
                         (a[0] + a[2]) * (b[0] + b[2]) + (a[1] + a[3]) * (b[1] + b[3]);
        return a[0] * b[0] + a[3] * b[3] + (a[4] + a[6]) * (b[4] + b[6]) +
               N(3) * (triple + N(2) * (a[5] * b[5]));
    }
}

/// y += factor Σ A_a.. s.. over all indices but the first: A traceless of rank K + 1, s symmetric of
/// rank K. The trace of s does not matter, so that zz is subtracted from xx, yy and itself.
template <int K, class real, class V>
QDML_INLINE void add_vector(V* y, const V* a, const V* s) {
    if constexpr (K == 0) {
        for (int i = 0; i < 3; ++i) y[i] += a[i] * s[0];
    } else if constexpr (K == 1) {
        y[0] += a[0] * s[0] + a[2] * s[1] + a[4] * s[2];
        y[1] += a[2] * s[0] + a[1] * s[1] + a[3] * s[2];
        y[2] += a[4] * s[0] + a[3] * s[1] - (a[0] + a[1]) * s[2];
    } else {
        const V xx = s[0] - s[5], yy = s[1] - s[5];
        const V xy = s[2] + s[2], yz = s[3] + s[3], zx = s[4] + s[4];
        const V xzz = a[0] + a[2], yzz = a[1] + a[3];  // both negated
        y[0] += a[0] * xx + a[2] * yy + a[1] * xy + a[5] * yz + a[4] * zx;
        y[1] += a[1] * xx + a[3] * yy + a[2] * xy + a[6] * yz + a[5] * zx;
        y[2] += a[4] * xx + a[6] * yy + a[5] * xy - yzz * yz - xzz * zx;
    }
}

/// S (symmetric, rank K) += factor A of a traceless A.
template <int K, class V>
QDML_INLINE void add_traceless(V* s, const V& factor, const V* a) {
    for (int i = 0; i < stored_count(K); ++i) s[i] += factor * a[i];
    if constexpr (K == 2) s[5] -= factor * (a[0] + a[1]);
    if constexpr (K == 3) {
        s[7] -= factor * (a[0] + a[2]);
        s[8] -= factor * (a[1] + a[3]);
        s[9] -= factor * (a[4] + a[6]);
    }
}

/// S (rank K + 1) += symmetric part of r̂ ⊗ A, A symmetric of rank K.
template <int K, class real, class V>
QDML_INLINE void add_product(V* s, const real* r, const V* a) {
    using N = Constant<real>;
    if constexpr (K == 0) {
        for (int i = 0; i < 3; ++i) s[i] += r[i] * a[0];
    } else if constexpr (K == 1) {
        const real half[3] = {N(0.5) * r[0], N(0.5) * r[1], N(0.5) * r[2]};
        s[0] += r[0] * a[0];
        s[1] += r[1] * a[1];
        s[2] += half[0] * a[1] + half[1] * a[0];
        s[3] += half[1] * a[2] + half[2] * a[1];
        s[4] += half[2] * a[0] + half[0] * a[2];
        s[5] += r[2] * a[2];
    } else {
        const real third = N(1.0 / 3.0);
        const real one[3] = {third * r[0], third * r[1], third * r[2]};
        const real two[3] = {one[0] + one[0], one[1] + one[1], one[2] + one[2]};
        s[0] += r[0] * a[0];                                     // xxx
        s[1] += two[0] * a[2] + one[1] * a[0];                   // xxy
        s[2] += two[1] * a[2] + one[0] * a[1];                   // xyy
        s[3] += r[1] * a[1];                                     // yyy
        s[4] += two[0] * a[4] + one[2] * a[0];                   // xxz
        s[5] += one[0] * a[3] + one[1] * a[4] + one[2] * a[2];   // xyz
        s[6] += two[1] * a[3] + one[2] * a[1];                   // yyz
        s[7] += two[2] * a[4] + one[0] * a[5];                   // xzz
        s[8] += two[2] * a[3] + one[1] * a[5];                   // yzz
        s[9] += r[2] * a[5];                                     // zzz
    }
}

/// Stored components of the traceless part: A_ab - δ_ab t/3, A_abc - (δ_ab t_c + ...)/5.
template <int K, class real, class V>
QDML_INLINE void remove_trace(V* y, const V* s) {
    using N = Constant<real>;
    for (int i = 0; i < stored_count(K); ++i) y[i] = s[i];
    if constexpr (K == 2) {
        const V third = (s[0] + s[1] + s[5]) * N(1.0 / 3.0);
        y[0] -= third;
        y[1] -= third;
    }
    if constexpr (K == 3) {
        const V x = (s[0] + s[2] + s[7]) * N(0.2), t = (s[1] + s[3] + s[8]) * N(0.2),
                z = (s[4] + s[6] + s[9]) * N(0.2);
        y[0] -= x + x + x;
        y[1] -= t;
        y[2] -= x;
        y[3] -= t + t + t;
        y[4] -= z;
        y[6] -= z;
    }
}

/// dE/d(stored components) from a symmetric S with dE = Σ S_ab.. dA_ab.. over all elements.
template <int K, class real, class V>
QDML_INLINE void to_stored(V* y, const V* s) {
    using N = Constant<real>;
    for (int i = 0; i < stored_count(K); ++i) y[i] = s[i];
    if constexpr (K == 2) {
        y[0] -= s[5];
        y[1] -= s[5];
        for (int i = 2; i < 5; ++i) y[i] += s[i];
    }
    if constexpr (K == 3) {
        const V xzz = s[7] + s[7] + s[7], yzz = s[8] + s[8] + s[8];
        y[0] -= xzz;
        y[1] = N(3) * s[1] - yzz;
        y[2] = N(3) * s[2] - xzz;
        y[3] -= yzz;
        y[4] = N(3) * s[4] - s[9];
        y[5] = N(6) * s[5];
        y[6] = N(3) * s[6] - s[9];
    }
}

/// The inverse: the traceless tensor with dE = Σ Y_ab.. dA_ab.. for dE/d(stored components) g.
template <int K, class real, class V>
QDML_INLINE void from_stored(V* y, const V* g) {
    using N = Constant<real>;
    V s[symmetric_count(K)] = {};
    for (int i = 0; i < stored_count(K); ++i) s[i] = g[i];
    if constexpr (K == 2) {
        for (int i = 2; i < 5; ++i) s[i] = N(0.5) * g[i];
    }
    if constexpr (K == 3) {
        for (int i = 0; i < 7; ++i) {
            if (i != 0 && i != 3) s[i] = N(i == 5 ? 1.0 / 6.0 : 1.0 / 3.0) * g[i];
        }
    }
    remove_trace<K, real>(y, s);
}

}  // namespace QDML_ISA
}  // namespace qdml
