// SPDX-License-Identifier: MIT
/// Dual numbers v + ε e (ε² = 0): the kernels with them give derivatives along one direction.
///
/// As `real` a Dual of plain numbers, as a register a Dual of registers. In memory each register's
/// values are followed by their derivatives, so that an array of n duals is one of 2 n numbers and
/// offsets count in duals. Storing a dual among plain numbers keeps the derivative.
#pragma once

#include <type_traits>

#include "simd.hpp"

namespace qdml {
namespace QDML_ISA {

template <class T>
struct Dual {
    T v, e;

    Dual() = default;
    QDML_INLINE Dual(const T& value) : v(value), e{} {}
    QDML_INLINE Dual(const T& value, const T& derivative) : v(value), e(derivative) {}
    template <class U>
    QDML_INLINE explicit Dual(const Dual<U>& x) : v(static_cast<T>(x.v)), e(static_cast<T>(x.e)) {}

    QDML_INLINE Dual& operator+=(const Dual& b) {
        v += b.v;
        e += b.e;
        return *this;
    }
    QDML_INLINE Dual& operator-=(const Dual& b) {
        v -= b.v;
        e -= b.e;
        return *this;
    }
};

template <class real>
struct NumberType<Dual<real>> {
    static constexpr int lanes = kLanes<real>;
    using Vectors = Dual<Register<real>>;
    using Constants = real;
};

template <class T>
QDML_INLINE Dual<T> operator-(const Dual<T>& a) {
    return {-a.v, -a.e};
}
template <class T>
QDML_INLINE Dual<T> operator+(const Dual<T>& a, const Dual<T>& b) {
    return {a.v + b.v, a.e + b.e};
}
template <class T>
QDML_INLINE Dual<T> operator-(const Dual<T>& a, const Dual<T>& b) {
    return {a.v - b.v, a.e - b.e};
}
/// Also of registers and plain numbers: (Dual of registers) · (Dual of numbers).
template <class T, class U>
QDML_INLINE auto operator*(const Dual<T>& a, const Dual<U>& b) -> Dual<decltype(a.v * b.v)> {
    return {a.v * b.v, a.v * b.e + a.e * b.v};
}
template <class T>
QDML_INLINE Dual<T> operator/(const Dual<T>& a, const Dual<T>& b) {
    const T ratio = a.v / b.v;
    return {ratio, (a.e - ratio * b.e) / b.v};
}

/// Constants: plain numbers, and registers of them, have no derivative.
template <class T, class S, class = std::enable_if_t<std::is_arithmetic_v<S>>>
QDML_INLINE Dual<T> operator*(const S& s, const Dual<T>& a) {
    return {s * a.v, s * a.e};
}
template <class T, class S, class = std::enable_if_t<std::is_arithmetic_v<S>>>
QDML_INLINE Dual<T> operator*(const Dual<T>& a, const S& s) {
    return s * a;
}
QDML_INLINE Dual<Register<float>> operator*(const Register<float>& a, const Dual<float>& b) {
    return {a * b.v, a * b.e};
}
QDML_INLINE Dual<Register<double>> operator*(const Register<double>& a, const Dual<double>& b) {
    return {a * b.v, a * b.e};
}
QDML_INLINE Dual<Register<float>> operator*(const Dual<Register<float>>& a,
                                            const Register<float>& b) {
    return {a.v * b, a.e * b};
}
QDML_INLINE Dual<Register<double>> operator*(const Dual<Register<double>>& a,
                                             const Register<double>& b) {
    return {a.v * b, a.e * b};
}
template <class T, class S, class = std::enable_if_t<std::is_arithmetic_v<S>>>
QDML_INLINE Dual<T> operator+(const Dual<T>& a, const S& s) {
    return {a.v + s, a.e};
}
template <class T, class S, class = std::enable_if_t<std::is_arithmetic_v<S>>>
QDML_INLINE Dual<T> operator+(const S& s, const Dual<T>& a) {
    return a + s;
}
template <class T, class S, class = std::enable_if_t<std::is_arithmetic_v<S>>>
QDML_INLINE Dual<T> operator-(const Dual<T>& a, const S& s) {
    return {a.v - s, a.e};
}
template <class T, class S, class = std::enable_if_t<std::is_arithmetic_v<S>>>
QDML_INLINE Dual<T> operator-(const S& s, const Dual<T>& a) {
    return {s - a.v, -a.e};
}
template <class T, class S, class = std::enable_if_t<std::is_arithmetic_v<S>>>
QDML_INLINE Dual<T> operator/(const Dual<T>& a, const S& s) {
    return {a.v / s, a.e / s};
}
template <class T, class S, class = std::enable_if_t<std::is_arithmetic_v<S>>>
QDML_INLINE Dual<T> operator/(const S& s, const Dual<T>& a) {
    return Dual<T>(T(s)) / a;
}

template <class T>
QDML_INLINE T value_of(const Dual<T>& x) {
    return x.v;
}

template <class real>
QDML_INLINE Dual<Register<real>> load(const Dual<real>* p) {
    const real* at = reinterpret_cast<const real*>(p);
    return {load(at), load(at + kLanes<real>)};
}

template <class real>
QDML_INLINE void store(real* p, const Dual<Register<real>>& x) {
    store<real>(p, x.e);
}

template <class real>
QDML_INLINE void add_sums(real* out, const Dual<Register<real>>& a, const Dual<Register<real>>& b,
                          const Dual<Register<real>>& c, const Dual<Register<real>>& d) {
    add_sums<real>(out, a.e, b.e, c.e, d.e);
}

}  // namespace QDML_ISA
}  // namespace qdml
