// SPDX-License-Identifier: MIT
/// Checks of a `clebsch-gordan` architecture, in the order of python/qdml/paths.py.
#include "paths/architecture.hpp"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "document.hpp"

namespace qdml {

using nlohmann::json;

namespace {

constexpr int kMostPaths = 256;

/// `128x0e+64x1o`; false when malformed or when an irrep comes twice.
bool parse_irreps(const json& found, Irreps& irreps) {
    if (!found.is_string()) {
        return false;
    }
    std::istringstream text(found.get<std::string>() + "+");
    std::string term;
    while (std::getline(text, term, '+')) {
        const std::size_t x = term.find('x');
        if (x == std::string::npos || x == 0 || x > 4 || term.size() != x + 3 || term[0] == '0' ||
            term.find_first_not_of("0123456789") != x) {
            return false;
        }
        Irrep irrep;
        irrep.channels = std::atoi(term.substr(0, x).c_str());
        irrep.degree = term[x + 1] - '0';
        irrep.parity = term[x + 2] == 'e' ? 1 : -1;
        if (irrep.channels > kMaxChannels || irrep.degree < 0 || irrep.degree > kMaxDegree ||
            (term[x + 2] != 'e' && term[x + 2] != 'o') ||
            find_irrep(irreps, irrep) < irreps.size()) {
            return false;
        }
        irreps.push_back(irrep);
    }
    return !irreps.empty();
}

bool only_scalars(const Irreps& irreps) {
    return irreps.size() == 1 && irreps[0].degree == 0 && irreps[0].parity == 1;
}

CouplingPath read_path(const std::string& file, const std::string& key, const json& found,
                       const PathLayer& layer, bool natural) {
    CouplingPath path;
    bool good = found.is_array() && found.size() == 3 && is_integer(found[1], 0, kMaxDegree) &&
                found[0].is_string() && found[2].is_string();
    if (good) {
        const auto named = [](const Irreps& irreps, const json& name) {
            const auto at = std::find_if(irreps.begin(), irreps.end(), [&](const Irrep& irrep) {
                return irrep.name() == name.get<std::string>();
            });
            return static_cast<std::size_t>(at - irreps.begin());
        };
        path = {named(layer.irreps_message, found[0]), found[1].get<int>(),
                named(layer.irreps_out, found[2])};
        good = path.in < layer.irreps_message.size() && path.out < layer.irreps_out.size();
    }
    need(file, good, key, found, "[irrep of the message, l of the edge, irrep of irreps_out]");
    const Irrep &a = layer.irreps_message[path.in], &b = layer.irreps_out[path.out];
    need(file, std::abs(a.degree - path.edge) <= b.degree && b.degree <= a.degree + path.edge, key,
         found, "degrees that form a triangle");
    need(file, a.parity * (natural && path.edge % 2 == 1 ? -1 : 1) == b.parity, key, found,
         "conserved parity");
    return path;
}

int read_activation(const std::string& file, const std::string& where, const json& found,
                    bool odd) {
    const bool tanh = found == "tanh";
    need(file, tanh || (!odd && found == "silu"), where, found, odd ? "tanh" : "silu or tanh");
    return tanh ? 1 : 0;
}

PathLayer read_layer(const std::string& file, const std::string& where, const json& found,
                     bool natural) {
    need(file, found.is_object(), where, found, "an object");
    check_keys(file, where, found,
               {"irreps_in", "irreps_message", "irreps_out", "paths", "self_connection",
                "activation"});
    PathLayer layer;
    for (const auto& [key, irreps] : {std::pair<const char*, Irreps*>{"irreps_in", &layer.irreps_in},
                                      {"irreps_message", &layer.irreps_message},
                                      {"irreps_out", &layer.irreps_out}}) {
        need(file, parse_irreps(found[key], *irreps), where + "." + key, found[key],
             "irreps like 64x0e+32x1o, each once, l <= 3");
    }
    bool good = true, gated = false;
    for (const Irrep& irrep : layer.irreps_message) {
        good = good && find_irrep(layer.irreps_in, irrep) < layer.irreps_in.size();
    }
    need(file, good, where + ".irreps_message", found["irreps_message"], "irreps of irreps_in");
    for (const Irrep& irrep : layer.irreps_out) {
        gated = gated || irrep.degree > 0;
    }
    need(file,
         !gated || find_irrep(layer.irreps_out, {1, 0, 1}) < layer.irreps_out.size(),
         where + ".irreps_out", found["irreps_out"], "scalars 0e as well");
    const json& paths = found["paths"];
    need(file, paths.is_array() && !paths.empty() && paths.size() <= kMostPaths, where + ".paths",
         paths, "a list of 1..256 paths");
    std::vector<bool> reached(layer.irreps_out.size(), false);
    for (std::size_t k = 0; k < paths.size(); ++k) {
        const auto key = where + ".paths[" + std::to_string(k) + "]";
        layer.paths.push_back(read_path(file, key, paths[k], layer, natural));
        reached[layer.paths.back().out] = true;
    }
    need(file, std::find(reached.begin(), reached.end(), false) == reached.end(), where + ".paths",
         paths, "a path to each of irreps_out");
    const json& connection = found["self_connection"];
    need(file, connection == "none" || connection == "linear" || connection == "species",
         where + ".self_connection", connection, "none, linear or species");
    layer.self_connection = connection == "none"     ? SelfConnection::none
                            : connection == "linear" ? SelfConnection::linear
                                                     : SelfConnection::species;
    const json& activation = found["activation"];
    need(file, activation.is_object(), where + ".activation", activation, "an object");
    check_keys(file, where + ".activation", activation, {"even", "odd", "gate"});
    layer.even = read_activation(file, where + ".activation.even", activation["even"], false);
    layer.odd = read_activation(file, where + ".activation.odd", activation["odd"], true);
    layer.gate = read_activation(file, where + ".activation.gate", activation["gate"], false);
    return layer;
}

}  // namespace

std::size_t find_irrep(const Irreps& irreps, const Irrep& irrep) {
    std::size_t k = 0;
    while (k < irreps.size() && !irreps[k].same_kind(irrep)) {
        ++k;
    }
    return k;
}

int PathLayer::n_gates() const {
    int n = 0;
    for (const Irrep& irrep : irreps_out) {
        n += irrep.degree > 0 ? irrep.channels : 0;
    }
    return n;
}

int PathLayer::width(std::size_t k) const {
    const Irrep& irrep = irreps_out[k];
    return irrep.channels + (irrep.degree == 0 && irrep.parity == 1 ? n_gates() : 0);
}

static PathArchitecture read_architecture(const std::string& path, const json& found) {
    const std::string at = "architecture.";
    check_keys(path, "architecture", found,
               {"kind", "cutoff", "knots", "edge_parity", "layers", "readout"});
    PathArchitecture a;
    a.cutoff = read_cutoff(path, found["cutoff"]);
    a.knots = read_knots(path, found["knots"]);
    const json& parity = found["edge_parity"];
    need(path, parity == "natural" || parity == "even", at + "edge_parity", parity,
         "natural or even");
    const json& layers = found["layers"];
    need(path, layers.is_array() && !layers.empty() && layers.size() <= kMaxLayers, at + "layers",
         layers, "a list of 1..64 layers");
    for (std::size_t t = 0; t < layers.size(); ++t) {
        const auto where = at + "layers[" + std::to_string(t) + "]";
        a.layers.push_back(read_layer(path, where, layers[t], parity == "natural"));
        const json& in = layers[t]["irreps_in"];
        if (t == 0) {
            need(path, only_scalars(a.layers[0].irreps_in), where + ".irreps_in", in,
                 "scalars 0e alone");
        } else {
            need(path, in == layers[t - 1]["irreps_out"], where + ".irreps_in", in,
                 layers[t - 1]["irreps_out"].dump() + ", irreps_out before it");
        }
    }
    need(path, only_scalars(a.layers.back().irreps_out), "irreps_out of the last layer",
         layers.back()["irreps_out"], "scalars 0e alone");
    a.readout = read_readout(path, found["readout"]);
    return a;
}

Shapes path_shapes(const Model& model) {
    const PathArchitecture& a = *model.paths;
    const auto n_species = static_cast<std::int64_t>(model.info.species.size());
    Shapes shapes;
    shapes["energy.reference"] = shapes["energy.scale"] = {n_species};
    shapes["embedding.weight"] = {n_species, a.layers[0].irreps_in[0].channels};
    for (std::size_t t = 0; t < a.layers.size(); ++t) {
        const PathLayer& layer = a.layers[t];
        const std::string p = "layers." + std::to_string(t) + ".";
        for (const Irrep& irrep : layer.irreps_message) {
            const Irrep& in = layer.irreps_in[find_irrep(layer.irreps_in, irrep)];
            shapes[p + "linear_in." + irrep.name() + ".weight"] = {in.channels, irrep.channels};
        }
        std::vector<std::int64_t> rows(layer.irreps_out.size(), 0);
        std::int64_t functions = 0;
        for (const CouplingPath& path : layer.paths) {
            rows[path.out] += layer.channels(path);
            functions += layer.channels(path);
        }
        shapes[p + "radial"] = {a.knots + 1, 2, functions};
        for (std::size_t k = 0; k < layer.irreps_out.size(); ++k) {
            const std::string name = layer.irreps_out[k].name() + ".weight";
            shapes[p + "linear_out." + name] = {rows[k], layer.width(k)};
            const std::size_t in = find_irrep(layer.irreps_in, layer.irreps_out[k]);
            if (layer.self_connection == SelfConnection::none || in == layer.irreps_in.size()) {
                continue;
            }
            std::vector<std::int64_t> shape = {layer.irreps_in[in].channels, layer.width(k)};
            if (layer.self_connection == SelfConnection::species) {
                shape.insert(shape.begin(), n_species);
            }
            shapes[p + "self_connection." + name] = shape;
        }
    }
    add_readout_shapes(a.layers.back().irreps_out[0].channels, a.readout, shapes);
    return shapes;
}

void read_paths(const std::string& path, const json& architecture, int, Model& model) {
    model.paths = std::make_shared<PathArchitecture>(read_architecture(path, architecture));
    const PathArchitecture& a = *model.paths;
    int l_max = 0, channels = 0;
    for (const PathLayer& layer : a.layers) {
        for (const Irrep& irrep : layer.irreps_message) {
            channels = std::max(channels, irrep.channels);
        }
        for (const Irrep& irrep : layer.irreps_out) {
            l_max = std::max(l_max, irrep.degree);
        }
    }
    std::ostringstream text;
    text << model.kind << ", l_max " << l_max << ", up to " << channels << " channels, "
         << a.layers.size() << (a.layers.size() == 1 ? " layer, " : " layers, ") << a.cutoff << " Å";
    model.info.cutoff = a.cutoff;
    model.info.n_layers = static_cast<int>(a.layers.size());
    model.info.message_channels = channels;
    model.info.architecture = text.str();
}

void check_path_values(const std::string& path, const Model& model) {
    for (std::size_t t = 0; t < model.paths->layers.size(); ++t) {
        const std::string name = "layers." + std::to_string(t) + ".radial";
        const auto& table = model.tensor(name);
        const auto tail = static_cast<std::int64_t>(table.size()) / (model.paths->knots + 1);
        if (std::any_of(table.end() - tail, table.end(), [](double x) { return x != 0.0; })) {
            refuse(path, "radial_not_zero_at_cutoff",
                   "tensor '" + name +
                       "': the last knot must be zero, or forces jump at the cutoff");
        }
    }
}

}  // namespace qdml
