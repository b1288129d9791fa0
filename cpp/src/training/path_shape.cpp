// SPDX-License-Identifier: MIT
/// Offsets one after the other, and which layers have kernels.
#include "path_shape.hpp"

#include <algorithm>
#include <string>

#include "qdml/engine.hpp"

namespace qdml {

void PathShape::add_irrep(int degree, int channels) {
    sent.push_back({degree, channels, width_in()});
}

void PathShape::add_path(int part, int l_edge, int l_out) {
    if (part < 0 || part >= static_cast<int>(sent.size())) {
        throw Error("layer_unavailable", "a path begins at irrep " + std::to_string(part) + " of " +
                                             std::to_string(sent.size()));
    }
    const int channels_of_path = sent[static_cast<std::size_t>(part)].channels;
    paths.push_back({part, l_edge, {l_out, channels_of_path, width_out()}, channels()});
}

std::int64_t PathShape::width_in() const {
    return sent.empty() ? 0 : sent.back().offset + sent.back().size();
}

std::int64_t PathShape::width_out() const {
    return paths.empty() ? 0 : paths.back().sum.offset + paths.back().sum.size();
}

int PathShape::channels() const {
    return paths.empty() ? 0 : paths.back().first_channel + paths.back().sum.channels;
}

bool has_path_messages(const PathShape& shape) {
    const auto good_degree = [](int l) { return l >= 0 && l <= kMaxDegree; };
    const auto good = [&](const PathShape::Part& part) {
        return good_degree(part.degree) && part.channels > 0 && part.channels % kBlock == 0;
    };
    return std::all_of(shape.sent.begin(), shape.sent.end(), good) && !shape.paths.empty() &&
           std::all_of(shape.paths.begin(), shape.paths.end(), [&](const PathShape::Path& p) {
               const int l_in = shape.sent[static_cast<std::size_t>(p.part)].degree;
               const int l_out = p.sum.degree;
               return good_degree(p.l_edge) && good_degree(l_out) && l_out <= l_in + p.l_edge &&
                      l_in <= l_out + p.l_edge && p.l_edge <= l_in + l_out;
           });
}

}  // namespace qdml
