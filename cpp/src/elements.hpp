// SPDX-License-Identifier: MIT
/// Chemical symbols and atomic numbers.
#pragma once

#include <string>

namespace qdml {

/// Atomic number of a chemical symbol ("Cd" -> 48), 0 when there is no such element.
int atomic_number(const std::string& symbol) noexcept;

}  // namespace qdml
