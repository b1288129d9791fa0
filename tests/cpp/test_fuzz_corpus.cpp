// SPDX-License-Identifier: MIT
/// The stored inputs of the fuzzer and a fixed series of changed files, with any compiler.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "../fuzz/mutator.hpp"
#include "../fuzz/reader_check.hpp"

namespace {

using qdml_fuzz::Bytes;

/// All files of both folders, in the order of their names.
std::vector<Bytes> stored_inputs() {
    std::vector<std::filesystem::path> paths;
    for (const char* folder : {QDML_GOLDEN "/broken", QDML_GOLDEN "/../fuzz/corpus"}) {
        for (const auto& entry : std::filesystem::directory_iterator(folder)) {
            paths.push_back(entry.path());
        }
    }
    std::sort(paths.begin(), paths.end());
    std::vector<Bytes> inputs;
    for (const auto& path : paths) {
        std::ifstream stream(path, std::ios::binary);
        inputs.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
    }
    return inputs;
}

std::string code_of(const Bytes& bytes) {
    return qdml_fuzz::check_reader(bytes.data(), bytes.size());
}

}  // namespace

TEST_CASE("the reader keeps its promises on every stored input of the fuzzer") {
    const auto inputs = stored_inputs();
    REQUIRE(inputs.size() > 150);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        CAPTURE(i);
        CHECK_NOTHROW(code_of(inputs[i]));
    }
}

TEST_CASE("and on a fixed series of changed files, which reaches every check") {
    const auto inputs = stored_inputs();
    const char* const wanted = std::getenv("QDML_FUZZ_TRIALS");
    const int trials = wanted == nullptr ? 10000 : std::atoi(wanted);
    std::mt19937 random(wanted == nullptr ? 11u : static_cast<unsigned>(trials));
    const auto change_bytes = [&random](Bytes& bytes, std::size_t) {
        for (unsigned k = 1 + random() % 3; k > 0 && !bytes.empty(); --k) {
            bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
        }
    };
    std::map<std::string, int> seen;
    for (int trial = 0; trial < trials; ++trial) {
        const auto changed = qdml_fuzz::mutate(inputs[random() % inputs.size()], 1 << 16, random,
                                               change_bytes);
        CAPTURE(trial);
        std::string code;
        CHECK_NOTHROW(code = code_of(changed));
        ++seen[code];
    }
    std::ifstream stream(QDML_GOLDEN "/broken/cases.json");
    const auto cases = nlohmann::json::parse(stream);
    for (const auto& item : cases.items()) {
        CAPTURE(item.value());
        CHECK(seen[item.value()] > 0);
    }
    CHECK(seen["ok"] > trials / 100);
}
