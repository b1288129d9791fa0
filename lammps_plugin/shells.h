// SPDX-License-Identifier: GPL-2.0-only
/// The atoms whose features a rank evaluates itself under `exchange wide`, in the order of the engine's rows.
///
/// Layer t of the model counts for the energies of this rank only on atoms that they reach over layers - 1 - t edges.
/// Own atoms come first, then ghosts by the number of edges, so that every layer works on the first so many rows; ghosts
/// out of reach have no row.
#pragma once

#include <vector>

namespace LAMMPS_NS {
class NeighList;
}

namespace qdml_lammps {

class Shells {
public:
    /// Follow a freshly built list that has rows of ghosts (NeighConst::REQ_GHOST). `species` [n_total], -1: not part of the
    /// model. Pairs within the skin count as edges, so that this holds until the next list.
    void rebuild(const LAMMPS_NS::NeighList& list, int n_local, int n_total, int n_shells, const int* species);

    /// [n_shells] Graph::shell: rows within so many edges of an own atom.
    const std::vector<int>& counts() const { return counts_; }
    /// LAMMPS' index of each row: counts().back() with edges, then those that only send species.
    const std::vector<int>& atoms() const { return atoms_; }
    /// Row of an atom, -1: out of reach.
    int row(int atom) const { return row_[static_cast<std::size_t>(atom)]; }

    /// Rows of `values` [rows][width] put to the places of their atoms [n_total][width]; zeros elsewhere.
    void to_atoms(std::vector<double>& values, int width);

    double memory_bytes() const;

private:
    std::vector<int> counts_, atoms_;
    std::vector<int> row_;        ///< [n_total]
    std::vector<double> moved_;   ///< work space of to_atoms
};

}  // namespace qdml_lammps
