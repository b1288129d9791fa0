// SPDX-License-Identifier: MIT
/// Checks of the JSON document, in the order of python/qdml/modelfile.py.
#include "document.hpp"

#include <algorithm>
#include <initializer_list>
#include <set>
#include <sstream>

#include "elements.hpp"

namespace qdml {

using nlohmann::json;

namespace {

constexpr int kFormat = 1;
constexpr int kMaxLayers = 64, kMaxChannels = 4096, kMaxKnots = 100000;  // sizes stay in 64 bits

using Keys = std::initializer_list<const char*>;

void need(const std::string& path, bool condition, const std::string& key, const json& value,
          const std::string& expected) {
    if (!condition) {
        refuse(path, "value_invalid", key + " is " + shown(value) + ", expected " + expected);
    }
}

void check_keys(const std::string& path, const std::string& where, const json& found, Keys known) {
    for (const char* key : known) {
        if (!found.contains(key)) {
            refuse(path, "key_missing", "key '" + where + "." + key + "' is missing; export again");
        }
    }
    for (const auto& item : found.items()) {
        const auto same = [&item](const char* key) { return item.key() == key; };
        if (std::none_of(known.begin(), known.end(), same)) {
            refuse(path, "key_unknown",
                   "key '" + where + "." + shown(item.key()) +
                       "' is unknown and would change the numbers; install a newer qdml");
        }
    }
}

std::vector<std::string> read_species(const std::string& path, const json& found) {
    std::vector<std::string> species;
    bool valid = found.is_array() && !found.empty();
    if (valid) {
        for (const auto& symbol : found) {
            valid = valid && symbol.is_string() && atomic_number(symbol.get<std::string>()) > 0;
            species.push_back(valid ? symbol.get<std::string>() : std::string());
        }
    }
    if (!valid || std::set<std::string>(species.begin(), species.end()).size() != species.size()) {
        refuse(path, "species_invalid",
               "key 'species' is " + shown(found) + ", expected distinct chemical symbols");
    }
    return species;
}

std::array<int, 3> read_channels(const std::string& path, const std::string& key, const json& found,
                                 int l) {
    bool good = found.is_array() && found.size() == static_cast<std::size_t>(l) + 1;
    for (std::size_t i = 0; good && i < found.size(); ++i) {
        good = is_integer(found[i], 1, kMaxChannels);
    }
    need(path, good, key, found, std::to_string(l + 1) + " integers in 1..4096");
    std::array<int, 3> channels = {};
    for (std::size_t i = 0; i < found.size(); ++i) {
        channels[i] = found[i].get<int>();
    }
    return channels;
}

LayerShape read_layer(const std::string& path, const std::string& where, const json& found) {
    need(path, found.is_object(), where, found, "an object");
    check_keys(path, where, found, {"l_in", "l_out", "channels_in", "channels_out"});
    LayerShape layer;
    for (const bool in : {true, false}) {
        const std::string side = in ? "in" : "out";
        const json& l = found["l_" + side];
        need(path, is_integer(l, 0, 2), where + ".l_" + side, l, "0, 1 or 2");
        const auto channels = read_channels(path, where + ".channels_" + side,
                                            found["channels_" + side], l.get<int>());
        (in ? layer.l_in : layer.l_out) = l.get<int>();
        (in ? layer.channels_in : layer.channels_out) = channels;
    }
    return layer;
}

Architecture read_architecture(const std::string& path, const json& found) {
    const std::string at = "architecture.";
    Architecture a;
    const json& rc = found["cutoff"];
    need(path, rc.is_number() && rc.get<double>() > 0 && rc.get<double>() <= 1000, at + "cutoff", rc,
         "Å, in (0, 1000]");
    a.cutoff = rc.get<double>();
    need(path, is_integer(found["knots"], 1, kMaxKnots), at + "knots", found["knots"],
         "an integer in 1..100000");
    a.knots = found["knots"].get<int>();
    const json& channels = found["message_channels"];
    need(path, is_integer(channels, 16, kMaxChannels) && channels.get<int>() % 16 == 0,
         at + "message_channels", channels, "a multiple of 16, at most 4096");
    a.message_channels = channels.get<int>();
    const json& layers = found["layers"];
    need(path, layers.is_array() && !layers.empty() && layers.size() <= kMaxLayers, at + "layers",
         layers, "a list of 1..64 layers");
    for (std::size_t t = 0; t < layers.size(); ++t) {
        const auto where = at + "layers[" + std::to_string(t) + "]";
        const auto layer = read_layer(path, where, layers[t]);
        const int before = t == 0 ? 0 : a.layers.back().l_out;
        need(path, layer.l_in == before, where + ".l_in", layers[t]["l_in"], std::to_string(before));
        need(path, t == 0 || layer.channels_in == a.layers.back().channels_out,
             where + ".channels_in", layers[t]["channels_in"], "channels_out of the layer before");
        a.layers.push_back(layer);
    }
    need(path, a.layers.back().l_out == 0, "l_out of the last layer", layers.back()["l_out"], "0");
    const json& hidden = found["readout"];
    bool good = hidden.is_array() && hidden.size() <= kMaxLayers;
    for (std::size_t i = 0; good && i < hidden.size(); ++i) {
        good = is_integer(hidden[i], 1, kMaxChannels);
    }
    need(path, good, at + "readout", hidden, "a list of widths in 1..4096");
    a.readout = hidden.get<std::vector<int>>();
    return a;
}

void check_types(const std::string& path, const json& doc) {
    const auto check = [&](const char* key, bool good) {
        if (!good) {
            refuse(path, "value_invalid",
                   std::string("key '") + key + "' is " + shown(doc[key]) + ": wrong type");
        }
    };
    check("tool", doc["tool"].is_string());
    check("level_of_theory", doc["level_of_theory"].is_string());
    check("training", doc["training"].is_object());
    check("distances_seen", doc["distances_seen"].is_object());
    check("proof", doc["proof"].is_object() || doc["proof"].is_null());
    check("parent", doc["parent"].is_string() || doc["parent"].is_null());
    check("description", doc["description"].is_string());
}

/// [species][species] from "Cd-Se": Å; pairs of other species are ignored like any unknown key.
std::vector<double> read_distances(const std::string& path, const json& found,
                                   const std::vector<std::string>& species) {
    const std::size_t n = species.size();
    std::vector<double> distances(n * n, 0.0);
    for (const auto& item : found.items()) {
        const json& r = item.value();
        need(path, r.is_number() && r.get<double>() > 0, "distances_seen." + shown(item.key()), r,
             "Å, a positive number");
        for (std::size_t i = 0; i < n * n; ++i) {
            if (item.key() == species[i / n] + "-" + species[i % n]) {
                distances[i] = distances[(i % n) * n + i / n] = r.get<double>();
            }
        }
    }
    return distances;
}

std::string describe(const Architecture& a) {
    int l_max = 0;
    for (const auto& layer : a.layers) {
        l_max = std::max(l_max, layer.l_out);
    }
    std::ostringstream text;
    text << "cartesian-summed, l_max " << l_max << ", " << a.message_channels << " channels, "
         << a.layers.size() << (a.layers.size() == 1 ? " layer, " : " layers, ") << a.cutoff << " Å";
    return text.str();
}

}  // namespace

std::string shown(std::string text) {
    constexpr std::size_t kLongest = 200;  // bytes: enough to recognise a value
    if (text.size() > kLongest) {
        std::size_t end = kLongest;
        while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
            --end;  // not inside a UTF-8 character
        }
        text = text.substr(0, end) + "...";
    }
    for (char& c : text) {
        c = static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    return text;
}

std::string shown(const json& value) { return shown(value.dump()); }

void refuse(const std::string& path, const std::string& code, const std::string& message) {
    throw Error(code, path + ": " + message + " [" + code + "]");
}

bool is_integer(const json& value, std::int64_t low, std::int64_t high) {
    if (value.is_number_unsigned()) {  // may exceed the signed range
        const auto found = value.get<std::uint64_t>();
        return found <= static_cast<std::uint64_t>(high) &&
               (low <= 0 || found >= static_cast<std::uint64_t>(low));
    }
    return value.is_number_integer() && value.get<std::int64_t>() >= low &&
           value.get<std::int64_t>() <= high;
}

void read_document(const std::string& path, const json& doc, Model& model) {
    if (!doc.contains("format")) {
        refuse(path, "format_missing", "key 'format' is missing; not written by qdml");
    }
    const json& format = doc["format"];
    need(path, is_integer(format, 1, INT32_MAX), "key 'format'", format, "a positive integer");
    if (format.get<int>() > kFormat) {
        refuse(path, "format_from_the_future",
               "has format " + shown(format) + ", this qdml reads up to " +
                   std::to_string(kFormat) + "; install a newer qdml");
    }
    for (const char* key : {"tool", "architecture", "species", "units", "level_of_theory",
                            "training", "distances_seen", "proof", "parent", "description"}) {
        if (!doc.contains(key)) {
            refuse(path, "key_missing",
                   std::string("key '") + key + "' is missing; export the potential again");
        }
    }
    const json& architecture = doc["architecture"];
    need(path, architecture.is_object(), "key 'architecture'", architecture, "an object");
    if (!architecture.contains("kind")) {
        refuse(path, "key_missing", "key 'architecture.kind' is missing");
    }
    if (architecture["kind"] != "cartesian-summed") {
        refuse(path, "architecture_unknown",
               "architecture.kind is " + shown(architecture["kind"]) +
                   ", this qdml knows 'cartesian-summed'");
    }
    check_keys(path, "architecture", architecture,
               {"kind", "cutoff", "knots", "message_channels", "layers", "readout"});
    if (doc["units"] != json{{"length", "angstrom"}, {"energy", "eV"}}) {
        refuse(path, "units_unknown",
               "key 'units' is " + shown(doc["units"]) + ", expected angstrom and eV");
    }
    model.info.species = read_species(path, doc["species"]);
    model.architecture = read_architecture(path, architecture);
    check_types(path, doc);
    model.info.distances_seen =
        read_distances(path, doc["distances_seen"], model.info.species);
    model.info.cutoff = model.architecture.cutoff;
    model.info.n_layers = static_cast<int>(model.architecture.layers.size());
    model.info.message_channels = model.architecture.message_channels;
    model.info.architecture = describe(model.architecture);
}

}  // namespace qdml
