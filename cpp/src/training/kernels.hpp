// SPDX-License-Identifier: MIT
/// The table of kernels that training needs beside those of the engine (kernels/kernels.hpp).
///
/// With s = <G, A(h, r_ij, table)>: the gradient of s in the radial table, and derivatives along
/// (u_h, u_r) of A and of the gradient of s, by the same templates with dual numbers (kernels/dual.hpp).
/// Nothing here may contain code: this header is compiled for several instruction sets.
#pragma once

#include "../kernels/kernels.hpp"

namespace qdml {

enum class Spline;

/// Pairs of degrees (l_in, l_out) with these kernels: what `Architecture.build` of training makes.
constexpr bool has_training_kernels(int l_in, int l_out) {
    return l_in == 0 || l_out == 0 || l_in == l_out;
}

/// Rows are those of Convolution; features, sums and table as there, `edges` of duals where `Dual`
/// stands in the name: records of the instruction set's own layout, and `h` of duals.
template <class real>
struct TrainingKernels {
    /// Gradient of s in the features of `rows` (out [n][blocks][m][16]) and in the table (added to).
    using Table = void (*)(const Convolution<real>&, const int* rows, int n, const real* h,
                           const real* g, real* out, real* table_gradient);
    /// Derivative of A of `rows`: out [n][blocks][m][16].
    using DualForward = void (*)(const Convolution<real>&, const void* edges, const int* rows, int n,
                                 const real* h, real* out);
    /// Derivative of both gradients of Table at fixed G.
    using DualTable = void (*)(const Convolution<real>&, const void* edges, const int* rows, int n,
                               const real* h, const real* g, real* out, real* table_gradient);
    /// Derivative of the gradient of s in the features; adds the gradient of s in the edges
    /// (dE/dr̂, dE/dr) to gradient[2 e], its derivative to gradient[2 e + 1].
    using DualBackward = void (*)(const Convolution<real>&, const void* edges, const int* rows,
                                  int n, const real* h, const real* g, real* out,
                                  EdgeGradient<real>* gradient);

    Table table[2][kMaxDegree + 1][kMaxDegree + 1];  ///< [separated][l_in][l_out]
    DualForward dual_forward[2][kMaxDegree + 1][kMaxDegree + 1];
    DualTable dual_table[2][kMaxDegree + 1][kMaxDegree + 1];
    DualBackward dual_backward[2][kMaxDegree + 1][kMaxDegree + 1];

    std::int64_t dual_record_bytes;
    /// Records of n edges with vectors v (Å) and directions of derivation u, [n][3]: as set_record.
    void (*dual_records)(int n, const real* v, const real* u, Spline spline, int knots,
                         double inverse_spacing, void* edges);
    /// Gradients [2 n] of DualBackward to the derivative of dE/dr_ij, out [n][3].
    void (*dual_to_cartesian)(int n, const void* edges, const EdgeGradient<real>* gradient,
                              real* out);
    /// Duals of n numbers and their derivatives, n a multiple of 16: out [2 n].
    void (*interleave)(std::int64_t n, const real* value, const real* derivative, real* out);
};

struct TrainingKernelSet {
    TrainingKernels<float> single;
    TrainingKernels<double> reference;
};

namespace baseline {
const TrainingKernelSet& training_kernels() noexcept;
}
namespace avx2 {
const TrainingKernelSet& training_kernels() noexcept;
}
namespace avx512 {
const TrainingKernelSet& training_kernels() noexcept;
}
namespace neon {
const TrainingKernelSet& training_kernels() noexcept;
}

}  // namespace qdml
