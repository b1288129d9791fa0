// SPDX-License-Identifier: MIT
/// Checks and shapes of the Cartesian family, in the order of python/qdml/cartesian.py.
#include "cartesian.hpp"

#include <algorithm>
#include <sstream>

#include "document.hpp"

namespace qdml {

using nlohmann::json;

namespace {

/// Terms of a layer into one output degree, or into all (-1).
int count_terms(int l_in, int l_out, int degree) noexcept {
    int n = 0;
    for (const Term& term : kTerm) {
        const bool present = term.l_in <= l_in && term.l_out <= l_out &&
                             (term.l_edge <= 2 || l_in == 3 || l_out == 3);
        n += present && (degree < 0 || term.l_out == degree) ? 1 : 0;
    }
    return n;
}

PerDegree<int> read_channels(const std::string& path, const std::string& key, const json& found,
                                 int l) {
    bool good = found.is_array() && found.size() == static_cast<std::size_t>(l) + 1;
    for (std::size_t i = 0; good && i < found.size(); ++i) {
        good = is_integer(found[i], 1, kMaxChannels);
    }
    need(path, good, key, found, std::to_string(l + 1) + " integers in 1..4096");
    PerDegree<int> channels = {};
    for (std::size_t i = 0; i < found.size(); ++i) {
        channels[i] = found[i].get<int>();
    }
    return channels;
}

LayerShape read_layer(const std::string& path, const std::string& where, const json& found,
                      int format) {
    need(path, found.is_object(), where, found, "an object");
    check_keys(path, where, found, {"l_in", "l_out", "channels_in", "channels_out"});
    LayerShape layer;
    for (const bool in : {true, false}) {
        const std::string side = in ? "in" : "out";
        const json& l = found["l_" + side];
        const int most = format == 1 ? 2 : kMaxDegree;
        need(path, is_integer(l, 0, most), where + ".l_" + side, l,
             "an integer in 0.." + std::to_string(most) + " (format " + std::to_string(format) + ")");
        const auto channels = read_channels(path, where + ".channels_" + side,
                                            found["channels_" + side], l.get<int>());
        (in ? layer.l_in : layer.l_out) = l.get<int>();
        (in ? layer.channels_in : layer.channels_out) = channels;
    }
    return layer;
}

Architecture read_architecture(const std::string& path, const json& found, int format) {
    check_keys(path, "architecture", found,
               {"kind", "cutoff", "knots", "message_channels", "layers", "readout"});
    const std::string at = "architecture.";
    Architecture a;
    a.separated = found["kind"] == "cartesian-separated";
    a.cutoff = read_cutoff(path, found["cutoff"]);
    a.knots = read_knots(path, found["knots"]);
    const json& channels = found["message_channels"];
    need(path, is_integer(channels, 16, kMaxChannels) && channels.get<int>() % 16 == 0,
         at + "message_channels", channels, "a multiple of 16, at most 4096");
    a.message_channels = channels.get<int>();
    const json& layers = found["layers"];
    need(path, layers.is_array() && !layers.empty() && layers.size() <= kMaxLayers, at + "layers",
         layers, "a list of 1..64 layers");
    for (std::size_t t = 0; t < layers.size(); ++t) {
        const auto where = at + "layers[" + std::to_string(t) + "]";
        const auto layer = read_layer(path, where, layers[t], format);
        const int before = t == 0 ? 0 : a.layers.back().l_out;
        need(path, layer.l_in == before, where + ".l_in", layers[t]["l_in"], std::to_string(before));
        need(path, t == 0 || layer.channels_in == a.layers.back().channels_out,
             where + ".channels_in", layers[t]["channels_in"], "channels_out of the layer before");
        a.layers.push_back(layer);
    }
    need(path, a.layers.back().l_out == 0, "l_out of the last layer", layers.back()["l_out"], "0");
    a.readout = read_readout(path, found["readout"]);
    return a;
}

std::string describe(const std::string& kind, const Architecture& a) {
    int l_max = 0;
    for (const auto& layer : a.layers) {
        l_max = std::max(l_max, layer.l_out);
    }
    std::ostringstream text;
    text << kind << ", l_max " << l_max << ", " << a.message_channels << " channels, "
         << a.layers.size() << (a.layers.size() == 1 ? " layer, " : " layers, ") << a.cutoff << " Å";
    return text.str();
}

}  // namespace

int n_terms(int l_in, int l_out) noexcept { return count_terms(l_in, l_out, -1); }
int n_terms(int l_in, int l_out, int l) noexcept { return count_terms(l_in, l_out, l); }

int n_slots(const Architecture& architecture, const LayerShape& layer, int l) noexcept {
    if (l > layer.l_out) {
        return 0;
    }
    return architecture.separated ? count_terms(layer.l_in, layer.l_out, l) : 1;
}

void read_cartesian(const std::string& path, const json& architecture, int format, Model& model) {
    model.architecture = read_architecture(path, architecture, format);
    model.info.cutoff = model.architecture.cutoff;
    model.info.n_layers = static_cast<int>(model.architecture.layers.size());
    model.info.message_channels = model.architecture.message_channels;
    model.info.architecture = describe(model.kind, model.architecture);
}

Shapes cartesian_shapes(const Model& model) {
    const Architecture& a = model.architecture;
    const auto n_species = static_cast<std::int64_t>(model.info.species.size());
    const std::int64_t channels = a.message_channels;
    Shapes shapes;
    shapes["energy.reference"] = {n_species};
    shapes["energy.scale"] = {n_species};
    shapes["embedding.weight"] = {n_species, a.layers[0].channels_in[0]};
    for (std::size_t t = 0; t < a.layers.size(); ++t) {
        const LayerShape& layer = a.layers[t];
        const std::string p = "layers." + std::to_string(t) + ".";
        shapes[p + "radial"] = {a.knots + 3, n_terms(layer.l_in, layer.l_out), channels};
        for (int l = 0; l <= layer.l_in; ++l) {
            const std::int64_t f = layer.channels_in[static_cast<std::size_t>(l)];
            const std::string degree = "l" + std::to_string(l) + ".weight";
            shapes[p + "linear_in." + degree] = {f, channels};
            if (t > 0 && l <= layer.l_out) {
                shapes[p + "self_connection." + degree] = {n_species, f, layer.out_width(l)};
            }
        }
        for (int l = 0; l <= layer.l_out; ++l) {
            shapes[p + "linear_out.l" + std::to_string(l) + ".weight"] = {
                n_slots(a, layer, l) * channels, layer.out_width(l)};
        }
    }
    add_readout_shapes(a.layers.back().channels_out[0], a.readout, shapes);
    return shapes;
}

void check_cartesian_values(const std::string& path, const Model& model) {
    for (std::size_t t = 0; t < model.architecture.layers.size(); ++t) {
        const LayerShape& layer = model.architecture.layers[t];
        const std::string name = "layers." + std::to_string(t) + ".radial";
        const auto& table = model.tensor(name);
        const auto tail = 3 * n_terms(layer.l_in, layer.l_out) * model.architecture.message_channels;
        if (std::any_of(table.end() - tail, table.end(), [](double x) { return x != 0.0; })) {
            refuse(path, "radial_not_zero_at_cutoff",
                   "tensor '" + name +
                       "': the last three knots must be zero, or forces jump at the cutoff");
        }
    }
}

}  // namespace qdml
