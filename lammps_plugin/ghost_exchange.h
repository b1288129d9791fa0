// SPDX-License-Identifier: GPL-2.0-only
/// Sends feature rows of owned atoms straight to the ranks that have ghosts of them.
///
/// When LAMMPS' ghosts are new, one of its own forward communications tells every ghost the rank and the row of its
/// owner; this works for brick and tiled communication and for images of the same rank, because LAMMPS decides who sends
/// what. From then on each rank exchanges one message with each that it needs rows from or that needs its own, without
/// the detour over neighbouring bricks that positions take.
#pragma once

#include "qdml/engine.hpp"

#include <cstdint>
#include <mpi.h>
#include <vector>

namespace LAMMPS_NS {
class Comm;
class Pair;
}

namespace qdml_lammps {

class GhostExchange : public qdml::Exchange {
public:
    GhostExchange(LAMMPS_NS::Comm* comm, LAMMPS_NS::Pair* pair, MPI_Comm world) : comm_(comm), pair_(pair), world_(world) {}

    static constexpr int kDoublesPerAtom = 2;  ///< of the forward communication

    void set_halo(qdml::Halo halo) { halo_ = halo; }
    /// MPI is given addresses on the GPU.
    void set_device_memory(bool is_direct) { takes_device_memory_ = is_direct; }

    /// LAMMPS' ghosts or the neighbour list are new: find the routes to those ghosts [n_ghost] that are needed. Collective.
    void find_routes(int n_local, const std::vector<char>& is_needed);

    const qdml::Routes& routes() const override { return routes_; }
    qdml::Halo halo() const override { return halo_; }
    bool takes_device_memory() const override { return takes_device_memory_; }
    void start(const void* sent, void* received, const qdml::RowShape& row) override;
    void progress() override;
    void finish() override;

    /// Callbacks of the pair style for find_routes. `buffer` [n][2]; returns the doubles written.
    int pack(int n, const int* list, double* buffer);
    void unpack(int n, int first, const double* buffer);

    /// What this rank did since reset_counts.
    struct Counts {
        std::int64_t exchanges = 0;
        std::int64_t messages = 0;  ///< sent
        double bytes = 0.0;         ///< sent
        double bytes_per_ghost = 0.0;  ///< that each ghost received
    };
    const Counts& counts() const { return counts_; }
    void reset_counts() { counts_ = {}; }

private:
    /// Consecutive packed rows that go to, or come from, one rank.
    struct Parcel {
        int rank;
        int first, n;
    };
    void tell_owners(const std::vector<Parcel>& wanted, std::vector<int>& rows);

    LAMMPS_NS::Comm* comm_;
    LAMMPS_NS::Pair* pair_;
    MPI_Comm world_;
    qdml::Halo halo_ = qdml::Halo::full;
    bool takes_device_memory_ = false;
    qdml::Routes routes_;
    std::vector<Parcel> outgoing_, incoming_;
    std::vector<MPI_Request> requests_;
    std::vector<double> home_;  ///< [n_total][2] rank and row of the owner, while routes are found
    Counts counts_;
};

}  // namespace qdml_lammps
