// SPDX-License-Identifier: MIT
/// One sum of bytes per kind of array; prepare() allocates what estimate() counts.
#include "work_memory.hpp"

#include <algorithm>
#include <string>

namespace qdml {

template <class real>
WorkMemory<real>::WorkMemory(const Weights<real>& weights) : n_readout_(weights.readout.size()) {
    for (std::size_t t = 0; t < weights.layers.size(); ++t) {
        const auto& layer = weights.layers[t];
        h_stride_ = std::max({h_stride_, layer.node_in.width, layer.node_out.width});
        z_widest_ = std::max(z_widest_, layer.z.width);
        message_widest_ =
            std::max({message_widest_, layer.message_in.width, layer.message_out.width});
        layers_.push_back({t + 1 < weights.layers.size() ? layer.z.width : 0,
                           t > 0 ? layer.message_in.width : 0,
                           t > 0 ? layer.message_out.width : 0});
    }
    for (const int blocks : weights.readout_blocks) {
        readout_widest_ = std::max(readout_widest_, blocks * kBlock);
    }
}

/// Work memory of all threads.
template <class real>
std::int64_t WorkMemory<real>::scratch_bytes() const noexcept {
    using B = Buffer<real>;
    const std::int64_t n = kMostAtomsOfTile, n_readout = 2 * std::int64_t(n_readout_) + 3;
    return max_threads() *
           (std::int64_t(sizeof(Scratch<real>)) + B::bytes_for(n * message_widest_) +
            2 * B::bytes_for(n * z_widest_) + n_readout * B::bytes_for(n * readout_widest_));
}

/// Arrays over atoms, which stay for the whole step, and the work memory of the threads.
template <class real>
std::int64_t WorkMemory<real>::atom_bytes(std::int64_t n_local, std::int64_t n_total) const noexcept {
    using B = Buffer<real>;
    std::int64_t sum = B::bytes_for(n_local * h_stride_) + n_local * 8 + scratch_bytes() +
                       Edges<real>::atom_bytes(n_local, n_total);
    for (std::size_t t = 0; t < layers_.size(); ++t) {
        sum += B::bytes_for(n_local * layers_[t].z);
        sum += t > 0 ? B::bytes_for(n_total * layers_[t].message_in) +
                           B::bytes_for(n_total * layers_[t].message_out)
                     : 0;
    }
    return sum;
}

template <class real>
std::int64_t WorkMemory<real>::estimate(std::int64_t n_local, std::int64_t n_total,
                                    std::int64_t n_edges) const noexcept {
    const std::int64_t atoms = atom_bytes(n_local, n_total);
    const std::int64_t all = atoms + Edges<real>::edge_bytes(n_local, n_edges);
    return limit_ > 0 ? std::min(all, std::max(atoms, limit_)) : all;
}

/// What centroid virials keep beside the rest.
template <class real>
std::int64_t WorkMemory<real>::centroid_bytes(std::int64_t n_local, std::int64_t n_total,
                                          std::int64_t n_edges) const noexcept {
    std::int64_t sum = Buffer<real>::bytes_for(n_local * h_stride_) +
                       2 * Buffer<EdgeGradient<real>>::bytes_for(n_edges) + n_total * 8;
    for (std::size_t t = 1; t < layers_.size(); ++t) {
        sum += Buffer<real>::bytes_for(n_total * layers_[t].message_out);
    }
    return sum;
}

template <class real>
std::vector<int> WorkMemory<real>::divide(const Graph& graph, bool centroid_virial, int tile,
                                      Workspace<real>& work) const {
    const int n = graph.n_local;
    if (limit_ == 0) {
        return {0, n};
    }
    const Edges<real>& edges = work.edges;
    const std::int64_t n_edges = edges.before(n), all = Edges<real>::edge_bytes(n, n_edges);
    std::int64_t fixed = atom_bytes(n, graph.n_total);
    if (centroid_virial) {
        fixed += centroid_bytes(n, graph.n_total, n_edges);
    }
    const std::int64_t left = limit_ - fixed;
    // arrays only grow: what another system left may not be within the limit
    const std::int64_t of_edges = Edges<real>::atom_bytes(n, graph.n_total);
    if (edges.bytes() - of_edges > left || work.bytes() - edges.bytes() > fixed - of_edges) {
        work.release();
    }
    if (all <= left) {
        return {0, n};
    }
    std::vector<int> chunk = {0};
    std::int64_t widest = 0;
    for (int begin = 0; begin < n; begin += tile) {
        const int end = std::min(begin + tile, n), first = chunk.back();
        const std::int64_t bytes =
            Edges<real>::edge_bytes(end - begin, edges.before(end) - edges.before(begin));
        widest = std::max(widest, bytes);
        if (begin > first && Edges<real>::edge_bytes(
                                 end - first, edges.before(end) - edges.before(first)) > left) {
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
void WorkMemory<real>::prepare(const Graph& graph, Workspace<real>& work) const {
    const std::int64_t n_local = graph.n_local, n_total = graph.n_total;
    work.resize(layers_.size());
    for (std::size_t t = 0; t < layers_.size(); ++t) {
        work.z[t].reserve(n_local * layers_[t].z);
        if (t > 0) {
            work.message[t].reserve(n_total * layers_[t].message_in);
            work.gradient[t].reserve(n_total * layers_[t].message_out);
        }
    }
    work.h.reserve(n_local * h_stride_);
    for (auto& scratch : work.scratch) {
        const std::int64_t n = kMostAtomsOfTile;
        scratch->message.reserve(n * message_widest_);
        scratch->z.reserve(n * z_widest_);
        scratch->grad_z.reserve(n * z_widest_);
        scratch->grad_a.reserve(n * readout_widest_);
        scratch->grad_b.reserve(n * readout_widest_);
        scratch->activation.resize(std::max(scratch->activation.size(), 2 * n_readout_ + 1));
        for (std::size_t k = 0; k < 2 * n_readout_ + 1; ++k) {
            scratch->activation[k].reserve(n * readout_widest_);
        }
    }
}

template class WorkMemory<float>;
template class WorkMemory<double>;

}  // namespace qdml
