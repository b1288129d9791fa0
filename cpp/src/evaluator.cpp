// SPDX-License-Identifier: MIT
/// The model as equations of docs/conventions.md, tile by tile of atoms.
///
///     forward  t = 0..T-1   A = Σ messages; z = linear_out(A) + self_connection(h); h' = gate(z);
///                           H of the next layer = linear_in(h'), exchanged; the last tile reads out
///     backward t = T-1..1   dE/dH = Σ over receivers (G exchanged); dE/dh; dE/dz and G of layer t-1
///     layer 0               its own G alone gives dE/dr of its edges
///
/// A tile's atoms are sorted by species, so that self-connections are matrix products over runs of
/// rows. Atoms of other potentials (species -1) are part of no tile: their features are zero.
#include "evaluator.hpp"

#include <algorithm>
#include <memory>

#include "threads.hpp"

namespace qdml {
namespace {

constexpr int kTile = 48;  // atoms; the scratch of a tile stays in the second-level cache

}  // namespace

/// Work memory of one thread.
template <class real>
struct Evaluator<real>::Scratch {
    int atoms[kTile];
    int run_start[kTile + 1];
    Buffer<real> message;                 ///< A, G or dE/dH of the tile [kTile][width]
    Buffer<real> z, grad_z;               ///< [kTile][width]
    std::vector<Buffer<real>> activation;  ///< read-out: inputs and pre-activations
    Buffer<real> grad_a, grad_b;
    std::int64_t bytes() const {
        std::int64_t sum = std::int64_t(sizeof(Scratch)) + message.bytes() + z.bytes() +
                           grad_z.bytes() + grad_a.bytes() + grad_b.bytes();
        for (const auto& buffer : activation) {
            sum += buffer.bytes();
        }
        return sum;
    }
    const real* in[kTile * (2 * kMaxDegree + 1)];
    real* out[kTile * (2 * kMaxDegree + 1)];

    /// Rows of degree l: one per atom and component, of arrays given per atom; a slot of separated
    /// sums on the side that has them.
    template <class In, class Out>
    int rows(int begin, int end, int l, const DegreeLayout& from, const DegreeLayout& to,
             const In& in_row, const Out& out_row, int slot = 0) {
        const int in_slot = from.slots > 1 ? slot : 0, out_slot = to.slots > 1 ? slot : 0;
        int n = 0;
        for (int k = begin; k < end; ++k) {
            for (int m = 0; m < 2 * l + 1; ++m, ++n) {
                in[n] = in_row(k) + from.offset + (in_slot * (2 * l + 1) + m) * kBlock;
                out[n] = out_row(k) + to.offset + (out_slot * (2 * l + 1) + m) * kBlock;
            }
        }
        return n;
    }
};

/// Up to 48 atoms, sorted by species.
template <class real>
struct Evaluator<real>::Tile {
    const int* atoms;
    int n;
    const int* run_start;  ///< [n_runs + 1] runs of equal species
    int n_runs;
    const int* species;  ///< of all atoms
};

template <class real>
Evaluator<real>::Evaluator(const Model& model, const Kernels<real>& kernels)
    : weights_(model),
      kernels_(kernels),
      edges_(weights_.n_species, model.architecture.cutoff, model.architecture.knots) {
    if (model.has_zbl()) {
        zbl_ = Zbl(model.info.species, model.tensor("zbl.r_max"));
    }
    const std::size_t n_layers = weights_.layers.size();
    z_.resize(n_layers);
    message_.resize(n_layers);
    gradient_.resize(n_layers);
    for (const auto& layer : weights_.layers) {
        h_stride_ = std::max({h_stride_, layer.node_in.width, layer.node_out.width});
        z_widest_ = std::max(z_widest_, layer.z.width);
        message_widest_ =
            std::max({message_widest_, layer.message_in.width, layer.message_out.width});
    }
    for (const int blocks : weights_.readout_blocks) {
        readout_widest_ = std::max(readout_widest_, blocks * kBlock);
    }
    // layer 0: the message of a sender depends on its species alone
    const auto& first = weights_.layers[0];
    first_message_.reserve(std::int64_t(weights_.n_species) * first.message_in.width);
    for (int s = 0; s < weights_.n_species; ++s) {
        const real* in = weights_.embedding.data() + std::int64_t(s) * first.node_in.width;
        real* out = first_message_.data() + std::int64_t(s) * first.message_in.width;
        kernels_.linear(first.linear_in[0].forward(), &in, kBlock, &out, kBlock, 1, false);
    }
}

template <class real>
Evaluator<real>::~Evaluator() = default;

template <class real>
int Evaluator<real>::max_exchange_width() const noexcept {
    int width = 0;
    for (std::size_t t = 1; t < weights_.layers.size(); ++t) {
        width = std::max({width, weights_.layers[t].message_in.width,
                          weights_.layers[t].message_out.width});
    }
    return width;
}

/// Work memory of all threads.
template <class real>
std::int64_t Evaluator<real>::scratch_bytes() const noexcept {
    using B = Buffer<real>;
    const std::int64_t n_readout = 2 * std::int64_t(weights_.readout.size()) + 3;
    return max_threads() * (std::int64_t(sizeof(Scratch)) +
                            B::bytes_for(std::int64_t(kTile) * message_widest_) +
                            2 * B::bytes_for(std::int64_t(kTile) * z_widest_) +
                            n_readout * B::bytes_for(std::int64_t(kTile) * readout_widest_));
}

/// Arrays over atoms, which stay for the whole step, and the work memory of the threads.
template <class real>
std::int64_t Evaluator<real>::atom_bytes(std::int64_t n_local,
                                         std::int64_t n_total) const noexcept {
    using B = Buffer<real>;
    std::int64_t sum = B::bytes_for(n_local * h_stride_) + n_local * 8 + scratch_bytes() +
                       Edges<real>::atom_bytes(n_local, n_total);
    for (std::size_t t = 0; t < weights_.layers.size(); ++t) {
        const auto& layer = weights_.layers[t];
        sum += B::bytes_for(t + 1 < weights_.layers.size() ? n_local * layer.z.width : 0);
        sum += t > 0 ? B::bytes_for(n_total * layer.message_in.width) +
                           B::bytes_for(n_total * layer.message_out.width)
                     : 0;
    }
    return sum;
}

template <class real>
std::int64_t Evaluator<real>::memory_estimate(std::int64_t n_local, std::int64_t n_ghost,
                                              std::int64_t n_edges) const noexcept {
    const std::int64_t atoms = atom_bytes(n_local, n_local + n_ghost);
    const std::int64_t all = atoms + Edges<real>::edge_bytes(n_local, n_edges);
    return memory_limit_ > 0 ? std::min(all, std::max(atoms, memory_limit_)) : all;
}

template <class real>
std::int64_t Evaluator<real>::memory_allocated() const noexcept {
    std::int64_t sum = edges_.bytes() + h_.bytes() + std::int64_t(atom_energy_.capacity()) * 8;
    for (const auto* buffers : {&z_, &message_, &gradient_, &moment_gradient_}) {
        for (const auto& buffer : *buffers) {
            sum += buffer.bytes();
        }
    }
    sum += own_h_.bytes() + own_gradient_.bytes() + moment_.bytes();
    for (const auto& scratch : scratch_) {
        sum += scratch ? scratch->bytes() : 0;
    }
    return sum;
}

template <class real>
void Evaluator<real>::set_memory_limit(std::int64_t bytes) {
    memory_limit_ = bytes;
    release();
}

template <class real>
void Evaluator<real>::release() noexcept {
    edges_.release();
    h_.release();
    own_h_.release();
    own_gradient_.release();
    moment_.release();
    for (auto* buffers : {&z_, &message_, &gradient_, &moment_gradient_}) {
        for (auto& buffer : *buffers) {
            buffer.release();
        }
    }
}

/// What centroid virials keep beside the rest.
template <class real>
std::int64_t Evaluator<real>::centroid_bytes(std::int64_t n_local, std::int64_t n_total,
                                             std::int64_t n_edges) const noexcept {
    std::int64_t sum = Buffer<real>::bytes_for(n_local * h_stride_) +
                       2 * Buffer<EdgeGradient<real>>::bytes_for(n_edges) + n_total * 8;
    for (std::size_t t = 1; t < weights_.layers.size(); ++t) {
        sum += Buffer<real>::bytes_for(n_total * weights_.layers[t].message_out.width);
    }
    return sum;
}

/// Rows of the passes over the edges: boundaries of chunks of whole tiles that fit the memory limit,
/// [0, n_local] where all edges do. Throws Error `memory_limit` when not even one tile fits, or when
/// centroid virials are asked for, which need all edges at once.
template <class real>
std::vector<int> Evaluator<real>::divide(const Graph& graph, bool centroid_virial) {
    const int n = graph.n_local;
    if (memory_limit_ == 0) {
        return {0, n};
    }
    const std::int64_t n_edges = edges_.before(n), all = Edges<real>::edge_bytes(n, n_edges);
    std::int64_t fixed = atom_bytes(n, graph.n_total);
    if (centroid_virial) {
        fixed += centroid_bytes(n, graph.n_total, n_edges);
    }
    const std::int64_t left = memory_limit_ - fixed;
    // arrays only grow: what another system left may not be within the limit
    const std::int64_t of_edges = Edges<real>::atom_bytes(n, graph.n_total);
    if (edges_.bytes() - of_edges > left ||
        memory_allocated() - edges_.bytes() > fixed - of_edges) {
        release();
    }
    if (all <= left) {
        return {0, n};
    }
    std::vector<int> chunk = {0};
    std::int64_t widest = 0;
    for (int begin = 0; begin < n; begin += kTile) {
        const int end = std::min(begin + kTile, n), first = chunk.back();
        const std::int64_t tile =
            Edges<real>::edge_bytes(end - begin, edges_.before(end) - edges_.before(begin));
        widest = std::max(widest, tile);
        if (begin > first && Edges<real>::edge_bytes(
                                 end - first, edges_.before(end) - edges_.before(first)) > left) {
            chunk.push_back(begin);
        }
    }
    chunk.push_back(n);
    const std::int64_t least = fixed + (centroid_virial ? all : widest);
    if (least > memory_limit_) {
        throw Error("memory_limit",
                    "the work arrays of " + std::to_string(n) + " local atoms, " +
                        std::to_string(graph.n_total - n) + " ghosts and " +
                        std::to_string(n_edges) + " edges need at least " + std::to_string(least) +
                        " bytes" + (centroid_virial ? " with centroid virials" : "") +
                        ", the limit is " + std::to_string(memory_limit_) +
                        "; raise the limit or divide the atoms among more processes");
    }
    return chunk;
}

template <class real>
Convolution<real> Evaluator<real>::convolution(std::size_t t) const {
    return {edges_.row_start.data(),
            t == 0 ? edges_.neighbor_species.data() : edges_.neighbor.data(),
            edges_.record.data(),
            weights_.layers[t].radial.data(),
            weights_.n_knots,
            weights_.n_blocks};
}

/// Size all arrays; rows of atoms that no tile writes must be zero.
template <class real>
void Evaluator<real>::prepare(const Graph& graph) {
    const std::int64_t n_local = graph.n_local, n_total = graph.n_total;
    for (std::size_t t = 0; t < weights_.layers.size(); ++t) {
        const auto& layer = weights_.layers[t];
        z_[t].reserve(t + 1 < weights_.layers.size() ? n_local * layer.z.width : 0);
        if (t > 0) {
            message_[t].reserve(n_total * layer.message_in.width);
            gradient_[t].reserve(n_total * layer.message_out.width);
        }
    }
    h_.reserve(n_local * h_stride_);
    scratch_.resize(static_cast<std::size_t>(max_threads()));
    for (auto& scratch : scratch_) {
        if (!scratch) {
            scratch = std::make_unique<Scratch>();
        }
        scratch->message.reserve(std::int64_t(kTile) * message_widest_);
        scratch->z.reserve(std::int64_t(kTile) * z_widest_);
        scratch->grad_z.reserve(std::int64_t(kTile) * z_widest_);
        scratch->grad_a.reserve(std::int64_t(kTile) * readout_widest_);
        scratch->grad_b.reserve(std::int64_t(kTile) * readout_widest_);
        scratch->activation.resize(2 * weights_.readout.size() + 1);
        for (auto& buffer : scratch->activation) {
            buffer.reserve(std::int64_t(kTile) * readout_widest_);
        }
    }
    for (std::int64_t i = 0; i < n_local; ++i) {
        if (graph.species[i] < 0) {
            for (std::size_t t = 1; t < weights_.layers.size(); ++t) {
                const auto& layer = weights_.layers[t];
                std::fill_n(message_[t].data() + i * layer.message_in.width,
                            layer.message_in.width, real(0));
                std::fill_n(gradient_[t].data() + i * layer.message_out.width,
                            layer.message_out.width, real(0));
            }
        }
    }
}

template <class real>
real* Evaluator<real>::h_row(const Tile& tile, int k) {
    return h_.data() + std::int64_t(tile.atoms[k]) * h_stride_;
}

template <class real>
typename Evaluator<real>::Tile Evaluator<real>::make_tile(const Graph& graph, int index,
                                                          Scratch& scratch) const {
    const int begin = index * kTile, end = std::min(begin + kTile, graph.n_local);
    int n = 0, n_runs = 0;
    for (int s = 0; s < weights_.n_species && n < end - begin; ++s) {
        const int first = n;
        for (int i = begin; i < end; ++i) {
            if (graph.species[i] == s) {
                scratch.atoms[n++] = i;
            }
        }
        if (n > first) {
            scratch.run_start[n_runs++] = first;
        }
    }
    scratch.run_start[n_runs] = n;
    return {scratch.atoms, n, scratch.run_start, n_runs, graph.species};
}

/// Call body(tile, scratch) for the tiles of rows first..last-1, first a multiple of kTile. Which
/// thread takes a tile changes no number.
template <class real>
template <class Body>
void Evaluator<real>::for_tiles(const Graph& graph, int first, int last, const Body& body) {
    const int begin = first / kTile, end = (last + kTile - 1) / kTile;
#pragma omp parallel for schedule(dynamic, 1)
    for (int index = begin; index < end; ++index) {
        Scratch& scratch = *scratch_[static_cast<std::size_t>(this_thread())];
        body(make_tile(graph, index, scratch), scratch);
    }
}

/// Layer t of one tile up to H of the next layer; z of the last layer stays in the scratch.
template <class real>
void Evaluator<real>::forward(const Tile& tile, std::size_t t, Scratch& scratch) {
    const auto& layer = weights_.layers[t];
    const bool last = t + 1 == weights_.layers.size();
    const auto l_in = static_cast<std::size_t>(layer.shape.l_in);
    const auto l_out = static_cast<std::size_t>(layer.shape.l_out);
    kernels_.forward[weights_.separated][l_in][l_out](convolution(t), tile.atoms, tile.n,
                                  t == 0 ? first_message_.data() : message_[t].data(),
                                  scratch.message.data());
    const auto h = [&](int k) { return h_row(tile, k); };
    const auto aggregate = [&](int k) {
        return scratch.message.data() + std::int64_t(k) * layer.message_out.width;
    };
    const auto z = [&](int k) {
        return last ? scratch.z.data() + std::int64_t(k) * layer.z.width
                    : z_[t].data() + std::int64_t(tile.atoms[k]) * layer.z.width;
    };
    for (int l = 0; l <= layer.shape.l_out; ++l) {
        const auto d = static_cast<std::size_t>(l);
        const auto &from = layer.message_out.degree[d], &to = layer.z.degree[d];
        for (int slot = 0; slot < from.slots; ++slot) {
            const int n = scratch.rows(0, tile.n, l, from, to, aggregate, z, slot);
            kernels_.linear(layer.linear_out[d][std::size_t(slot)].forward(), scratch.in,
                            from.stride, scratch.out, to.stride, n, slot > 0);
        }
        for (int run = 0; t > 0 && l <= layer.shape.l_in && run < tile.n_runs; ++run) {
            const int begin = tile.run_start[run];
            const auto species = static_cast<std::size_t>(tile.species[tile.atoms[begin]]);
            const auto& old = layer.node_in.degree[d];
            const int n = scratch.rows(begin, tile.run_start[run + 1], l, old, to, h, z);
            kernels_.linear(layer.self_connection[species][d].forward(), scratch.in, old.stride,
                            scratch.out, to.stride, n, true);
        }
    }
    // h' takes the place of h, which was last read above
    for (int k = 0; k < tile.n; ++k) {
        kernels_.gate_forward(layer.gate, z(k), h(k));
    }
    if (last) {
        return;
    }
    const auto& next = weights_.layers[t + 1];
    const auto message = [&](int k) {
        return message_[t + 1].data() + std::int64_t(tile.atoms[k]) * next.message_in.width;
    };
    for (int l = 0; l <= next.shape.l_in; ++l) {
        const auto d = static_cast<std::size_t>(l);
        const auto &from = next.node_in.degree[d], &to = next.message_in.degree[d];
        const int n = scratch.rows(0, tile.n, l, from, to, h, message);
        kernels_.linear(next.linear_in[d].forward(), scratch.in, from.stride, scratch.out,
                        to.stride, n, false);
    }
}

/// Read-out of one tile: E_i, and dE/dh of the last layer in place of h.
template <class real>
void Evaluator<real>::read_out(const Tile& tile, Scratch& scratch, double* atom_energy) {
    const std::size_t n_maps = weights_.readout.size();
    const auto h = [&](int k) { return h_row(tile, k); };
    const DegreeLayout plain = {0, kBlock, 0};
    // activation[2k] is the input of map k, activation[2k + 1] its output before silu
    const auto row_of = [&](Buffer<real>& buffer, std::size_t map) {
        const std::int64_t size = weights_.readout_blocks[map] * kBlock;
        return [&buffer, size](int k) { return buffer.data() + k * size; };
    };
    for (std::size_t map = 0; map < n_maps; ++map) {
        const auto out = row_of(scratch.activation[2 * map + 1], map + 1);
        const int n =
            map == 0 ? scratch.rows(0, tile.n, 0, plain, plain, h, out)
                     : scratch.rows(0, tile.n, 0, plain, plain,
                                    row_of(scratch.activation[2 * map], map), out);
        kernels_.linear(weights_.readout[map].forward(), scratch.in, kBlock, scratch.out, kBlock, n,
                        false);
        if (map + 1 < n_maps) {
            kernels_.silu_forward(tile.n * weights_.readout_blocks[map + 1] * kBlock,
                                  scratch.activation[2 * map + 1].data(),
                                  scratch.activation[2 * map + 2].data());
        }
    }
    real *grad = scratch.grad_a.data(), *grad_in = scratch.grad_b.data();
    std::fill_n(grad, tile.n * kBlock, real(0));
    for (int k = 0; k < tile.n; ++k) {
        const auto species = static_cast<std::size_t>(tile.species[tile.atoms[k]]);
        const double epsilon = scratch.activation[2 * n_maps - 1][std::int64_t(k) * kBlock];
        atom_energy[tile.atoms[k]] +=
            weights_.reference[species] + weights_.scale[species] * epsilon;
        grad[k * kBlock] = static_cast<real>(weights_.scale[species]);
    }
    for (std::size_t map = n_maps; map-- > 0;) {
        const std::int64_t size = weights_.readout_blocks[map] * kBlock;
        const std::int64_t size_out = weights_.readout_blocks[map + 1] * kBlock;
        const auto from = [&](int k) { return grad + k * size_out; };
        const auto to = [&](int k) { return grad_in + k * size; };
        const int n = map == 0 ? scratch.rows(0, tile.n, 0, plain, plain, from, h)
                               : scratch.rows(0, tile.n, 0, plain, plain, from, to);
        kernels_.linear(weights_.readout[map].transposed(), scratch.in, kBlock, scratch.out, kBlock,
                        n, false);
        if (map > 0) {
            kernels_.silu_backward(tile.n * static_cast<int>(size),
                                   scratch.activation[2 * map - 1].data(), grad_in, grad_in);
        }
        std::swap(grad, grad_in);
    }
}

/// From dE/dh' of layer t: dE/dz, then G, and dE/dh through the self-connection (layers >= 1).
template <class real>
void Evaluator<real>::gate_and_out_backward(const Tile& tile, std::size_t t, const real* z_rows,
                                            Scratch& scratch) {
    const auto& layer = weights_.layers[t];
    const bool last = t + 1 == weights_.layers.size();
    const auto grad_h = [&](int k) { return h_row(tile, k); };  // of h', then of h
    const auto grad_z = [&](int k) {
        return scratch.grad_z.data() + std::int64_t(k) * layer.z.width;
    };
    const auto g = [&](int k) {
        return t > 0 ? gradient_[t].data() + std::int64_t(tile.atoms[k]) * layer.message_out.width
                     : scratch.message.data() + std::int64_t(k) * layer.message_out.width;
    };
    for (int k = 0; k < tile.n; ++k) {
        const std::int64_t row = last ? k : tile.atoms[k];
        kernels_.gate_backward(layer.gate, z_rows + row * layer.z.width, grad_h(k), grad_z(k));
    }
    for (int l = 0; l <= layer.shape.l_out; ++l) {
        const auto d = static_cast<std::size_t>(l);
        const auto &from = layer.z.degree[d], &to = layer.message_out.degree[d];
        for (int slot = 0; slot < to.slots; ++slot) {
            const int n = scratch.rows(0, tile.n, l, from, to, grad_z, g, slot);
            kernels_.linear(layer.linear_out[d][std::size_t(slot)].transposed(), scratch.in,
                            from.stride, scratch.out, to.stride, n, false);
        }
    }
    // the form the kernels want: traceless tensors, from layer 1 on with the sign of the reversed edge
    for (int k = 0; k < tile.n; ++k) {
        kernels_.to_tensors(layer.sums, t > 0, g(k));
    }
    if (t == 0) {
        return;
    }
    for (int k = 0; k < tile.n; ++k) {
        std::fill_n(grad_h(k), layer.node_in.width, real(0));
    }
    for (int l = 0; l <= std::min(layer.shape.l_in, layer.shape.l_out); ++l) {
        const auto d = static_cast<std::size_t>(l);
        const auto &from = layer.z.degree[d], &to = layer.node_in.degree[d];
        for (int run = 0; run < tile.n_runs; ++run) {
            const int begin = tile.run_start[run];
            const auto species = static_cast<std::size_t>(tile.species[tile.atoms[begin]]);
            const int n = scratch.rows(begin, tile.run_start[run + 1], l, from, to, grad_z,
                                       grad_h);
            kernels_.linear(layer.self_connection[species][d].transposed(), scratch.in, from.stride,
                            scratch.out, to.stride, n, true);
        }
    }
}

/// Layer t >= 1 from G of the receivers: edge gradients, dE/dH, and the rest of dE/dh.
template <class real>
void Evaluator<real>::backward(const Tile& tile, std::size_t t, Scratch& scratch) {
    const auto& layer = weights_.layers[t];
    const auto l_in = static_cast<std::size_t>(layer.shape.l_in);
    const auto l_out = static_cast<std::size_t>(layer.shape.l_out);
    kernels_.backward[weights_.separated][l_in][l_out](convolution(t), tile.atoms, tile.n, message_[t].data(),
                                   gradient_[t].data(), scratch.message.data(),
                                   edges_.gradient.data());
    const auto grad_message = [&](int k) {
        return scratch.message.data() + std::int64_t(k) * layer.message_in.width;
    };
    const auto grad_h = [&](int k) { return h_row(tile, k); };
    for (int l = 0; l <= layer.shape.l_in; ++l) {
        const auto d = static_cast<std::size_t>(l);
        const auto &from = layer.message_in.degree[d], &to = layer.node_in.degree[d];
        const int n = scratch.rows(0, tile.n, l, from, to, grad_message, grad_h);
        kernels_.linear(layer.linear_in[d].transposed(), scratch.in, from.stride, scratch.out,
                        to.stride, n, true);
    }
}

/// Layer 0 from G of the receivers, in the scratch: edge gradients.
template <class real>
void Evaluator<real>::first_gradient(const Tile& tile, Scratch& scratch) {
    const auto l_out = static_cast<std::size_t>(weights_.layers[0].shape.l_out);
    kernels_.first_gradient[l_out](convolution(0), tile.atoms, tile.n, first_message_.data(),
                                   scratch.message.data(), edges_.gradient.data());
}

/// All layers backward from G of the last one; send(t) fills the ghosts of G of layer t, and
/// pass(t, body) calls body(tile, scratch) for all tiles.
template <class real>
template <class Pass, class Send>
void Evaluator<real>::backward_layers(const Pass& pass, const Send& send) {
    for (std::size_t t = weights_.layers.size(); t-- > 1;) {
        send(t);
        pass(t, [&](const Tile& tile, Scratch& scratch) {
            backward(tile, t, scratch);
            gate_and_out_backward(tile, t - 1, z_[t - 1].data(), scratch);
            if (t == 1) {
                first_gradient(tile, scratch);
            }
        });
    }
}

/// After the forward pass: what is there now belongs to the energy of the edge's own center.
template <class real>
void Evaluator<real>::keep_own_gradients(const Graph& graph) {
    const std::int64_t n_edges = edges_.row_start[graph.n_local];
    own_h_.reserve(std::int64_t(graph.n_local) * h_stride_);
    std::copy_n(h_.data(), std::int64_t(graph.n_local) * h_stride_, own_h_.data());
    own_gradient_.reserve(n_edges);
    std::copy_n(edges_.gradient.data(), n_edges, own_gradient_.data());
}

/// Σ_k (x_k - x_i) ⊗ ∂E_k/∂x_i by the backward pass with every adjoint of E_k times x_k. The pass is
/// linear, so only its start changes, and what travels to ghosts: an image lies elsewhere than its
/// owner, so owners send Σ_k (x_k - x_i) ∂E_k/∂A_i, to which both sides add x_i G_i of their own.
template <class real>
void Evaluator<real>::centroid_virial(const Graph& graph, Exchange* exchange, Result& result) {
    const std::size_t n_layers = weights_.layers.size();
    const std::int64_t n_local = graph.n_local, n_total = graph.n_total;
    const std::int64_t n_edges = edges_.row_start[n_local];
    result.centroid_virial.assign(static_cast<std::size_t>(n_total) * 9, 0.0);
    moment_.reserve(n_edges);
    moment_gradient_.resize(n_layers);
    for (std::size_t t = 1; t < n_layers; ++t) {
        moment_gradient_[t].reserve(n_total * weights_.layers[t].message_out.width);
    }
    std::vector<double> x(static_cast<std::size_t>(n_total));
    for (int axis = 0; axis < 3; ++axis) {
        double origin = 0.0;  // near the atoms, for the digits of single precision
        for (std::int64_t i = 0; i < n_local; ++i) {
            origin += graph.position[3 * i + axis] / static_cast<double>(n_local);
        }
        for (std::int64_t i = 0; i < n_total; ++i) {
            x[static_cast<std::size_t>(i)] = graph.position[3 * i + axis] - origin;
        }
        std::swap(gradient_, moment_gradient_);
        std::swap(edges_.gradient, moment_);
        for (std::size_t t = 1; t < n_layers; ++t) {
            std::fill_n(gradient_[t].data(), n_total * weights_.layers[t].message_out.width, real(0));
        }
        // rows += sign x_i G_i; the first `n` rows
        const auto add_position = [&](std::size_t t, std::int64_t n, double sign) {
            const std::int64_t width = weights_.layers[t].message_out.width;
            for (std::int64_t i = 0; i < n; ++i) {
                const auto factor = static_cast<real>(sign * x[static_cast<std::size_t>(i)]);
                for (std::int64_t c = i * width; c < (i + 1) * width; ++c) {
                    gradient_[t][c] += factor * moment_gradient_[t][c];
                }
            }
        };
        for (std::int64_t i = 0; i < n_local; ++i) {
            const auto here = static_cast<real>(x[static_cast<std::size_t>(i)]);
            for (std::int64_t c = i * h_stride_; c < (i + 1) * h_stride_; ++c) {
                h_[c] = here * own_h_[c];
            }
            for (std::int64_t e = edges_.row_start[i]; e < edges_.row_start[i + 1]; ++e) {
                for (int k = 0; k < 4; ++k) {
                    edges_.gradient[e].value[k] = here * own_gradient_[e].value[k];
                }
            }
        }
        const auto pass = [&](std::size_t, const auto& body) {
            for_tiles(graph, 0, graph.n_local, body);
        };
        backward_layers(pass, [&](std::size_t t) {
            if (t + 1 < n_layers) {  // G_i of the last layer belongs to E_i alone
                add_position(t, n_local, -1.0);
                if (exchange != nullptr) {
                    exchange->fill_ghosts(gradient_[t].data(),
                                          weights_.layers[t].message_out.width);
                }
            }
            add_position(t, n_total, 1.0);
        });
        std::swap(gradient_, moment_gradient_);
        std::swap(edges_.gradient, moment_);
        edges_.centroid_virial(graph, axis, x, moment_, result);
    }
}

template <class real>
void Evaluator<real>::compute(const Graph& graph, const Request& request, Exchange* exchange,
                              Result& result) {
    atom_energy_.assign(static_cast<std::size_t>(graph.n_local), 0.0);
    edges_.count(graph);
    const std::vector<int> chunk = divide(graph, request.centroid_virial);
    prepare(graph);
    result.force.assign(static_cast<std::size_t>(graph.n_total) * 3, 0.0);
    result.atom_virial.assign(
        request.atom_virial ? static_cast<std::size_t>(graph.n_total) * 9 : 0, 0.0);
    std::fill(result.virial, result.virial + 9, 0.0);
    const bool whole = chunk.size() == 2;
    if (whole) {
        edges_.build(graph, 0, graph.n_local, &zbl_, atom_energy_.data());
    }
    // One pass over all atoms. In chunks each pass makes its edges and, with `gradient`, turns their
    // gradients into forces; ZBL belongs to the one that ends with layer 0.
    const auto pass = [&](bool gradient, bool pairs, const auto& body) {
        for (std::size_t k = 0; k + 1 < chunk.size(); ++k) {
            if (!whole) {
                edges_.build(graph, chunk[k], chunk[k + 1], pairs ? &zbl_ : nullptr,
                             atom_energy_.data());
            }
            for_tiles(graph, chunk[k], chunk[k + 1], body);
            if (!whole && gradient) {
                edges_.add_forces(graph, request.atom_virial, result);
            }
        }
    };
    const std::size_t n_layers = weights_.layers.size();
    for (std::size_t t = 0; t < n_layers; ++t) {
        const bool last = t + 1 == n_layers, only = n_layers == 1;
        pass(only, only, [&](const Tile& tile, Scratch& scratch) {
            forward(tile, t, scratch);
            if (last) {
                read_out(tile, scratch, atom_energy_.data());
                gate_and_out_backward(tile, t, scratch.z.data(), scratch);
            }
            if (only) {
                first_gradient(tile, scratch);
            }
        });
        if (!last && exchange != nullptr) {
            exchange->fill_ghosts(message_[t + 1].data(), weights_.layers[t + 1].message_in.width);
        }
    }
    if (request.centroid_virial) {
        keep_own_gradients(graph);
    }
    backward_layers(
        [&](std::size_t t, const auto& body) { pass(true, t == 1, body); },
        [&](std::size_t t) {
            if (exchange != nullptr) {
                exchange->fill_ghosts(gradient_[t].data(), weights_.layers[t].message_out.width);
            }
        });
    if (whole) {
        edges_.add_forces(graph, request.atom_virial, result);
    }
    result.centroid_virial.clear();
    if (request.centroid_virial) {
        centroid_virial(graph, exchange, result);
    }
    result.energy = 0.0;
    for (const double e : atom_energy_) {
        result.energy += e;
    }
    result.atom_energy.clear();
    if (request.atom_energy) {
        result.atom_energy = atom_energy_;
    }
}

template class Evaluator<float>;
template class Evaluator<double>;

}  // namespace qdml
