// SPDX-License-Identifier: MIT
/// Random, well-scaled potentials and structures for the C++ tests.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "cartesian.hpp"

namespace qdml_test {

/// A file that is deleted with the object.
struct TemporaryFile {
    explicit TemporaryFile(const std::string& name)
        : path("/tmp/qdml-test-" + std::to_string(::getpid()) + "-" + name) {}
    ~TemporaryFile() { std::remove(path.c_str()); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    std::string path;
};

struct Options {
    bool separated = false;
    int l_max = 2;
    int layers = 3;
    int channels = 12;  ///< node features, not a multiple of 16 on purpose
    int message_channels = 32;
    double cutoff = 4.0;
    int knots = 24;
    std::vector<int> readout = {8};
    bool zbl = true;
    unsigned seed = 1;
    std::vector<int> degrees = {};  ///< l_out of every layer, instead of l_max and layers
};

/// Random tensors of a potential for Cd, Se, Cl, and its file.
class RandomTensors {
public:
    explicit RandomTensors(unsigned seed) : generator_(seed) {}

    double normal() { return normal_(generator_); }
    template <class Make>
    void add(const std::string& name, const std::vector<std::int64_t>& shape, const Make& make) {
        std::size_t count = 1;
        for (const auto extent : shape) {
            count *= static_cast<std::size_t>(extent);
        }
        const std::size_t begin = data_.size() * 8;
        for (std::size_t i = 0; i < count; ++i) {
            data_.push_back(make(i));
        }
        header_[name] = {{"dtype", "F64"}, {"shape", shape}, {"data_offsets", {begin, data_.size() * 8}}};
    }
    /// A linear map scaled by its fan-in.
    void linear(const std::string& name, const std::vector<std::int64_t>& shape) {
        const double scale = 1 / std::sqrt(double(shape[shape.size() - 2]));
        add(name, shape, [&](std::size_t) { return scale * normal(); });
    }
    void add_energies() {
        add("energy.reference", {3}, [&](std::size_t i) { return -100.0 - 3.0 * double(i); });
        add("energy.scale", {3}, [&](std::size_t i) { return 0.6 + 0.2 * double(i); });
    }
    void add_zbl() {
        const double r[3] = {1.6, 2.0, 1.4};
        add("zbl.r_max", {3, 3}, [&](std::size_t i) { return (r[i / 3] + r[i % 3]) / 2; });
    }
    void write(const std::string& path, const nlohmann::json& architecture, int format) {
        using nlohmann::json;
        const json document = {{"format", format},
                               {"tool", "C++ tests"},
                               {"architecture", architecture},
                               {"species", {"Cd", "Se", "Cl"}},
                               {"units", {{"length", "angstrom"}, {"energy", "eV"}}},
                               {"level_of_theory", "none"},
                               {"training", json::object()},
                               {"distances_seen", json::object()},
                               {"proof", nullptr},
                               {"parent", nullptr},
                               {"description", ""}};
        // the entries are sorted by name, the data are not: offsets say where each tensor lies
        header_["__metadata__"] = {{"qdml", document.dump()}};
        std::string text = header_.dump();
        text.append((8 - text.size() % 8) % 8, ' ');
        const std::uint64_t length = text.size();
        std::ofstream out(path, std::ios::binary);
        out.write(reinterpret_cast<const char*>(&length), 8);
        out.write(text.data(), std::streamsize(text.size()));
        out.write(reinterpret_cast<const char*>(data_.data()), std::streamsize(data_.size() * 8));
    }

private:
    std::mt19937 generator_;
    std::normal_distribution<double> normal_;
    nlohmann::json header_;
    std::vector<double> data_;
};

/// Write a Cartesian potential.
inline void write_random_model(const std::string& path, const Options& o) {
    using nlohmann::json;
    RandomTensors tensors(o.seed);
    json layers = json::array();
    int l_in = 0;
    const int f = o.channels, c = o.message_channels;
    auto degrees = o.degrees;
    if (degrees.empty()) {
        degrees.assign(std::size_t(o.layers), o.l_max);
        degrees.back() = 0;
    }
    qdml::Architecture architecture;
    architecture.separated = o.separated;
    for (int t = 0; t < int(degrees.size()); ++t) {
        const int l_out = degrees[std::size_t(t)];
        qdml::LayerShape shape;
        shape.l_in = l_in;
        shape.l_out = l_out;
        layers.push_back({{"l_in", l_in},
                          {"l_out", l_out},
                          {"channels_in", std::vector<int>(std::size_t(l_in) + 1, f)},
                          {"channels_out", std::vector<int>(std::size_t(l_out) + 1, f)}});
        const std::string p = "layers." + std::to_string(t) + ".";
        const int terms = qdml::n_terms(l_in, l_out);
        std::vector<double> amplitude(std::size_t(4 * terms * c));
        for (auto& a : amplitude) {
            a = 0.5 * tensors.normal();
        }
        tensors.add(p + "radial", {o.knots + 3, terms, c}, [&](std::size_t i) {
            const std::size_t row = std::size_t(terms * c), m = i / row;
            const double x = std::fabs(double(m) - 1) / o.knots;
            double sum = 0;
            for (std::size_t k = 0; x < 1 && m < std::size_t(o.knots) && k < 4; ++k) {
                sum += amplitude[k * row + i % row] * std::cos(3.14159265358979 * double(k) * x);
            }
            return sum * std::pow(1 - x * x, 3);
        });
        for (int l = 0; l <= std::max(l_in, l_out); ++l) {
            const std::string degree = ".l" + std::to_string(l) + ".weight";
            const int width = l == 0 ? f * (l_out + 1) : f;
            if (l <= l_in) tensors.linear(p + "linear_in" + degree, {f, c});
            if (l <= l_out) {
                tensors.linear(p + "linear_out" + degree, {qdml::n_slots(architecture, shape, l) * c, width});
            }
            if (t > 0 && l <= std::min(l_in, l_out)) {
                tensors.linear(p + "self_connection" + degree, {3, f, width});
            }
        }
        l_in = l_out;
    }
    tensors.add("embedding.weight", {3, f}, [&](std::size_t) { return tensors.normal(); });
    tensors.add_energies();
    int width = f;
    for (std::size_t k = 0; k <= o.readout.size(); ++k) {
        const int next = k < o.readout.size() ? o.readout[k] : 1;
        tensors.linear("readout." + std::to_string(k) + ".weight", {width, next});
        width = next;
    }
    if (o.zbl) tensors.add_zbl();
    const bool first_format =
        !o.separated && *std::max_element(degrees.begin(), degrees.end()) < 3;
    tensors.write(path,
                  {{"kind", o.separated ? "cartesian-separated" : "cartesian-summed"},
                   {"cutoff", o.cutoff},
                   {"knots", o.knots},
                   {"message_channels", c},
                   {"layers", layers},
                   {"readout", o.readout}},
                  first_format ? 1 : 2);
}

/// Atoms in a triclinic box smaller than twice the cutoff, no two closer than 1.3 Å.
struct Structure {
    std::vector<double> positions;
    std::vector<int> species;
    double cell[9] = {6.1, 0.4, -0.3, 0.5, 5.6, 0.2, -0.6, 0.3, 6.8};
    bool pbc[3] = {true, true, true};

    int n() const { return static_cast<int>(species.size()); }
    qdml::NeighborList neighbors(double cutoff) const {
        return qdml::build_neighbor_list(n(), positions.data(), cell, pbc, cutoff);
    }
};

inline Structure random_structure(int n, unsigned seed) {
    std::mt19937 generator(seed);
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    Structure s;
    const double scale = std::cbrt(n / 12.0);
    for (auto& x : s.cell) {
        x *= std::max(scale, 0.9);
    }
    while (s.n() < n) {
        const double u[3] = {uniform(generator), uniform(generator), uniform(generator)};
        for (std::size_t k = 0; k < 3; ++k) {
            s.positions.push_back(u[0] * s.cell[k] + u[1] * s.cell[3 + k] + u[2] * s.cell[6 + k]);
        }
        s.species.push_back(s.n() % 3);
        const auto list = s.neighbors(1.3);
        if (!list.neighbor.empty()) {
            s.species.pop_back();
            s.positions.resize(s.positions.size() - 3);
        }
    }
    return s;
}

inline qdml::Result evaluate(qdml::Engine& engine, const Structure& s,
                             const qdml::Request& request = {}) {
    const auto list = s.neighbors(engine.info().cutoff);
    qdml::Result result;
    engine.compute({s.n(), s.n(), s.species.data(), list.row_start.data(), list.neighbor.data(),
                    list.edge_vector.data()},
                   request, nullptr, result);
    return result;
}

/// Least memory limit under which `compute` works, from the message of the refusal.
template <class Compute>
std::int64_t least_limit(qdml::Engine& engine, const Compute& compute) {
    engine.set_memory_limit(1);
    try {
        compute();
    } catch (const qdml::Error& error) {
        const std::string text = error.what(), before = "need at least ";
        return std::stoll(text.substr(text.find(before) + before.size()));
    }
    return 0;
}

/// Largest absolute difference of two arrays.
inline double difference(const std::vector<double>& a, const std::vector<double>& b) {
    double most = a.size() == b.size() ? 0.0 : 1e300;
    for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
        most = std::max(most, std::fabs(a[i] - b[i]));
    }
    return most;
}

}  // namespace qdml_test
