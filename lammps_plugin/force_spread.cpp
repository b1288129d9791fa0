// SPDX-License-Identifier: GPL-2.0-only
/// Adds up the members' forces over the ranks and takes their standard deviation.

#include "force_spread.h"

#include "comm.h"
#include "pair.h"

#include <algorithm>
#include <cmath>

namespace qdml_lammps {

const std::vector<double>& ForceSpread::compute(const std::vector<qdml::Result>& members, int n_local, int n_total)
{
    const auto n_members = static_cast<int>(members.size());
    width_ = doubles_per_atom(n_members);
    rows_.resize(static_cast<std::size_t>(n_total) * static_cast<std::size_t>(width_));
    for (int m = 0; m < n_members; ++m) {
        const auto& force = members[static_cast<std::size_t>(m)].force;
        for (int i = 0; i < n_total; ++i) {
            std::copy_n(force.data() + 3 * static_cast<std::size_t>(i), 3,
                        rows_.data() + static_cast<std::size_t>(i) * width_ + 3 * m);
        }
    }
    comm_->reverse_comm(pair_, width_);

    spread_.resize(static_cast<std::size_t>(n_local));
    for (int i = 0; i < n_local; ++i) {
        const double* row = rows_.data() + static_cast<std::size_t>(i) * width_;
        double sum = 0.0;
        for (int d = 0; d < 3; ++d) {
            double mean = 0.0;
            for (int m = 0; m < n_members; ++m) mean += row[3 * m + d] / n_members;
            for (int m = 0; m < n_members; ++m) sum += (row[3 * m + d] - mean) * (row[3 * m + d] - mean);
        }
        spread_[static_cast<std::size_t>(i)] = std::sqrt(sum / n_members);
    }
    return spread_;
}

int ForceSpread::pack(int n, int first, double* buffer) const
{
    std::copy_n(rows_.data() + static_cast<std::size_t>(first) * width_, static_cast<std::size_t>(n) * width_, buffer);
    return n * width_;
}

void ForceSpread::unpack(int n, const int* list, const double* buffer)
{
    for (int k = 0; k < n; ++k) {
        double* row = rows_.data() + static_cast<std::size_t>(list[k]) * width_;
        for (int c = 0; c < width_; ++c) row[c] += buffer[static_cast<std::size_t>(k) * width_ + c];
    }
}

}  // namespace qdml_lammps
