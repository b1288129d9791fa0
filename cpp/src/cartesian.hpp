// SPDX-License-Identifier: MIT
/// The Cartesian family in a file: keys, tensor names and shapes, number of terms and sums.
#pragma once

#include <string>

#include "families.hpp"

namespace qdml {

/// Number of message terms P of a layer (the table of docs/conventions.md).
int n_terms(int l_in, int l_out) noexcept;
/// Those that add to degree l.
int n_terms(int l_in, int l_out, int l) noexcept;
/// Sums over neighbours per channel of degree l: one, or one per term; 0 above l_out.
int n_slots(const Architecture& architecture, const LayerShape& layer, int l) noexcept;

void read_cartesian(const std::string& path, const nlohmann::json& architecture, int format,
                    Model& model);
Shapes cartesian_shapes(const Model& model);
void check_cartesian_values(const std::string& path, const Model& model);

}  // namespace qdml
