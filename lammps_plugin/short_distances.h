// SPDX-License-Identifier: GPL-2.0-only
/// Finds atoms that are closer than any pair of their elements in the training data, and says so once per pair of elements.
#pragma once

#include "edge_list.h"
#include "settings.h"

#include <mpi.h>

#include <string>
#include <vector>

namespace qdml_lammps {

class ShortDistances {
public:
    /// `seen` [species][species] Å, 0: unknown, never reported.
    void configure(Extrapolation mode, std::vector<double> seen, std::vector<std::string> species);

    /// Note the shortest offending distance per pair of elements of this rank. Cheap; does nothing when there is nothing to find.
    void measure(const EdgeList& edges, const int* species, const LAMMPS_NS::tagint* tag);

    /// The same from the nearest neighbours that an engine on a GPU found (Result::nearest_distance, in the order of `species`).
    void measure(const qdml::Result& result, int n_local, const int* species, const LAMMPS_NS::tagint* tag);
    bool is_open() const { return !open_.empty(); }

    /// Must this step call `report`? The same answer on all ranks; `quiet_step`: no list rebuild, no output.
    bool wants_report(bool quiet_step) const { return !open_.empty() && (mode_ == Extrapolation::error || !quiet_step); }

    /// Collective: one line per pair of elements found for the first time on any rank; the same text on all ranks.
    std::vector<std::string> report(MPI_Comm world);

    bool is_error() const { return mode_ == Extrapolation::error; }

    /// Per local atom, over its neighbours: shortest distance (`nothing` without neighbours), and largest training distance
    /// divided by distance: above 1 a pair is closer than any in the training data.
    void per_atom(const EdgeList& edges, const int* species, double nothing, std::vector<double>& nearest,
                  std::vector<double>& ratio) const;
    void per_atom(const qdml::Result& result, int n_local, const int* species, double nothing, std::vector<double>& nearest,
                  std::vector<double>& ratio) const;

private:
    struct Offender {
        double distance;
        LAMMPS_NS::tagint first, second;
    };

    void note(std::size_t a, std::size_t b, double distance, LAMMPS_NS::tagint i, LAMMPS_NS::tagint j);
    std::vector<double> squared_bounds() const;

    Extrapolation mode_ = Extrapolation::off;
    std::vector<double> seen_;            ///< [species][species] Å
    std::vector<std::string> species_;
    std::vector<std::size_t> open_;       ///< pairs a * n + b, a <= b, not reported yet
    std::vector<Offender> found_;         ///< [species][species], distance 0: none
};

}  // namespace qdml_lammps
