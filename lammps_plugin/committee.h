// SPDX-License-Identifier: GPL-2.0-only
/// One or several potentials evaluated on the same edges: mean of all results, forces of each member.
///
/// Members name the same elements but may differ in size and cutoff. They share LAMMPS' neighbour list, the edges and the
/// edge vectors; a member skips edges beyond its own cutoff.
#pragma once

#include "qdml/engine.hpp"

#include <memory>
#include <string>
#include <vector>

namespace qdml_lammps {

class Committee {
public:
    /// Read the files. Throws qdml::Error for a file that cannot be read and `species_differ` for members whose elements
    /// are not the same set.
    Committee(const std::vector<std::string>& paths, qdml::Precision precision);

    int size() const { return static_cast<int>(engines_.size()); }
    const qdml::ModelInfo& info(int member) const { return engines_[static_cast<std::size_t>(member)].info(); }
    /// Elements of the first member; `species` of Graph counts in this order.
    const std::vector<std::string>& species() const { return info(0).species; }
    double cutoff() const;          ///< Å, the longest
    int max_exchange_width() const;  ///< values, of the widest member
    /// [species][species] Å: the longest of the members' shortest training distances; 0 where none says.
    std::vector<double> distances_seen() const;
    /// Bytes of all members for so many atoms and edges on this rank.
    double memory_estimate(std::int64_t n_local, std::int64_t n_ghost, std::int64_t n_edges) const;
    /// Bound the work arrays of all members together; see Engine::set_memory_limit.
    void set_memory_limit(double bytes);

    /// Evaluate every member; `mean` gets the averages.
    void compute(const qdml::Graph& graph, const qdml::Request& request, qdml::Exchange* exchange, qdml::Result& mean);

    /// Of the last compute: energy of each member (local atoms) and forces [n_total][3], not yet added up over ranks.
    const std::vector<double>& member_energy() const { return member_energy_; }
    const std::vector<std::vector<double>>& member_force() const { return member_force_; }
    double memory_bytes() const;  ///< of what is kept here

private:
    std::vector<qdml::Engine> engines_;
    std::vector<std::vector<int>> species_map_;  ///< per member: own species of each of ours; empty: the same order
    std::vector<int> member_species_;
    qdml::Result member_result_;
    std::vector<double> member_energy_;
    std::vector<std::vector<double>> member_force_;
};

}  // namespace qdml_lammps
