// SPDX-License-Identifier: MIT
/// Checks of the JSON document, in the order of python/qdml/modelfile.py.
#include "document.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "elements.hpp"
#include "families.hpp"

namespace qdml {

using nlohmann::json;

namespace {

constexpr int kFormat = 3;
constexpr int kCommitteeFormat = 3;  // the first with several members
constexpr std::size_t kMostMembers = 64;

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

/// Types of the keys that are no part of the architecture. `where` stands before their names.
void check_type(const std::string& path, const std::string& where, const json& doc,
                const char* key) {
    const json& value = doc[key];
    const std::string name = key;
    bool good = value.is_string();  // tool, level_of_theory, description
    if (name == "training" || name == "distances_seen") {
        good = value.is_object();
    } else if (name == "proof") {
        good = value.is_object() || value.is_null();
    } else if (name == "parent" || name == "hash") {
        good = value.is_string() || value.is_null();
    }
    if (!good) {
        refuse(path, "value_invalid",
               "key '" + where + name + "' is " + shown(value) + ": wrong type");
    }
}

/// [species][species] from "Cd-Se": Å; pairs of other species are ignored like any unknown key.
std::vector<double> read_distances(const std::string& path, const std::string& where,
                                   const json& found, const std::vector<std::string>& species) {
    const std::size_t n = species.size();
    std::vector<double> distances(n * n, 0.0);
    for (const auto& item : found.items()) {
        const json& r = item.value();
        need(path, r.is_number() && r.get<double>() > 0, where + "distances_seen." + shown(item.key()), r,
             "Å, a positive number");
        for (std::size_t i = 0; i < n * n; ++i) {
            if (item.key() == species[i / n] + "-" + species[i % n]) {
                distances[i] = distances[(i % n) * n + i / n] = r.get<double>();
            }
        }
    }
    return distances;
}

/// The optional factors of a committee's spreads.
SpreadFactors read_spread_factors(const std::string& path, const json& doc) {
    SpreadFactors factors;
    if (!doc.contains("spread_factors")) {
        return factors;
    }
    const json& found = doc["spread_factors"];
    need(path, found.is_object(), "key 'spread_factors'", found, "an object with energy and forces");
    for (auto [key, factor] : {std::pair{"energy", &factors.energy}, std::pair{"forces", &factors.forces}}) {
        const std::string name = std::string("key 'spread_factors.") + key + "'";
        if (!found.contains(key)) {
            refuse(path, "key_missing", name + " is missing; pack the committee again");
        }
        need(path, found[key].is_number() && found[key].get<double>() > 0, name, found[key], "a positive number");
        *factor = found[key].get<double>();
    }
    return factors;
}

/// One model per entry of `members`, each with distances of its own.
std::vector<Model> read_member_list(const std::string& path, const json& found, const Model& common) {
    bool good = found.is_array() && found.size() >= 2 && found.size() <= kMostMembers;
    for (std::size_t m = 0; good && m < found.size(); ++m) {
        good = found[m].is_object();
    }
    need(path, good, "key 'members'", found,
         "a list of 2 to " + std::to_string(kMostMembers) + " objects");
    std::vector<Model> members;
    for (std::size_t m = 0; m < found.size(); ++m) {
        const std::string where = "members." + std::to_string(m) + ".";
        for (const char* key :
             {"hash", "training", "distances_seen", "proof", "parent", "description"}) {
            if (!found[m].contains(key)) {
                refuse(path, "key_missing",
                       "key '" + where + key + "' is missing; pack the committee again");
            }
            check_type(path, where, found[m], key);
        }
        members.push_back(common);
        members.back().info.member = static_cast<int>(m);
        members.back().info.distances_seen =
            read_distances(path, where, found[m]["distances_seen"], common.info.species);
    }
    return members;
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

void need(const std::string& path, bool condition, const std::string& key, const json& value,
          const std::string& expected) {
    if (!condition) {
        refuse(path, "value_invalid", key + " is " + shown(value) + ", expected " + expected);
    }
}

void check_keys(const std::string& path, const std::string& where, const json& found,
                std::initializer_list<const char*> known) {
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

double read_cutoff(const std::string& path, const json& found) {
    need(path, found.is_number() && found.get<double>() > 0 && found.get<double>() <= 1000,
         "architecture.cutoff", found, "Å, in (0, 1000]");
    return found.get<double>();
}

int read_knots(const std::string& path, const json& found) {
    need(path, is_integer(found, 1, kMaxKnots), "architecture.knots", found,
         "an integer in 1..100000");
    return found.get<int>();
}

std::vector<int> read_readout(const std::string& path, const json& found) {
    bool good = found.is_array() && found.size() <= kMaxLayers;
    for (std::size_t i = 0; good && i < found.size(); ++i) {
        good = is_integer(found[i], 1, kMaxChannels);
    }
    need(path, good, "architecture.readout", found, "a list of widths in 1..4096");
    return found.get<std::vector<int>>();
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

std::vector<Model> read_document(const std::string& path, const json& doc) {
    Model model;
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
    const json& kind = architecture["kind"];
    const Family* family = kind.is_string() ? family_of(kind.get<std::string>()) : nullptr;
    if (family == nullptr || family->first_format > format.get<int>()) {
        refuse(path, "architecture_unknown",
               "architecture.kind is " + shown(kind) + ", format " + format.dump() +
                   " of this qdml knows " + known_kinds(format.get<int>()));
    }
    model.kind = kind.get<std::string>();
    if (doc["units"] != json{{"length", "angstrom"}, {"energy", "eV"}}) {
        refuse(path, "units_unknown",
               "key 'units' is " + shown(doc["units"]) + ", expected angstrom and eV");
    }
    model.info.species = read_species(path, doc["species"]);
    family->read(path, architecture, format.get<int>(), model);
    for (const char* key : {"tool", "level_of_theory", "training", "distances_seen", "proof",
                            "parent", "description"}) {
        check_type(path, "", doc, key);
    }
    model.info.distances_seen =
        read_distances(path, "", doc["distances_seen"], model.info.species);
    if (format.get<int>() >= kCommitteeFormat && doc.contains("members")) {
        model.info.spread_factors = read_spread_factors(path, doc);
        return read_member_list(path, doc["members"], model);
    }
    return {model};
}

}  // namespace qdml
