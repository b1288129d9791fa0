// SPDX-License-Identifier: GPL-2.0-only
/// Asks the MPI library that is loaded, which this plugin is not linked to.

#include "device_memory.h"

#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

namespace qdml_lammps {

namespace {

bool is_one(const char* variable)
{
    const char* value = std::getenv(variable);
    return value != nullptr && std::strcmp(value, "1") == 0;
}

}  // namespace

bool mpi_takes_device_memory()
{
    if (std::getenv("QDML_MPI_DEVICE_MEMORY") != nullptr) return is_one("QDML_MPI_DEVICE_MEMORY");
    using Query = int (*)();
    // an extension of Open MPI (mpi-ext.h) and MPICH
    if (void* query = dlsym(RTLD_DEFAULT, "MPIX_Query_cuda_support")) return reinterpret_cast<Query>(query)() == 1;
    return is_one("MPICH_GPU_SUPPORT_ENABLED");
}

}  // namespace qdml_lammps
