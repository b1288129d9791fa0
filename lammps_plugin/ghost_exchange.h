// SPDX-License-Identifier: GPL-2.0-only
/// Sends feature rows of owned atoms to their ghosts through LAMMPS' own forward communication.
///
/// Works for brick and tiled communication and for periodic ghosts of the same rank, because LAMMPS decides who sends
/// what; this class only packs rows. Rows of floats travel two to a double, rows of doubles one to one; with `halo int16`
/// a row is one fp32 scale and 16-bit integers, four to a double.
#pragma once

#include "qdml/engine.hpp"
#include "settings.h"

#include <cstdint>
#include <vector>

namespace LAMMPS_NS {
class Comm;
class Pair;
}

namespace qdml_lammps {

class GhostExchange : public qdml::Exchange {
public:
    GhostExchange(LAMMPS_NS::Comm* comm, LAMMPS_NS::Pair* pair) : comm_(comm), pair_(pair) {}

    void set_halo(Halo halo) { halo_ = halo; }

    void fill_ghosts(float* rows, int width) override;
    void fill_ghosts(double* rows, int width) override;
    /// Known after the first exchange with the lists of new_lists().
    const std::vector<int>* sent_rows() const override { return are_sent_known_ ? &sent_ : nullptr; }
    /// LAMMPS may send other rows from now on: its ghosts are new.
    void new_lists(int n_local);

    /// Callbacks of the pair style. `buffer` [n][doubles per row]; returns the doubles written.
    int pack(int n, const int* list, double* buffer);
    void unpack(int n, int first, const double* buffer);

    /// Doubles that one row of `width` values takes in a message.
    static int doubles_per_row(int width, bool single_precision, Halo halo);

    /// What this rank did since reset_counts. Copies to ghosts of the same rank are counted too: LAMMPS packs them alike.
    struct Counts {
        std::int64_t exchanges = 0;  ///< calls of fill_ghosts
        std::int64_t messages = 0;   ///< packed, with at least one atom in them
        double bytes = 0.0;          ///< packed
        double bytes_per_ghost = 0.0;  ///< that each ghost received
    };
    const Counts& counts() const { return counts_; }
    void reset_counts() { counts_ = {}; }

private:
    void exchange(void* rows, int width, bool single_precision);

    LAMMPS_NS::Comm* comm_;
    LAMMPS_NS::Pair* pair_;
    Halo halo_ = Halo::full;
    char* rows_ = nullptr;      ///< first byte of row 0 while an exchange runs
    int width_ = 0;
    std::size_t row_bytes_ = 0;
    int row_doubles_ = 0;
    bool quantised_ = false;
    Counts counts_;
    std::vector<char> is_sent_;  ///< [n_local] while the first exchange with new lists runs
    std::vector<int> sent_;      ///< local rows that pack was asked for, ascending
    bool are_sent_known_ = false;
};

/// One row as a scale (largest absolute value) and integers of `scale / 32767`; `out` holds 4 + 2 width bytes.
void quantise_row(const float* row, int width, char* out);
/// The inverse; a row with an infinite or undefined value comes back undefined.
void restore_row(const char* in, int width, float* row);

}  // namespace qdml_lammps
