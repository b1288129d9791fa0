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

#include "read_out.hpp"
#include "threads.hpp"

namespace qdml {
namespace {

constexpr int kTile = 32;  // atoms
static_assert(kTile <= kMostAtomsOfTile);

std::int64_t whole_blocks(std::int64_t n) { return (n + kBlock - 1) / kBlock * kBlock; }

}  // namespace

/// Up to 32 atoms and their edges, those of atoms of other potentials included.
template <class real>
struct PathEvaluator<real>::EdgeTile : Tile {
    std::int64_t first_edge, n_edges, stride;
    real* harmonics;  ///< [16][stride]
};

template <class real>
PathEvaluator<real>::PathEvaluator(const Model& model, const Kernels<real>& kernels,
                                   const PathKernels<real>& paths)
    : weights_(model),
      kernels_(kernels),
      paths_(paths),
      shape_{weights_.n_species, model.paths->cutoff, model.paths->knots, Spline::hermite} {
    if (model.has_zbl()) {
        zbl_ = Zbl(model.info.species, model.tensor("zbl.r_max"));
    }
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

/// Size all arrays; rows of atoms that no tile writes must be zero.
template <class real>
void PathEvaluator<real>::prepare(const Graph& graph) {
    const std::int64_t n_local = graph.n_local, n_total = graph.n_total;
    const std::size_t n_layers = weights_.layers.size();
    const auto& start = work_->edges.row_start;
    work_->resize(std::max<std::size_t>(n_layers, 2));  // G of two layers at a time
    std::int64_t z_widest = 0, message_widest = 0, sums_widest = 0, read_out_widest = kBlock;
    for (std::size_t t = 0; t < n_layers; ++t) {
        const auto& layer = weights_.layers[t];
        z_widest = std::max<std::int64_t>(z_widest, layer.z.width);
        message_widest = std::max<std::int64_t>(message_widest, layer.message.width);
        for (const auto& path : layer.paths) {
            sums_widest = std::max<std::int64_t>(
                sums_widest, std::int64_t(path.blocks) * path.gradient.stride());
        }
        work_->z[t].reserve(t + 1 < n_layers ? n_local * layer.z.width : 0);
        work_->message[t].reserve(t > 0 ? n_total * layer.message.width : 0);
    }
    sums_widest = std::max<std::int64_t>(sums_widest, weights_.layers[0].gradient_width);
    for (std::size_t k = 0; k < 2; ++k) {
        work_->gradient[k].reserve(n_total * widest_gradient_);
    }
    work_->h.reserve(n_local * h_stride_);
    for (const int blocks : weights_.readout_blocks) {
        read_out_widest = std::max<std::int64_t>(read_out_widest, blocks * kBlock);
    }
    const int n_tiles = (graph.n_local + kTile - 1) / kTile;
    std::int64_t most_edges = 0;
    for (int index = 0; index < n_tiles; ++index) {
        const int begin = index * kTile, end = std::min(begin + kTile, graph.n_local);
        most_edges = std::max(most_edges, start[end] - start[begin]);
    }
    work_->harmonics.reserve(kHarmonics *
                             (start[graph.n_local] + std::int64_t(n_tiles) * kBlock));
    for (auto& scratch : work_->scratch) {
        constexpr int kWidest = 2 * kMaxDegree + 1;
        scratch->coupling.reserve(kWidest * kWidest * whole_blocks(most_edges));
        scratch->moments.reserve(most_edges * kMoments);
        scratch->message.reserve(kTile * sums_widest);
        scratch->grad_message.reserve(kTile * message_widest);
        scratch->z.reserve(kTile * z_widest);
        scratch->grad_z.reserve(kTile * z_widest);
        scratch->grad_a.reserve(kTile * read_out_widest);
        scratch->grad_b.reserve(kTile * read_out_widest);
        const std::size_t n_activations = 2 * weights_.readout.size() + 1;
        scratch->activation.resize(std::max(scratch->activation.size(), n_activations));
        for (std::size_t k = 0; k < n_activations; ++k) {
            scratch->activation[k].reserve(kTile * read_out_widest);
        }
    }
    for (std::int64_t i = 0; i < n_local; ++i) {
        if (graph.species[i] >= 0) {
            continue;
        }
        for (std::size_t t = 1; t < n_layers; ++t) {
            const std::int64_t width = weights_.layers[t].message.width;
            std::fill_n(work_->message[t].data() + i * width, width, real(0));
        }
    }
}

template <class real>
typename PathEvaluator<real>::EdgeTile PathEvaluator<real>::make_edge_tile(
    const Graph& graph, int index, Scratch<real>& scratch) const {
    const int begin = index * kTile, end = std::min(begin + kTile, graph.n_local);
    const auto& start = work_->edges.row_start;
    const std::int64_t first = start[begin], n_edges = start[end] - first;
    return {make_tile(graph, begin, end, weights_.n_species, scratch), first, n_edges,
            whole_blocks(n_edges),
            work_->harmonics.data() + kHarmonics * (first + std::int64_t(index) * kBlock)};
}

/// Call body(tile, scratch) for all tiles. Which thread takes a tile changes no number.
template <class real>
template <class Body>
void PathEvaluator<real>::for_tiles(const Graph& graph, const Body& body) {
    const int n_tiles = (graph.n_local + kTile - 1) / kTile;
#pragma omp parallel for schedule(dynamic, 1)
    for (int index = 0; index < n_tiles; ++index) {
        Scratch<real>& scratch = *work_->scratch[static_cast<std::size_t>(this_thread())];
        body(make_edge_tile(graph, index, scratch), scratch);
    }
}

/// M of one path for all edges of the tile.
template <class real>
const real* PathEvaluator<real>::couple(const EdgeTile& tile, const PathWeights<real>& path,
                                        Scratch<real>& scratch) const {
    paths_.path[path.l_in][path.path.edge][path.l_out].couple(
        tile.n_edges, tile.harmonics, tile.stride, scratch.coupling.data());
    return scratch.coupling.data();
}

template <class real>
PathConvolution<real> PathEvaluator<real>::convolution(const EdgeTile& tile, std::size_t t,
                                                       const real* m) const {
    return {work_->edges.row_start.data(),
            t == 0 ? work_->edges.neighbor_species.data() : work_->edges.neighbor.data(),
            work_->edges.record.data(),
            tile.first_edge,
            m,
            tile.stride,
            nullptr};
}

/// body(map, first atom, end) for every map of the self-connection and the atoms it belongs to.
template <class real>
template <class Body>
void PathEvaluator<real>::self_connection(const EdgeTile& tile, std::size_t t, const Body& body) const {
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
void PathEvaluator<real>::forward(const EdgeTile& tile, std::size_t t, Scratch<real>& scratch) {
    const auto& layer = weights_.layers[t];
    const bool last = t + 1 == weights_.layers.size();
    const auto h = [&](int k) { return work_->h.data() + std::int64_t(tile.atoms[k]) * h_stride_; };
    const auto z = [&](int k) {
        return last ? scratch.z.data() + std::int64_t(k) * layer.z.width
                    : work_->z[t].data() + std::int64_t(tile.atoms[k]) * layer.z.width;
    };
    if (t == 0) {
        paths_.harmonics(tile.n_edges, work_->edges.record.data() + tile.first_edge, tile.stride,
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
    const real* senders = t == 0 ? first_message_.data() : work_->message[t].data();
    for (const auto& path : layer.paths) {
        const auto& in = layer.message.parts[path.path.in];
        const auto& to = layer.z.parts[path.path.out];
        const std::int64_t width = std::int64_t(path.blocks) * path.gradient.stride();
        auto c = convolution(tile, t, couple(tile, path, scratch));
        for (int block = 0; block < path.blocks; ++block) {
            c.table = path.radial.data() + block * weights_.n_knots * 2 * kBlock;
            paths_.path[path.l_in][path.path.edge][path.l_out].forward(
                c, tile.atoms, tile.n, senders + in.offset + block * in.stride(),
                layer.message.width, scratch.message.data() + block * path.gradient.stride(), width);
        }
        const auto sums = [&](int k) { return scratch.message.data() + k * width; };
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
        return work_->message[t + 1].data() + std::int64_t(tile.atoms[k]) * next.message.width;
    };
    for (const auto& map : next.linear_in) {
        const auto &from = next.node_in.parts[map.from], &to = next.message.parts[map.to];
        const int n = scratch.rows(0, tile.n, to.degree, from.offset, to.offset, h, message);
        kernels_.linear(map.linear.forward(), scratch.in, from.stride(), scratch.out, to.stride(),
                        n, false);
    }
}

/// From dE/dh of layer t's output to G (in the array of layer t, or in the scratch for layer 0) and
/// the part of dE/dh of its input that goes through the self-connection.
template <class real>
void PathEvaluator<real>::gate_backward(const EdgeTile& tile, std::size_t t, const real* z_rows,
                                        Scratch<real>& scratch) {
    const auto& layer = weights_.layers[t];
    const bool last = t + 1 == weights_.layers.size();
    const auto grad_h = [&](int k) { return work_->h.data() + std::int64_t(tile.atoms[k]) * h_stride_; };
    const auto grad_z = [&](int k) {
        return scratch.grad_z.data() + std::int64_t(k) * layer.z.width;
    };
    const auto g = [&](int k) {
        return t == 0 ? scratch.message.data() + std::int64_t(k) * layer.gradient_width
                      : work_->gradient[t % 2].data() +
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
void PathEvaluator<real>::backward(const EdgeTile& tile, std::size_t t, Scratch<real>& scratch) {
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
                c, tile.atoms, tile.n, work_->message[t].data() + at, layer.message.width,
                work_->gradient[t % 2].data() + path.gradient.offset + block * path.gradient.stride(),
                layer.gradient_width, scratch.grad_message.data() + at, layer.message.width,
                scratch.moments.data());
        }
    }
    paths_.finish(tile.n_edges, work_->edges.record.data() + tile.first_edge, scratch.moments.data(),
                  work_->edges.gradient.data() + tile.first_edge);
    const auto grad_message = [&](int k) {
        return scratch.grad_message.data() + std::int64_t(k) * layer.message.width;
    };
    const auto grad_h = [&](int k) { return work_->h.data() + std::int64_t(tile.atoms[k]) * h_stride_; };
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
void PathEvaluator<real>::first_gradient(const EdgeTile& tile, Scratch<real>& scratch) {
    const auto& layer = weights_.layers[0];
    std::fill_n(scratch.moments.data(), tile.n_edges * kMoments, real(0));
    for (const auto& path : layer.paths) {
        auto c = convolution(tile, 0, couple(tile, path, scratch));
        for (int block = 0; block < path.blocks; ++block) {
            c.table = path.radial.data() + block * weights_.n_knots * 2 * kBlock;
            paths_.path[0][path.path.edge][path.l_out].first_gradient(
                c, tile.atoms, tile.n, first_message_.data() + block * kBlock, layer.message.width,
                scratch.message.data() + path.gradient.offset + block * path.gradient.stride(),
                layer.gradient_width, scratch.moments.data());
        }
    }
    paths_.finish(tile.n_edges, work_->edges.record.data() + tile.first_edge, scratch.moments.data(),
                  work_->edges.gradient.data() + tile.first_edge);
}

template <class real>
void PathEvaluator<real>::evaluate(const Graph& graph, const Request& request, Exchange* exchange,
                                   Result& result, bool same_graph) {
    if (request.centroid_virial) {
        throw Error("request_unsupported",
                    "centroid_virial is not available for clebsch-gordan potentials");
    }
    work_->atom_energy.assign(static_cast<std::size_t>(graph.n_local), 0.0);
    work_->edges.count(graph, shape_, same_graph);
    const std::int64_t needed = memory_estimate(graph.n_local, graph.n_total - graph.n_local,
                                                work_->edges.before(graph.n_local));
    if (memory_limit_ > 0 && needed > memory_limit_) {
        throw Error("memory_limit", "the work arrays need " + std::to_string(needed) +
                                        " bytes, the limit is " + std::to_string(memory_limit_) +
                                        "; raise it or use more ranks");
    }
    work_->edges.build(graph, 0, graph.n_local);
    work_->edges.start(graph, &zbl_, work_->atom_energy.data());
    prepare(graph);
    result.force.assign(static_cast<std::size_t>(graph.n_total) * 3, 0.0);
    result.atom_virial.assign(
        request.atom_virial ? static_cast<std::size_t>(graph.n_total) * 9 : 0, 0.0);
    std::fill(result.virial, result.virial + 9, 0.0);
    const std::size_t n_layers = weights_.layers.size();
    for (std::size_t t = 0; t < n_layers; ++t) {
        const bool last = t + 1 == n_layers;
        for_tiles(graph, [&](const EdgeTile& tile, Scratch<real>& scratch) {
            forward(tile, t, scratch);
            if (last) {
                read_out(weights_, kernels_, tile, work_->h.data(), h_stride_, scratch,
                         work_->atom_energy.data());
                gate_backward(tile, t, scratch.z.data(), scratch);
            }
            if (last && t == 0) {
                first_gradient(tile, scratch);
            }
        });
        if (!last && exchange != nullptr) {
            exchange->fill_ghosts(work_->message[t + 1].data(), weights_.layers[t + 1].message.width);
        }
    }
    for (std::size_t t = n_layers; t-- > 1;) {
        if (exchange != nullptr) {
            exchange->fill_ghosts(work_->gradient[t % 2].data(), weights_.layers[t].gradient_width);
        }
        for_tiles(graph, [&](const EdgeTile& tile, Scratch<real>& scratch) {
            backward(tile, t, scratch);
            gate_backward(tile, t - 1, work_->z[t - 1].data(), scratch);
            if (t == 1) {
                first_gradient(tile, scratch);
            }
        });
    }
    work_->edges.add_forces(graph, request.atom_virial, result);
    result.centroid_virial.clear();
    store_energies(work_->atom_energy, request, result);
}

template class PathEvaluator<float>;
template class PathEvaluator<double>;

}  // namespace qdml
