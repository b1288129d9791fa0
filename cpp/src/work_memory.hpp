// SPDX-License-Identifier: MIT
/// Sizes of the work arrays of a Cartesian model, and how its edges are divided to fit a limit.
#pragma once

#include <cstdint>
#include <vector>

#include "qdml/engine.hpp"
#include "weights.hpp"
#include "workspace.hpp"

namespace qdml {

template <class real>
class WorkMemory {
public:
    WorkMemory() = default;
    explicit WorkMemory(const Weights<real>& weights);

    int h_stride() const noexcept { return h_stride_; }
    std::int64_t limit() const noexcept { return limit_; }
    void set_limit(std::int64_t bytes) noexcept { limit_ = bytes; }

    /// Bytes of all arrays under the limit; centroid virials not counted.
    std::int64_t estimate(std::int64_t n_local, std::int64_t n_total,
                          std::int64_t n_edges) const noexcept;
    /// Rows of the passes over the edges: boundaries of chunks of whole tiles that fit the limit,
    /// [0, n_local] where all edges do. Gives back arrays that another system left too large. Throws
    /// Error `memory_limit` when not even one tile fits, or when centroid virials are asked for, which
    /// need all edges at once.
    std::vector<int> divide(const Graph& graph, bool centroid_virial, int tile,
                            Workspace<real>& work) const;
    /// Size all arrays.
    void prepare(const Graph& graph, Workspace<real>& work) const;

private:
    struct Layer {
        int z = 0, message_in = 0, message_out = 0;  ///< values of an atom, 0 where there is no array
    };
    std::int64_t scratch_bytes() const noexcept;
    std::int64_t atom_bytes(std::int64_t n_local, std::int64_t n_total) const noexcept;
    std::int64_t centroid_bytes(std::int64_t n_local, std::int64_t n_total,
                                std::int64_t n_edges) const noexcept;

    std::vector<Layer> layers_;
    std::size_t n_readout_ = 0;
    int h_stride_ = 0;  ///< widest node features; one stride, as tiles of threads share the array
    int message_widest_ = 0, z_widest_ = 0, readout_widest_ = 0;  ///< of the scratch of a tile
    std::int64_t limit_ = 0;  ///< bytes, 0: none
};

extern template class WorkMemory<float>;
extern template class WorkMemory<double>;

}  // namespace qdml
