// SPDX-License-Identifier: GPL-2.0-only
/// Turns LAMMPS' full neighbour list into the engine's edges.
///
/// A row is a local atom, or one of the `Shells` where ghosts have rows. Candidates (pairs within cutoff + skin) are taken over and put into a canonical order whenever LAMMPS rebuilds its
/// list; every step only measures distances and keeps the pairs within the cutoff.
#pragma once

#include "lmptype.h"
#include "shells.h"

#include <cstdint>
#include <vector>

namespace LAMMPS_NS {
class NeighList;
}

namespace qdml_lammps {

class EdgeList {
public:
    /// Take over a freshly built list. `species` [n_total], -1: not part of the model; `x` [n_total][3] Å; `tag` [n_total].
    /// Rows are ordered by atom ID, images of one atom by position, so that sums do not depend on the decomposition.
    /// `shells`: rows and neighbours are those, for as long as they live; null: local atoms, and LAMMPS' indices.
    void rebuild(const LAMMPS_NS::NeighList& list, int n_local, const Shells* shells, const int* species, const double* const* x,
                 const LAMMPS_NS::tagint* tag);

    /// Keep the candidates with r < cutoff at the positions `x` [n_total][3].
    void update(const double* const* x, double cutoff);

    int n_local() const { return n_local_; }
    std::int64_t n_edges() const { return row_start_.empty() ? 0 : row_start_.back(); }
    const std::int64_t* row_start() const { return row_start_.data(); }  ///< [n_rows + 1]
    const int* neighbor() const { return neighbor_.data(); }             ///< [n_edges] rows
    /// LAMMPS' index of a row.
    int atom(int row) const { return shells_ != nullptr ? shells_->atoms()[static_cast<std::size_t>(row)] : row; }
    const double* edge_vector() const { return edge_vector_.data(); }    ///< [n_edges][3] x_j - x_i, Å
    /// Which ghosts [n_ghost] are a candidate of some local atom.
    std::vector<char> needed_ghosts(int n_ghost) const;
    double memory_bytes() const;

private:
    int row_of(int atom) const { return shells_ != nullptr ? shells_->row(atom) : atom; }

    int n_local_ = 0;
    const Shells* shells_ = nullptr;
    std::vector<std::int64_t> candidate_start_ = {0};  ///< [n_rows + 1]
    std::vector<int> candidate_;                       ///< LAMMPS' indices
    std::vector<std::int64_t> row_start_;
    std::vector<int> neighbor_;
    std::vector<double> edge_vector_;
};

}  // namespace qdml_lammps
