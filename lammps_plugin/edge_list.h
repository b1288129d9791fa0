// SPDX-License-Identifier: GPL-2.0-only
/// Turns LAMMPS' full neighbour list into the engine's edges.
///
/// Candidates (pairs within cutoff + skin) are taken over and put into a canonical order whenever LAMMPS rebuilds its
/// list; every step only measures distances and keeps the pairs within the cutoff.
#pragma once

#include "lmptype.h"

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
    void rebuild(const LAMMPS_NS::NeighList& list, int n_local, const int* species, const double* const* x,
                 const LAMMPS_NS::tagint* tag);

    /// Keep the candidates with r < cutoff at the positions `x` [n_total][3].
    void update(const double* const* x, double cutoff);

    int n_local() const { return n_local_; }
    std::int64_t n_edges() const { return row_start_.empty() ? 0 : row_start_.back(); }
    const std::int64_t* row_start() const { return row_start_.data(); }  ///< [n_local + 1]
    const int* neighbor() const { return neighbor_.data(); }             ///< [n_edges]
    const double* edge_vector() const { return edge_vector_.data(); }    ///< [n_edges][3] x_j - x_i, Å
    double memory_bytes() const;

private:
    int n_local_ = 0;
    std::vector<std::int64_t> candidate_start_;  ///< [n_local + 1]
    std::vector<int> candidate_;
    std::vector<std::int64_t> row_start_;
    std::vector<int> neighbor_;
    std::vector<double> edge_vector_;
};

}  // namespace qdml_lammps
