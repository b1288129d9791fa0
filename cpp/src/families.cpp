// SPDX-License-Identifier: MIT
/// The table of architectures: a new kind is a line here, and a branch of make_evaluator and make_device_evaluator
/// (engine.cpp).
#include "families.hpp"

#include "cartesian.hpp"
#include "paths/architecture.hpp"

namespace qdml {
namespace {

constexpr Family kFamilies[] = {
    {"cartesian-summed", 1, read_cartesian, cartesian_shapes, check_cartesian_values},
    {"cartesian-separated", 2, read_cartesian, cartesian_shapes, check_cartesian_values},
    {"clebsch-gordan", 2, read_paths, path_shapes, check_path_values},
};

}  // namespace

void add_readout_shapes(int features, const std::vector<int>& hidden, Shapes& shapes) {
    std::vector<std::int64_t> widths = {features};
    widths.insert(widths.end(), hidden.begin(), hidden.end());
    widths.push_back(1);
    for (std::size_t k = 0; k + 1 < widths.size(); ++k) {
        shapes["readout." + std::to_string(k) + ".weight"] = {widths[k], widths[k + 1]};
    }
}

const Family* family_of(const std::string& kind) noexcept {
    for (const Family& family : kFamilies) {
        if (kind == family.kind) {
            return &family;
        }
    }
    return nullptr;
}

Shapes file_shapes(const Model& model, std::size_t n_members, bool with_zbl) {
    auto shapes = family_of(model.kind)->shapes(model);
    if (with_zbl) {
        const auto n_species = static_cast<std::int64_t>(model.info.species.size());
        shapes["zbl.r_max"] = {n_species, n_species};
    }
    for (auto& item : shapes) {
        if (n_members > 1) {
            item.second.insert(item.second.begin(), static_cast<std::int64_t>(n_members));
        }
    }
    return shapes;
}

std::string known_kinds(int format) {
    std::string text;
    for (const Family& family : kFamilies) {
        if (family.first_format <= format) {
            text += (text.empty() ? "'" : ", '") + std::string(family.kind) + "'";
        }
    }
    return text;
}

}  // namespace qdml
