// SPDX-License-Identifier: MIT
/// The safetensors container: header, offsets, shapes and values, every fault with its own code.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>

#include "document.hpp"
#include "families.hpp"
#include "mapped_file.hpp"
#include "model.hpp"
#include "sha256.hpp"

namespace qdml {

using nlohmann::json;

namespace {

constexpr std::uint64_t kMaxHeader = 100000000;  // bytes, the bound of the safetensors library
constexpr int kMaxNesting = 64;  // a file of ours has 4; printing a value recurses once per level

json parse_object(const std::string& path, const unsigned char* begin, const unsigned char* end,
                  const char* code, const char* what) {
    bool too_deep = false;
    const auto watch = [&too_deep](int depth, json::parse_event_t event, const json&) {
        const bool opens = event == json::parse_event_t::object_start ||
                           event == json::parse_event_t::array_start;
        too_deep = too_deep || (opens && depth >= kMaxNesting);
        return !too_deep;  // false: the value is dropped as soon as it is read
    };
    json value = json::parse(begin, end, watch, false);
    // the parser takes a zero byte for the end and would ignore what follows
    const bool has_zero = std::find(begin, end, '\0') != end;
    if (too_deep || has_zero || value.is_discarded() || !value.is_object()) {
        const std::string limit =
            too_deep ? " of at most " + std::to_string(kMaxNesting) + " levels" : "";
        refuse(path, code, std::string(what) + " is not a JSON object" + limit +
                               "; the file is damaged");
    }
    return value;
}

std::int64_t n_values(const Shape& shape) {
    std::int64_t product = 1;
    for (const auto extent : shape) {
        product *= extent;
    }
    return product;
}

/// Check dtype and shape of every entry; returns the bytes of one value.
std::int64_t check_entries(const std::string& path, const json& header,
                           const Shapes& shapes) {
    for (const auto& [name, shape] : shapes) {
        if (!header.contains(name)) {
            refuse(path, "tensor_missing",
                   "tensor '" + name + "' " + json(shape).dump() + " is missing; export again");
        }
    }
    json common;
    for (const auto& item : header.items()) {
        if (shapes.count(item.key()) == 0) {
            refuse(path, "tensor_unknown",
                   "tensor '" + shown(item.key()) + "' is unknown; install a newer qdml");
        }
    }
    for (const auto& item : header.items()) {
        const std::string at = "tensor '" + item.key() + "'";
        const json& entry = item.value();
        if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") ||
            !entry.contains("shape") || !entry.contains("data_offsets")) {
            refuse(path, "tensor_offsets", at + ": entry is not dtype, shape, data_offsets");
        }
        const json& dtype = entry["dtype"];
        if (common.is_null()) {
            common = dtype;
        }
        if ((dtype != "F64" && dtype != "F32") || dtype != common) {
            refuse(path, "tensor_dtype",
                   at + " has dtype " + shown(dtype) + ", expected F64 or F32, the same for all");
        }
        if (entry["shape"] != json(shapes.at(item.key()))) {
            refuse(path, "tensor_shape",
                   at + " has shape " + shown(entry["shape"]) + ", the architecture says " +
                       json(shapes.at(item.key())).dump() + "; the file is damaged");
        }
    }
    return common == "F64" ? 8 : 4;
}

/// Check that the tensors fill the data exactly, without gaps.
void check_offsets(const std::string& path, const json& header,
                   const Shapes& shapes, std::int64_t item_size,
                   std::int64_t found) {
    std::vector<std::tuple<std::int64_t, std::int64_t, std::string>> spans;
    for (const auto& item : header.items()) {
        const json& offsets = item.value()["data_offsets"];
        if (!offsets.is_array() || offsets.size() != 2 ||
            !is_integer(offsets[0], 0, std::int64_t(1) << 62) ||
            !is_integer(offsets[1], 0, std::int64_t(1) << 62)) {
            refuse(path, "tensor_offsets",
                   "tensor '" + item.key() + "': data_offsets " + shown(offsets) +
                       " are not two bytes");
        }
        spans.emplace_back(offsets[0].get<std::int64_t>(), offsets[1].get<std::int64_t>(),
                           item.key());
    }
    std::sort(spans.begin(), spans.end());
    std::int64_t end = 0;
    for (const auto& [begin, stop, name] : spans) {
        const std::int64_t size = n_values(shapes.at(name)) * item_size;
        if (begin != end || stop - begin != size) {
            refuse(path, "tensor_offsets",
                   "tensor '" + name + "' lies at bytes " + std::to_string(begin) + ".." +
                       std::to_string(stop) + ", expected " + std::to_string(end) + ".." +
                       std::to_string(end + size));
        }
        end = stop;
    }
    const std::string counts =
        std::to_string(found) + " bytes of data, " + std::to_string(end) + " announced";
    if (found < end) {
        refuse(path, "file_truncated", counts + "; copy the file again");
    }
    if (found > end) {
        refuse(path, "bytes_after_the_end", counts + "; the file is damaged");
    }
}

std::vector<double> read_values(const unsigned char* data, std::int64_t count,
                                std::int64_t item_size) {
    std::vector<double> values(static_cast<std::size_t>(count));
    if (item_size == 8) {
        std::memcpy(values.data(), data, values.size() * 8);
        return values;
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
        float single = 0;
        std::memcpy(&single, data + 4 * i, 4);
        values[i] = single;
    }
    return values;
}

void check_finite(const std::string& path, const std::string& name,
                  const std::vector<double>& values) {
    if (!std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(x); })) {
        refuse(path, "not_finite",
               "tensor '" + name + "' holds NaN or infinity; the fit diverged");
    }
}

void check_values(const std::string& path, const Model& model) {
    family_of(model.kind)->check_values(path, model);
    if (model.has_zbl()) {
        const auto& r = model.tensor("zbl.r_max");
        const std::size_t n = model.info.species.size();
        for (std::size_t i = 0; i < n * n; ++i) {
            if (r[i] != r[(i % n) * n + i / n] || r[i] < 0 || r[i] > model.info.cutoff) {
                refuse(path, "value_invalid",
                       "tensor 'zbl.r_max' must be symmetric and within 0.." +
                           std::to_string(model.info.cutoff) + " Å");
            }
        }
    }
}

}  // namespace

std::vector<Model> read_members(const std::string& path) {
    const MappedFile file(path);
    if (file.size() < 8) {
        refuse(path, "too_short", "has " + std::to_string(file.size()) +
                                      " bytes, a .qdml file at least 8; copy it again");
    }
    std::uint64_t length = 0;
    for (int i = 7; i >= 0; --i) {
        length = length << 8 | file.data()[i];
    }
    if (length > std::min<std::uint64_t>(file.size() - 8, kMaxHeader)) {
        refuse(path, "header_too_long",
               "header of " + std::to_string(length) + " bytes announced, the file has " +
                   std::to_string(file.size()) + "; not a .qdml file or cut");
    }
    const unsigned char* const data = file.data() + 8 + length;
    json header = parse_object(path, file.data() + 8, data, "header_not_json", "header");
    if (!header.contains("__metadata__") || !header["__metadata__"].is_object() ||
        !header["__metadata__"].contains("qdml") || !header["__metadata__"]["qdml"].is_string()) {
        refuse(path, "metadata_missing",
               "no '__metadata__.qdml' in the header; a safetensors file, but not a qdml potential");
    }
    const auto metadata = header["__metadata__"]["qdml"].get<std::string>();
    header.erase("__metadata__");
    const auto* text = reinterpret_cast<const unsigned char*>(metadata.data());
    auto members = read_document(path, parse_object(path, text, text + metadata.size(),
                                                    "metadata_not_json", "'__metadata__.qdml'"));
    const Shapes shapes =
        file_shapes(members[0], members.size(), header.contains("zbl.r_max"));
    const std::int64_t item_size = check_entries(path, header, shapes);
    check_offsets(path, header, shapes, item_size,
                  static_cast<std::int64_t>(file.size() - 8 - length));
    for (const auto& [name, shape] : shapes) {
        const auto begin = header[name]["data_offsets"][0].get<std::int64_t>();
        const std::int64_t count = n_values(shape) / static_cast<std::int64_t>(members.size());
        for (std::size_t m = 0; m < members.size(); ++m) {
            auto& values = members[m].tensors[name];
            values = read_values(data + begin + static_cast<std::int64_t>(m) * count * item_size,
                                 count, item_size);
            check_finite(path, name, values);
        }
    }
    const std::string hash = sha256(file.data(), file.size());
    for (auto& member : members) {
        check_values(path, member);
        member.info.path = path;
        member.info.hash = hash;
        member.info.metadata_json = metadata;
    }
    return members;
}

Model read_model(const std::string& path) {
    auto members = read_members(path);
    if (members.size() > 1) {
        refuse(path, "several_members",
               "holds " + std::to_string(members.size()) +
                   " members where one potential is wanted; give the file of one member");
    }
    return std::move(members[0]);
}

}  // namespace qdml
