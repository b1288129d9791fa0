// SPDX-License-Identifier: MIT
/// The equations of docs/conventions.md, "Clebsch-Gordan paths", for one tile of atoms; ../evaluator.cpp
/// calls them in turn.
///
/// The sums A of one path go straight through their part of linear_out, so that A of all paths, which
/// is several times as wide as the features, never exists. G does: it is what receivers send.
/// Within a tile the order is path -> block -> atom -> edge: one radial table stays in the cache.
#include "paths/evaluator.hpp"

#include <algorithm>

#include "read_out.hpp"

namespace qdml {
namespace {

constexpr int kTile = 32;  // atoms
static_assert(kTile <= kMostAtomsOfTile);

std::int64_t whole_blocks(std::int64_t n) { return (n + kBlock - 1) / kBlock * kBlock; }

/// What the arrays of an atom, an edge and a tile hold.
template <class real>
WorkSizes work_sizes(const PathModelWeights<real>& weights) {
    constexpr int kWidest = 2 * kMaxDegree + 1;
    WorkSizes sizes;
    sizes.tile = kTile;
    sizes.edge = kHarmonics;
    sizes.tile_coupling = kWidest * kWidest;
    sizes.tile_moments = kMoments;
    const std::size_t n_layers = weights.layers.size();
    for (std::size_t t = 0; t < n_layers; ++t) {
        const auto& layer = weights.layers[t];
        sizes.layers.push_back({t + 1 < n_layers ? layer.z.width : 0, t > 0 ? layer.message.width : 0,
                                t > 0 ? layer.gradient_width : 0});
        sizes.h = std::max({sizes.h, layer.node_in.width, layer.node_out.width});
        sizes.tile_z = std::max(sizes.tile_z, layer.z.width);
        sizes.tile_grad_message = std::max(sizes.tile_grad_message, layer.message.width);
        for (const auto& path : layer.paths) {
            sizes.tile_message = std::max(sizes.tile_message, path.blocks * path.gradient.stride());
        }
    }
    sizes.tile_message = std::max(sizes.tile_message, weights.layers[0].gradient_width);
    sizes.set_readout(weights.readout_blocks);
    return sizes;
}

}  // namespace

/// The edges of a tile, those of atoms of other potentials included, and their harmonics.
template <class real>
struct PathEvaluator<real>::EdgeTile {
    std::int64_t first, n, stride;
    real* harmonics;  ///< [16][stride]
};

template <class real>
PathEvaluator<real>::PathEvaluator(const Model& model, const Kernels<real>& kernels,
                                   const PathKernels<real>& paths)
    : CpuEvaluator<real>(model, model.paths->cutoff, model.paths->knots, Spline::hermite),
      weights_(model),
      kernels_(kernels),
      paths_(paths) {
    this->set_sizes(work_sizes(weights_));
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
typename PathEvaluator<real>::EdgeTile PathEvaluator<real>::edges_of(const Tile& tile) const {
    const auto& start = work_->edges.row_start;
    const std::int64_t first = start[tile.begin];
    return {first, start[tile.end] - first, whole_blocks(start[tile.whole_end] - first),
            work_->harmonics.data() + kHarmonics * (first + std::int64_t(tile.index) * kBlock)};
}

template <class real>
void PathEvaluator<real>::take_edges(const Tile& tile) {
    const EdgeTile edges = edges_of(tile);
    paths_.harmonics(edges.n, work_->edges.record.data() + edges.first, edges.stride,
                     edges.harmonics);
}

/// M of one path for all edges of the tile.
template <class real>
const real* PathEvaluator<real>::couple(const EdgeTile& edges, const PathWeights<real>& path,
                                        Scratch<real>& scratch) const {
    paths_.path[path.l_in][path.path.edge][path.l_out].couple(
        edges.n, edges.harmonics, edges.stride, scratch.coupling.data());
    return scratch.coupling.data();
}

template <class real>
PathConvolution<real> PathEvaluator<real>::convolution(const EdgeTile& edges, std::size_t t,
                                                       const real* m) const {
    return {work_->edges.row_start.data(),
            t == 0 ? work_->edges.neighbor_species.data() : work_->edges.neighbor.data(),
            work_->edges.record.data(),
            edges.first,
            m,
            edges.stride,
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
void PathEvaluator<real>::forward(const Tile& tile, std::size_t t, Scratch<real>& scratch) {
    const auto& layer = weights_.layers[t];
    const bool last = t + 1 == weights_.layers.size();
    const EdgeTile edges = edges_of(tile);
    const auto h = [&](int k) { return h_row(tile, k); };
    const auto z = [&](int k) {
        return last ? scratch.z.data() + std::int64_t(k) * layer.z.width
                    : work_->z[t].data() + std::int64_t(tile.atoms[k]) * layer.z.width;
    };
    if (t == 0) {
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
        auto c = convolution(edges, t, couple(edges, path, scratch));
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

template <class real>
void PathEvaluator<real>::read_out(const Tile& tile, Scratch<real>& scratch) {
    qdml::read_out(weights_, kernels_, tile, work_->h.data(), h_stride(), scratch,
                   work_->atom_energy.data());
}

/// From dE/dh of layer t's output to G (in the array of layer t, or in the scratch for layer 0) and
/// the part of dE/dh of its input that goes through the self-connection.
template <class real>
void PathEvaluator<real>::gate_backward(const Tile& tile, std::size_t t, Scratch<real>& scratch) {
    const auto& layer = weights_.layers[t];
    const bool last = t + 1 == weights_.layers.size();
    const real* z_rows = last ? scratch.z.data() : work_->z[t].data();
    const auto grad_h = [&](int k) { return h_row(tile, k); };
    const auto grad_z = [&](int k) {
        return scratch.grad_z.data() + std::int64_t(k) * layer.z.width;
    };
    const auto g = [&](int k) {
        return t == 0 ? scratch.message.data() + std::int64_t(k) * layer.gradient_width
                      : gradient(t) + std::int64_t(tile.atoms[k]) * layer.gradient_width;
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
void PathEvaluator<real>::backward(const Tile& tile, std::size_t t, Scratch<real>& scratch) {
    const auto& layer = weights_.layers[t];
    const EdgeTile edges = edges_of(tile);
    std::fill_n(scratch.grad_message.data(), std::int64_t(tile.n) * layer.message.width, real(0));
    std::fill_n(scratch.moments.data(), edges.n * kMoments, real(0));
    for (const auto& path : layer.paths) {
        const auto& in = layer.message.parts[path.path.in];
        auto c = convolution(edges, t, couple(edges, path, scratch));
        for (int block = 0; block < path.blocks; ++block) {
            const std::int64_t at = in.offset + block * in.stride();
            c.table = path.radial.data() + block * weights_.n_knots * 2 * kBlock;
            paths_.path[path.l_in][path.path.edge][path.l_out].backward(
                c, tile.atoms, tile.n, work_->message[t].data() + at, layer.message.width,
                gradient(t) + path.gradient.offset + block * path.gradient.stride(),
                layer.gradient_width, scratch.grad_message.data() + at, layer.message.width,
                scratch.moments.data());
        }
    }
    paths_.finish(edges.n, work_->edges.record.data() + edges.first, scratch.moments.data(),
                  work_->edges.gradient.data() + edges.first);
    const auto grad_message = [&](int k) {
        return scratch.grad_message.data() + std::int64_t(k) * layer.message.width;
    };
    const auto grad_h = [&](int k) { return h_row(tile, k); };
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
void PathEvaluator<real>::first_gradient(const Tile& tile, Scratch<real>& scratch) {
    const auto& layer = weights_.layers[0];
    const EdgeTile edges = edges_of(tile);
    std::fill_n(scratch.moments.data(), edges.n * kMoments, real(0));
    for (const auto& path : layer.paths) {
        auto c = convolution(edges, 0, couple(edges, path, scratch));
        for (int block = 0; block < path.blocks; ++block) {
            c.table = path.radial.data() + block * weights_.n_knots * 2 * kBlock;
            paths_.path[0][path.path.edge][path.l_out].first_gradient(
                c, tile.atoms, tile.n, first_message_.data() + block * kBlock, layer.message.width,
                scratch.message.data() + path.gradient.offset + block * path.gradient.stride(),
                layer.gradient_width, scratch.moments.data());
        }
    }
    paths_.finish(edges.n, work_->edges.record.data() + edges.first, scratch.moments.data(),
                  work_->edges.gradient.data() + edges.first);
}

template class PathEvaluator<float>;
template class PathEvaluator<double>;

}  // namespace qdml
