// SPDX-License-Identifier: GPL-2.0-only
/// How far the members of a committee disagree about the force on each atom.
///
/// The force of one member on an atom is the sum over the ranks that see the atom, so all members' forces go back to the
/// owners in one reverse communication. Only steps that ask for the spread pay for it.
#pragma once

#include "qdml/engine.hpp"

#include <vector>

namespace LAMMPS_NS {
class Comm;
class Pair;
}

namespace qdml_lammps {

class ForceSpread {
public:
    ForceSpread(LAMMPS_NS::Comm* comm, LAMMPS_NS::Pair* pair) : comm_(comm), pair_(pair) {}

    /// Doubles of one atom in a reverse message.
    static int doubles_per_atom(int n_members) { return n_members > 1 ? 3 * n_members : 0; }

    /// Collective. [n_local] sqrt(Σ_m |F_m - F̄|² / M), eV/Å, of the forces of `members` on local atoms and ghosts.
    const std::vector<double>& compute(const std::vector<qdml::Result>& members, int n_local, int n_total);

    /// Callbacks of the pair style.
    int pack(int n, int first, double* buffer) const;
    void unpack(int n, const int* list, const double* buffer);

    double memory_bytes() const { return static_cast<double>((rows_.capacity() + spread_.capacity()) * sizeof(double)); }

private:
    LAMMPS_NS::Comm* comm_;
    LAMMPS_NS::Pair* pair_;
    int width_ = 0;              ///< 3 * members
    std::vector<double> rows_;   ///< [n_total][members][3]
    std::vector<double> spread_;  ///< [n_local]
};

}  // namespace qdml_lammps
