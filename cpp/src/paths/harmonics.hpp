// SPDX-License-Identifier: MIT
/// Real spherical harmonics up to degree 3 and the adjoint of their polynomials.
///
/// Order and signs of e3nn, |Y_l|² = 2 l + 1 on the unit sphere; python/qdml_train/model/
/// clebsch_gordan.py has the same polynomials. `V` is a number or a register of numbers, plain or
/// dual (kernels/dual.hpp); `real` the numbers it is made of.
#pragma once

#include "kernels/simd.hpp"

namespace qdml {
namespace QDML_ISA {

// square roots of 3, 5, 7, 15, 21/8, 35/2 and 105
constexpr double kSqrt3 = 1.7320508075688772935, kSqrt5 = 2.2360679774997896964,
                 kSqrt7 = 2.6457513110645905905, kSqrt15 = 3.8729833462074168852,
                 kSqrt21_8 = 1.6201851746019650, kSqrt35_2 = 4.1833001326703777394,
                 kSqrt105 = 10.246950765959598383;

/// y[16] from the components of r̂.
template <class real, class V>
QDML_INLINE void harmonics(const V& x, const V& y, const V& z, V* out) {
    const auto c = [](double value) { return static_cast<Constant<real>>(value); };
    out[0] = x * c(0) + c(1);
    out[1] = c(kSqrt3) * x;
    out[2] = c(kSqrt3) * y;
    out[3] = c(kSqrt3) * z;
    const V xz = x * z, around = x * x + z * z, tilt = c(0.5) * (z * z - x * x), yy = y * y;
    out[4] = c(kSqrt15) * xz;
    out[5] = c(kSqrt15) * x * y;
    out[6] = c(kSqrt5) * (yy - c(0.5) * around);
    out[7] = c(kSqrt15) * y * z;
    out[8] = c(kSqrt15) * tilt;
    const V belt = c(kSqrt21_8) * (c(4) * yy - around);
    out[9] = c(kSqrt35_2) * (xz * z + tilt * x);
    out[10] = c(kSqrt105) * xz * y;
    out[11] = belt * x;
    out[12] = c(kSqrt7) * y * (yy - c(1.5) * around);
    out[13] = belt * z;
    out[14] = c(kSqrt105) * tilt * y;
    out[15] = c(kSqrt35_2) * (tilt * z - xz * x);
}

/// direction[3] += Σ_k g[k] dY_k/dr̂ of the polynomials above (g[0] is of no effect).
template <class real>
QDML_INLINE void harmonics_backward(const real* direction, const real* g, real* out) {
    const auto c = [](double value) { return static_cast<Constant<real>>(value); };
    const real x = direction[0], y = direction[1], z = direction[2];
    const real xz = x * z, tilt = c(0.5) * (z * z - x * x), around = x * x + z * z, yy = y * y;
    // adjoints of the shared products
    const real g_belt = c(kSqrt21_8) * (g[11] * x + g[13] * z);
    const real g_xz = c(kSqrt15) * g[4] + c(kSqrt35_2) * (g[9] * z - g[15] * x) +
                      c(kSqrt105) * g[10] * y;
    const real g_tilt = c(kSqrt15) * g[8] + c(kSqrt35_2) * (g[9] * x + g[15] * z) +
                        c(kSqrt105) * g[14] * y;
    const real g_around = c(-0.5 * kSqrt5) * g[6] - g_belt - c(1.5 * kSqrt7) * g[12] * y;
    const real g_yy = c(kSqrt5) * g[6] + 4 * g_belt + c(kSqrt7) * g[12] * y;
    const real belt = c(kSqrt21_8) * (4 * yy - around);
    out[0] += c(kSqrt3) * g[1] + c(kSqrt15) * g[5] * y + g_xz * z - g_tilt * x +
              2 * g_around * x + belt * g[11] + c(kSqrt35_2) * (g[9] * tilt - g[15] * xz);
    out[1] += c(kSqrt3) * g[2] + c(kSqrt15) * (g[5] * x + g[7] * z) + 2 * g_yy * y +
              c(kSqrt105) * (g[10] * xz + g[14] * tilt) +
              c(kSqrt7) * g[12] * (yy - c(1.5) * around);
    out[2] += c(kSqrt3) * g[3] + c(kSqrt15) * g[7] * y + g_xz * x + g_tilt * z +
              2 * g_around * z + belt * g[13] + c(kSqrt35_2) * (g[9] * xz + g[15] * tilt);
}

}  // namespace QDML_ISA
}  // namespace qdml
