// SPDX-License-Identifier: MIT
/// Engines on the emulated device or on a card, and random potentials of both families for them.
#pragma once

#include <cstdlib>
#include <string>

#include "domains.hpp"
#include "path_model.hpp"

namespace qdml_test {

/// An environment variable for the length of a test.
struct Variable {
    Variable(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
    ~Variable() { unsetenv(name_); }
    const char* name_;
};

/// QDML_TEST_DEVICE names the library of a machine with a card; benchmarks/gpu.py sets it.
inline bool is_emulated() { return std::getenv("QDML_TEST_DEVICE") == nullptr; }
inline std::string device_library() { return is_emulated() ? QDML_EMULATED_DEVICE : std::getenv("QDML_TEST_DEVICE"); }

inline qdml::Engine device_engine(const std::string& path, qdml::Precision precision) {
    const Variable library("QDML_DEVICE_LIBRARY", device_library());
    return qdml::Engine(path, precision, {qdml::Device::gpu, 0});
}

/// A random potential of either family: the cases hold for both.
inline void write_model(const std::string& path, bool paths, const Options& o) {
    if (!paths) return write_random_model(path, o);
    PathOptions p;
    p.features.assign(std::size_t(o.layers) + 1, "16x0e+8x1o+4x1e+4x2e");
    if (o.layers > 1) p.features[1] = "16x0e+8x1o+4x2e";
    p.features.front() = p.features.back() = "16x0e";
    p.self_connection = o.layers == 2 ? "linear" : "none";
    if (o.layers == 3) p.self_connection = "species";
    p.seed = o.seed;
    write_random_path_model(path, p);
}

}  // namespace qdml_test
