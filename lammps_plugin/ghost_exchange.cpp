// SPDX-License-Identifier: GPL-2.0-only
/// Finds out which rows travel where, and sends them.

#include "ghost_exchange.h"

#include "comm.h"
#include "pair.h"

#include <algorithm>
#include <tuple>

namespace qdml_lammps {

namespace {

// LAMMPS' own messages are all over before a pair style computes, and use tag 0.
constexpr int kRowsTag = 7301, kFeaturesTag = 7302;
constexpr std::int64_t kMostBytes = 1 << 30;  // MPI counts in int

void wait_for(std::vector<MPI_Request>& requests)
{
    if (requests.empty()) return;
    std::vector<MPI_Status> unused(requests.size());
    MPI_Waitall(static_cast<int>(requests.size()), requests.data(), unused.data());
}

}  // namespace

int GhostExchange::pack(int n, const int* list, double* buffer)
{
    for (int k = 0; k < n; ++k) {
        // ghosts are sent on, too, and know their owner by then
        std::copy_n(home_.data() + static_cast<std::size_t>(list[k]) * kDoublesPerAtom, kDoublesPerAtom,
                    buffer + static_cast<std::size_t>(k) * kDoublesPerAtom);
    }
    return n * kDoublesPerAtom;
}

void GhostExchange::unpack(int n, int first, const double* buffer)
{
    std::copy_n(buffer, static_cast<std::size_t>(n) * kDoublesPerAtom,
                home_.data() + static_cast<std::size_t>(first) * kDoublesPerAtom);
}

void GhostExchange::find_routes(int n_local, const std::vector<char>& is_needed)
{
    int me = 0;
    MPI_Comm_rank(world_, &me);
    const std::size_t n_ghost = is_needed.size(), n_owned = static_cast<std::size_t>(n_local);
    home_.assign((n_owned + n_ghost) * kDoublesPerAtom, -1.0);
    for (std::size_t i = 0; i < n_owned; ++i) {
        home_[i * kDoublesPerAtom] = me;
        home_[i * kDoublesPerAtom + 1] = static_cast<double>(i);
    }
    comm_->forward_comm(pair_, kDoublesPerAtom);

    ++routes_.number;
    routes_.arrival.assign(n_ghost, -1);
    routes_.owner.assign(n_ghost, -1);
    std::vector<std::tuple<int, int, std::size_t>> far;  // rank, row there, ghost
    for (std::size_t g = 0; g < n_ghost; ++g) {
        const auto rank = static_cast<int>(home_[(n_owned + g) * kDoublesPerAtom]);
        const auto row = static_cast<int>(home_[(n_owned + g) * kDoublesPerAtom + 1]);
        if (rank == me) {
            routes_.owner[g] = row;
        } else if (is_needed[g] != 0) {
            far.emplace_back(rank, row, g);
        }
    }
    std::sort(far.begin(), far.end());
    std::vector<int> rows;  // asked for; images of one atom share one
    incoming_.clear();
    for (std::size_t k = 0; k < far.size(); ++k) {
        const auto [rank, row, ghost] = far[k];
        const bool is_other_rank = incoming_.empty() || incoming_.back().rank != rank;
        if (is_other_rank) incoming_.push_back({rank, static_cast<int>(rows.size()), 0});
        if (is_other_rank || rows.back() != row) {
            rows.push_back(row);
            ++incoming_.back().n;
        }
        routes_.arrival[ghost] = static_cast<int>(rows.size()) - 1;
    }
    routes_.n_received = static_cast<int>(rows.size());
    tell_owners(incoming_, rows);
    home_.clear();
}

/// Every rank learns which of its rows go where.
void GhostExchange::tell_owners(const std::vector<Parcel>& wanted, std::vector<int>& rows)
{
    routes_.sent.clear();
    outgoing_.clear();
    int n_ranks = 1;
    MPI_Comm_size(world_, &n_ranks);
    if (n_ranks == 1) return;
    std::vector<int> asked(static_cast<std::size_t>(n_ranks)), n_sent(static_cast<std::size_t>(n_ranks));
    for (const Parcel& parcel : wanted) asked[static_cast<std::size_t>(parcel.rank)] = parcel.n;
    MPI_Alltoall(asked.data(), 1, MPI_INT, n_sent.data(), 1, MPI_INT, world_);
    int total = 0;
    for (int rank = 0; rank < n_ranks; ++rank) {
        const int n = n_sent[static_cast<std::size_t>(rank)];
        if (n == 0) continue;
        outgoing_.push_back({rank, total, n});
        total += n;
    }
    routes_.sent.resize(static_cast<std::size_t>(total));
    std::vector<MPI_Request> requests(outgoing_.size() + wanted.size());
    auto* request = requests.data();
    for (const Parcel& p : outgoing_) MPI_Irecv(routes_.sent.data() + p.first, p.n, MPI_INT, p.rank, kRowsTag, world_, request++);
    for (const Parcel& p : wanted) MPI_Isend(rows.data() + p.first, p.n, MPI_INT, p.rank, kRowsTag, world_, request++);
    wait_for(requests);
}

void GhostExchange::start(const void* sent, void* received, const qdml::RowShape& row)
{
    const std::int64_t bytes = row.bytes();
    ++counts_.exchanges;
    counts_.messages += static_cast<std::int64_t>(outgoing_.size());
    counts_.bytes += static_cast<double>(bytes) * static_cast<double>(routes_.sent.size());
    counts_.bytes_per_ghost += static_cast<double>(bytes);
    // both sides cut a parcel in the same way
    const int most = static_cast<int>(std::max<std::int64_t>(1, kMostBytes / std::max<std::int64_t>(1, bytes)));
    const auto each_piece = [&](const Parcel& p, const auto& post) {
        for (int k = 0; k < p.n; k += most) {
            requests_.emplace_back();
            post((p.first + k) * bytes, static_cast<int>(std::min(most, p.n - k) * bytes), p.rank, &requests_.back());
        }
    };
    requests_.clear();
    for (const Parcel& parcel : incoming_) {
        each_piece(parcel, [&](std::int64_t at, int n_bytes, int rank, MPI_Request* request) {
            MPI_Irecv(static_cast<char*>(received) + at, n_bytes, MPI_BYTE, rank, kFeaturesTag, world_, request);
        });
    }
    for (const Parcel& parcel : outgoing_) {
        each_piece(parcel, [&](std::int64_t at, int n_bytes, int rank, MPI_Request* request) {
            // LAMMPS' own mpi.h for serial builds knows no constant messages
            char* begin = const_cast<char*>(static_cast<const char*>(sent)) + at;
            MPI_Isend(begin, n_bytes, MPI_BYTE, rank, kFeaturesTag, world_, request);
        });
    }
}

void GhostExchange::progress()
{
#ifndef MPI_STUBS  // LAMMPS' own mpi.h for serial builds, which sends nothing
    if (requests_.empty()) return;
    int is_done = 0;
    MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &is_done, MPI_STATUSES_IGNORE);
    if (is_done != 0) requests_.clear();
#endif
}

void GhostExchange::finish()
{
    wait_for(requests_);
    requests_.clear();
}

}  // namespace qdml_lammps
