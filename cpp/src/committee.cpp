// SPDX-License-Identifier: MIT
/// Members in turn: the arrays of one member are still in the cache when the next one fills them.
#include "qdml/committee.hpp"

#include <algorithm>

#include "engine_impl.hpp"

namespace qdml {
namespace {

std::string join(const std::vector<std::string>& words) {
    std::string text;
    for (const auto& word : words) {
        text += (text.empty() ? "" : " ") + word;
    }
    return text;
}

void add(std::vector<double>& sum, const std::vector<double>& part, double weight) {
    sum.resize(part.size(), 0.0);
    for (std::size_t k = 0; k < part.size(); ++k) {
        sum[k] += weight * part[k];
    }
}

}  // namespace

Committee::Committee(const std::vector<std::string>& paths, Precision precision,
                     const DeviceChoice& choice) {
    if (paths.empty()) {
        throw Error("value_invalid", "a committee without files; name at least one .qdml file");
    }
    for (const auto& path : paths) {
        for (const Model& model : read_members(path)) {
            engines_.push_back(
                Engine(std::make_unique<Engine::Impl>(model, precision, choice)));
        }
    }
    if (paths.size() == 1) {
        spread_factors_ = info(0).spread_factors;
    }
    species_map_.resize(engines_.size());
    shares_work_.assign(engines_.size(), 0);
    for (std::size_t m = 1; m < engines_.size(); ++m) {
        shares_work_[m] = engines_[m].impl_->evaluator->share_work(*engines_[0].impl_->evaluator);
        const auto& theirs = engines_[m].info().species;
        if (theirs == species()) {
            continue;
        }
        for (const auto& symbol : species()) {
            const auto place = std::find(theirs.begin(), theirs.end(), symbol);
            if (place != theirs.end()) {
                species_map_[m].push_back(static_cast<int>(place - theirs.begin()));
            }
        }
        if (theirs.size() != species().size() || species_map_[m].size() != species().size()) {
            throw Error("species_differ", "members of a committee must have the same elements: " +
                                              info(0).path + " has " + join(species()) + ", " +
                                              info(int(m)).path + " has " + join(theirs));
        }
    }
}

double Committee::cutoff() const noexcept {
    double longest = 0.0;
    for (const auto& engine : engines_) {
        longest = std::max(longest, engine.info().cutoff);
    }
    return longest;
}

bool Committee::makes_lists() const noexcept {
    return std::all_of(engines_.begin(), engines_.end(),
                       [](const Engine& engine) { return engine.makes_lists(); });
}

int Committee::max_exchange_width() const noexcept {
    int widest = 0;
    for (const auto& engine : engines_) {
        widest = std::max(widest, engine.max_exchange_width());
    }
    return widest;
}

std::vector<double> Committee::distances_seen() const {
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

std::int64_t Committee::memory_estimate(std::int64_t n_local, std::int64_t n_ghost,
                                        std::int64_t n_edges) const noexcept {
    std::int64_t shared = 0, others = 0;
    for (std::size_t m = 0; m < engines_.size(); ++m) {
        const std::int64_t bytes = engines_[m].memory_estimate(n_local, n_ghost, n_edges);
        if (m == 0 || shares_work_[m]) {
            shared = std::max(shared, bytes);
        } else {
            others += bytes;
        }
    }
    return shared + others;
}

std::int64_t Committee::memory_allocated() const noexcept {
    std::int64_t sum = 0;
    for (std::size_t m = 0; m < engines_.size(); ++m) {
        sum += m > 0 && shares_work_[m] ? 0 : engines_[m].memory_allocated();
    }
    return sum;
}

void Committee::set_memory_limit(std::int64_t bytes) {
    const auto sharing = std::count(shares_work_.begin(), shares_work_.end(), 1);
    const auto n_parts = static_cast<std::int64_t>(engines_.size()) - sharing;
    for (auto& engine : engines_) {
        engine.set_memory_limit(bytes > 0 ? std::max<std::int64_t>(bytes / n_parts, 1) : bytes);
    }
    memory_limit_ = bytes;
}

void Committee::compute(const Graph& graph, const Request& request, Exchange* exchange, int begin,
                        int end, std::vector<Result>& results) {
    if (begin < 0 || end > size() || begin > end) {
        throw Error("value_invalid", "members " + std::to_string(begin) + " to " +
                                         std::to_string(end) + " of a committee of " +
                                         std::to_string(size()));
    }
    results.resize(engines_.size());
    for (auto m = static_cast<std::size_t>(begin); m < static_cast<std::size_t>(end); ++m) {
        Graph seen = graph;
        if (!species_map_[m].empty()) {
            member_species_.resize(static_cast<std::size_t>(graph.n_total));
            for (int i = 0; i < graph.n_total; ++i) {
                const int ours = graph.species[i];
                member_species_[static_cast<std::size_t>(i)] =
                    ours < 0 ? -1 : species_map_[m][static_cast<std::size_t>(ours)];
            }
            seen.species = member_species_.data();
        }
        const bool same_graph = shares_work_[m] && species_map_[m] == species_map_[m - 1];
        engines_[m].impl_->compute(seen, request, exchange, results[m], same_graph);
    }
}

void average(const std::vector<Result>& members, Result& mean) {
    const double weight = 1.0 / static_cast<double>(members.size());
    mean.energy = 0.0;
    std::fill(mean.virial, mean.virial + 9, 0.0);
    for (auto* sum : {&mean.force, &mean.atom_energy, &mean.atom_virial, &mean.centroid_virial}) {
        sum->clear();
    }
    for (const auto& member : members) {
        mean.energy += weight * member.energy;
        for (int k = 0; k < 9; ++k) {
            mean.virial[k] += weight * member.virial[k];
        }
        add(mean.force, member.force, weight);
        add(mean.atom_energy, member.atom_energy, weight);
        add(mean.atom_virial, member.atom_virial, weight);
        add(mean.centroid_virial, member.centroid_virial, weight);
    }
}

}  // namespace qdml
