// SPDX-License-Identifier: GPL-2.0-only
/// Sends feature rows of owned atoms to their ghosts through LAMMPS' own forward communication.
///
/// Works for brick and tiled communication and for periodic ghosts of the same rank, because LAMMPS decides who sends
/// what; this class only packs rows. Rows of floats travel two to a double, rows of doubles one to one.
#pragma once

#include "qdml/engine.hpp"

#include <cstdint>

namespace LAMMPS_NS {
class Comm;
class Pair;
}

namespace qdml_lammps {

class GhostExchange : public qdml::Exchange {
public:
    GhostExchange(LAMMPS_NS::Comm* comm, LAMMPS_NS::Pair* pair) : comm_(comm), pair_(pair) {}

    void fill_ghosts(float* rows, int width) override;
    void fill_ghosts(double* rows, int width) override;

    /// Callbacks of the pair style. `buffer` [n][doubles per row]; returns the doubles written.
    int pack(int n, const int* list, double* buffer) const;
    void unpack(int n, int first, const double* buffer);

    /// Doubles that one row of `width` values takes in a message.
    static int doubles_per_row(int width, bool single_precision) { return single_precision ? (width + 1) / 2 : width; }

    /// Since reset_counts: how often rows were exchanged and how many bytes each ghost received.
    int n_exchanges() const { return n_exchanges_; }
    std::int64_t bytes_per_ghost() const { return bytes_per_ghost_; }
    void reset_counts() { n_exchanges_ = 0, bytes_per_ghost_ = 0; }

private:
    void exchange(void* rows, int width, bool single_precision);

    LAMMPS_NS::Comm* comm_;
    LAMMPS_NS::Pair* pair_;
    char* rows_ = nullptr;      ///< first byte of row 0 while an exchange runs
    std::size_t row_bytes_ = 0;
    int row_doubles_ = 0;
    int n_exchanges_ = 0;
    std::int64_t bytes_per_ghost_ = 0;
};

}  // namespace qdml_lammps
