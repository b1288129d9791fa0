// SPDX-License-Identifier: GPL-2.0-only
/// The number of this process among those of its node, which picks the card of a node with several.
#pragma once

#include <mpi.h>

namespace qdml_lammps {

/// From the variables that launchers set (Open MPI, MPICH and Intel MPI, MVAPICH, Slurm, PALS, Flux), which count over all
/// partitions of a run; without them, by the names of the nodes of `world`. Collective.
int local_rank(MPI_Comm world);

}  // namespace qdml_lammps
