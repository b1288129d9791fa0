// SPDX-License-Identifier: MIT
/// A checked potential in memory: architecture and fp64 tensors, as docs/file-format.md names them.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "qdml/engine.hpp"

namespace qdml {

struct LayerShape {
    int l_in = 0;
    int l_out = 0;
    std::array<int, 3> channels_in = {};   ///< F_l, 0 above l_in
    std::array<int, 3> channels_out = {};  ///< F'_l, 0 above l_out

    /// Columns of linear_out for degree l: scalars carry the gates of the higher degrees.
    int out_width(int l) const {
        return l == 0 ? channels_out[0] + channels_out[1] + channels_out[2]
                      : channels_out[static_cast<std::size_t>(l)];
    }
};

struct Architecture {
    double cutoff = 0.0;  ///< Å
    int knots = 0;
    int message_channels = 0;
    std::vector<LayerShape> layers;
    std::vector<int> readout;  ///< hidden widths
};

struct Model {
    ModelInfo info;
    Architecture architecture;
    std::map<std::string, std::vector<double>> tensors;  ///< row-major

    const std::vector<double>& tensor(const std::string& name) const { return tensors.at(name); }
    bool has_zbl() const { return tensors.count("zbl.r_max") > 0; }
};

/// Number of message terms P of a layer (the table of docs/conventions.md).
constexpr int n_terms(int l_in, int l_out) {
    constexpr int count[3][3] = {{1, 2, 3}, {1, 3, 4}, {1, 2, 4}};
    int sum = 0;
    for (int l = 0; l <= l_out; ++l) {
        sum += count[l][l_in];
    }
    return sum;
}

using Shape = std::vector<std::int64_t>;
/// Names and shapes of the tensors every file of this architecture holds, `zbl.r_max` not counted.
std::map<std::string, Shape> expected_shapes(const Architecture& architecture,
                                             std::int64_t n_species);

/// Read and check a `.qdml` file; throws Error with a code of docs/file-format.md.
Model read_model(const std::string& path);

}  // namespace qdml
