// SPDX-License-Identifier: MIT
/// A stored potential of Clebsch-Gordan paths for the tests that random Cartesian ones have.
#pragma once

#include <string>

namespace qdml_test {

/// Cd, Se, Cl; three layers, both parities, 4 Å as random_model.hpp; forces of some meV/Å.
inline std::string path_model() { return QDML_GOLDEN "/sevennet.qdml"; }

}  // namespace qdml_test
