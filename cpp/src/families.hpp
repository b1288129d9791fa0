// SPDX-License-Identifier: MIT
/// The kinds of architecture a `.qdml` file may hold, and what a reader must know of each.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model.hpp"

namespace qdml {

using Shape = std::vector<std::int64_t>;
using Shapes = std::map<std::string, Shape>;

/// One kind. All functions throw Error with a code of docs/file-format.md.
struct Family {
    const char* kind;
    int first_format;  ///< of the file that has it
    /// Check the object `architecture` and fill the model's description of it: cutoff, n_layers,
    /// message_channels and architecture of `model.info`, and what the family keeps beside that.
    void (*read)(const std::string& path, const nlohmann::json& architecture, int format,
                 Model& model);
    /// Names and shapes of all tensors but `zbl.r_max`.
    Shapes (*shapes)(const Model& model);
    /// Check what shapes cannot say, with all tensors read and finite.
    void (*check_values)(const std::string& path, const Model& model);
};

/// Shapes of the read-out maps from `features` channels through hidden widths to one energy.
void add_readout_shapes(int features, const std::vector<int>& hidden, Shapes& shapes);

/// Null for a kind that is not known.
const Family* family_of(const std::string& kind) noexcept;

/// Names and shapes of all tensors of a file with so many members of this architecture.
Shapes file_shapes(const Model& model, std::size_t n_members, bool with_zbl);

/// "'a', 'b'": the kinds files of this format may hold.
std::string known_kinds(int format);

}  // namespace qdml
