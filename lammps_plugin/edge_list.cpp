// SPDX-License-Identifier: GPL-2.0-only
/// Candidate rows on every rebuild, edges within the cutoff on every step.

#include "edge_list.h"

#include "neigh_list.h"

#include <algorithm>
#include <cmath>

namespace qdml_lammps {

namespace {

/// Images of one atom differ by lattice vectors, so a coarse grid tells them apart and hides the rounding of ghost
/// positions, which differs between decompositions.
constexpr double kImageGrid = 1.0e3;  // cells per Å

long long grid_cell(double distance) { return std::llround(distance * kImageGrid); }

}  // namespace

void EdgeList::rebuild(const LAMMPS_NS::NeighList& list, int n_local, const Shells* shells, const int* species,
                       const double* const* x, const LAMMPS_NS::tagint* tag)
{
    n_local_ = n_local;
    shells_ = shells;
    const int n_rows = shells != nullptr ? shells->counts().back() : n_local;
    // Under pair_style hybrid the list holds only some of the atoms; the others keep an empty row.
    candidate_start_.assign(static_cast<std::size_t>(n_rows) + 1, 0);
    for (int ii = 0; ii < list.inum + list.gnum; ++ii) {
        const int i = list.ilist[ii], row = row_of(i);
        if (row >= 0 && row < n_rows && species[i] >= 0) candidate_start_[row + 1] = list.numneigh[i];
    }
    for (int row = 0; row < n_rows; ++row) candidate_start_[row + 1] += candidate_start_[row];
    candidate_.resize(static_cast<std::size_t>(candidate_start_[n_rows]));

#pragma omp parallel for schedule(dynamic, 64)
    for (int r = 0; r < n_rows; ++r) {
        const int i = atom(r);
        int* row = candidate_.data() + candidate_start_[r];
        const auto n = static_cast<int>(candidate_start_[r + 1] - candidate_start_[r]);
        for (int k = 0; k < n; ++k) row[k] = list.firstneigh[i][k] & NEIGHMASK;
        std::sort(row, row + n, [&](int a, int b) {
            if (tag[a] != tag[b]) return tag[a] < tag[b];
            for (int d = 2; d >= 0; --d) {
                const long long cell_a = grid_cell(x[a][d] - x[i][d]);
                const long long cell_b = grid_cell(x[b][d] - x[i][d]);
                if (cell_a != cell_b) return cell_a < cell_b;
            }
            return a < b;
        });
        // Atoms outside the model (NULL types) are marked and never become edges.
        for (int k = 0; k < n; ++k) {
            if (species[row[k]] < 0) row[k] = -1;
        }
    }
}

std::vector<char> EdgeList::needed_ghosts(int n_ghost) const
{
    std::vector<char> is_needed(static_cast<std::size_t>(n_ghost), 0);
    for (const int j : candidate_) {
        if (j >= n_local_) is_needed[static_cast<std::size_t>(j - n_local_)] = 1;
    }
    return is_needed;
}

void EdgeList::update(const double* const* x, double cutoff)
{
    const double cutoff_squared = cutoff * cutoff;
    const auto n_rows = static_cast<int>(candidate_start_.size()) - 1;
    row_start_.assign(static_cast<std::size_t>(n_rows) + 1, 0);

    auto is_edge = [&](int i, int j, double* r) {
        if (j < 0) return false;
        for (int d = 0; d < 3; ++d) r[d] = x[j][d] - x[i][d];
        return r[0] * r[0] + r[1] * r[1] + r[2] * r[2] < cutoff_squared;
    };

#pragma omp parallel for schedule(static)
    for (int row = 0; row < n_rows; ++row) {
        double r[3];
        std::int64_t n = 0;
        for (std::int64_t e = candidate_start_[row]; e < candidate_start_[row + 1]; ++e) {
            n += is_edge(atom(row), candidate_[e], r) ? 1 : 0;
        }
        row_start_[row + 1] = n;
    }
    for (int row = 0; row < n_rows; ++row) row_start_[row + 1] += row_start_[row];

    const auto n_edges = static_cast<std::size_t>(row_start_[n_rows]);
    neighbor_.resize(n_edges);
    edge_vector_.resize(3 * n_edges);
#pragma omp parallel for schedule(static)
    for (int row = 0; row < n_rows; ++row) {
        std::int64_t out = row_start_[row];
        double r[3];
        for (std::int64_t e = candidate_start_[row]; e < candidate_start_[row + 1]; ++e) {
            if (!is_edge(atom(row), candidate_[e], r)) continue;
            neighbor_[out] = row_of(candidate_[e]);
            std::copy(r, r + 3, edge_vector_.begin() + 3 * out);
            ++out;
        }
    }
}

double EdgeList::memory_bytes() const
{
    return static_cast<double>(candidate_start_.capacity() * sizeof(std::int64_t) + candidate_.capacity() * sizeof(int) +
                               row_start_.capacity() * sizeof(std::int64_t) + neighbor_.capacity() * sizeof(int) +
                               edge_vector_.capacity() * sizeof(double));
}

}  // namespace qdml_lammps
