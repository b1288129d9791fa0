// SPDX-License-Identifier: GPL-2.0-only
/// Finds the node-local rank without MPI 3, which a serial build of LAMMPS does not have.

#include "local_rank.h"

#include <cstdlib>
#include <cstring>
#include <vector>

namespace qdml_lammps {

namespace {

constexpr const char* kVariables[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK",
                                      "SLURM_LOCALID", "PALS_LOCAL_RANKID", "FLUX_TASK_LOCAL_ID"};

/// A whole number >= 0, or -1.
int number_of(const char* text)
{
    if (text == nullptr || *text == '\0') return -1;
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    return *end == '\0' && value >= 0 && value < 1000000 ? static_cast<int>(value) : -1;
}

}  // namespace

int local_rank(MPI_Comm world)
{
    int me = 0, n_ranks = 1;
    MPI_Comm_rank(world, &me);
    MPI_Comm_size(world, &n_ranks);
    constexpr int kLength = MPI_MAX_PROCESSOR_NAME;
    std::vector<char> mine(kLength, '\0'), all(static_cast<std::size_t>(n_ranks) * kLength);
    int length = 0;
    MPI_Get_processor_name(mine.data(), &length);
    // All ranks gather, also those that a launcher told: the call is collective.
    MPI_Allgather(mine.data(), kLength, MPI_CHAR, all.data(), kLength, MPI_CHAR, world);
    for (const char* variable : kVariables) {
        const int told = number_of(std::getenv(variable));
        if (told >= 0) return told;
    }
    int rank = 0;
    for (int k = 0; k < me; ++k) {
        rank += std::strncmp(mine.data(), all.data() + static_cast<std::size_t>(k) * kLength, kLength) == 0 ? 1 : 0;
    }
    return rank;
}

}  // namespace qdml_lammps
