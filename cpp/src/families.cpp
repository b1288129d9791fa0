// SPDX-License-Identifier: MIT
/// The table of architectures: a new kind is a line here and a branch of make_evaluator (engine.cpp).
#include "families.hpp"

#include "cartesian.hpp"

namespace qdml {
namespace {

constexpr Family kFamilies[] = {
    {"cartesian-summed", 1, read_cartesian, cartesian_shapes, check_cartesian_values},
    {"cartesian-separated", 2, read_cartesian, cartesian_shapes, check_cartesian_values},
};

}  // namespace

const Family* family_of(const std::string& kind) noexcept {
    for (const Family& family : kFamilies) {
        if (kind == family.kind) {
            return &family;
        }
    }
    return nullptr;
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
