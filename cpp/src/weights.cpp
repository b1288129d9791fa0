// SPDX-License-Identifier: MIT
/// Packing of tensors; padding with zeros is exact, since silu(0) = 0 and gates multiply zeros.
#include "weights.hpp"

#include <algorithm>
#include <numeric>

#include "cartesian.hpp"

namespace qdml {

int blocks_of(int channels) { return (channels + kBlock - 1) / kBlock; }

std::vector<int> identity_columns(int n) {
    std::vector<int> columns(static_cast<std::size_t>(n));
    std::iota(columns.begin(), columns.end(), 0);
    return columns;
}

namespace {

std::string degree_name(int t, const char* map, int l) {
    return "layers." + std::to_string(t) + "." + map + ".l" + std::to_string(l) + ".weight";
}

/// Columns of linear_out: scalars, then the gates of l = 1, 2, 3, each padded to whole blocks.
std::vector<int> scalar_columns(const LayerShape& shape) {
    std::vector<int> columns;
    int start = 0;
    for (const int f : shape.channels_out) {
        for (int c = 0; c < f; ++c) {
            columns.push_back(start + c);
        }
        start += blocks_of(f) * kBlock;
    }
    return columns;
}

}  // namespace

FeatureLayout FeatureLayout::separate(int l_max, const PerDegree<int>& blocks) {
    FeatureLayout layout;
    layout.l_max = l_max;
    for (int l = 0; l <= l_max; ++l) {
        auto& d = layout.degree[static_cast<std::size_t>(l)];
        d = {layout.width, (2 * l + 1) * kBlock, blocks[static_cast<std::size_t>(l)], 1};
        layout.width += d.blocks * d.stride;
    }
    return layout;
}

FeatureLayout FeatureLayout::joined(int l_max, int blocks, const PerDegree<int>& slots) {
    FeatureLayout layout;
    layout.l_max = l_max;
    int components = 0;
    for (int l = 0; l <= l_max; ++l) {
        const auto d = static_cast<std::size_t>(l);
        layout.degree[d] = {components * kBlock, 0, blocks, slots[d]};
        components += (2 * l + 1) * slots[d];
    }
    for (auto& degree : layout.degree) {
        degree.stride = components * kBlock;
    }
    layout.width = components * blocks * kBlock;
    return layout;
}

template <class real>
PackedLinear<real>::PackedLinear(const double* weight, int n_in, int n_out, int out_blocks,
                                 const std::vector<int>& column)
    : in_blocks_(blocks_of(n_in)), out_blocks_(out_blocks) {
    const std::int64_t rows = std::int64_t(in_blocks_) * kBlock;
    const std::int64_t columns = std::int64_t(out_blocks_) * kBlock;
    for (auto* packed : {&forward_, &transposed_}) {
        packed->reserve(rows * columns);
        std::fill(packed->data(), packed->data() + rows * columns, real(0));
    }
    for (std::int64_t i = 0; i < n_in; ++i) {
        for (std::int64_t o = 0; o < n_out; ++o) {
            const auto value = static_cast<real>(weight[i * n_out + o]);
            const std::int64_t to = column[static_cast<std::size_t>(o)];
            forward_[(to / kBlock * rows + i) * kBlock + to % kBlock] = value;
            transposed_[(i / kBlock * columns + to) * kBlock + i % kBlock] = value;
        }
    }
}

template <class real>
static LayerWeights<real> pack_layer(const Model& model, int t) {
    const Architecture& a = model.architecture;
    LayerWeights<real> layer;
    layer.shape = a.layers[static_cast<std::size_t>(t)];
    const LayerShape& s = layer.shape;
    const int blocks = a.message_channels / kBlock;
    PerDegree<int> in = {}, out = {}, z = {}, slots = {};
    for (std::size_t l = 0; l < z.size(); ++l) {
        in[l] = blocks_of(s.channels_in[l]);
        out[l] = z[l] = blocks_of(s.channels_out[l]);
        z[0] += l > 0 ? out[l] : 0;
        slots[l] = n_slots(a, s, static_cast<int>(l));
    }
    layer.node_in = FeatureLayout::separate(s.l_in, in);
    layer.node_out = FeatureLayout::separate(s.l_out, out);
    layer.z = FeatureLayout::separate(s.l_out, z);
    layer.message_in = FeatureLayout::joined(s.l_in, blocks, {1, 1, 1, 1});
    layer.message_out = FeatureLayout::joined(s.l_out, blocks, slots);
    layer.gate.l_out = layer.sums.l_out = s.l_out;
    layer.sums.n_blocks = blocks;
    layer.sums.components = layer.message_out.width / (blocks * kBlock);
    for (std::size_t l = 0; l < z.size(); ++l) {
        layer.gate.blocks[l] = out[l];
        layer.gate.z_offset[l] = layer.z.degree[l].offset;
        layer.gate.h_offset[l] = layer.node_out.degree[l].offset;
        layer.sums.slots[l] = slots[l];
    }
    const std::size_t n_species = model.info.species.size();
    layer.self_connection.resize(t > 0 ? n_species : 0);
    for (int l = 0; l <= kMaxDegree; ++l) {
        const auto d = static_cast<std::size_t>(l);
        const int f_in = s.channels_in[d], f_out = s.out_width(l);
        const auto columns = l == 0 ? scalar_columns(s) : identity_columns(f_out);
        if (l <= s.l_in) {
            layer.linear_in[d] =
                PackedLinear<real>(model.tensor(degree_name(t, "linear_in", l)).data(), f_in,
                                   a.message_channels, blocks, identity_columns(a.message_channels));
        }
        if (l <= s.l_out) {
            const double* weight = model.tensor(degree_name(t, "linear_out", l)).data();
            for (int slot = 0; slot < slots[d]; ++slot) {
                layer.linear_out[d].emplace_back(
                    weight + std::int64_t(slot) * a.message_channels * f_out, a.message_channels,
                    f_out, z[d], columns);
            }
        }
        if (t > 0 && l <= std::min(s.l_in, s.l_out)) {
            const double* weight = model.tensor(degree_name(t, "self_connection", l)).data();
            for (std::size_t k = 0; k < n_species; ++k) {
                layer.self_connection[k][d] =
                    PackedLinear<real>(weight + static_cast<std::int64_t>(k) * f_in * f_out, f_in,
                                       f_out, z[d], columns);
            }
        }
    }
    const auto& table = model.tensor("layers." + std::to_string(t) + ".radial");
    const std::int64_t terms = n_terms(s.l_in, s.l_out), knots = a.knots + 3;
    layer.n_radial = static_cast<std::int64_t>(table.size());
    layer.radial.reserve(layer.n_radial);
    for (std::int64_t i = 0; i < layer.n_radial; ++i) {
        const std::int64_t c = i % a.message_channels, p = i / a.message_channels % terms;
        const std::int64_t m = i / a.message_channels / terms;
        layer.radial[((c / kBlock * knots + m) * terms + p) * kBlock + c % kBlock] =
            static_cast<real>(table[static_cast<std::size_t>(i)]);
    }
    return layer;
}

template <class real>
Weights<real>::Weights(const Model& model)
    : n_species(static_cast<int>(model.info.species.size())),
      separated(model.architecture.separated),
      n_blocks(model.architecture.message_channels / kBlock),
      n_knots(model.architecture.knots + 3),
      reference(model.tensor("energy.reference")),
      scale(model.tensor("energy.scale")) {
    const Architecture& a = model.architecture;
    for (int t = 0; t < static_cast<int>(a.layers.size()); ++t) {
        layers.push_back(pack_layer<real>(model, t));
    }
    pack_readout(model, a.layers.back().channels_out[0], a.readout, readout, readout_blocks);
    pack_embedding(model, a.layers[0].channels_in[0], embedding);
}

template <class real>
void pack_readout(const Model& model, int features, const std::vector<int>& hidden,
                  std::vector<PackedLinear<real>>& maps, std::vector<int>& blocks) {
    std::vector<int> widths = {features};
    widths.insert(widths.end(), hidden.begin(), hidden.end());
    widths.push_back(1);
    for (std::size_t k = 0; k + 1 < widths.size(); ++k) {
        const auto& weight = model.tensor("readout." + std::to_string(k) + ".weight");
        maps.emplace_back(weight.data(), widths[k], widths[k + 1], blocks_of(widths[k + 1]),
                          identity_columns(widths[k + 1]));
        blocks.push_back(blocks_of(widths[k]));
    }
    blocks.push_back(1);
}

template <class real>
void pack_embedding(const Model& model, int features, Buffer<real>& out) {
    const auto& rows = model.tensor("embedding.weight");
    const std::int64_t n_species = static_cast<std::int64_t>(model.info.species.size());
    const std::int64_t padded = blocks_of(features) * kBlock;
    out.reserve(n_species * padded);
    std::fill(out.data(), out.data() + n_species * padded, real(0));
    for (std::int64_t k = 0; k < n_species; ++k) {
        for (int c = 0; c < features; ++c) {
            out[k * padded + c] = static_cast<real>(rows[static_cast<std::size_t>(k * features + c)]);
        }
    }
}

#define QDML_PACK(real)                                                                     \
    template class PackedLinear<real>;                                                      \
    template void pack_readout(const Model&, int, const std::vector<int>&,                  \
                               std::vector<PackedLinear<real>>&, std::vector<int>&);        \
    template void pack_embedding(const Model&, int, Buffer<real>&);
QDML_PACK(float)
QDML_PACK(double)
#undef QDML_PACK

template struct Weights<float>;
template struct Weights<double>;

}  // namespace qdml
