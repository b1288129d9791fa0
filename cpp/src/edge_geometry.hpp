// SPDX-License-Identifier: MIT
/// What one edge means in fp64: its record for the kernels, ZBL, and its gradient in Cartesian form.
///
/// The same lines on the host and on a CUDA device.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/kernels.hpp"

#ifdef __CUDACC__
#define QDML_HOST_DEVICE __host__ __device__
#else
#define QDML_HOST_DEVICE
#endif

namespace qdml {

/// How four weights of an edge turn numbers at the knots into a radial function.
enum class Spline {
    cubic_b,  ///< coefficients of knots n-1 .. n+2 (two continuous derivatives)
    hermite,  ///< values and derivatives times the spacing at knots n and n+1 (one)
};

/// Value (eV) and derivative (eV/Å) of a pair term at one distance.
struct PairTerm {
    double energy = 0.0;
    double derivative = 0.0;
};

/// Two atoms closer than this lie at the same place, Å².
constexpr double kClosestSquared = 1e-12;

QDML_HOST_DEVICE inline double value_of(double x) { return x; }

/// Weights of the four numbers around knot n and their derivatives, at r / spacing = n + t.
template <class real, class number>
QDML_HOST_DEVICE inline void set_weights(EdgeRecord<real>& edge, Spline spline, const number& t,
                                         double inverse_spacing) {
    const number u = 1.0 - t;
    const number b_spline[4] = {u * u * u / 6, (t * t * (3 * t - 6) + 4) / 6,
                                (t * (t * (3 - 3 * t) + 3) + 1) / 6, t * t * t / 6};
    const number b_slope[4] = {-u * u / 2, t * (1.5 * t - 2), t * (1 - 1.5 * t) + 0.5, t * t / 2};
    const number hermite[4] = {(1 + 2 * t) * u * u, t * u * u, t * t * (3 - 2 * t), -t * t * u};
    const number hermite_slope[4] = {-6 * t * u, u * (1 - 3 * t), 6 * t * u, t * (3 * t - 2)};
    const bool is_b = spline == Spline::cubic_b;
    for (int k = 0; k < 4; ++k) {
        edge.weight[k] = static_cast<real>(is_b ? b_spline[k] : hermite[k]);
        edge.weight_derivative[k] =
            static_cast<real>((is_b ? b_slope[k] : hermite_slope[k]) * inverse_spacing);
    }
}

/// Record of the edge v = r_ij of length r (Å), shorter than the cutoff knots / inverse_spacing.
/// `number` is double, or dual numbers of it (kernels/dual.hpp).
template <class real, class number>
QDML_HOST_DEVICE inline void set_record(EdgeRecord<real>& edge, const number* v, const number& r,
                                        Spline spline, int knots, double inverse_spacing) {
    for (int k = 0; k < 3; ++k) {
        edge.direction[k] = static_cast<real>(v[k] / r);
    }
    edge.inverse_r = static_cast<real>(1.0 / r);
    const number x = r * inverse_spacing;
    // rounding may put r just below rc on knot K, where the table has no four coefficients
    edge.knot = static_cast<std::int64_t>(value_of(x));
    edge.knot = edge.knot < knots - 1 ? edge.knot : knots - 1;
    set_weights(edge, spline, x - static_cast<double>(edge.knot), inverse_spacing);
}

/// Turn dE/dr̂ and dE/dr of one edge into dE/d(r_ij): only the part tangential to the sphere moves r̂.
template <class real>
QDML_HOST_DEVICE inline void to_cartesian(const EdgeRecord<real>& edge, real* g) {
    const real radial =
        g[0] * edge.direction[0] + g[1] * edge.direction[1] + g[2] * edge.direction[2];
    const real along = g[3] - radial * edge.inverse_r;
    for (int k = 0; k < 3; ++k) {
        g[k] = g[k] * edge.inverse_r + along * edge.direction[k];
    }
}

/// zbl(r) of docs/conventions.md, "Energy": charge = k_e Z_a Z_b in eV Å, 1/a in 1/Å, distances in Å.
QDML_HOST_DEVICE inline PairTerm zbl_term(double charge, double inverse_a, double r_max, double r) {
    const double amplitude[4] = {0.18175, 0.50986, 0.28022, 0.02817};
    const double exponent[4] = {3.19980, 0.94229, 0.40290, 0.20162};
    const double x = r / r_max;
    if (x >= 1.0) {
        return {};
    }
    double phi = 0.0, slope = 0.0;  // φ(r/a) and dφ/dr
    for (int k = 0; k < 4; ++k) {
        const double rate = exponent[k] * inverse_a;
        const double term = amplitude[k] * std::exp(-rate * r);
        phi += term;
        slope -= rate * term;
    }
    const double x2 = x * x, x5 = x2 * x2 * x;
    const double f = 1.0 + x5 * x * (-28.0 + x * (48.0 - 21.0 * x));
    const double df = x5 * (-168.0 + x * (336.0 - 168.0 * x)) / r_max;
    const double bare = charge / r;
    return {bare * phi * f, bare * (slope * f + phi * df - phi * f / r)};
}

}  // namespace qdml
