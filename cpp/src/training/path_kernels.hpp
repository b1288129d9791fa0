// SPDX-License-Identifier: MIT
/// The table of kernels that training needs along Clebsch-Gordan paths beside paths/kernels.hpp.
///
/// As kernels.hpp for the Cartesian family: the gradient in the radial table, and derivatives along
/// (u_h, u_r) by dual numbers. Duals of edges and of h are those of TrainingKernels; the coupling
/// matrices, made by the engine's kernel from Y and from its derivative, lie side by side.
/// Nothing here may contain code.
#pragma once

#include "../paths/kernels.hpp"

namespace qdml {

/// PathConvolution with derivatives along a direction.
template <class real>
struct DualPathConvolution {
    PathConvolution<real> plain;      ///< its edges are not read
    const void* edges;                ///< records of duals
    const real* coupling_derivative;  ///< as plain.coupling
};

template <class real>
struct PathTrainingKernels {
    /// Y and its derivative, [16][stride] each, of n edges of duals.
    void (*dual_harmonics)(std::int64_t n, const void* edges, std::int64_t stride, real* y,
                           real* derivative);

    struct Path {
        /// As PathKernels::Path::backward; in place of the moments the gradient in the table of this
        /// block, [K + 1][2][16], is added to.
        void (*table)(const PathConvolution<real>&, const int* rows, int n, const real* h,
                      std::int64_t h_width, const real* g, std::int64_t g_width, real* grad_h,
                      std::int64_t grad_width, real* table_gradient);
        /// Derivative of A; h of duals, h_width in duals.
        void (*dual_forward)(const DualPathConvolution<real>&, const int* rows, int n,
                             const real* h, std::int64_t h_width, real* out,
                             std::int64_t out_width);
        /// Derivative of both gradients of `table` at fixed G.
        void (*dual_table)(const DualPathConvolution<real>&, const int* rows, int n, const real* h,
                           std::int64_t h_width, const real* g, std::int64_t g_width, real* grad_h,
                           std::int64_t grad_width, real* table_gradient);
        /// Derivative of the gradient in h; moments [2 n_edges][kMoments] of the gradient in the
        /// edges and of its derivative.
        void (*dual_backward)(const DualPathConvolution<real>&, const int* rows, int n,
                              const real* h, std::int64_t h_width, const real* g,
                              std::int64_t g_width, real* grad_h, std::int64_t grad_width,
                              real* moments);
    };
    Path path[kMaxDegree + 1][kMaxDegree + 1][kMaxDegree + 1];  ///< [l_in][l_edge][l_out]

    /// Moments of dual_backward to the derivative of dE/dr_ij, out [n][3].
    void (*dual_finish)(std::int64_t n, const void* edges, const real* moments, real* out);
};

struct PathTrainingKernelSet {
    PathTrainingKernels<float> single;
    PathTrainingKernels<double> reference;
};

namespace baseline {
const PathTrainingKernelSet& path_training_kernels() noexcept;
}
namespace avx2 {
const PathTrainingKernelSet& path_training_kernels() noexcept;
}
namespace avx512 {
const PathTrainingKernelSet& path_training_kernels() noexcept;
}
namespace neon {
const PathTrainingKernelSet& path_training_kernels() noexcept;
}

}  // namespace qdml
