// SPDX-License-Identifier: MIT
/// libFuzzer entry points of the `.qdml` reader; build with QDML_FUZZ (docs/building-from-source.md).
#include <cstdlib>
#include <exception>
#include <iostream>

#include "mutator.hpp"
#include "reader_check.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        qdml_fuzz::check_reader(data, size);
    } catch (const std::exception& error) {
        std::cerr << error.what() << '\n';
        std::abort();
    }
    return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
    std::mt19937 random(seed);
    const auto by_libfuzzer = [](qdml_fuzz::Bytes& bytes, std::size_t most) {
        const std::size_t old = bytes.size();
        bytes.resize(most);
        bytes.resize(LLVMFuzzerMutate(bytes.data(), old, most));
    };
    const auto changed = qdml_fuzz::mutate({data, data + size}, max_size, random, by_libfuzzer);
    std::copy(changed.begin(), changed.end(), data);
    return changed.size();
}
