// SPDX-License-Identifier: MIT
/// Arrays of the training code [rows][C] and the layout of the kernels: one block of 16 channels after
/// the other, [block][rows][16].
#pragma once

#include <cstdint>
#include <cstring>

#include "../kernels/kernels.hpp"
#include "parallel.hpp"

namespace qdml {

/// Rows are what lies before the channels: components of atoms, terms of knots.
struct Blocks {
    int channels;
    std::int64_t rows;

    int count() const { return channels / kBlock; }
    /// Numbers of one block, and of all.
    std::int64_t size() const { return rows * kBlock; }
    std::int64_t total() const { return rows * channels; }

    template <class real>
    void pack(const Parallel& parallel, const real* from, real* to) const {
        for_groups(parallel, static_cast<int>(rows), 256, [&](std::int64_t first, std::int64_t last) {
            for (int block = 0; block < count(); ++block) {
                for (std::int64_t row = first; row < last; ++row) {
                    std::memcpy(to + block * size() + row * kBlock,
                                from + row * channels + block * kBlock, kBlock * sizeof(real));
                }
            }
        });
    }

    /// The reverse for some rows of one block; `from` begins at row `first`.
    template <class real>
    void unpack(const real* from, int block, std::int64_t first, std::int64_t last, real* to) const {
        for (std::int64_t row = first; row < last; ++row, from += kBlock) {
            std::memcpy(to + row * channels + block * kBlock, from, kBlock * sizeof(real));
        }
    }
};

}  // namespace qdml
