// SPDX-License-Identifier: MIT
/// A checked potential in memory: architecture and fp64 tensors, as docs/file-format.md names them.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "qdml/engine.hpp"
#include "terms.hpp"

namespace qdml {

/// One value per degree.
template <class T>
using PerDegree = std::array<T, kMaxDegree + 1>;

struct LayerShape {
    int l_in = 0;
    int l_out = 0;
    PerDegree<int> channels_in = {};   ///< F_l, 0 above l_in
    PerDegree<int> channels_out = {};  ///< F'_l, 0 above l_out

    /// Columns of linear_out for degree l: scalars carry the gates of the higher degrees.
    int out_width(int l) const {
        int width = channels_out[static_cast<std::size_t>(l)];
        for (std::size_t d = 1; l == 0 && d < channels_out.size(); ++d) {
            width += channels_out[d];
        }
        return width;
    }
};

/// The Cartesian family (cartesian.hpp).
struct Architecture {
    bool separated = false;  ///< every term has a sum of its own
    double cutoff = 0.0;  ///< Å
    int knots = 0;
    int message_channels = 0;
    std::vector<LayerShape> layers;
    std::vector<int> readout;  ///< hidden widths
};

struct PathArchitecture;  // paths/architecture.hpp

/// One potential.
struct Model {
    ModelInfo info;
    std::string kind;  ///< of the architecture, as the file names it
    Architecture architecture;  ///< of the Cartesian family
    std::shared_ptr<const PathArchitecture> paths;  ///< of kind clebsch-gordan, else null
    std::map<std::string, std::vector<double>> tensors;  ///< row-major

    const std::vector<double>& tensor(const std::string& name) const { return tensors.at(name); }
    bool has_zbl() const { return tensors.count("zbl.r_max") > 0; }
};

/// Read and check a `.qdml` file, one potential or the members of a committee; throws Error with a code
/// of docs/file-format.md.
std::vector<Model> read_members(const std::string& path);
/// The same for one potential; a committee is refused by `several_members`.
Model read_model(const std::string& path);

}  // namespace qdml
