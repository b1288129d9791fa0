// SPDX-License-Identifier: MIT
/// SHA-256 (FIPS 180-4) of a block of memory: the identity of a potential.
#pragma once

#include <cstddef>
#include <string>

namespace qdml {

/// Hash of `size` bytes at `data` as 64 lower-case hexadecimal digits.
std::string sha256(const unsigned char* data, std::size_t size);

}  // namespace qdml
