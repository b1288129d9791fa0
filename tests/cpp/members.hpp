// SPDX-License-Identifier: MIT
/// Files of the members of a committee, and results that are the same to the bit.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "random_model.hpp"

namespace qdml_test {

struct MemberFiles {
    std::vector<std::unique_ptr<TemporaryFile>> files;
    std::vector<std::string> paths;

    /// A place for one more potential.
    const std::string& add(const std::string& prefix) {
        files.push_back(std::make_unique<TemporaryFile>(prefix + std::to_string(paths.size()) + ".qdml"));
        paths.push_back(files.back()->path);
        return paths.back();
    }
};

inline void check_same(const qdml::Result& a, const qdml::Result& b) {
    CHECK(a.energy == b.energy);
    CHECK(std::equal(a.virial, a.virial + 9, b.virial));
    CHECK(a.force == b.force);
    CHECK(a.atom_energy == b.atom_energy);
    CHECK(a.atom_virial == b.atom_virial);
    CHECK(a.centroid_virial == b.centroid_virial);
    CHECK(a.nearest_distance == b.nearest_distance);
    CHECK(a.nearest_row == b.nearest_row);
}

}  // namespace qdml_test
