// SPDX-License-Identifier: MIT
/// One sum of bytes per kind of array; prepare() allocates what estimate() counts.
#include "work_memory.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace qdml {
namespace {

std::int64_t whole_blocks(std::int64_t n) { return (n + kBlock - 1) / kBlock * kBlock; }

/// Widths of the two arrays of G, layers taking turns.
std::array<int, 2> gradient_widths(const WorkSizes& sizes) {
    std::array<int, 2> width = {};
    for (std::size_t t = 1; t < sizes.layers.size(); ++t) {
        width[t % 2] = std::max(width[t % 2], sizes.layers[t].gradient);
    }
    return width;
}

}  // namespace

/// Work memory of all threads, for tiles with at most so many edges.
template <class real>
std::int64_t WorkMemory<real>::scratch_bytes(std::int64_t tile_edges) const noexcept {
    using B = Buffer<real>;
    const std::int64_t n = sizes_.tile, n_readout = 2 * sizes_.n_readout + 3;
    return max_threads() *
           (std::int64_t(sizeof(Scratch<real>)) + B::bytes_for(n * sizes_.tile_message) +
            B::bytes_for(n * sizes_.tile_grad_message) + 2 * B::bytes_for(n * sizes_.tile_z) +
            n_readout * B::bytes_for(n * sizes_.tile_readout) +
            B::bytes_for(sizes_.tile_coupling * whole_blocks(tile_edges)) +
            B::bytes_for(sizes_.tile_moments * tile_edges));
}

/// Arrays over atoms, which stay for the whole step, and the work memory of the threads.
template <class real>
std::int64_t WorkMemory<real>::atom_bytes(std::int64_t n_local, std::int64_t n_total,
                                          std::int64_t tile_edges) const noexcept {
    using B = Buffer<real>;
    std::int64_t sum = B::bytes_for(n_local * sizes_.h) + n_local * 8 + scratch_bytes(tile_edges) +
                       Edges<real>::atom_bytes(n_local, n_total);
    for (const auto& layer : sizes_.layers) {
        sum += B::bytes_for(n_local * layer.z) + B::bytes_for(n_total * layer.message);
    }
    for (const int width : gradient_widths(sizes_)) {
        sum += B::bytes_for(n_total * width);
    }
    return sum;
}

/// Numbers of the array over edges that lie tile by tile, a tile beginning at a multiple of kBlock.
template <class real>
std::int64_t WorkMemory<real>::values_of_edges(std::int64_t rows, std::int64_t edges) const noexcept {
    const std::int64_t n_tiles = (rows + sizes_.tile - 1) / sizes_.tile;
    return sizes_.edge * (edges + n_tiles * kBlock);
}

template <class real>
std::int64_t WorkMemory<real>::edge_bytes(std::int64_t rows, std::int64_t edges) const noexcept {
    return Edges<real>::edge_bytes(rows, edges) +
           Buffer<real>::bytes_for(values_of_edges(rows, edges));
}

template <class real>
std::int64_t WorkMemory<real>::estimate(std::int64_t n_local, std::int64_t n_total,
                                        std::int64_t n_edges) const noexcept {
    const std::int64_t in_tile = std::min<std::int64_t>(sizes_.tile, n_local);
    const std::int64_t tile_edges = n_local > 0 ? n_edges * in_tile / n_local : 0;
    const std::int64_t n_ghost = n_total - n_local;
    const std::int64_t atoms = atom_bytes(n_local, n_total, tile_edges) + travelling_bytes(n_ghost, n_ghost);
    const std::int64_t all = atoms + edge_bytes(n_local, n_edges);
    return limit_ > 0 ? std::min(all, std::max(atoms, limit_)) : all;
}

template <class real>
std::int64_t WorkMemory<real>::travelling_bytes(std::int64_t n_sent, std::int64_t n_received) const noexcept {
    return n_sent + n_received > 0 ? GhostRows<real>::bytes_for(n_sent, n_received, sizes_.widest_exchange()) : 0;
}

/// What centroid virials keep beside the rest.
template <class real>
std::int64_t WorkMemory<real>::centroid_bytes(std::int64_t n_local, std::int64_t n_total,
                                              std::int64_t n_edges) const noexcept {
    std::int64_t sum = Buffer<real>::bytes_for(n_local * sizes_.h) +
                       2 * Buffer<EdgeGradient<real>>::bytes_for(n_edges) + n_total * 8;
    for (std::size_t t = 1; t < sizes_.layers.size(); ++t) {
        const std::int64_t bytes = Buffer<real>::bytes_for(n_total * sizes_.layers[t].gradient);
        sum += t > 1 ? 2 * bytes : bytes;  // G of layer 1 takes one of the two arrays that are there
    }
    return sum;
}

template <class real>
std::int64_t WorkMemory<real>::most_edges_of_tile(int n_local,
                                                  const Edges<real>& edges) const noexcept {
    std::int64_t most = 0;
    for (int begin = 0; begin < n_local; begin += sizes_.tile) {
        const int end = std::min(begin + sizes_.tile, n_local);
        most = std::max(most, edges.before(end) - edges.before(begin));
    }
    return most;
}

template <class real>
std::vector<int> WorkMemory<real>::divide(const Graph& graph, bool centroid_virial, std::int64_t travelling,
                                          Workspace<real>& work) const {
    const int n = graph.n_local;
    if (limit_ == 0) {
        return {0, n};
    }
    const Edges<real>& edges = work.edges;
    const std::int64_t n_edges = edges.before(n), all = edge_bytes(n, n_edges);
    std::int64_t fixed = atom_bytes(n, graph.n_total, most_edges_of_tile(n, edges)) + travelling;
    if (centroid_virial) {
        fixed += centroid_bytes(n, graph.n_total, n_edges);
    }
    const std::int64_t left = limit_ - fixed;
    // arrays only grow: what another system left may not be within the limit
    const std::int64_t of_edges = Edges<real>::atom_bytes(n, graph.n_total);
    const std::int64_t found = edges.bytes() + work.harmonics.bytes();
    if (found - of_edges > left || work.bytes() - found > fixed - of_edges) {
        work.release();
    }
    if (all <= left) {
        return {0, n};
    }
    std::vector<int> chunk = {0};
    std::int64_t widest = n > 0 ? 0 : all;
    for (int begin = 0; begin < n; begin += sizes_.tile) {
        const int end = std::min(begin + sizes_.tile, n), first = chunk.back();
        const auto bytes = [&](int from) {
            return edge_bytes(end - from, edges.before(end) - edges.before(from));
        };
        widest = std::max(widest, bytes(begin));
        if (begin > first && bytes(first) > left) {
            chunk.push_back(begin);
        }
    }
    chunk.push_back(n);
    const std::int64_t least = fixed + (centroid_virial ? all : widest);
    if (least > limit_) {
        throw Error("memory_limit",
                    "the work arrays of " + std::to_string(n) + " local atoms, " +
                        std::to_string(graph.n_total - n) + " ghosts and " +
                        std::to_string(n_edges) + " edges need at least " + std::to_string(least) +
                        " bytes" + (centroid_virial ? " with centroid virials" : "") +
                        ", the limit is " + std::to_string(limit_) +
                        "; raise the limit or divide the atoms among more processes");
    }
    return chunk;
}

template <class real>
void WorkMemory<real>::prepare(const Graph& graph, bool all_gradients,
                               Workspace<real>& work) const {
    const std::int64_t n_local = graph.n_local, n_total = graph.n_total, n = sizes_.tile;
    work.resize(sizes_.layers.size());
    for (std::size_t t = 0; t < sizes_.layers.size(); ++t) {
        work.z[t].reserve(n_local * sizes_.layers[t].z);
        work.message[t].reserve(n_total * sizes_.layers[t].message);
        if (all_gradients) {
            work.gradient[t].reserve(n_total * sizes_.layers[t].gradient);
        }
    }
    const auto width = gradient_widths(sizes_);
    for (std::size_t k = 0; k < 2 && !all_gradients; ++k) {
        work.gradient[k].reserve(n_total * width[k]);
    }
    work.h.reserve(n_local * sizes_.h);
    const std::int64_t tile_edges =
        sizes_.tile_moments > 0 ? most_edges_of_tile(graph.n_local, work.edges) : 0;
    const auto n_activations = static_cast<std::size_t>(2 * sizes_.n_readout + 1);
    for (auto& scratch : work.scratch) {
        scratch->message.reserve(n * sizes_.tile_message);
        scratch->grad_message.reserve(n * sizes_.tile_grad_message);
        scratch->z.reserve(n * sizes_.tile_z);
        scratch->grad_z.reserve(n * sizes_.tile_z);
        scratch->grad_a.reserve(n * sizes_.tile_readout);
        scratch->grad_b.reserve(n * sizes_.tile_readout);
        // tiles of another system may have had more edges than the limit now leaves room for
        const auto fit = [&](Buffer<real>& buffer, std::int64_t values) {
            if (limit_ > 0 && buffer.bytes() > Buffer<real>::bytes_for(values)) {
                buffer.release();
            }
            buffer.reserve(values);
        };
        fit(scratch->coupling, sizes_.tile_coupling * whole_blocks(tile_edges));
        fit(scratch->moments, sizes_.tile_moments * tile_edges);
        scratch->activation.resize(std::max(scratch->activation.size(), n_activations));
        for (std::size_t k = 0; k < n_activations; ++k) {
            scratch->activation[k].reserve(n * sizes_.tile_readout);
        }
    }
}

template <class real>
void WorkMemory<real>::prepare_edges(const Rows& rows, Workspace<real>& work) const {
    work.harmonics.reserve(
        values_of_edges(rows.built - rows.first, work.edges.row_start[rows.built]));
}

template class WorkMemory<float>;
template class WorkMemory<double>;

}  // namespace qdml
