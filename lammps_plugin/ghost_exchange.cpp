// SPDX-License-Identifier: GPL-2.0-only
/// Packs and unpacks feature rows for LAMMPS' forward communication.

#include "ghost_exchange.h"

#include "comm.h"
#include "pair.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

namespace qdml_lammps {

namespace {

constexpr float kSteps = 32767.0F;  // largest 16-bit integer

std::size_t bytes_of_row(int width, bool single_precision, Halo halo)
{
    const auto n = static_cast<std::size_t>(width);
    if (!single_precision) return n * sizeof(double);
    return halo == Halo::int16 ? sizeof(float) + n * sizeof(std::int16_t) : n * sizeof(float);
}

}  // namespace

void quantise_row(const float* row, int width, char* out)
{
    float scale = 0.0F;
    bool finite = true;
    for (int c = 0; c < width; ++c) {
        scale = std::max(scale, std::fabs(row[c]));
        finite = finite && std::isfinite(row[c]);
    }
    if (!finite) scale = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(out, &scale, sizeof scale);
    const float steps = kSteps / scale;
    // a row of zeros, or so small that `steps` overflows, travels as zeros
    const bool has_values = finite && scale > 0 && std::isfinite(steps);
    for (int c = 0; c < width; ++c) {
        const auto q = static_cast<std::int16_t>(has_values ? std::lrint(row[c] * steps) : 0);
        std::memcpy(out + sizeof scale + static_cast<std::size_t>(c) * sizeof q, &q, sizeof q);
    }
}

void restore_row(const char* in, int width, float* row)
{
    float scale = 0.0F;
    std::memcpy(&scale, in, sizeof scale);
    const float step = scale / kSteps;
    for (int c = 0; c < width; ++c) {
        std::int16_t q = 0;
        std::memcpy(&q, in + sizeof scale + static_cast<std::size_t>(c) * sizeof q, sizeof q);
        row[c] = step * static_cast<float>(q);
    }
}

int GhostExchange::doubles_per_row(int width, bool single_precision, Halo halo)
{
    return static_cast<int>((bytes_of_row(width, single_precision, halo) + sizeof(double) - 1) / sizeof(double));
}

void GhostExchange::fill_ghosts(float* rows, int width) { exchange(rows, width, true); }
void GhostExchange::fill_ghosts(double* rows, int width) { exchange(rows, width, false); }

void GhostExchange::exchange(void* rows, int width, bool single_precision)
{
    rows_ = static_cast<char*>(rows);
    width_ = width;
    row_bytes_ = static_cast<std::size_t>(width) * (single_precision ? sizeof(float) : sizeof(double));
    row_doubles_ = doubles_per_row(width, single_precision, halo_);
    quantised_ = single_precision && halo_ == Halo::int16;
    // LAMMPS sized its buffers from comm_forward; a wider row would be written past their end.
    if (row_doubles_ > pair_->comm_forward) {
        throw qdml::Error("exchange_too_wide", "an exchange of " + std::to_string(row_doubles_) +
                                                   " doubles per ghost exceeds the announced " +
                                                   std::to_string(pair_->comm_forward) + "; this is a fault of qdml, please report it");
    }
    comm_->forward_comm(pair_, row_doubles_);
    if (!are_sent_known_) {
        for (std::size_t i = 0; i < is_sent_.size(); ++i) {
            if (is_sent_[i] != 0) sent_.push_back(static_cast<int>(i));
        }
        are_sent_known_ = true;
    }
    ++counts_.exchanges;
    counts_.bytes_per_ghost += static_cast<double>(row_doubles_) * sizeof(double);
    rows_ = nullptr;
}

void GhostExchange::new_lists(int n_local)
{
    is_sent_.assign(static_cast<std::size_t>(n_local), 0);
    sent_.clear();
    are_sent_known_ = false;
}

int GhostExchange::pack(int n, const int* list, double* buffer)
{
    if (n > 0) {
        ++counts_.messages;
        counts_.bytes += static_cast<double>(n) * row_doubles_ * sizeof(double);
    }
    for (int k = 0; k < n; ++k) {
        double* out = buffer + static_cast<std::size_t>(k) * row_doubles_;
        // ghosts are sent on, too; they are on the host already
        if (!are_sent_known_ && static_cast<std::size_t>(list[k]) < is_sent_.size()) is_sent_[static_cast<std::size_t>(list[k])] = 1;
        const char* row = rows_ + static_cast<std::size_t>(list[k]) * row_bytes_;
        // The last double of a row may be partly used; send zeros, not leftovers.
        out[row_doubles_ - 1] = 0.0;
        if (quantised_) {
            quantise_row(reinterpret_cast<const float*>(row), width_, reinterpret_cast<char*>(out));
        } else {
            std::memcpy(out, row, row_bytes_);
        }
    }
    return n * row_doubles_;
}

void GhostExchange::unpack(int n, int first, const double* buffer)
{
    for (int k = 0; k < n; ++k) {
        char* row = rows_ + static_cast<std::size_t>(first + k) * row_bytes_;
        const double* in = buffer + static_cast<std::size_t>(k) * row_doubles_;
        if (quantised_) {
            restore_row(reinterpret_cast<const char*>(in), width_, reinterpret_cast<float*>(row));
        } else {
            std::memcpy(row, in, row_bytes_);
        }
    }
}

}  // namespace qdml_lammps
