// SPDX-License-Identifier: MIT
/// Tensors of a `clebsch-gordan` model packed for the kernels: channels padded to blocks of 16.
#pragma once

#include <vector>

#include "paths/architecture.hpp"
#include "paths/kernels.hpp"
#include "../weights.hpp"

namespace qdml {

/// One array per atom: irreps one after the other, each [block][2l + 1][16].
struct IrrepsLayout {
    struct Part {
        int degree = 0, offset = 0, blocks = 0;
        int stride() const { return (2 * degree + 1) * kBlock; }
    };
    std::vector<Part> parts;
    int width = 0;

    void add(int degree, int blocks);
};

/// One map per irrep between parts of two layouts.
template <class real>
struct IrrepsMap {
    std::size_t from = 0, to = 0;
    PackedLinear<real> linear;
};

template <class real>
struct PathWeights {
    CouplingPath path;
    int l_in = 0, l_out = 0, blocks = 0;
    IrrepsLayout::Part gradient;  ///< of G: offset in the array of all paths
    PackedLinear<real> linear_out;
    /// Transposed map to G. From layer 1 on with the sign (-1)^l_edge of the reversed edge, since
    /// the sender meets the edge the other way round.
    PackedLinear<real> gradient_out;
    Buffer<real> radial;  ///< [block][K + 1][2][16]
};

template <class real>
struct PathLayerWeights {
    IrrepsLayout node_in, message, z, node_out;
    int gradient_width = 0;
    int harmonics_degree = 0;
    std::vector<IrrepsMap<real>> linear_in;                       ///< node_in -> message
    std::vector<std::vector<IrrepsMap<real>>> self_connection;    ///< [species or 1]; node_in -> z
    std::vector<PathWeights<real>> paths;
    std::vector<GatePart> gate;
};

template <class real>
struct PathModelWeights {
    explicit PathModelWeights(const Model& model);

    int n_species = 0;
    std::int64_t n_knots = 0;  ///< K + 1
    std::vector<PathLayerWeights<real>> layers;
    std::vector<PackedLinear<real>> readout;
    std::vector<int> readout_blocks;  ///< input blocks of each map, then 1
    Buffer<real> embedding;           ///< [S][width of node_in of layer 0]
    std::vector<double> reference, scale;  ///< E0 and σ, eV
};

extern template struct PathModelWeights<float>;
extern template struct PathModelWeights<double>;

}  // namespace qdml
