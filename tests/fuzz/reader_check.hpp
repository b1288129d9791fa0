// SPDX-License-Identifier: MIT
/// What must hold for every sequence of bytes given to the engine as a `.qdml` file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace qdml_fuzz {

/// Load `data` through Committee in both precisions and, when it holds potentials, evaluate five
/// atoms with each. Returns the error code of the reader, or "ok".
///
/// Throws std::logic_error when the library breaks its promises: another exception than qdml::Error,
/// an unknown code, a message without the path or longer than 1000 bytes beyond it, two precisions
/// that disagree, results of the wrong size. Memory faults are the sanitizers' business.
std::string check_reader(const std::uint8_t* data, std::size_t size);

}  // namespace qdml_fuzz
