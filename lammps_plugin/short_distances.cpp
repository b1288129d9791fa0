// SPDX-License-Identifier: GPL-2.0-only
/// Compares the edges of every step with the distances of the training data.

#include "short_distances.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <tuple>

namespace qdml_lammps {

namespace {

double length(const double* r) { return std::sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]); }

}  // namespace

void ShortDistances::configure(Extrapolation mode, std::vector<double> seen, std::vector<std::string> species)
{
    mode_ = mode;
    seen_ = std::move(seen);
    species_ = std::move(species);
    open_.clear();
    const std::size_t n = species_.size();
    found_.assign(n * n, Offender{0.0, 0, 0});
    for (std::size_t k = 0; mode != Extrapolation::off && k < n * n; ++k) {
        if (k / n <= k % n && seen_[k] > 0) open_.push_back(k);
    }
}

/// [species][species] Å², 0: reported before or unknown.
std::vector<double> ShortDistances::squared_bounds() const
{
    const std::size_t n = species_.size();
    std::vector<double> bound(n * n, 0.0);
    for (const std::size_t k : open_) bound[k] = bound[(k % n) * n + k / n] = seen_[k] * seen_[k];
    return bound;
}

/// Ordered by IDs too, so that the number of threads does not change what is printed.
void ShortDistances::note(std::size_t a, std::size_t b, double distance, LAMMPS_NS::tagint i, LAMMPS_NS::tagint j)
{
    const Offender now = {distance, std::min(i, j), std::max(i, j)};
    Offender& worst = found_[std::min(a, b) * species_.size() + std::max(a, b)];
    if (worst.distance == 0 ||
        std::tie(now.distance, now.first, now.second) < std::tie(worst.distance, worst.first, worst.second)) {
        worst = now;
    }
}

void ShortDistances::measure(const EdgeList& edges, const int* species, const LAMMPS_NS::tagint* tag)
{
    if (open_.empty()) return;
    const std::size_t n = species_.size();
    const std::vector<double> bound = squared_bounds();

#pragma omp parallel for schedule(static)
    for (int i = 0; i < edges.n_local(); ++i) {
        for (std::int64_t e = edges.row_start()[i]; e < edges.row_start()[i + 1]; ++e) {
            const double* r = edges.edge_vector() + 3 * e;
            const int j = edges.atom(edges.neighbor()[e]);
            const auto a = static_cast<std::size_t>(species[i]), b = static_cast<std::size_t>(species[j]);
            const double squared = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
            if (squared >= bound[a * n + b]) continue;
#pragma omp critical(qdml_short_distance)
            note(a, b, std::sqrt(squared), tag[i], tag[j]);
        }
    }
}

void ShortDistances::measure(const qdml::Result& result, int n_local, const int* species, const LAMMPS_NS::tagint* tag)
{
    if (open_.empty()) return;
    const std::size_t n = species_.size();
    const std::vector<double> bound = squared_bounds();
    for (int i = 0; i < n_local; ++i) {
        for (std::size_t b = 0; species[i] >= 0 && b < n; ++b) {
            const auto a = static_cast<std::size_t>(species[i]), k = static_cast<std::size_t>(i) * n + b;
            const double r = result.nearest_distance[k];
            if (r > 0 && r * r < bound[a * n + b]) note(a, b, r, tag[i], tag[result.nearest_row[k]]);
        }
    }
}

std::vector<std::string> ShortDistances::report(MPI_Comm world)
{
    struct Entry {
        double distance;
        int rank;
    };
    int me = 0;
    MPI_Comm_rank(world, &me);
    std::vector<Entry> mine, best(open_.size());
    for (const std::size_t k : open_) {
        const double distance = found_[k].distance;
        mine.push_back({distance > 0 ? distance : std::numeric_limits<double>::max(), me});
    }
    MPI_Allreduce(mine.data(), best.data(), static_cast<int>(mine.size()), MPI_DOUBLE_INT, MPI_MINLOC, world);

    std::vector<std::string> lines;
    std::vector<std::size_t> still_open;
    const std::size_t n = species_.size();
    for (std::size_t p = 0; p < open_.size(); ++p) {
        const std::size_t k = open_[p];
        if (best[p].distance == std::numeric_limits<double>::max()) {
            still_open.push_back(k);
            continue;
        }
        long long ids[2] = {static_cast<long long>(found_[k].first), static_cast<long long>(found_[k].second)};
        MPI_Bcast(ids, 2, MPI_LONG_LONG, best[p].rank, world);
        char line[256];
        std::snprintf(line, sizeof line, "%s-%s %.3f Å (atom IDs %lld and %lld), shortest in the training data %.3f Å",
                      species_[k / n].c_str(), species_[k % n].c_str(), best[p].distance, ids[0], ids[1], seen_[k]);
        lines.emplace_back(line);
    }
    open_ = std::move(still_open);
    return lines;
}

void ShortDistances::per_atom(const EdgeList& edges, const int* species, double nothing, std::vector<double>& nearest,
                              std::vector<double>& ratio) const
{
    const std::size_t n = species_.size();
    nearest.assign(static_cast<std::size_t>(edges.n_local()), nothing);
    ratio.assign(static_cast<std::size_t>(edges.n_local()), 0.0);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < edges.n_local(); ++i) {
        const auto row = static_cast<std::size_t>(i);
        for (std::int64_t e = edges.row_start()[i]; e < edges.row_start()[i + 1]; ++e) {
            const double r = length(edges.edge_vector() + 3 * e);
            const int j = edges.atom(edges.neighbor()[e]);
            const auto a = static_cast<std::size_t>(species[i]), b = static_cast<std::size_t>(species[j]);
            nearest[row] = std::min(nearest[row], r);
            ratio[row] = std::max(ratio[row], seen_[a * n + b] / r);
        }
    }
}

void ShortDistances::per_atom(const qdml::Result& result, int n_local, const int* species, double nothing,
                              std::vector<double>& nearest, std::vector<double>& ratio) const
{
    const std::size_t n = species_.size();
    nearest.assign(static_cast<std::size_t>(n_local), nothing);
    ratio.assign(static_cast<std::size_t>(n_local), 0.0);
    for (std::size_t i = 0; i < nearest.size(); ++i) {
        for (std::size_t b = 0; species[i] >= 0 && b < n; ++b) {
            const double r = result.nearest_distance[i * n + b];
            if (r == 0) continue;
            nearest[i] = std::min(nearest[i], r);
            ratio[i] = std::max(ratio[i], seen_[static_cast<std::size_t>(species[i]) * n + b] / r);
        }
    }
}

}  // namespace qdml_lammps
