// SPDX-License-Identifier: MIT
/// The JSON document of a `.qdml` file: checks and conversion to an Architecture.
#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model.hpp"

namespace qdml {

/// Throws Error{code} with "path: message [code]".
[[noreturn]] void refuse(const std::string& path, const std::string& code,
                         const std::string& message);

/// Text or a JSON value for a message: at most about 200 bytes, no control characters.
std::string shown(std::string text);
std::string shown(const nlohmann::json& value);

constexpr int kMaxLayers = 64, kMaxChannels = 4096, kMaxKnots = 100000;  // sizes stay in 64 bits

/// Refuse the file (`value_invalid`) unless `condition` holds.
void need(const std::string& path, bool condition, const std::string& key,
          const nlohmann::json& value, const std::string& expected);

/// Refuse missing and unknown keys of an object whose every key changes the numbers.
void check_keys(const std::string& path, const std::string& where, const nlohmann::json& found,
                std::initializer_list<const char*> known);

/// Entries that all kinds of architecture share, checked.
double read_cutoff(const std::string& path, const nlohmann::json& found);
int read_knots(const std::string& path, const nlohmann::json& found);
std::vector<int> read_readout(const std::string& path, const nlohmann::json& found);

/// Integer in [low, high] (a JSON boolean or float is none).
bool is_integer(const nlohmann::json& value, std::int64_t low, std::int64_t high);

/// Check every key and return the members, each with `kind`, architecture and `info` (all but path and
/// hash); one for a file that is no committee.
std::vector<Model> read_document(const std::string& path, const nlohmann::json& document);

}  // namespace qdml
