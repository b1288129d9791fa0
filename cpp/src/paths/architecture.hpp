// SPDX-License-Identifier: MIT
/// Architecture `clebsch-gordan`: irreps, paths, tensor shapes (docs/file-format.md).
#pragma once

#include <string>
#include <vector>

#include "../families.hpp"

namespace qdml {

/// `channels` copies of one irreducible representation of O(3), written like 64x1o.
struct Irrep {
    int channels = 0;
    int degree = 0;
    int parity = 1;  ///< 1 even (e), -1 odd (o)

    std::string name() const { return std::to_string(degree) + (parity == 1 ? "e" : "o"); }
    bool same_kind(const Irrep& other) const {
        return degree == other.degree && parity == other.parity;
    }
};

using Irreps = std::vector<Irrep>;  ///< each kind at most once

struct CouplingPath {
    std::size_t in = 0;   ///< index into irreps_message
    int edge = 0;         ///< degree of the harmonics
    std::size_t out = 0;  ///< index into irreps_out
};

enum class SelfConnection { none, linear, species };

struct PathLayer {
    Irreps irreps_in, irreps_message, irreps_out;
    std::vector<CouplingPath> paths;
    SelfConnection self_connection = SelfConnection::none;
    int even = 0, odd = 1, gate = 0;  ///< activations: 0 silu, 1 tanh

    /// Gates: one per channel of irreps_out with degree > 0, behind the scalars 0e.
    int n_gates() const;
    /// Channels of the pre-activations of irrep k of irreps_out.
    int width(std::size_t k) const;
    /// Channels of a path: those of its input.
    int channels(const CouplingPath& path) const { return irreps_message[path.in].channels; }
};

struct PathArchitecture {
    double cutoff = 0.0;  ///< Å
    int knots = 0;
    std::vector<PathLayer> layers;
    std::vector<int> readout;  ///< hidden widths
};

/// Index of the same kind of irrep, or irreps.size().
std::size_t find_irrep(const Irreps& irreps, const Irrep& irrep);

/// The entries of Family (families.hpp).
void read_paths(const std::string& path, const nlohmann::json& architecture, int format,
                Model& model);
Shapes path_shapes(const Model& model);
void check_path_values(const std::string& path, const Model& model);

}  // namespace qdml
