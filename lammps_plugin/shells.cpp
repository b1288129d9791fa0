// SPDX-License-Identifier: GPL-2.0-only
/// Breadth-first search over LAMMPS' neighbour list, own atoms first.

#include "shells.h"

#include "neigh_list.h"

#include <algorithm>

namespace qdml_lammps {

void Shells::rebuild(const LAMMPS_NS::NeighList& list, int n_local, int n_total, int n_shells, const int* species)
{
    // Under pair_style hybrid the list holds only some atoms.
    std::vector<char> is_listed(static_cast<std::size_t>(n_total), 0);
    for (int ii = 0; ii < list.inum + list.gnum; ++ii) is_listed[static_cast<std::size_t>(list.ilist[ii])] = 1;

    counts_.clear();
    atoms_.clear();
    row_.assign(static_cast<std::size_t>(n_total), -1);
    const auto reach = [&](int atom) {
        int& row = row_[static_cast<std::size_t>(atom)];
        if (row >= 0) return;
        row = static_cast<int>(atoms_.size());
        atoms_.push_back(atom);
    };
    for (int i = 0; i < n_local; ++i) reach(i);
    std::size_t next = 0;
    for (int k = 0; k < n_shells; ++k) {
        const std::size_t end = atoms_.size();
        counts_.push_back(static_cast<int>(end));
        for (; next < end; ++next) {
            const int i = atoms_[next];
            if (species[i] < 0 || is_listed[static_cast<std::size_t>(i)] == 0) continue;
            for (int n = 0; n < list.numneigh[i]; ++n) {
                const int j = list.firstneigh[i][n] & NEIGHMASK;
                if (species[j] >= 0) reach(j);
            }
        }
    }
}

void Shells::to_atoms(std::vector<double>& values, int width)
{
    const auto w = static_cast<std::size_t>(width);
    moved_.assign(row_.size() * w, 0.0);
    for (std::size_t row = 0; row < atoms_.size(); ++row) {
        std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(row * w), w,
                    moved_.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(atoms_[row]) * w));
    }
    std::swap(values, moved_);
}

double Shells::memory_bytes() const
{
    return static_cast<double>((counts_.capacity() + atoms_.capacity() + row_.capacity()) * sizeof(int) +
                               moved_.capacity() * sizeof(double));
}

}  // namespace qdml_lammps
