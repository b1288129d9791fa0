// SPDX-License-Identifier: MIT
/// Several potentials for the same atoms, evaluated one after the other on one edge list.
///
/// Members name the same elements and may differ in everything else. On a CPU they work in the same arrays, so that a
/// committee takes the memory of its largest member and the weights of all; members of equal cutoff, spline and order of species
/// share the edges of a step. The results of a member are bitwise those of an Engine of its own.
#pragma once

#include <string>
#include <vector>

#include "qdml/engine.hpp"

namespace qdml {

class Committee {
public:
    /// Read the files, in this order; a file may hold several members. Throws Error of a file that is refused, `species_differ` for members whose elements
    /// are not the same set, `value_invalid` for no file at all.
    explicit Committee(const std::vector<std::string>& paths, Precision precision = Precision::mixed,
                       const DeviceChoice& choice = {});

    int size() const noexcept { return static_cast<int>(engines_.size()); }
    const ModelInfo& info(int member) const { return engines_.at(static_cast<std::size_t>(member)).info(); }
    Precision precision() const noexcept { return engines_.front().precision(); }
    /// Elements of the first member; `species` of Graph counts in this order.
    const std::vector<std::string>& species() const noexcept { return engines_.front().info().species; }
    double cutoff() const noexcept;          ///< Å, the longest
    int max_exchange_width() const noexcept;  ///< values, of the widest member
    /// [species][species] Å: the longest of the members' shortest training distances; 0 where none says.
    std::vector<double> distances_seen() const;
    /// Those of the file when all members come from one; 1 for members put together from several.
    const SpreadFactors& spread_factors() const noexcept { return spread_factors_; }

    /// All members do (Engine::makes_lists); nearest neighbours are those of the first.
    bool makes_lists() const noexcept;

    /// As of Engine, for all members together.
    std::int64_t memory_estimate(std::int64_t n_local, std::int64_t n_ghost, std::int64_t n_edges) const noexcept;
    std::int64_t memory_allocated() const noexcept;
    void set_memory_limit(std::int64_t bytes);
    std::int64_t memory_limit() const noexcept { return memory_limit_; }

    /// Evaluate the members begin..end-1 into results[begin..end-1]; `results` is given size() entries. `begin` > 0:
    /// the graph is the one of the last call, which its edges may come from. Exchanges are those of each member in turn.
    /// Throws as Engine::compute does.
    void compute(const Graph& graph, const Request& request, Exchange* exchange, int begin, int end,
                 std::vector<Result>& results);

private:
    std::vector<Engine> engines_;
    SpreadFactors spread_factors_;
    std::vector<char> shares_work_;  ///< per member: with the first
    std::int64_t memory_limit_ = 0;
    std::vector<std::vector<int>> species_map_;  ///< per member: own species of each of ours; empty: the same order
    std::vector<int> member_species_;            ///< [n_total] species of the graph in a member's order
};

/// Averages of all results of `members`, which were asked for the same; `mean` may not be one of them.
void average(const std::vector<Result>& members, Result& mean);

}  // namespace qdml
