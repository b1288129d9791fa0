// SPDX-License-Identifier: MIT
/// The table of kernels one instruction set provides, and the plain structures they work on.
///
/// Layout of features: [row][block of 16 channels][component][16], components degree by degree in the
/// order of docs/conventions.md; of separated sums A and G all slots of a degree, then the next degree.
/// Nothing here may contain code: this header is compiled for several instruction sets.
#pragma once

#include <cstdint>

#include "../terms.hpp"

namespace qdml {

constexpr int kBlock = 16;        ///< channels per block, the grain of every layout

/// One edge within the cutoff: direction and B-spline weights, made once per step for all layers.
template <class real>
struct alignas(64) EdgeRecord {
    real direction[3];          ///< r̂ of center -> neighbour
    real inverse_r;             ///< 1/Å
    real weight[4];             ///< b_a(t)
    real weight_derivative[4];  ///< db_a/dr, 1/Å
    std::int64_t knot;          ///< n
};

/// Accumulated over layers: x, y, z of dE/dr̂ (eV) and dE/dr (eV/Å).
template <class real>
struct alignas(4 * sizeof(real)) EdgeGradient {
    real value[4];
};

/// Messages along the rows of the symmetric edge list. `coefficient`: numbers of the radial table.
template <class real, class coefficient = real>
struct Convolution {
    const std::int64_t* row_start;  ///< [n_rows + 1]
    const int* other;               ///< [n_edges] row of the features gathered per edge
    const EdgeRecord<real>* edges;  ///< [n_edges]
    const coefficient* table;       ///< radial coefficients [block][knot][term][16]
    std::int64_t n_knots;           ///< K + 3
    int n_blocks;
};

/// One row of a matrix product is one component of one atom: pointers to channel 0, block stride.
template <class real>
struct LinearMap {
    const real* weight;  ///< [out block][in channel][16]
    int in_blocks;
    int out_blocks;
};

/// Where the scalars, gates and gated features of one layer lie (offsets in values).
struct GateShape {
    int l_out;
    int blocks[kMaxDegree + 1];    ///< blocks of 16 features per degree
    int z_offset[kMaxDegree + 1];  ///< pre-activations; the gates follow the scalars
    int h_offset[kMaxDegree + 1];  ///< gated features
};

/// Sums over neighbours of one row: [block][components][16].
struct SumShape {
    int n_blocks;
    int l_out;
    int slots[kMaxDegree + 1];  ///< per degree
    int components;             ///< of all degrees and slots
};

template <class real>
struct Kernels {
    /// A of `rows`: out [n][blocks][m][16]; gathers sender features h.
    using Forward = void (*)(const Convolution<real>&, const int* rows, int n, const real* h,
                             real* out);
    /// Sender-centric backward of `rows`: gathers G (traceless tensors, odd degrees negated) of the
    /// receivers, writes dE/dH of the rows to out [n][blocks][m][16], adds to the edge gradients.
    using Backward = void (*)(const Convolution<real>&, const int* rows, int n, const real* h,
                              const real* g, real* out, EdgeGradient<real>* gradient);
    /// First layer, receiver-centric: g [n][blocks][m][16] of the rows (traceless tensors, plain
    /// sign), h [species][blocks][16]; adds to the edge gradients.
    using FirstGradient = void (*)(const Convolution<real>&, const int* rows, int n, const real* h,
                                   const real* g, EdgeGradient<real>* gradient);

    Forward forward[2][kMaxDegree + 1][kMaxDegree + 1];    ///< [separated][l_in][l_out]
    Backward backward[2][kMaxDegree + 1][kMaxDegree + 1];  ///< [separated][l_in][l_out]
    FirstGradient first_gradient[kMaxDegree + 1];          ///< [l_out]

    /// out_row = (accumulate ? out_row : 0) + in_row · weight, rows given by their first value.
    void (*linear)(const LinearMap<real>&, const real* const* in, int in_stride, real* const* out,
                   int out_stride, int n_rows, bool accumulate);
    /// G of one row in place: from dE/d(components) to traceless tensors; `reversed`: odd degrees
    /// negated.
    void (*to_tensors)(const SumShape&, bool reversed, real* row);
    /// Gate of one atom: features h from pre-activations z.
    void (*gate_forward)(const GateShape&, const real* z, real* h);
    /// Adjoint: gradient of z from gradient of h.
    void (*gate_backward)(const GateShape&, const real* z, const real* grad_h, real* grad_z);
    /// y = silu(x), n a multiple of 16.
    void (*silu_forward)(int n, const real* x, real* y);
    /// grad_x = grad_y silu'(x).
    void (*silu_backward)(int n, const real* x, const real* grad_y, real* grad_x);
};

struct KernelSet {
    const char* name;
    Kernels<float> single;
    Kernels<double> reference;
};

namespace baseline {
const KernelSet& kernels() noexcept;
}
namespace avx2 {
const KernelSet& kernels() noexcept;
}
namespace avx512 {
const KernelSet& kernels() noexcept;
}
namespace neon {
const KernelSet& kernels() noexcept;
}

}  // namespace qdml
