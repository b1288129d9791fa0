// SPDX-License-Identifier: MIT
/// Potentials of Clebsch-Gordan paths for the tests that Cartesian ones have: a stored one and random ones.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "paths/architecture.hpp"
#include "random_model.hpp"

namespace qdml_test {

/// Cd, Se, Cl; three layers, both parities, 4 Å as random_model.hpp; forces of some meV/Å.
inline std::string path_model() { return QDML_GOLDEN "/sevennet.qdml"; }

struct PathOptions {
    std::vector<std::string> features;      ///< irreps before, between and after the layers
    std::vector<std::string> messages = {};  ///< of each layer; those before it if empty
    int l_edge = 2;                         ///< harmonics up to this degree
    bool natural = true;                    ///< parity of the harmonics, else all even
    std::string self_connection = "species";
    std::string gate = "silu";
    std::vector<int> readout = {};
    bool zbl = true;
    double cutoff = 4.0;
    int knots = 60;
    unsigned seed = 1;
};

namespace detail {

/// "16x0e+8x1o" as {(degree, parity)} in order.
inline std::vector<std::pair<int, int>> kinds_of(const std::string& irreps) {
    std::vector<std::pair<int, int>> kinds;
    std::istringstream text(irreps);
    for (std::string term; std::getline(text, term, '+');) {
        kinds.emplace_back(term[term.size() - 2] - '0', term.back() == 'e' ? 1 : -1);
    }
    return kinds;
}

inline std::string name_of(const std::pair<int, int>& kind) {
    return std::to_string(kind.first) + (kind.second == 1 ? "e" : "o");
}

/// Every path that the triangle rule and parity allow.
inline nlohmann::json all_paths(const std::string& message, const std::string& out, const PathOptions& o) {
    nlohmann::json paths = nlohmann::json::array();
    for (const auto& b : kinds_of(out)) {
        for (const auto& a : kinds_of(message)) {
            for (int l = std::abs(a.first - b.first); l <= std::min(o.l_edge, a.first + b.first); ++l) {
                if (a.second * (o.natural && l % 2 == 1 ? -1 : 1) != b.second) continue;
                paths.push_back({name_of(a), l, name_of(b)});
            }
        }
    }
    return paths;
}

/// Values and derivatives times the spacing of Σ a_k cos(k π x) (1 - x²)³ at the knots.
inline void add_radial(RandomTensors& tensors, const std::string& name, const qdml::Shape& shape) {
    const auto functions = static_cast<std::size_t>(shape[2]);
    const double knots = static_cast<double>(shape[0] - 1);
    std::vector<double> amplitude(4 * functions);
    for (auto& a : amplitude) a = 0.5 * tensors.normal();
    tensors.add(name, shape, [&](std::size_t i) {
        constexpr double pi = 3.14159265358979;
        const double x = static_cast<double>(i / (2 * functions)) / knots, q = 1 - x * x;
        double value = 0, slope = 0;
        for (std::size_t k = 0; k < 4; ++k) {
            const double a = amplitude[k * functions + i % functions], w = pi * double(k);
            value += a * std::cos(w * x) * q * q * q;
            slope += a * (-w * std::sin(w * x) * q * q * q - 6 * x * q * q * std::cos(w * x));
        }
        return x == 1 ? 0.0 : i / functions % 2 == 0 ? value : slope / knots;
    });
}

}  // namespace detail

/// Write a potential of all paths between these irreps, forces of O(1) eV/Å.
inline void write_random_path_model(const std::string& path, const PathOptions& o) {
    nlohmann::json layers = nlohmann::json::array();
    for (std::size_t t = 0; t + 1 < o.features.size(); ++t) {
        const std::string& message = o.messages.empty() ? o.features[t] : o.messages[t];
        layers.push_back({{"irreps_in", o.features[t]},
                          {"irreps_message", message},
                          {"irreps_out", o.features[t + 1]},
                          {"paths", detail::all_paths(message, o.features[t + 1], o)},
                          {"self_connection", o.self_connection},
                          {"activation", {{"even", "silu"}, {"odd", "tanh"}, {"gate", o.gate}}}});
    }
    const nlohmann::json architecture = {{"kind", "clebsch-gordan"},
                                         {"cutoff", o.cutoff},
                                         {"knots", o.knots},
                                         {"edge_parity", o.natural ? "natural" : "even"},
                                         {"layers", layers},
                                         {"readout", o.readout}};
    qdml::Model model;
    model.kind = "clebsch-gordan";
    model.info.species = {"Cd", "Se", "Cl"};
    qdml::read_paths(path, architecture, 2, model);
    RandomTensors tensors(o.seed);
    for (const auto& [name, shape] : qdml::path_shapes(model)) {
        if (name == "energy.reference" || name == "energy.scale") continue;
        const std::string last = name.substr(name.rfind('.') + 1);
        if (last == "radial") {
            detail::add_radial(tensors, name, shape);
        } else if (name == "embedding.weight") {
            tensors.add(name, shape, [&](std::size_t) { return tensors.normal(); });
        } else {
            tensors.linear(name, shape);
        }
    }
    tensors.add_energies();
    if (o.zbl) tensors.add_zbl();
    tensors.write(path, architecture, 2);
}

}  // namespace qdml_test
