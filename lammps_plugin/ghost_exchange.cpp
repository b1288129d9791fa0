// SPDX-License-Identifier: GPL-2.0-only
/// Packs and unpacks feature rows for LAMMPS' forward communication.

#include "ghost_exchange.h"

#include "comm.h"
#include "pair.h"

#include <cstring>
#include <string>

namespace qdml_lammps {

void GhostExchange::fill_ghosts(float* rows, int width) { exchange(rows, width, true); }
void GhostExchange::fill_ghosts(double* rows, int width) { exchange(rows, width, false); }

void GhostExchange::exchange(void* rows, int width, bool single_precision)
{
    rows_ = static_cast<char*>(rows);
    row_bytes_ = static_cast<std::size_t>(width) * (single_precision ? sizeof(float) : sizeof(double));
    row_doubles_ = doubles_per_row(width, single_precision);
    // LAMMPS sized its buffers from comm_forward; a wider row would be written past their end.
    if (row_doubles_ > pair_->comm_forward) {
        throw qdml::Error("exchange_too_wide", "an exchange of " + std::to_string(row_doubles_) +
                                                   " doubles per ghost exceeds the announced " +
                                                   std::to_string(pair_->comm_forward) + "; this is a fault of qdml, please report it");
    }
    comm_->forward_comm(pair_, row_doubles_);
    ++n_exchanges_;
    bytes_per_ghost_ += static_cast<std::int64_t>(row_doubles_) * static_cast<std::int64_t>(sizeof(double));
    rows_ = nullptr;
}

int GhostExchange::pack(int n, const int* list, double* buffer) const
{
    for (int k = 0; k < n; ++k) {
        double* out = buffer + static_cast<std::size_t>(k) * row_doubles_;
        // The last double of a row with an odd number of floats is half used; send zeros, not leftovers.
        if (row_bytes_ % sizeof(double) != 0) out[row_doubles_ - 1] = 0.0;
        std::memcpy(out, rows_ + static_cast<std::size_t>(list[k]) * row_bytes_, row_bytes_);
    }
    return n * row_doubles_;
}

void GhostExchange::unpack(int n, int first, const double* buffer)
{
    for (int k = 0; k < n; ++k) {
        std::memcpy(rows_ + static_cast<std::size_t>(first + k) * row_bytes_,
                    buffer + static_cast<std::size_t>(k) * row_doubles_, row_bytes_);
    }
}

}  // namespace qdml_lammps
