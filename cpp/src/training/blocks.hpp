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

    /// The sums of several arrays in blocks, one after the other: rows 0 .. kept - 1, zeros behind.
    template <class real>
    void sum_parts(const Parallel& parallel, const real* from, int parts, std::int64_t kept,
                   real* to) const {
        for_groups(parallel, static_cast<int>(rows), 64, [&](int first, int last) {
            for (int block = 0; block < count(); ++block) {
                for (std::int64_t row = first; row < last; ++row) {
                    real sum[kBlock] = {};
                    for (int part = 0; part < parts && row < kept; ++part) {
                        const real* own = from + part * total() + block * size() + row * kBlock;
                        for (int c = 0; c < kBlock; ++c) sum[c] += own[c];
                    }
                    unpack(sum, block, row, row + 1, to);
                }
            }
        });
    }
};

}  // namespace qdml
