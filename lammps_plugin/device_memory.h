// SPDX-License-Identifier: GPL-2.0-only
/// Does the MPI of this run take addresses on a GPU?
#pragma once

namespace qdml_lammps {

/// Open MPI and MPICH answer for themselves; HPE's Cray MPICH is switched on by MPICH_GPU_SUPPORT_ENABLED=1. QDML_MPI_DEVICE_MEMORY=1
/// or 0 says it for any other.
bool mpi_takes_device_memory();

}  // namespace qdml_lammps
