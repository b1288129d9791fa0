// SPDX-License-Identifier: MIT
/// Rows of an evaluator on their way.
#pragma once

#include <type_traits>

#include "qdml/engine.hpp"

namespace qdml {

/// Rows of fp64 travel as they are, whatever `halo` says.
template <class real>
RowShape row_shape(int width, Halo halo) {
    const bool is_single = std::is_same<real, float>::value;
    return {width, is_single, is_single ? halo : Halo::full};
}

}  // namespace qdml
