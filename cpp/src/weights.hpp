// SPDX-License-Identifier: MIT
/// A model's tensors packed for the kernels: channels padded to blocks of 16 with zeros.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "kernels/kernels.hpp"
#include "model.hpp"

namespace qdml {

/// Where degree l of a feature array starts and how far its blocks of 16 channels lie apart.
struct DegreeLayout {
    int offset = 0;
    int stride = 0;
    int blocks = 0;
    int slots = 1;  ///< sums of separated terms, one after the other within a block
};

/// One feature array per atom: `width` values, a layout per degree.
struct FeatureLayout {
    int l_max = 0;
    int width = 0;
    PerDegree<DegreeLayout> degree;

    /// Degrees one after the other, each [block][2l + 1][16] (node features, pre-activations).
    static FeatureLayout separate(int l_max, const PerDegree<int>& blocks);
    /// All components of a block together, [block][m][16] with (2l + 1) · slots components of degree l
    /// (messages).
    static FeatureLayout joined(int l_max, int blocks, const PerDegree<int>& slots);
};

/// A linear map of one degree, forward and transposed, for one species or all.
template <class real>
class PackedLinear {
public:
    PackedLinear() = default;
    /// weight [n_in][n_out] row-major; column c goes to the padded column `column[c]` of `out_blocks`.
    PackedLinear(const double* weight, int n_in, int n_out, int out_blocks,
                 const std::vector<int>& column);
    LinearMap<real> forward() const { return {forward_.data(), in_blocks_, out_blocks_}; }
    LinearMap<real> transposed() const { return {transposed_.data(), out_blocks_, in_blocks_}; }

private:
    int in_blocks_ = 0, out_blocks_ = 0;
    Buffer<real> forward_, transposed_;
};

/// Blocks of 16 that hold so many channels, and the columns 0..n-1 of a map that moves none.
int blocks_of(int channels);
std::vector<int> identity_columns(int n);

/// The read-out maps and the input blocks of each, then 1.
template <class real>
void pack_readout(const Model& model, int features, const std::vector<int>& hidden,
                  std::vector<PackedLinear<real>>& maps, std::vector<int>& blocks);

/// `embedding.weight` as [S][padded features].
template <class real>
void pack_embedding(const Model& model, int features, Buffer<real>& out);

template <class real>
struct LayerWeights {
    LayerShape shape;
    FeatureLayout node_in, node_out;        ///< h before and after
    FeatureLayout message_in, message_out;  ///< H and A
    FeatureLayout z;                        ///< pre-activations, scalars with gates
    GateShape gate;
    SumShape sums;                          ///< of A and G
    PerDegree<PackedLinear<real>> linear_in;
    PerDegree<std::vector<PackedLinear<real>>> linear_out;      ///< [slot]
    std::vector<PerDegree<PackedLinear<real>>> self_connection;  ///< [species]
    Buffer<real> radial;  ///< [block][knot][term][16]
    std::int64_t n_radial = 0;  ///< values of it
};

template <class real>
struct Weights {
    explicit Weights(const Model& model);

    int n_species = 0;
    bool separated = false;
    int n_blocks = 0;  ///< of message channels
    std::int64_t n_knots = 0;  ///< K + 3
    std::vector<LayerWeights<real>> layers;
    std::vector<PackedLinear<real>> readout;
    std::vector<int> readout_blocks;  ///< input blocks of each map, then 1
    Buffer<real> embedding;  ///< [S][padded F_0]
    std::vector<double> reference, scale;  ///< E0 and σ, eV
};

extern template struct Weights<float>;
extern template struct Weights<double>;

}  // namespace qdml
