// SPDX-License-Identifier: MIT
/// Vectors of one register's width as GCC/Clang vector extensions, with the few helpers kernels need.
///
/// Compiled once per instruction set inside its own namespace QDML_ISA, so that no inline function
/// built for AVX-512 can be linked into code that runs elsewhere.
#pragma once

#include <utility>

#if defined(__CUDACC__) || defined(QDML_CUDA_EMULATED)
#include "../cuda/lane.cuh"  // the same names, one channel per thread
#else

#ifndef QDML_ISA
#error "define QDML_ISA and QDML_VECTOR_BYTES"
#endif
#define QDML_INLINE inline __attribute__((always_inline))

namespace qdml {
namespace QDML_ISA {

template <class T, int N>
struct VectorOf {
    typedef T type __attribute__((vector_size(N * sizeof(T))));
};
template <class T, int N>
using Vector = typename VectorOf<T, N>::type;

/// Vector registers of the instruction set.
#if defined(__aarch64__)
constexpr int kRegisters = 32;
#else
constexpr int kRegisters = QDML_VECTOR_BYTES == 64 ? 32 : 16;
#endif

/// What the kernels hold of a number type: a register of it, and the type of numbers in their text.
template <class real>
struct NumberType {
    static constexpr int lanes = QDML_VECTOR_BYTES / static_cast<int>(sizeof(real));
    using Vectors = Vector<real, lanes>;
    using Constants = real;
};

/// Lanes of `real` in one register.
template <class real>
constexpr int kLanes = NumberType<real>::lanes;

template <class real>
using Register = typename NumberType<real>::Vectors;

/// Plain numbers beside `real`: factors, coefficients, results (kernels/dual.hpp has another `real`).
template <class real>
using Constant = typename NumberType<real>::Constants;

template <class real>
QDML_INLINE Register<real> load(const real* p) {
    Register<real> v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}

template <class real>
QDML_INLINE void store(real* p, const Register<real>& v) {
    __builtin_memcpy(p, &v, sizeof v);
}

template <class V>
QDML_INLINE V zero() {
    return V{};
}

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define QDML_SHUFFLE 1
#endif
#endif

#ifdef QDML_SHUFFLE
/// First (Half = 0) or second half of the groups of 2·Size lanes of a, then of b, folded together.
/// With a = groups of 2·Size lanes the sum of both halves leaves groups of Size lanes [a.., b..].
template <int Size, int N, class V, std::size_t... I>
QDML_INLINE V fold(const V& a, const V& b, std::index_sequence<I...>) {
    // output lane i: source vector i / (N/2), group (i mod N/2) / Size, lane i mod Size
    const V low = __builtin_shufflevector(
        a, b, (int(I) / (N / 2) * N + int(I) % (N / 2) / Size * (2 * Size) + int(I) % Size)...);
    const V high = __builtin_shufflevector(
        a, b,
        (int(I) / (N / 2) * N + int(I) % (N / 2) / Size * (2 * Size) + Size + int(I) % Size)...);
    return low + high;
}

/// Partial sums of the lanes of a, b, c and d: four groups of a quarter of a register (four lanes or more).
template <class real>
QDML_INLINE Register<real> fold_four(const Register<real>& a, const Register<real>& b,
                                     const Register<real>& c, const Register<real>& d) {
    constexpr int n = kLanes<real>;
    using I = std::make_index_sequence<std::size_t(n)>;
    const auto ab = fold<n / 2, n>(a, b, I());
    const auto cd = fold<n / 2, n>(c, d, I());
    return fold<n / 4, n>(ab, cd, I());
}
#endif

/// out[k] += sum of all lanes of v_k, k = 0..3, in a fixed order.
template <class real>
QDML_INLINE void add_sums(real* out, const Register<real>& a, const Register<real>& b,
                          const Register<real>& c, const Register<real>& d) {
    constexpr int n = kLanes<real>;
#ifdef QDML_SHUFFLE
    if constexpr (n >= 4) {
        using I = std::make_index_sequence<std::size_t(n)>;
        auto sum = fold_four<real>(a, b, c, d);
        if constexpr (n >= 16) {
            sum = fold<n / 8, n>(sum, sum, I());
        }
        if constexpr (n >= 8) {
            sum = fold<1, n>(sum, sum, I());
        }
        for (int k = 0; k < 4; ++k) {
            out[k] += sum[k];
        }
        return;
    }
#endif
    real sum[4] = {};
    for (int i = 0; i < n; ++i) {
        sum[0] += a[i];
        sum[1] += b[i];
        sum[2] += c[i];
        sum[3] += d[i];
    }
    for (int k = 0; k < 4; ++k) {
        out[k] += sum[k];
    }
}

/// exp(x) for |x| where the result is a normal number; about 2 ulp in fp32, libm's in fp64.
QDML_INLINE Register<double> exponential(const Register<double>& x) {
    Register<double> y;
    for (int i = 0; i < kLanes<double>; ++i) {
        y[i] = __builtin_exp(x[i]);
    }
    return y;
}

/// Cephes' expf: x = n ln 2 + f, e^f by a polynomial, 2^n by the exponent bits.
QDML_INLINE Register<float> exponential(const Register<float>& x0) {
    using V = Register<float>;
    using I = Vector<int, kLanes<float>>;
    V x = x0 < 88.0f ? x0 : V{} + 88.0f;
    x = x > -87.0f ? x : V{} - 87.0f;
    const V shift = V{} + 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer
    const V n = (x * 1.44269504088896341f + shift) - shift;
    const V f = x - n * 0.693359375f - n * -2.12194440e-4f;
    V p = f * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    p = p * f * f + f + 1.0f;
    const I bits = (__builtin_convertvector(n, I) + 127) << 23;
    V scale;
    __builtin_memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

}  // namespace QDML_ISA
}  // namespace qdml

#endif
