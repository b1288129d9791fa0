// SPDX-License-Identifier: MIT
/// Packing; padding with zeros is exact, since silu(0) = tanh(0) = 0 and gates multiply zeros.
#include "paths/weights.hpp"

#include <algorithm>

namespace qdml {
namespace {

std::vector<double> slice_rows(const std::vector<double>& matrix, int columns, int first, int n,
                               double sign) {
    std::vector<double> rows(matrix.begin() + std::int64_t(first) * columns,
                             matrix.begin() + std::int64_t(first + n) * columns);
    for (double& x : rows) {
        x *= sign;
    }
    return rows;
}

/// Columns of the pre-activations of irrep k: the scalars 0e, then the gates of every gated irrep,
/// each padded to whole blocks; `gate_start` gets the first column of each irrep's gates.
std::vector<int> z_columns(const PathLayer& layer, std::size_t k, std::vector<int>& gate_start) {
    std::vector<int> columns = identity_columns(layer.irreps_out[k].channels);
    if (layer.width(k) > layer.irreps_out[k].channels) {
        int start = blocks_of(layer.irreps_out[k].channels) * kBlock;
        for (std::size_t i = 0; i < layer.irreps_out.size(); ++i) {
            if (layer.irreps_out[i].degree > 0) {
                gate_start[i] = start;
                for (int c = 0; c < layer.irreps_out[i].channels; ++c) {
                    columns.push_back(start + c);
                }
                start += blocks_of(layer.irreps_out[i].channels) * kBlock;
            }
        }
    }
    return columns;
}

IrrepsLayout layout_of(const Irreps& irreps) {
    IrrepsLayout layout;
    for (const Irrep& irrep : irreps) {
        layout.add(irrep.degree, blocks_of(irrep.channels));
    }
    return layout;
}

template <class real>
void pack_radial(const std::vector<double>& table, std::int64_t n_knots, int functions, int first,
                 int channels, Buffer<real>& out) {
    const std::int64_t size = std::int64_t(blocks_of(channels)) * n_knots * 2 * kBlock;
    out.reserve(size);
    std::fill(out.data(), out.data() + size, real(0));
    for (std::int64_t row = 0; row < 2 * n_knots; ++row) {
        for (std::int64_t c = 0; c < channels; ++c) {
            out[((c / kBlock * n_knots * 2) + row) * kBlock + c % kBlock] = static_cast<real>(
                table[static_cast<std::size_t>(row * functions + first + c)]);
        }
    }
}

template <class real>
PathLayerWeights<real> pack_path_layer(const Model& model, std::size_t t) {
    const PathLayer& shape = model.paths->layers[t];
    const std::string p = "layers." + std::to_string(t) + ".";
    PathLayerWeights<real> layer;
    layer.node_in = layout_of(shape.irreps_in);
    layer.message = layout_of(shape.irreps_message);
    layer.node_out = layout_of(shape.irreps_out);
    std::vector<int> gate_start(shape.irreps_out.size(), 0);
    std::vector<std::vector<int>> columns;
    for (std::size_t k = 0; k < shape.irreps_out.size(); ++k) {
        columns.push_back(z_columns(shape, k, gate_start));
        layer.z.add(shape.irreps_out[k].degree, blocks_of(columns[k].back() + 1));
    }
    for (std::size_t k = 0; k < shape.irreps_message.size(); ++k) {
        const Irrep& irrep = shape.irreps_message[k];
        const std::size_t in = find_irrep(shape.irreps_in, irrep);
        const auto& weight = model.tensor(p + "linear_in." + irrep.name() + ".weight");
        layer.linear_in.push_back(
            {in, k,
             PackedLinear<real>(weight.data(), shape.irreps_in[in].channels, irrep.channels,
                                blocks_of(irrep.channels), identity_columns(irrep.channels))});
    }
    const std::size_t scalars = find_irrep(shape.irreps_out, {1, 0, 1});
    const std::size_t n_species =
        shape.self_connection == SelfConnection::species ? model.info.species.size() : 1;
    layer.self_connection.resize(n_species);
    for (std::size_t k = 0; k < shape.irreps_out.size(); ++k) {
        const Irrep& irrep = shape.irreps_out[k];
        const int z_offset = layer.z.parts[k].offset;
        layer.gate.push_back({irrep.degree,
                              irrep.degree > 0      ? shape.gate
                              : irrep.parity == 1   ? shape.even
                                                    : shape.odd,
                              blocks_of(irrep.channels), z_offset,
                              irrep.degree > 0 ? layer.z.parts[scalars].offset + gate_start[k] : 0,
                              layer.node_out.parts[k].offset});
        const std::size_t in = find_irrep(shape.irreps_in, irrep);
        if (shape.self_connection == SelfConnection::none || in == shape.irreps_in.size()) {
            continue;
        }
        const auto& weight = model.tensor(p + "self_connection." + irrep.name() + ".weight");
        const int rows = shape.irreps_in[in].channels, width = shape.width(k);
        for (std::size_t s = 0; s < n_species; ++s) {
            const double* first = weight.data() + static_cast<std::int64_t>(s) * rows * width;
            layer.self_connection[s].push_back(
                {in, k, PackedLinear<real>(first, rows, width, layer.z.parts[k].blocks, columns[k])});
        }
    }
    const auto& table = model.tensor(p + "radial");
    const std::int64_t n_knots = model.paths->knots + 1;
    const int functions = static_cast<int>(static_cast<std::int64_t>(table.size()) / (2 * n_knots));
    std::vector<int> rows(shape.irreps_out.size(), 0);
    int function = 0;
    for (const CouplingPath& path : shape.paths) {
        const int channels = shape.channels(path), width = shape.width(path.out);
        layer.paths.emplace_back();
        PathWeights<real>& packed = layer.paths.back();
        packed.path = path;
        packed.l_in = shape.irreps_message[path.in].degree;
        packed.l_out = shape.irreps_out[path.out].degree;
        packed.blocks = blocks_of(channels);
        packed.gradient = {packed.l_out, layer.gradient_width, packed.blocks};
        layer.gradient_width += packed.blocks * packed.gradient.stride();
        layer.harmonics_degree = std::max(layer.harmonics_degree, path.edge);
        const auto& weight =
            model.tensor(p + "linear_out." + shape.irreps_out[path.out].name() + ".weight");
        const double sign = t > 0 && path.edge % 2 == 1 ? -1.0 : 1.0;
        const int blocks = layer.z.parts[path.out].blocks;
        packed.linear_out =
            PackedLinear<real>(slice_rows(weight, width, rows[path.out], channels, 1.0).data(),
                               channels, width, blocks, columns[path.out]);
        packed.gradient_out =
            PackedLinear<real>(slice_rows(weight, width, rows[path.out], channels, sign).data(),
                               channels, width, blocks, columns[path.out]);
        pack_radial(table, n_knots, functions, function, channels, packed.radial);
        rows[path.out] += channels;
        function += channels;
    }
    return layer;
}

}  // namespace

void IrrepsLayout::add(int degree, int blocks) {
    parts.push_back({degree, width, blocks});
    width += blocks * parts.back().stride();
}

template <class real>
PathModelWeights<real>::PathModelWeights(const Model& model)
    : n_species(static_cast<int>(model.info.species.size())),
      n_knots(model.paths->knots + 1),
      reference(model.tensor("energy.reference")),
      scale(model.tensor("energy.scale")) {
    for (std::size_t t = 0; t < model.paths->layers.size(); ++t) {
        layers.push_back(pack_path_layer<real>(model, t));
    }
    pack_readout(model, model.paths->layers.back().irreps_out[0].channels, model.paths->readout,
                 readout, readout_blocks);
    pack_embedding(model, model.paths->layers[0].irreps_in[0].channels, embedding);
}

template struct PathModelWeights<float>;
template struct PathModelWeights<double>;

}  // namespace qdml
