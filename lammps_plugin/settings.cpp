// SPDX-License-Identifier: GPL-2.0-only
/// Parses and checks the keywords of `pair_style qdml`.

#include "settings.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>

namespace qdml_lammps {

namespace {

struct Keyword {
    const char* name;
    const char* values;
};

constexpr Keyword kKeywords[] = {
    {"precision", "mixed or double"},
    {"minimize", "double or mixed"},
    {"device", "auto, cpu or gpu"},
    {"halo", "fp32 or int16"},
    {"mpi", "host or device"},
    {"exchange", "layer or wide"},
    {"memory", "a positive number of MiB for each rank"},
    {"members", "mean or first"},
    {"every", "a positive number of steps"},
    {"extrapolation", "warn, error or off"},
};

[[noreturn]] void refuse(const std::string& message) { throw qdml::Error("value_invalid", message); }

[[noreturn]] void refuse_value(const Keyword& keyword, const std::string& value)
{
    refuse(std::string(keyword.name) + " '" + value + "' is not known; expected " + keyword.values);
}

const Keyword& find_keyword(const std::string& word)
{
    std::vector<std::string> names;
    for (const Keyword& keyword : kKeywords) {
        if (word == keyword.name) return keyword;
        names.emplace_back(keyword.name);
    }
    std::string list;
    for (const auto& name : names) list += (list.empty() ? "" : ", ") + name;
    refuse("unknown keyword '" + word + "', did you mean '" + nearest_word(word, names) + "'? Keywords are " + list);
}

}  // namespace

std::string nearest_word(const std::string& word, const std::vector<std::string>& known)
{
    std::string best;
    std::size_t fewest = 0;
    for (const auto& candidate : known) {
        // Levenshtein distance, one row at a time
        std::vector<std::size_t> row(candidate.size() + 1);
        std::iota(row.begin(), row.end(), std::size_t(0));
        for (std::size_t i = 1; i <= word.size(); ++i) {
            std::size_t diagonal = row[0];
            row[0] = i;
            for (std::size_t j = 1; j <= candidate.size(); ++j) {
                const std::size_t replaced = diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
            }
        }
        if (best.empty() || row.back() < fewest) {
            best = candidate;
            fewest = row.back();
        }
    }
    return best;
}

Settings read_settings(const std::vector<std::string>& words)
{
    Settings settings;
    for (std::size_t k = 0; k < words.size(); k += 2) {
        const Keyword& keyword = find_keyword(words[k]);
        const std::string name = keyword.name;
        if (k + 1 >= words.size()) refuse("'" + name + "' needs a value, " + keyword.values);
        const std::string& value = words[k + 1];
        if (name == "precision") {
            if (value != "mixed" && value != "double") refuse_value(keyword, value);
            settings.precision = value == "mixed" ? qdml::Precision::mixed : qdml::Precision::float64;
        } else if (name == "minimize") {
            if (value != "mixed" && value != "double") refuse_value(keyword, value);
            settings.minimize_in_double = value == "double";
        } else if (name == "device") {
            if (value == "cuda") refuse("device 'cuda' is called 'device gpu'");
            if (value != "auto" && value != "cpu" && value != "gpu") refuse_value(keyword, value);
            settings.device = value == "auto"  ? qdml::Device::automatic
                              : value == "cpu" ? qdml::Device::cpu
                                               : qdml::Device::gpu;
        } else if (name == "halo") {
            if (value != "fp32" && value != "int16") refuse_value(keyword, value);
            settings.halo = value == "int16" ? qdml::Halo::int16 : qdml::Halo::full;
        } else if (name == "mpi") {
            if (value != "host" && value != "device") refuse_value(keyword, value);
            settings.mpi_from_device = value == "device";
        } else if (name == "exchange") {
            if (value != "layer" && value != "wide") refuse_value(keyword, value);
            settings.features = value == "wide" ? Features::wide : Features::layer;
        } else if (name == "memory") {
            char* end = nullptr;
            settings.memory_mib = std::strtod(value.c_str(), &end);
            if (value.empty() || *end != '\0' || !std::isfinite(settings.memory_mib) || settings.memory_mib <= 0) {
                refuse("memory '" + value + "' is not valid; expected " + keyword.values);
            }
        } else if (name == "members") {
            if (value != "mean" && value != "first") refuse_value(keyword, value);
            settings.members = value == "first" ? Members::first : Members::mean;
        } else if (name == "every") {
            char* end = nullptr;
            const long steps = std::strtol(value.c_str(), &end, 10);
            if (value.empty() || *end != '\0' || steps < 1 || steps > std::numeric_limits<int>::max()) {
                refuse("every '" + value + "' is not valid; expected " + keyword.values);
            }
            settings.spread_every = static_cast<int>(steps);
        } else {
            if (value != "warn" && value != "error" && value != "off") refuse_value(keyword, value);
            settings.extrapolation = value == "warn"    ? Extrapolation::warn
                                     : value == "error" ? Extrapolation::error
                                                        : Extrapolation::off;
        }
    }
    if (settings.halo == qdml::Halo::int16 && !settings.is_mixed()) {
        refuse("halo int16 and precision double exclude each other: double sends all 64 bits; leave one of them out");
    }
    if (settings.is_wide() && settings.halo == qdml::Halo::int16) {
        refuse("halo int16 and exchange wide exclude each other: a wide shell sends no features; leave one of them out");
    }
    if (settings.mpi_from_device && settings.used_device() == qdml::Device::cpu) {
        refuse("mpi device needs features on GPUs; use 'device gpu' with 'exchange layer', or 'mpi host'");
    }
    if (settings.is_wide() && settings.device == qdml::Device::gpu) {
        refuse("exchange wide is evaluated on the CPU only; use 'device cpu' or 'exchange layer'");
    }
    return settings;
}

}  // namespace qdml_lammps
