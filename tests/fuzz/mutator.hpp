// SPDX-License-Identifier: MIT
/// Changes of `.qdml` files that keep enough of their structure to reach the checks behind the JSON.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <vector>

namespace qdml_fuzz {

using Bytes = std::vector<std::uint8_t>;

/// Change single bytes: libFuzzer's own mutator, or a simple one where that is absent.
using ByteMutator = std::function<void(Bytes& bytes, std::size_t max_size)>;

/// One to three changes of `file`, drawn from `random`: values and keys of the header and of the
/// document, tensors laid out anew for another architecture, special numbers in the data, deep
/// nesting, single bytes. Lengths and offsets are mended unless they are what changes.
/// The result has at most `max_size` bytes. Deterministic for equal inputs and generators.
Bytes mutate(const Bytes& file, std::size_t max_size, std::mt19937& random,
             const ByteMutator& mutate_bytes);

}  // namespace qdml_fuzz
