// SPDX-License-Identifier: MIT
/// The table of kernels for Clebsch-Gordan paths that one instruction set provides.
///
/// A kernel works on one path and one block of 16 channels for the atoms of a tile. What depends on
/// the edge alone lies edge by edge in the lanes ("[quantity][edge]"): harmonics Y_m, and per path
/// the matrix M = Σ_m2 C Y_m2, made once per tile for all blocks. Nothing here may contain code.
#pragma once

#include <cstdint>

#include "kernels/kernels.hpp"

namespace qdml {

constexpr int kHarmonics = (kMaxDegree + 1) * (kMaxDegree + 1);
/// Per edge and degree of the edge: partial sums of dE/dY_m and dE/dr, see PathKernels::finish.
constexpr int kMomentGroups = 6;
constexpr int kMoments = kMomentGroups * kBlock;

/// The edges of a tile for one path and one block of channels.
template <class real>
struct PathConvolution {
    const std::int64_t* row_start;  ///< [n_rows + 1]
    const int* other;               ///< [n_edges] row of the features gathered per edge
    const EdgeRecord<real>* edges;  ///< [n_edges] with Hermite weights
    std::int64_t first_edge;        ///< of the tile: `coupling` and moments count from here
    const real* coupling;           ///< M [(m_out, m_in)][stride]
    std::int64_t stride;
    const real* table;              ///< [K + 1][2][16] values and derivatives times the spacing
};

/// Gate of one irrep of the features; offsets in values of z and h, blocks of 16 channels.
struct GatePart {
    int degree;
    int activation;  ///< 0 silu, 1 tanh: of the scalars, or of the gates for degree > 0
    int blocks;
    int z_offset;
    int gate_offset;  ///< of the gates in z, degree > 0
    int h_offset;
};

template <class real>
struct PathKernels {
    /// Y [16][stride] of `n` edges; lanes beyond n up to a multiple of 16 are written too.
    void (*harmonics)(std::int64_t n, const EdgeRecord<real>* edges, std::int64_t stride, real* y);

    struct Path {
        /// M [(m_out, m_in)][stride] from Y.
        void (*couple)(std::int64_t n, const real* y, std::int64_t stride, real* m);
        /// out [n][out_width] = Σ_edges R M h_other; one block, components 16 apart.
        void (*forward)(const PathConvolution<real>&, const int* rows, int n, const real* h,
                        std::int64_t h_width, real* out, std::int64_t out_width);
        /// Gathers g of the receivers: adds dE/dh of `rows` to grad_h [n][grad_width] and to the
        /// moments [n_edges of the tile][kMoments].
        void (*backward)(const PathConvolution<real>&, const int* rows, int n, const real* h,
                         std::int64_t h_width, const real* g, std::int64_t g_width, real* grad_h,
                         std::int64_t grad_width, real* moments);
        /// First layer (l_in = 0): g [n][g_width] of the rows themselves, gathers h; moments only.
        void (*first_gradient)(const PathConvolution<real>&, const int* rows, int n, const real* h,
                               std::int64_t h_width, const real* g, std::int64_t g_width,
                               real* moments);
    };
    Path path[kMaxDegree + 1][kMaxDegree + 1][kMaxDegree + 1];  ///< [l_in][l_edge][l_out]

    /// Add the moments of `n` edges to their gradients.
    void (*finish)(std::int64_t n, const EdgeRecord<real>* edges, const real* moments,
                   EdgeGradient<real>* gradient);
    /// Features of one atom from pre-activations, and the adjoint.
    void (*gate_forward)(const GatePart* parts, int n_parts, const real* z, real* h);
    void (*gate_backward)(const GatePart* parts, int n_parts, const real* z, const real* grad_h,
                          real* grad_z);
};

struct PathKernelSet {
    PathKernels<float> single;
    PathKernels<double> reference;
};

namespace baseline {
const PathKernelSet& path_kernels() noexcept;
}
namespace avx2 {
const PathKernelSet& path_kernels() noexcept;
}
namespace avx512 {
const PathKernelSet& path_kernels() noexcept;
}
namespace neon {
const PathKernelSet& path_kernels() noexcept;
}

}  // namespace qdml
