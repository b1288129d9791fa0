// SPDX-License-Identifier: MIT
/// A file is taken apart into header, document and data, changed, and put together again.
#include "mutator.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "document.hpp"
#include "families.hpp"

namespace qdml_fuzz {
namespace {

using nlohmann::json;

constexpr int kDeepest = 100;  // deeper values are left to the changes of single bytes
const char* const kNested = "@nested@";

struct Parts {
    json header;    ///< without the metadata
    json document;
    Bytes data;
};

unsigned below(std::mt19937& random, std::size_t n) {
    return static_cast<unsigned>(random() % std::max<std::size_t>(n, 1));
}

/// Levels of the deepest value, or more than that (brackets in strings are counted too).
int levels(const char* begin, const char* end) {
    int level = 0, most = 0;
    for (; begin < end; ++begin) {
        level += *begin == '[' || *begin == '{' ? 1 : 0;
        level -= *begin == ']' || *begin == '}' ? 1 : 0;
        most = std::max(most, level);
    }
    return most;
}

std::optional<Parts> take_apart(const Bytes& file) {
    std::uint64_t length = 0;
    if (file.size() < 8) {
        return {};
    }
    std::memcpy(&length, file.data(), 8);
    if (length > file.size() - 8) {
        return {};
    }
    const char* text = reinterpret_cast<const char*>(file.data()) + 8;
    if (levels(text, text + length) > kDeepest) {
        return {};
    }
    Parts parts;
    parts.header = json::parse(text, text + length, nullptr, false);
    const json::json_pointer place("/__metadata__/qdml");
    if (!parts.header.is_object() || !parts.header.contains(place) ||
        !parts.header[place].is_string()) {
        return {};
    }
    const auto inner = parts.header[place].get<std::string>();
    if (levels(inner.data(), inner.data() + inner.size()) > kDeepest) {
        return {};
    }
    parts.document = json::parse(inner, nullptr, false);
    if (!parts.document.is_object()) {
        return {};
    }
    parts.header.erase("__metadata__");
    parts.data.assign(file.begin() + 8 + static_cast<std::ptrdiff_t>(length), file.end());
    return parts;
}

std::string text_of(const json& value, const std::string& nested) {
    std::string text = value.dump(-1, ' ', false, json::error_handler_t::ignore);
    const std::string quoted = std::string("\"") + kNested + "\"";
    const auto at = text.find(quoted);
    return at == std::string::npos ? text : text.replace(at, quoted.size(), nested);
}

Bytes put_together(const Parts& parts, const std::string& nested) {
    json header = parts.header;
    if (header.is_object()) {  // a change may have replaced it
        header["__metadata__"] = {{"qdml", text_of(parts.document, nested)}};
    }
    std::string text = text_of(header, nested);
    text.append((8 - text.size() % 8) % 8, ' ');
    Bytes file(8);
    const std::uint64_t length = text.size();
    std::memcpy(file.data(), &length, 8);
    file.insert(file.end(), text.begin(), text.end());
    file.insert(file.end(), parts.data.begin(), parts.data.end());
    return file;
}

/// All values inside `value`, itself included.
void collect(json& value, std::vector<json*>& found) {
    found.push_back(&value);
    if (value.is_structured()) {
        for (auto& child : value) {
            collect(child, found);
        }
    }
}

json any_value(std::mt19937& random) {
    static const json values = json::array(
        {0, 1, -1, 2, 3, 16, 63, 64, 65, 4096, 4097, 100000, 100001, 1000, 1001,
         std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min(),
         std::numeric_limits<std::uint64_t>::max(), std::uint64_t(1) << 32, std::int64_t(1) << 62,
         0.5, -0.0, 1e-310, 1e308, 1e-5, 16.0, true, false, nullptr, "", "F64", "F32", "Cd", "H",
         "eV", "\u00c5", "cartesian-summed", json::array(), json::object(), json::array({0, 0}),
         json::array({1}), json::array({1, 1, 1}), kNested});
    return values[below(random, values.size())];
}

void change_value(json& root, std::mt19937& random) {
    std::vector<json*> all;
    collect(root, all);
    json& value = *all[below(random, all.size())];
    switch (below(random, 6)) {
        case 0:
            if (value.is_structured() && !value.empty()) {
                auto at = value.begin();
                std::advance(at, below(random, value.size()));
                value.erase(at);
                return;
            }
            break;
        case 1:
            if (value.is_object() && !value.empty()) {  // another key
                auto at = value.begin();
                std::advance(at, below(random, value.size()));
                const json moved = at.value();
                value[at.key() + (below(random, 2) != 0 ? "x" : "0")] = moved;
                return;
            }
            if (value.is_array() && !value.empty()) {
                value.push_back(json(value[below(random, value.size())]));
                return;
            }
            break;
        case 2:
            if (value.is_number_integer()) {
                const auto old = value.get<std::uint64_t>();  // wraps on purpose
                const std::uint64_t step[] = {1, ~std::uint64_t(0), 8, ~std::uint64_t(0) - 7, old};
                value = static_cast<std::int64_t>(old + step[below(random, 5)]);
                return;
            }
            break;
        case 3: {
            const json copy = *all[below(random, all.size())];
            if (copy.dump().size() < 2000) {
                value = copy;
            }
            return;
        }
        default:
            break;
    }
    value = any_value(random);
}

/// A small architecture that the reader accepts, most of the time.
void change_architecture(json& document, std::mt19937& random) {
    const bool second_format = below(random, 2) != 0;
    json layers = json::array();
    const unsigned n_layers = 1 + below(random, 3);
    json channels = json::array({1 + below(random, 20)});
    for (unsigned t = 0; t < n_layers; ++t) {
        const unsigned l_out = t + 1 < n_layers ? below(random, second_format ? 4 : 3) : 0;
        json out = json::array();
        for (unsigned l = 0; l <= l_out; ++l) {
            out.push_back(1 + below(random, 20));
        }
        layers.push_back({{"l_in", channels.size() - 1},
                          {"l_out", l_out},
                          {"channels_in", channels},
                          {"channels_out", out}});
        channels = out;
    }
    json readout = json::array();
    for (unsigned k = below(random, 3); k > 0; --k) {
        readout.push_back(1 + below(random, 20));
    }
    if (!document.is_object()) {
        return;
    }
    if (second_format) {
        document["format"] = 2;
    }
    document.erase("members");
    if (below(random, 4) == 0) {
        document["format"] = 3;
        const json member = {{"hash", nullptr},   {"training", json::object()},
                             {"proof", nullptr},  {"distances_seen", json::object()},
                             {"parent", nullptr}, {"description", ""}};
        document["members"] = json(2 + below(random, 2), member);
    }
    json& architecture = document["architecture"];
    architecture = json::object();
    const bool separated = second_format && below(random, 2) != 0;
    architecture["kind"] = separated ? "cartesian-separated" : "cartesian-summed";
    architecture["cutoff"] = below(random, 8) == 0 ? 1e-5 : 1.0 + below(random, 7);
    architecture["knots"] = 1 + below(random, 6);
    architecture["message_channels"] = 16 * (1 + below(random, 2));
    architecture["layers"] = layers;
    architecture["readout"] = readout;
}

/// Header entries and data that fit the document; old values are kept as far as they reach.
void mend_tensors(Parts& parts, std::size_t max_size, std::mt19937& random) {
    std::vector<qdml::Model> members;
    try {
        members = qdml::read_document("", parts.document);
    } catch (const qdml::Error&) {
        return;
    }
    const auto shapes =
        qdml::file_shapes(members[0], members.size(), below(random, 2) != 0);
    const bool single = below(random, 2) != 0;
    const std::size_t size = single ? 4 : 8;
    json header = json::object();
    std::size_t end = 0;
    for (const auto& [name, shape] : shapes) {
        std::size_t bytes = size;
        for (const auto extent : shape) {
            bytes *= static_cast<std::size_t>(extent);
        }
        if (bytes > max_size) {
            return;
        }
        header[name] = {{"dtype", single ? "F32" : "F64"},
                        {"shape", shape},
                        {"data_offsets", {end, end + bytes}}};
        end += bytes;
    }
    if (end > max_size) {
        return;
    }
    parts.data.resize(end);
    for (const auto& [name, shape] : shapes) {
        const auto begin = header[name]["data_offsets"][0].get<std::size_t>() / size;
        const auto stop = header[name]["data_offsets"][1].get<std::size_t>() / size;
        const bool radial = shape.size() >= 3 && name.find("radial") != std::string::npos;
        const std::size_t row = radial ? static_cast<std::size_t>(shape.end()[-1] * shape.end()[-2]) : 1;
        const std::size_t of_member = (stop - begin) / members.size();
        for (std::size_t i = begin; i < stop; ++i) {
            const bool tail = radial && (i - begin) % of_member + 3 * row >= of_member;
            const double value = tail ? 0.0 : 0.25;
            const float narrow = static_cast<float>(value);
            const void* from = single ? static_cast<const void*>(&narrow) : &value;
            std::memcpy(parts.data.data() + i * size, from, size);
        }
    }
    parts.header = header;
}

void change_data(Bytes& data, std::mt19937& random) {
    constexpr double special[] = {std::numeric_limits<double>::quiet_NaN(),
                                  std::numeric_limits<double>::infinity(),
                                  1e300, -1e300, 1e-310, -0.0, 0.0, 1.0, -1.0, 1e38, 1e10};
    const std::size_t size = below(random, 2) != 0 ? 8 : 4;
    if (data.size() < size) {
        return;
    }
    for (unsigned k = 1 + below(random, 4); k > 0; --k) {
        const double value = special[below(random, std::size(special))];
        const std::size_t at = below(random, data.size() / size) * size;
        if (size == 8) {
            std::memcpy(data.data() + at, &value, size);
        } else {
            const float narrow = value > 1e38 ? std::numeric_limits<float>::infinity()
                                              : static_cast<float>(value);
            std::memcpy(data.data() + at, &narrow, size);
        }
    }
}

}  // namespace

Bytes mutate(const Bytes& file, std::size_t max_size, std::mt19937& random,
             const ByteMutator& mutate_bytes) {
    auto parts = take_apart(file);
    Bytes changed = file;
    if (!parts || below(random, 8) == 0) {
        mutate_bytes(changed, max_size);
        return changed;
    }
    const char open = below(random, 2) != 0 ? '[' : '{';
    const unsigned depth = below(random, 3) == 0 ? below(random, 20000) : 1 + below(random, 80);
    std::string nested;
    for (unsigned k = 0; k < depth; ++k) {
        nested += open == '[' ? "[" : "{\"a\":";
    }
    nested += "0" + std::string(depth, open == '[' ? ']' : '}');
    for (unsigned k = 1 + below(random, 3); k > 0; --k) {
        switch (below(random, 8)) {
            case 0:
            case 1:
                change_value(parts->header, random);
                break;
            case 2:
            case 3:
                change_value(parts->document, random);
                break;
            case 4:
                change_architecture(parts->document, random);
                mend_tensors(*parts, max_size, random);
                break;
            case 5:
                change_value(parts->document, random);
                mend_tensors(*parts, max_size, random);
                break;
            case 6:
                change_data(parts->data, random);
                break;
            default:
                parts->data.resize(below(random, 4) != 0 ? parts->data.size() + below(random, 9)
                                                         : below(random, parts->data.size() + 1));
        }
    }
    changed = put_together(*parts, nested);
    if (changed.size() > max_size) {
        changed.resize(max_size);
    }
    return changed;
}

}  // namespace qdml_fuzz
