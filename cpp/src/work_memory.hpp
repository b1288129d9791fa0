// SPDX-License-Identifier: MIT
/// Sizes of the work arrays of a model, and how its edges are divided to fit a limit.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "qdml/engine.hpp"
#include "workspace.hpp"

namespace qdml {

/// Numbers of kernel precision that an evaluator keeps.
struct WorkSizes {
    struct Layer {
        int z = 0, message = 0, gradient = 0;  ///< of an atom: z, H and G; 0 where there is no array
    };
    std::vector<Layer> layers;
    /// Of the rows that go to ghosts.
    int widest_exchange() const noexcept {
        int width = 0;
        for (const Layer& layer : layers) {
            width = std::max({width, layer.message, layer.gradient});
        }
        return width;
    }
    int h = 0;     ///< widest node features; one stride, as tiles of threads share the array
    int edge = 0;  ///< of an edge, beside Edges; rounded up to kBlock edges in every tile

    // scratch of a tile
    int tile = kMostAtomsOfTile;  ///< atoms
    int tile_message = 0, tile_grad_message = 0, tile_z = 0, tile_readout = kBlock;  ///< of an atom
    int tile_coupling = 0, tile_moments = 0;  ///< of an edge
    int n_readout = 0;                        ///< maps of the read-out

    /// `blocks` of 16 channels that go into each map, then 1.
    void set_readout(const std::vector<int>& blocks) {
        n_readout = static_cast<int>(blocks.size()) - 1;
        tile_readout = *std::max_element(blocks.begin(), blocks.end()) * kBlock;
    }
};

template <class real>
class WorkMemory {
public:
    WorkMemory() = default;
    explicit WorkMemory(WorkSizes sizes) : sizes_(std::move(sizes)) {}

    const WorkSizes& sizes() const noexcept { return sizes_; }
    std::int64_t limit() const noexcept { return limit_; }
    void set_limit(std::int64_t bytes) noexcept { limit_ = bytes; }

    /// Bytes of all arrays under the limit; centroid virials not counted, as many rows sent as there are ghosts.
    std::int64_t estimate(std::int64_t n_local, std::int64_t n_total,
                          std::int64_t n_edges) const noexcept;
    /// Rows of the passes over the edges: boundaries of chunks of whole tiles that fit the limit,
    /// [0, n_local] where all edges do; `travelling` is what rows on their way take, bytes. Gives back
    /// arrays that another system left too large. Throws Error `memory_limit` when not even one tile
    /// fits, or when centroid virials are asked for, which need all edges at once.
    std::vector<int> divide(const Graph& graph, bool centroid_virial, std::int64_t travelling,
                            Workspace<real>& work) const;
    /// Bytes of rows that an exchange sends and receives.
    std::int64_t travelling_bytes(std::int64_t n_sent, std::int64_t n_received) const noexcept;
    /// Size the arrays over atoms and the scratch. `all_gradients`: G of every layer stays until the end.
    void prepare(const Graph& graph, bool all_gradients, Workspace<real>& work) const;
    /// Size the arrays over the edges of these rows, after Edges::build.
    void prepare_edges(const Rows& rows, Workspace<real>& work) const;

private:
    std::int64_t most_edges_of_tile(int n_local, const Edges<real>& edges) const noexcept;
    std::int64_t values_of_edges(std::int64_t rows, std::int64_t edges) const noexcept;
    std::int64_t edge_bytes(std::int64_t rows, std::int64_t edges) const noexcept;
    std::int64_t scratch_bytes(std::int64_t tile_edges) const noexcept;
    std::int64_t atom_bytes(std::int64_t n_local, std::int64_t n_total,
                            std::int64_t tile_edges) const noexcept;
    std::int64_t centroid_bytes(std::int64_t n_local, std::int64_t n_total,
                                std::int64_t n_edges) const noexcept;

    WorkSizes sizes_;
    std::int64_t limit_ = 0;  ///< bytes, 0: none
};

extern template class WorkMemory<float>;
extern template class WorkMemory<double>;

}  // namespace qdml
