// SPDX-License-Identifier: GPL-2.0-only
/// Loads the members of a committee, evaluates them one after the other and averages.

#include "committee.h"

#include <algorithm>
#include <cmath>

namespace qdml_lammps {

namespace {

std::string join(const std::vector<std::string>& words)
{
    std::string text;
    for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
    return text;
}

void add(std::vector<double>& sum, const std::vector<double>& part, double weight)
{
    sum.resize(part.size(), 0.0);
    for (std::size_t k = 0; k < part.size(); ++k) sum[k] += weight * part[k];
}

}  // namespace

Committee::Committee(const std::vector<std::string>& paths, qdml::Precision precision)
{
    for (const auto& path : paths) engines_.emplace_back(path, precision);
    species_map_.resize(engines_.size());
    for (std::size_t m = 1; m < engines_.size(); ++m) {
        const auto& theirs = engines_[m].info().species;
        if (theirs == species()) continue;
        for (const auto& symbol : species()) {
            const auto place = std::find(theirs.begin(), theirs.end(), symbol);
            if (place != theirs.end()) species_map_[m].push_back(static_cast<int>(place - theirs.begin()));
        }
        if (theirs.size() != species().size() || species_map_[m].size() != species().size()) {
            throw qdml::Error("species_differ", "members of a committee must have the same elements: " + paths[0] + " has " +
                                                    join(species()) + ", " + paths[m] + " has " + join(theirs));
        }
    }
}

double Committee::cutoff() const
{
    double longest = 0.0;
    for (const auto& engine : engines_) longest = std::max(longest, engine.info().cutoff);
    return longest;
}

int Committee::max_exchange_width() const
{
    int widest = 0;
    for (const auto& engine : engines_) widest = std::max(widest, engine.max_exchange_width());
    return widest;
}

std::vector<double> Committee::distances_seen() const
{
    const std::size_t n = species().size();
    std::vector<double> longest(n * n, 0.0);
    for (std::size_t m = 0; m < engines_.size(); ++m) {
        const auto& seen = engines_[m].info().distances_seen;
        const auto& map = species_map_[m];
        for (std::size_t k = 0; k < n * n; ++k) {
            const std::size_t a = map.empty() ? k / n : static_cast<std::size_t>(map[k / n]);
            const std::size_t b = map.empty() ? k % n : static_cast<std::size_t>(map[k % n]);
            longest[k] = std::max(longest[k], seen[a * n + b]);
        }
    }
    return longest;
}

double Committee::memory_estimate(std::int64_t n_local, std::int64_t n_ghost, std::int64_t n_edges) const
{
    double bytes = 0.0;
    for (const auto& engine : engines_) bytes += static_cast<double>(engine.memory_estimate(n_local, n_ghost, n_edges));
    return bytes;
}

void Committee::set_memory_limit(double bytes)
{
    for (auto& engine : engines_) {
        engine.set_memory_limit(static_cast<std::int64_t>(bytes / static_cast<double>(engines_.size())));
    }
}

void Committee::compute(const qdml::Graph& graph, const qdml::Request& request, qdml::Exchange* exchange, qdml::Result& mean)
{
    if (engines_.size() == 1) {
        engines_[0].compute(graph, request, exchange, mean);
        return;
    }
    mean = {};
    member_energy_.assign(engines_.size(), 0.0);
    member_force_.resize(engines_.size());
    const double weight = 1.0 / static_cast<double>(engines_.size());
    for (std::size_t m = 0; m < engines_.size(); ++m) {
        qdml::Graph seen = graph;
        if (!species_map_[m].empty()) {
            member_species_.resize(static_cast<std::size_t>(graph.n_total));
            for (int i = 0; i < graph.n_total; ++i) {
                const int ours = graph.species[i];
                member_species_[static_cast<std::size_t>(i)] =
                    ours < 0 ? -1 : species_map_[m][static_cast<std::size_t>(ours)];
            }
            seen.species = member_species_.data();
        }
        engines_[m].compute(seen, request, exchange, member_result_);
        member_energy_[m] = member_result_.energy;
        member_force_[m] = member_result_.force;
        mean.energy += weight * member_result_.energy;
        for (int k = 0; k < 9; ++k) mean.virial[k] += weight * member_result_.virial[k];
        add(mean.force, member_result_.force, weight);
        add(mean.atom_energy, member_result_.atom_energy, weight);
        add(mean.atom_virial, member_result_.atom_virial, weight);
        add(mean.centroid_virial, member_result_.centroid_virial, weight);
    }
}

double Committee::memory_bytes() const
{
    std::size_t values = member_result_.force.capacity() + member_result_.atom_energy.capacity() +
                         member_result_.atom_virial.capacity() + member_result_.centroid_virial.capacity();
    for (const auto& force : member_force_) values += force.capacity();
    return static_cast<double>(values * sizeof(double) + member_species_.capacity() * sizeof(int));
}

}  // namespace qdml_lammps
