// SPDX-License-Identifier: MIT
/// Irreps and paths of a layer, and where they lie in the rows of arrays and kernels.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "../kernels/kernels.hpp"

namespace qdml {

struct PathShape {
    /// An irrep of the features or the sums of one path; `offset` in numbers of an atom's row.
    struct Part {
        int degree, channels;
        std::int64_t offset;
        std::int64_t size() const { return std::int64_t(2 * degree + 1) * channels; }

        /// Row of an atom from [m][C] to the kernels' [block][m][16], times a sign.
        template <class real>
        void pack(const real* from, real sign, real* to) const {
            const int components = 2 * degree + 1;
            for (int block = 0; block < channels / kBlock; ++block) {
                for (int m = 0; m < components; ++m, to += kBlock) {
                    const real* source = from + m * channels + block * kBlock;
                    for (int c = 0; c < kBlock; ++c) to[c] = sign * source[c];
                }
            }
        }
        /// And back.
        template <class real>
        void unpack(const real* from, real* to) const {
            const int components = 2 * degree + 1;
            for (int block = 0; block < channels / kBlock; ++block) {
                for (int m = 0; m < components; ++m, from += kBlock) {
                    std::memcpy(to + m * channels + block * kBlock, from, kBlock * sizeof(real));
                }
            }
        }
    };
    struct Path {
        int part;  ///< of sent
        int l_edge;
        Part sum;
        int first_channel;  ///< in the table
    };
    std::vector<Part> sent;
    std::vector<Path> paths;
    int n_atoms = 0, n_slots = 0;
    int knots = 0;  ///< spline intervals

    void add_irrep(int degree, int channels);
    /// Throws Error `layer_unavailable` for a part that does not exist.
    void add_path(int part, int l_edge, int l_out);
    std::int64_t width_in() const;   ///< W
    std::int64_t width_out() const;  ///< W'
    int channels() const;            ///< F
};

/// Whether there are kernels for a layer: degrees up to 3 that couple, channels in sixteens.
bool has_path_messages(const PathShape& shape);

}  // namespace qdml
