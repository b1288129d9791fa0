// SPDX-License-Identifier: MIT
/// The equations of docs/conventions.md, "Clebsch-Gordan paths", tile by tile of atoms.
///
///     forward  t = 0..T-1   z = Σ_paths linear_out(Σ messages) + self_connection(h); h' = gate(z);
///                           H of the next layer = linear_in(h'), exchanged; the last reads out
///     backward t = T-1..1   dE/dH = Σ over receivers (G exchanged); dE/dh; dE/dz and G of layer t-1
///     layer 0               its own G alone gives dE/dr of its edges
///
/// The sums A of one path go straight through their part of linear_out, so that A of all paths, which
/// is several times as wide as the features, never exists. G does: it is what receivers send.
/// Within a tile the order is path -> block -> atom -> edge: one radial table stays in the cache.
#include "paths/evaluator.hpp"

#include <algorithm>

#include "threads.hpp"

namespace qdml {
namespace {

constexpr int kTile = 32;  // atoms

std::int64_t whole_blocks(std::int64_t n) { return (n + kBlock - 1) / kBlock * kBlock; }

}  // namespace

/// Work memory of one thread.
template <class real>
struct PathEvaluator<real>::Scratch {
    int atoms[kTile];
    int run_start[kTile + 1];
    int by_species[kTile];
    Buffer<real> coupling;      ///< M of one path [(m_out, m_in)][stride]
    Buffer<real> moments;       ///< [edges of the tile][kMoments]
    Buffer<real> sums;          ///< A of one path, or G of layer 0 [kTile][width]
    Buffer<real> grad_message;  ///< dE/dH [kTile][width]
    Buffer<real> z, grad_z;     ///< [kTile][width]
    std::vector<Buffer<real>> activation;  ///< read-out: inputs and pre-activations
    Buffer<real> grad_a, grad_b;
    const real* in[kTile * (2 * kMaxDegree + 1)];
    real* out[kTile * (2 * kMaxDegree + 1)];

    /// Rows of one irrep: one per atom and component, of arrays given per atom.
    template <class In, class Out>
    int rows(int begin, int end, int degree, int in_offset, int out_offset, const In& in_row,
             const Out& out_row) {
        int n = 0;
        for (int k = begin; k < end; ++k) {
            for (int m = 0; m < 2 * degree + 1; ++m, ++n) {
                in[n] = in_row(k) + in_offset + m * kBlock;
                out[n] = out_row(k) + out_offset + m * kBlock;
            }
        }
        return n;
    }
};

/// Up to 32 consecutive atoms, sorted by species (atoms of other potentials left out), their edges.
template <class real>
struct PathEvaluator<real>::Tile {
    const int* atoms;
    int n;
    const int* run_start;  ///< [n_runs + 1] runs of equal species
    int n_runs;
    const int* species;  ///< of all atoms
    std::int64_t first_edge, n_edges, stride;
    real* harmonics;  ///< [16][stride]
};

template <class real>
PathEvaluator<real>::PathEvaluator(const Model& model, const Kernels<real>& kernels,
                                   const PathKernels<real>& paths)
    : weights_(model),
      kernels_(kernels),
      paths_(paths),
      edges_(weights_.n_species, model.paths->cutoff, model.paths->knots, Spline::hermite) {
    if (model.has_zbl()) {
        zbl_ = Zbl(model.info.species, model.tensor("zbl.r_max"));
    }
    z_.resize(weights_.layers.size());
    message_.resize(weights_.layers.size());
    for (std::size_t t = 0; t < weights_.layers.size(); ++t) {
        const auto& layer = weights_.layers[t];
        h_stride_ = std::max({h_stride_, layer.node_in.width, layer.node_out.width});
        widest_gradient_ = t > 0 ? std::max(widest_gradient_, layer.gradient_width) : 0;
    }
    // layer 0: the message of a sender depends on its species alone
    const auto& first = weights_.layers[0];
    first_message_.reserve(std::int64_t(weights_.n_species) * first.message.width);
    for (int s = 0; s < weights_.n_species; ++s) {
        const real* in = weights_.embedding.data() + std::int64_t(s) * first.node_in.width;
        real* out = first_message_.data() + std::int64_t(s) * first.message.width;
        kernels_.linear(first.linear_in[0].linear.forward(), &in, kBlock, &out, kBlock, 1, false);
    }
}

template <class real>
PathEvaluator<real>::~PathEvaluator() = default;

template <class real>
int PathEvaluator<real>::max_exchange_width() const noexcept {
    int width = widest_gradient_;
    for (std::size_t t = 1; t < weights_.layers.size(); ++t) {
        width = std::max(width, weights_.layers[t].message.width);
    }
    return width;
}

template <class real>
std::int64_t PathEvaluator<real>::memory_estimate(std::int64_t n_local, std::int64_t n_ghost,
                                                  std::int64_t n_edges) const noexcept {
    std::int64_t local = h_stride_, total = std::int64_t(2) * widest_gradient_;
    for (std::size_t t = 0; t < weights_.layers.size(); ++t) {
        local += t + 1 < weights_.layers.size() ? weights_.layers[t].z.width : 0;
        total += t > 0 ? weights_.layers[t].message.width : 0;
    }
    const std::int64_t n_total = n_local + n_ghost;
    const auto size = static_cast<std::int64_t>(sizeof(real));
    return (n_local * local + n_total * total + n_edges * kHarmonics) * size + n_local * 8 +
           Edges<real>::atom_bytes(n_local, n_total) + Edges<real>::edge_bytes(n_local, n_edges);
}

template <class real>
std::int64_t PathEvaluator<real>::memory_allocated() const noexcept {
    std::int64_t sum = edges_.bytes() + harmonics_.bytes() + h_.bytes() + gradient_[0].bytes() +
                       gradient_[1].bytes() + std::int64_t(atom_energy_.capacity()) * 8;
    for (const auto* buffers : {&z_, &message_}) {
        for (const auto& buffer : *buffers) {
            sum += buffer.bytes();
        }
    }
    for (const auto& scratch : scratch_) {
        sum += scratch ? scratch->coupling.bytes() + scratch->moments.bytes() +
                             scratch->sums.bytes() + scratch->grad_message.bytes() +
                             scratch->z.bytes() + scratch->grad_z.bytes()
                       : 0;
    }
    return sum;
}

/// Size all arrays; rows of atoms that no tile writes must be zero.
template <class real>
void PathEvaluator<real>::prepare(const Graph& graph) {
    const std::int64_t n_local = graph.n_local, n_total = graph.n_total;
    const std::size_t n_layers = weights_.layers.size();
    std::int64_t z_widest = 0, message_widest = 0, sums_widest = 0, read_out_widest = kBlock;
    for (std::size_t t = 0; t < n_layers; ++t) {
        const auto& layer = weights_.layers[t];
        z_widest = std::max<std::int64_t>(z_widest, layer.z.width);
        message_widest = std::max<std::int64_t>(message_widest, layer.message.width);
        for (const auto& path : layer.paths) {
            sums_widest = std::max<std::int64_t>(
                sums_widest, std::int64_t(path.blocks) * path.gradient.stride());
        }
        z_[t].reserve(t + 1 < n_layers ? n_local * layer.z.width : 0);
        message_[t].reserve(t > 0 ? n_total * layer.message.width : 0);
    }
    sums_widest = std::max<std::int64_t>(sums_widest, weights_.layers[0].gradient_width);
    for (auto& gradient : gradient_) {
        gradient.reserve(n_total * widest_gradient_);
    }
    h_.reserve(n_local * h_stride_);
    for (const int blocks : weights_.readout_blocks) {
        read_out_widest = std::max<std::int64_t>(read_out_widest, blocks * kBlock);
    }
    const int n_tiles = (graph.n_local + kTile - 1) / kTile;
    std::int64_t most_edges = 0;
    for (int index = 0; index < n_tiles; ++index) {
        const int begin = index * kTile, end = std::min(begin + kTile, graph.n_local);
        most_edges = std::max(most_edges, edges_.row_start[end] - edges_.row_start[begin]);
    }
    harmonics_.reserve(kHarmonics * (edges_.row_start[graph.n_local] +
                                     std::int64_t(n_tiles) * kBlock));
    scratch_.resize(static_cast<std::size_t>(max_threads()));
    for (auto& scratch : scratch_) {
        if (!scratch) {
            scratch = std::make_unique<Scratch>();
        }
        constexpr int kWidest = 2 * kMaxDegree + 1;
        scratch->coupling.reserve(kWidest * kWidest * whole_blocks(most_edges));
        scratch->moments.reserve(most_edges * kMoments);
        scratch->sums.reserve(kTile * sums_widest);
        scratch->grad_message.reserve(kTile * message_widest);
        scratch->z.reserve(kTile * z_widest);
        scratch->grad_z.reserve(kTile * z_widest);
        scratch->grad_a.reserve(kTile * read_out_widest);
        scratch->grad_b.reserve(kTile * read_out_widest);
        scratch->activation.resize(2 * weights_.readout.size() + 1);
        for (auto& buffer : scratch->activation) {
            buffer.reserve(kTile * read_out_widest);
        }
    }
    for (std::int64_t i = 0; i < n_local; ++i) {
        if (graph.species[i] >= 0) {
            continue;
        }
        for (std::size_t t = 1; t < n_layers; ++t) {
            const std::int64_t width = weights_.layers[t].message.width;
            std::fill_n(message_[t].data() + i * width, width, real(0));
        }
    }
}

template <class real>
typename PathEvaluator<real>::Tile PathEvaluator<real>::make_tile(const Graph& graph, int index,
                                                                  Scratch& scratch) const {
    const int begin = index * kTile, end = std::min(begin + kTile, graph.n_local);
    int n = 0, n_runs = 0;
    for (int i = begin; i < end; ++i) {
        if (graph.species[i] >= 0) {
            scratch.atoms[n++] = i;
        }
    }
    std::stable_sort(scratch.atoms, scratch.atoms + n, [&](int a, int b) {
        return graph.species[a] < graph.species[b];
    });
    for (int k = 0; k < n; ++k) {
        if (k == 0 || graph.species[scratch.atoms[k]] != graph.species[scratch.atoms[k - 1]]) {
            scratch.run_start[n_runs++] = k;
        }
    }
    scratch.run_start[n_runs] = n;
    const std::int64_t first = edges_.row_start[begin], n_edges = edges_.row_start[end] - first;
    return {scratch.atoms,
            n,
            scratch.run_start,
            n_runs,
            graph.species,
            first,
            n_edges,
            whole_blocks(n_edges),
            const_cast<real*>(harmonics_.data()) +
                kHarmonics * (first + std::int64_t(index) * kBlock)};
}

/// Call body(tile, scratch) for all tiles. Which thread takes a tile changes no number.
template <class real>
template <class Body>
void PathEvaluator<real>::for_tiles(const Graph& graph, const Body& body) {
    const int n_tiles = (graph.n_local + kTile - 1) / kTile;
#pragma omp parallel for schedule(dynamic, 1)
    for (int index = 0; index < n_tiles; ++index) {
        Scratch& scratch = *scratch_[static_cast<std::size_t>(this_thread())];
        body(make_tile(graph, index, scratch), scratch);
    }
}

/// M of one path for all edges of the tile.
template <class real>
const real* PathEvaluator<real>::couple(const Tile& tile, const PathWeights<real>& path,
                                        Scratch& scratch) const {
    paths_.path[path.l_in][path.path.edge][path.l_out].couple(
        tile.n_edges, tile.harmonics, tile.stride, scratch.coupling.data());
    return scratch.coupling.data();
}

template <class real>
PathConvolution<real> PathEvaluator<real>::convolution(const Tile& tile, std::size_t t,
                                                       const real* m) const {
    return {edges_.row_start.data(),
            t == 0 ? edges_.neighbor_species.data() : edges_.neighbor.data(),
            edges_.record.data(),
            tile.first_edge,
            m,
            tile.stride,
            nullptr};
}

/// body(map, first atom, end) for every map of the self-connection and the atoms it belongs to.
template <class real>
template <class Body>
void PathEvaluator<real>::self_connection(const Tile& tile, std::size_t t, const Body& body) const {
    const auto& maps = weights_.layers[t].self_connection;
    if (maps.size() == 1) {
        for (const auto& map : maps[0]) {
            body(map, 0, tile.n);
        }
        return;
    }
    for (int run = 0; run < tile.n_runs; ++run) {
        const int begin = tile.run_start[run];
        for (const auto& map : maps[static_cast<std::size_t>(tile.species[tile.atoms[begin]])]) {
            body(map, begin, tile.run_start[run + 1]);
        }
    }
}

/// Layer t of one tile up to H of the next layer; z of the last layer stays in the scratch.
template <class real>
void PathEvaluator<real>::forward(const Tile& tile, std::size_t t, Scratch& scratch) {
    const auto& layer = weights_.layers[t];
    const bool last = t + 1 == weights_.layers.size();
    const auto h = [&](int k) { return h_.data() + std::int64_t(tile.atoms[k]) * h_stride_; };
    const auto z = [&](int k) {
        return last ? scratch.z.data() + std::int64_t(k) * layer.z.width
                    : z_[t].data() + std::int64_t(tile.atoms[k]) * layer.z.width;
    };
    if (t == 0) {
        paths_.harmonics(tile.n_edges, edges_.record.data() + tile.first_edge, tile.stride,
                         tile.harmonics);
        const std::int64_t width = layer.node_in.width;
        for (int k = 0; k < tile.n; ++k) {
            std::copy_n(weights_.embedding.data() + tile.species[tile.atoms[k]] * width, width,
                        h(k));
        }
    }
    for (int k = 0; k < tile.n; ++k) {
        std::fill_n(z(k), layer.z.width, real(0));
    }
    const real* senders = t == 0 ? first_message_.data() : message_[t].data();
    for (const auto& path : layer.paths) {
        const auto& in = layer.message.parts[path.path.in];
        const auto& to = layer.z.parts[path.path.out];
        const std::int64_t width = std::int64_t(path.blocks) * path.gradient.stride();
        auto c = convolution(tile, t, couple(tile, path, scratch));
        for (int block = 0; block < path.blocks; ++block) {
            c.table = path.radial.data() + block * weights_.n_knots * 2 * kBlock;
            paths_.path[path.l_in][path.path.edge][path.l_out].forward(
                c, tile.atoms, tile.n, senders + in.offset + block * in.stride(),
                layer.message.width, scratch.sums.data() + block * path.gradient.stride(), width);
        }
        const auto sums = [&](int k) { return scratch.sums.data() + k * width; };
        const int n = scratch.rows(0, tile.n, path.l_out, 0, to.offset, sums, z);
        kernels_.linear(path.linear_out.forward(), scratch.in, path.gradient.stride(), scratch.out,
                        to.stride(), n, true);
    }
    self_connection(tile, t, [&](const IrrepsMap<real>& map, int begin, int end) {
        const auto &from = layer.node_in.parts[map.from], &to = layer.z.parts[map.to];
        const int n = scratch.rows(begin, end, to.degree, from.offset, to.offset, h, z);
        kernels_.linear(map.linear.forward(), scratch.in, from.stride(), scratch.out, to.stride(),
                        n, true);
    });
    // h' takes the place of h, which was last read above
    for (int k = 0; k < tile.n; ++k) {
        paths_.gate_forward(layer.gate.data(), static_cast<int>(layer.gate.size()), z(k), h(k));
    }
    if (last) {
        return;
    }
    const auto& next = weights_.layers[t + 1];
    const auto message = [&](int k) {
        return message_[t + 1].data() + std::int64_t(tile.atoms[k]) * next.message.width;
    };
    for (const auto& map : next.linear_in) {
        const auto &from = next.node_in.parts[map.from], &to = next.message.parts[map.to];
        const int n = scratch.rows(0, tile.n, to.degree, from.offset, to.offset, h, message);
        kernels_.linear(map.linear.forward(), scratch.in, from.stride(), scratch.out, to.stride(),
                        n, false);
    }
}

/// Read-out of one tile: E_i, and dE/dh of the last layer in place of h.
template <class real>
void PathEvaluator<real>::read_out(const Tile& tile, Scratch& scratch) {
    const std::size_t n_maps = weights_.readout.size();
    const auto h = [&](int k) { return h_.data() + std::int64_t(tile.atoms[k]) * h_stride_; };
    const auto linear = [&](const LinearMap<real>& map, const auto& from, const auto& to) {
        const int n = scratch.rows(0, tile.n, 0, 0, 0, from, to);
        kernels_.linear(map, scratch.in, kBlock, scratch.out, kBlock, n, false);
    };
    const auto rows_of = [&](real* first, std::size_t map) {
        const std::int64_t size = weights_.readout_blocks[map] * kBlock;
        return [first, size](int k) { return first + k * size; };
    };
    // activation[2k] is the input of map k, activation[2k + 1] its output before silu
    for (std::size_t map = 0; map < n_maps; ++map) {
        const auto out = rows_of(scratch.activation[2 * map + 1].data(), map + 1);
        if (map == 0) {
            linear(weights_.readout[0].forward(), h, out);
        } else {
            linear(weights_.readout[map].forward(),
                   rows_of(scratch.activation[2 * map].data(), map), out);
        }
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
        atom_energy_[static_cast<std::size_t>(tile.atoms[k])] +=
            weights_.reference[species] + weights_.scale[species] * epsilon;
        grad[k * kBlock] = static_cast<real>(weights_.scale[species]);
    }
    for (std::size_t map = n_maps; map-- > 1;) {
        linear(weights_.readout[map].transposed(), rows_of(grad, map + 1), rows_of(grad_in, map));
        kernels_.silu_backward(tile.n * weights_.readout_blocks[map] * kBlock,
                               scratch.activation[2 * map - 1].data(), grad_in, grad);
    }
    linear(weights_.readout[0].transposed(), rows_of(grad, 1), h);
}

/// From dE/dh of layer t's output to G (in the array of layer t, or in the scratch for layer 0) and
/// the part of dE/dh of its input that goes through the self-connection.
template <class real>
void PathEvaluator<real>::gate_backward(const Tile& tile, std::size_t t, const real* z_rows,
                                        Scratch& scratch) {
    const auto& layer = weights_.layers[t];
    const bool last = t + 1 == weights_.layers.size();
    const auto grad_h = [&](int k) { return h_.data() + std::int64_t(tile.atoms[k]) * h_stride_; };
    const auto grad_z = [&](int k) {
        return scratch.grad_z.data() + std::int64_t(k) * layer.z.width;
    };
    const auto g = [&](int k) {
        return t == 0 ? scratch.sums.data() + std::int64_t(k) * layer.gradient_width
                      : gradient_[t % 2].data() +
                            std::int64_t(tile.atoms[k]) * layer.gradient_width;
    };
    for (int k = 0; k < tile.n; ++k) {
        const std::int64_t row = last ? k : tile.atoms[k];
        std::fill_n(grad_z(k), layer.z.width, real(0));
        paths_.gate_backward(layer.gate.data(), static_cast<int>(layer.gate.size()),
                             z_rows + row * layer.z.width, grad_h(k), grad_z(k));
    }
    for (const auto& path : layer.paths) {
        const auto& from = layer.z.parts[path.path.out];
        const int n = scratch.rows(0, tile.n, path.l_out, from.offset, path.gradient.offset,
                                   grad_z, g);
        kernels_.linear(path.gradient_out.transposed(), scratch.in, from.stride(), scratch.out,
                        path.gradient.stride(), n, false);
    }
    if (t == 0) {
        return;
    }
    for (int k = 0; k < tile.n; ++k) {
        std::fill_n(grad_h(k), layer.node_in.width, real(0));
    }
    self_connection(tile, t, [&](const IrrepsMap<real>& map, int begin, int end) {
        const auto &from = layer.z.parts[map.to], &to = layer.node_in.parts[map.from];
        const int n = scratch.rows(begin, end, to.degree, from.offset, to.offset, grad_z, grad_h);
        kernels_.linear(map.linear.transposed(), scratch.in, from.stride(), scratch.out,
                        to.stride(), n, true);
    });
}

/// Layer t >= 1 from G of the receivers: edge gradients, dE/dH, and the rest of dE/dh.
template <class real>
void PathEvaluator<real>::backward(const Tile& tile, std::size_t t, Scratch& scratch) {
    const auto& layer = weights_.layers[t];
    std::fill_n(scratch.grad_message.data(), std::int64_t(tile.n) * layer.message.width, real(0));
    std::fill_n(scratch.moments.data(), tile.n_edges * kMoments, real(0));
    for (const auto& path : layer.paths) {
        const auto& in = layer.message.parts[path.path.in];
        auto c = convolution(tile, t, couple(tile, path, scratch));
        for (int block = 0; block < path.blocks; ++block) {
            const std::int64_t at = in.offset + block * in.stride();
            c.table = path.radial.data() + block * weights_.n_knots * 2 * kBlock;
            paths_.path[path.l_in][path.path.edge][path.l_out].backward(
                c, tile.atoms, tile.n, message_[t].data() + at, layer.message.width,
                gradient_[t % 2].data() + path.gradient.offset + block * path.gradient.stride(),
                layer.gradient_width, scratch.grad_message.data() + at, layer.message.width,
                scratch.moments.data());
        }
    }
    paths_.finish(tile.n_edges, edges_.record.data() + tile.first_edge, scratch.moments.data(),
                  edges_.gradient.data() + tile.first_edge);
    const auto grad_message = [&](int k) {
        return scratch.grad_message.data() + std::int64_t(k) * layer.message.width;
    };
    const auto grad_h = [&](int k) { return h_.data() + std::int64_t(tile.atoms[k]) * h_stride_; };
    for (const auto& map : layer.linear_in) {
        const auto &from = layer.message.parts[map.to], &to = layer.node_in.parts[map.from];
        const int n =
            scratch.rows(0, tile.n, to.degree, from.offset, to.offset, grad_message, grad_h);
        kernels_.linear(map.linear.transposed(), scratch.in, from.stride(), scratch.out,
                        to.stride(), n, true);
    }
}

/// Layer 0 from G of the receivers, in the scratch: edge gradients.
template <class real>
void PathEvaluator<real>::first_gradient(const Tile& tile, Scratch& scratch) {
    const auto& layer = weights_.layers[0];
    std::fill_n(scratch.moments.data(), tile.n_edges * kMoments, real(0));
    for (const auto& path : layer.paths) {
        auto c = convolution(tile, 0, couple(tile, path, scratch));
        for (int block = 0; block < path.blocks; ++block) {
            c.table = path.radial.data() + block * weights_.n_knots * 2 * kBlock;
            paths_.path[0][path.path.edge][path.l_out].first_gradient(
                c, tile.atoms, tile.n, first_message_.data() + block * kBlock, layer.message.width,
                scratch.sums.data() + path.gradient.offset + block * path.gradient.stride(),
                layer.gradient_width, scratch.moments.data());
        }
    }
    paths_.finish(tile.n_edges, edges_.record.data() + tile.first_edge, scratch.moments.data(),
                  edges_.gradient.data() + tile.first_edge);
}

template <class real>
void PathEvaluator<real>::compute(const Graph& graph, const Request& request, Exchange* exchange,
                                  Result& result) {
    if (request.centroid_virial) {
        throw Error("request_unsupported",
                    "centroid_virial is not available for clebsch-gordan potentials");
    }
    atom_energy_.assign(static_cast<std::size_t>(graph.n_local), 0.0);
    edges_.count(graph);
    const std::int64_t needed = memory_estimate(graph.n_local, graph.n_total - graph.n_local,
                                                edges_.before(graph.n_local));
    if (memory_limit_ > 0 && needed > memory_limit_) {
        throw Error("memory_limit", "the work arrays need " + std::to_string(needed) +
                                        " bytes, the limit is " + std::to_string(memory_limit_) +
                                        "; raise it or use more ranks");
    }
    edges_.build(graph, 0, graph.n_local, &zbl_, atom_energy_.data());
    prepare(graph);
    result.force.assign(static_cast<std::size_t>(graph.n_total) * 3, 0.0);
    result.atom_virial.assign(
        request.atom_virial ? static_cast<std::size_t>(graph.n_total) * 9 : 0, 0.0);
    std::fill(result.virial, result.virial + 9, 0.0);
    const std::size_t n_layers = weights_.layers.size();
    for (std::size_t t = 0; t < n_layers; ++t) {
        const bool last = t + 1 == n_layers;
        for_tiles(graph, [&](const Tile& tile, Scratch& scratch) {
            forward(tile, t, scratch);
            if (last) {
                read_out(tile, scratch);
                gate_backward(tile, t, scratch.z.data(), scratch);
            }
            if (last && t == 0) {
                first_gradient(tile, scratch);
            }
        });
        if (!last && exchange != nullptr) {
            exchange->fill_ghosts(message_[t + 1].data(), weights_.layers[t + 1].message.width);
        }
    }
    for (std::size_t t = n_layers; t-- > 1;) {
        if (exchange != nullptr) {
            exchange->fill_ghosts(gradient_[t % 2].data(), weights_.layers[t].gradient_width);
        }
        for_tiles(graph, [&](const Tile& tile, Scratch& scratch) {
            backward(tile, t, scratch);
            gate_backward(tile, t - 1, z_[t - 1].data(), scratch);
            if (t == 1) {
                first_gradient(tile, scratch);
            }
        });
    }
    edges_.add_forces(graph, request.atom_virial, result);
    result.centroid_virial.clear();
    result.energy = 0.0;
    for (const double e : atom_energy_) {
        result.energy += e;
    }
    result.atom_energy.clear();
    if (request.atom_energy) {
        result.atom_energy = atom_energy_;
    }
}

template class PathEvaluator<float>;
template class PathEvaluator<double>;

}  // namespace qdml
