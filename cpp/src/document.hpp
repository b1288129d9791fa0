// SPDX-License-Identifier: MIT
/// The JSON document of a `.qdml` file: checks and conversion to an Architecture.
#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>

#include "model.hpp"

namespace qdml {

/// Throws Error{code} with "path: message [code]".
[[noreturn]] void refuse(const std::string& path, const std::string& code,
                         const std::string& message);

/// Text or a JSON value for a message: at most about 200 bytes, no control characters.
std::string shown(std::string text);
std::string shown(const nlohmann::json& value);

/// Integer in [low, high] (a JSON boolean or float is none).
bool is_integer(const nlohmann::json& value, std::int64_t low, std::int64_t high);

/// Refuse the file (`value_invalid`) unless `condition` holds: key, value found, what was expected.
void need(const std::string& path, bool condition, const std::string& key,
          const nlohmann::json& value, const std::string& expected);

/// Refuse missing and unknown keys of an object whose every key changes the numbers.
void check_keys(const std::string& path, const std::string& where, const nlohmann::json& found,
                std::initializer_list<const char*> known);

/// Check every key and fill `model.kind`, its architecture and `model.info` (all but path and hash).
void read_document(const std::string& path, const nlohmann::json& document, Model& model);

}  // namespace qdml
