// SPDX-License-Identifier: MIT
/// Linked cells for any cell and cutoff: atoms are wrapped, binned in fractional coordinates, and
/// every bin visits as many neighbouring bins (images included) as the cutoff asks for.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <tuple>

#include "qdml/engine.hpp"

namespace qdml {
namespace {

using Vec = std::array<double, 3>;
using Matrix = std::array<Vec, 3>;  // rows are cell vectors

Vec cross(const Vec& a, const Vec& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}
double dot(const Vec& a, const Vec& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
double norm(const Vec& a) { return std::sqrt(dot(a, a)); }

/// Periodic vectors as given; the others become unit vectors perpendicular to all periodic ones.
Matrix complete_cell(const double* cell, const bool* pbc) {
    Matrix m;
    std::vector<std::size_t> open;
    for (std::size_t k = 0; k < 3; ++k) {
        m[k] = {cell[3 * k], cell[3 * k + 1], cell[3 * k + 2]};
        if (!pbc[k]) {
            open.push_back(k);
        } else if (!(norm(m[k]) > 1e-6) || !std::isfinite(norm(m[k]))) {
            throw Error("value_invalid", "cell vector " + std::to_string(k) +
                                             " is zero or not finite in a periodic direction; set "
                                             "the cell or turn pbc off");
        }
    }
    if (open.size() == 3) {
        return {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
    }
    if (open.size() == 2) {
        const Vec& a = m[3 - open[0] - open[1]];
        std::size_t k = 0;  // the axis least along a
        for (std::size_t i = 1; i < 3; ++i) {
            k = std::fabs(a[i]) < std::fabs(a[k]) ? i : k;
        }
        Vec axis = {0, 0, 0};
        axis[k] = 1;
        m[open[0]] = cross(a, axis);
        m[open[1]] = cross(a, m[open[0]]);
    } else if (open.size() == 1) {
        m[open[0]] = cross(m[(open[0] + 1) % 3], m[(open[0] + 2) % 3]);
    }
    for (const auto k : open) {
        const double length = norm(m[k]);
        for (auto& x : m[k]) {
            x /= length > 0 ? length : 1;
        }
    }
    return m;
}

}  // namespace

NeighborList build_neighbor_list(int n, const double* positions, const double* cell,
                                 const bool* pbc, double cutoff) {
    if (n < 0 || !(cutoff > 0) || !std::isfinite(cutoff)) {
        throw Error("value_invalid", "neighbour list: n " + std::to_string(n) + ", cutoff " +
                                         std::to_string(cutoff) + " Å; expected positive");
    }
    for (std::int64_t i = 0; i < 3 * std::int64_t(n); ++i) {
        if (!std::isfinite(positions[i])) {
            throw Error("value_invalid", "position of atom " + std::to_string(i / 3) +
                                             " is not finite; the run has blown up");
        }
    }
    const Matrix m = complete_cell(cell, pbc);
    const double volume = dot(m[0], cross(m[1], m[2]));
    if (!(std::fabs(volume) > 1e-9 * norm(m[0]) * norm(m[1]) * norm(m[2]))) {
        throw Error("value_invalid",
                    "the cell vectors of the periodic directions lie in one plane or line");
    }
    Matrix reciprocal;
    Vec height, low = {0, 0, 0}, high = {0, 0, 0};
    for (std::size_t k = 0; k < 3; ++k) {
        const Vec normal = cross(m[(k + 1) % 3], m[(k + 2) % 3]);
        for (std::size_t i = 0; i < 3; ++i) {
            reciprocal[k][i] = normal[i] / volume;
        }
        height[k] = std::fabs(volume) / norm(normal);
    }
    // fractional coordinates; periodic ones wrapped into [0, 1), remembering the cell left behind
    std::vector<Vec> fractional(static_cast<std::size_t>(n));
    std::vector<std::array<int, 3>> wrap(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < fractional.size(); ++i) {
        const Vec x = {positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]};
        for (std::size_t k = 0; k < 3; ++k) {
            double f = dot(x, reciprocal[k]);
            wrap[i][k] = 0;
            if (pbc[k]) {
                const double whole = std::floor(f);
                if (std::fabs(whole) > 1e9) {
                    throw Error("value_invalid", "atom " + std::to_string(i) +
                                                     " is more than 1e9 cells away; wrap it");
                }
                f -= whole;
                wrap[i][k] = static_cast<int>(whole);
            }
            fractional[i][k] = f;
            low[k] = i == 0 ? f : std::min(low[k], f);
            high[k] = i == 0 ? f : std::max(high[k], f);
        }
    }
    std::array<std::int64_t, 3> bins, reach;
    const double most = std::cbrt(static_cast<double>(n)) + 1;  // about one atom per bin at least
    for (std::size_t k = 0; k < 3; ++k) {
        const double extent = pbc[k] ? height[k] : (high[k] - low[k]) * height[k];
        bins[k] = static_cast<std::int64_t>(std::clamp(extent / cutoff, 1.0, 4 * most));
        low[k] = pbc[k] ? 0.0 : low[k];
        const double width = (pbc[k] ? 1.0 : std::max(high[k] - low[k], 1e-9)) /
                             static_cast<double>(bins[k]);
        high[k] = 1.0 / width;  // bins per fractional coordinate
        reach[k] = static_cast<std::int64_t>(std::ceil(cutoff / (width * height[k]) * (1 + 1e-12)));
        reach[k] = pbc[k] ? reach[k] : std::min(reach[k], bins[k] - 1);
    }
    const auto bin_of = [&](std::size_t i, std::size_t k) {
        const auto b = static_cast<std::int64_t>((fractional[i][k] - low[k]) * high[k]);
        return std::clamp<std::int64_t>(b, 0, bins[k] - 1);
    };
    const auto n_bins = static_cast<std::size_t>(bins[0] * bins[1] * bins[2]);
    std::vector<std::int64_t> bin_start(n_bins + 1, 0);
    std::vector<std::size_t> bin(static_cast<std::size_t>(n)), sorted(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < bin.size(); ++i) {
        bin[i] = static_cast<std::size_t>((bin_of(i, 0) * bins[1] + bin_of(i, 1)) * bins[2] +
                                          bin_of(i, 2));
        ++bin_start[bin[i] + 1];
    }
    std::partial_sum(bin_start.begin(), bin_start.end(), bin_start.begin());
    auto next = bin_start;
    for (std::size_t i = 0; i < bin.size(); ++i) {
        sorted[static_cast<std::size_t>(next[bin[i]]++)] = i;
    }

    struct Entry {
        double squared;
        int neighbor;
        std::array<int, 3> shift;
        Vec vector;
    };
    NeighborList list;
    list.row_start.push_back(0);
    std::vector<Entry> row;
    const auto floor_div = [](std::int64_t a, std::int64_t b) {
        return a >= 0 ? a / b : -((b - 1 - a) / b);
    };
    for (std::size_t i = 0; i < bin.size(); ++i) {
        row.clear();
        std::array<std::int64_t, 3> home = {bin_of(i, 0), bin_of(i, 1), bin_of(i, 2)}, d, to;
        std::array<int, 3> image;
        for (d[0] = -reach[0]; d[0] <= reach[0]; ++d[0]) {
            for (d[1] = -reach[1]; d[1] <= reach[1]; ++d[1]) {
                for (d[2] = -reach[2]; d[2] <= reach[2]; ++d[2]) {
                    bool outside = false;
                    for (std::size_t k = 0; k < 3; ++k) {
                        const auto cells = floor_div(home[k] + d[k], bins[k]);
                        outside = outside || (cells != 0 && !pbc[k]);
                        to[k] = home[k] + d[k] - cells * bins[k];
                        image[k] = static_cast<int>(cells);
                    }
                    if (outside) {
                        continue;
                    }
                    const auto b =
                        static_cast<std::size_t>((to[0] * bins[1] + to[1]) * bins[2] + to[2]);
                    for (auto s = bin_start[b]; s < bin_start[b + 1]; ++s) {
                        const std::size_t j = sorted[static_cast<std::size_t>(s)];
                        Entry entry = {0.0, static_cast<int>(j), {}, {}};
                        // the shift refers to the positions as given, not to the wrapped ones
                        for (std::size_t k = 0; k < 3; ++k) {
                            entry.shift[k] = image[k] - wrap[j][k] + wrap[i][k];
                        }
                        for (std::size_t x = 0; x < 3; ++x) {
                            entry.vector[x] = positions[3 * j + x] - positions[3 * i + x];
                            for (std::size_t k = 0; k < 3; ++k) {
                                entry.vector[x] += entry.shift[k] * m[k][x];
                            }
                        }
                        entry.squared = dot(entry.vector, entry.vector);
                        const bool itself = i == j && image == std::array<int, 3>{0, 0, 0};
                        if (entry.squared < cutoff * cutoff && !itself) {
                            row.push_back(entry);
                        }
                    }
                }
            }
        }
        std::sort(row.begin(), row.end(), [](const Entry& a, const Entry& b) {
            return std::tie(a.squared, a.neighbor, a.shift) <
                   std::tie(b.squared, b.neighbor, b.shift);
        });
        for (const Entry& entry : row) {
            list.neighbor.push_back(entry.neighbor);
            list.shift.insert(list.shift.end(), entry.shift.begin(), entry.shift.end());
            list.edge_vector.insert(list.edge_vector.end(), entry.vector.begin(),
                                    entry.vector.end());
        }
        list.row_start.push_back(static_cast<std::int64_t>(list.neighbor.size()));
    }
    return list;
}

}  // namespace qdml
