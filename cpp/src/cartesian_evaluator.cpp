// SPDX-License-Identifier: MIT
/// The equations of docs/conventions.md for one tile of atoms; evaluator.cpp calls them in turn.
#include "cartesian_evaluator.hpp"

#include <algorithm>

#include "read_out.hpp"

namespace qdml {
namespace {

/// Rows of degree l of a tile; a slot of separated sums on the side that has them.
template <class real, class In, class Out>
int rows(Scratch<real>& scratch, int begin, int end, int l, const DegreeLayout& from,
         const DegreeLayout& to, const In& in_row, const Out& out_row, int slot = 0) {
    const int components = (2 * l + 1) * kBlock;
    return scratch.rows(begin, end, l, from.offset + (from.slots > 1 ? slot : 0) * components,
                        to.offset + (to.slots > 1 ? slot : 0) * components, in_row, out_row);
}

/// What the arrays of an atom hold.
template <class real>
WorkSizes work_sizes(const Weights<real>& weights) {
    WorkSizes sizes;
    sizes.tile = kMostAtomsOfTile;
    const std::size_t n_layers = weights.layers.size();
    for (std::size_t t = 0; t < n_layers; ++t) {
        const auto& layer = weights.layers[t];
        sizes.layers.push_back({t + 1 < n_layers ? layer.z.width : 0, t > 0 ? layer.message_in.width : 0,
                                t > 0 ? layer.message_out.width : 0});
        sizes.h = std::max({sizes.h, layer.node_in.width, layer.node_out.width});
        sizes.tile_z = std::max(sizes.tile_z, layer.z.width);
        sizes.tile_message =
            std::max({sizes.tile_message, layer.message_in.width, layer.message_out.width});
    }
    sizes.set_readout(weights.readout_blocks);
    return sizes;
}

}  // namespace

template <class real>
CartesianEvaluator<real>::CartesianEvaluator(const Model& model, const Kernels<real>& kernels)
    : CpuEvaluator<real>(model, model.architecture.cutoff, model.architecture.knots,
                         Spline::cubic_b),
      weights_(model),
      kernels_(kernels) {
    this->set_sizes(work_sizes(weights_));
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
Convolution<real> CartesianEvaluator<real>::convolution(std::size_t t) const {
    return {work_->edges.row_start.data(),
            t == 0 ? work_->edges.neighbor_species.data() : work_->edges.neighbor.data(),
            work_->edges.record.data(),
            weights_.layers[t].radial.data(),
            weights_.n_knots,
            weights_.n_blocks};
}

/// Layer t of one tile up to H of the next layer; z of the last layer stays in the scratch.
template <class real>
void CartesianEvaluator<real>::forward(const Tile& tile, std::size_t t, Scratch<real>& scratch) {
    const auto& layer = weights_.layers[t];
    const bool last = t + 1 == weights_.layers.size();
    const auto l_in = static_cast<std::size_t>(layer.shape.l_in);
    const auto l_out = static_cast<std::size_t>(layer.shape.l_out);
    kernels_.forward[weights_.separated][l_in][l_out](
        convolution(t), tile.atoms, tile.n,
        t == 0 ? first_message_.data() : work_->message[t].data(), scratch.message.data());
    const auto h = [&](int k) { return h_row(tile, k); };
    const auto aggregate = [&](int k) {
        return scratch.message.data() + std::int64_t(k) * layer.message_out.width;
    };
    const auto z = [&](int k) {
        return last ? scratch.z.data() + std::int64_t(k) * layer.z.width
                    : work_->z[t].data() + std::int64_t(tile.atoms[k]) * layer.z.width;
    };
    for (int l = 0; l <= layer.shape.l_out; ++l) {
        const auto d = static_cast<std::size_t>(l);
        const auto &from = layer.message_out.degree[d], &to = layer.z.degree[d];
        for (int slot = 0; slot < from.slots; ++slot) {
            const int n = rows(scratch, 0, tile.n, l, from, to, aggregate, z, slot);
            kernels_.linear(layer.linear_out[d][std::size_t(slot)].forward(), scratch.in,
                            from.stride, scratch.out, to.stride, n, slot > 0);
        }
        for (int run = 0; t > 0 && l <= layer.shape.l_in && run < tile.n_runs; ++run) {
            const int begin = tile.run_start[run];
            const auto species = static_cast<std::size_t>(tile.species[tile.atoms[begin]]);
            const auto& old = layer.node_in.degree[d];
            const int n = rows(scratch, begin, tile.run_start[run + 1], l, old, to, h, z);
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
        return work_->message[t + 1].data() +
               std::int64_t(tile.atoms[k]) * next.message_in.width;
    };
    for (int l = 0; l <= next.shape.l_in; ++l) {
        const auto d = static_cast<std::size_t>(l);
        const auto &from = next.node_in.degree[d], &to = next.message_in.degree[d];
        const int n = rows(scratch, 0, tile.n, l, from, to, h, message);
        kernels_.linear(next.linear_in[d].forward(), scratch.in, from.stride, scratch.out,
                        to.stride, n, false);
    }
}

/// From dE/dh' of layer t: dE/dz, then G, and dE/dh through the self-connection (layers >= 1).
template <class real>
void CartesianEvaluator<real>::gate_backward(const Tile& tile, std::size_t t,
                                             Scratch<real>& scratch) {
    const auto& layer = weights_.layers[t];
    const bool last = t + 1 == weights_.layers.size();
    const real* z_rows = last ? scratch.z.data() : work_->z[t].data();
    const auto grad_h = [&](int k) { return h_row(tile, k); };  // of h', then of h
    const auto grad_z = [&](int k) {
        return scratch.grad_z.data() + std::int64_t(k) * layer.z.width;
    };
    const auto g = [&](int k) {
        return t > 0 ? gradient(t) +
                           std::int64_t(tile.atoms[k]) * layer.message_out.width
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
            const int n = rows(scratch, 0, tile.n, l, from, to, grad_z, g, slot);
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
            const int n = rows(scratch, begin, tile.run_start[run + 1], l, from, to, grad_z,
                                       grad_h);
            kernels_.linear(layer.self_connection[species][d].transposed(), scratch.in, from.stride,
                            scratch.out, to.stride, n, true);
        }
    }
}

/// Layer t >= 1 from G of the receivers: edge gradients, dE/dH, and the rest of dE/dh.
template <class real>
void CartesianEvaluator<real>::backward(const Tile& tile, std::size_t t, Scratch<real>& scratch) {
    const auto& layer = weights_.layers[t];
    const auto l_in = static_cast<std::size_t>(layer.shape.l_in);
    const auto l_out = static_cast<std::size_t>(layer.shape.l_out);
    kernels_.backward[weights_.separated][l_in][l_out](
        convolution(t), tile.atoms, tile.n, work_->message[t].data(), gradient(t),
        scratch.message.data(), work_->edges.gradient.data());
    const auto grad_message = [&](int k) {
        return scratch.message.data() + std::int64_t(k) * layer.message_in.width;
    };
    const auto grad_h = [&](int k) { return h_row(tile, k); };
    for (int l = 0; l <= layer.shape.l_in; ++l) {
        const auto d = static_cast<std::size_t>(l);
        const auto &from = layer.message_in.degree[d], &to = layer.node_in.degree[d];
        const int n = rows(scratch, 0, tile.n, l, from, to, grad_message, grad_h);
        kernels_.linear(layer.linear_in[d].transposed(), scratch.in, from.stride, scratch.out,
                        to.stride, n, true);
    }
}

template <class real>
void CartesianEvaluator<real>::read_out(const Tile& tile, Scratch<real>& scratch) {
    qdml::read_out(weights_, kernels_, tile, work_->h.data(), h_stride(), scratch,
                   work_->atom_energy.data());
}

/// Layer 0 from G of the receivers, in the scratch: edge gradients.
template <class real>
void CartesianEvaluator<real>::first_gradient(const Tile& tile, Scratch<real>& scratch) {
    const auto l_out = static_cast<std::size_t>(weights_.layers[0].shape.l_out);
    kernels_.first_gradient[l_out](convolution(0), tile.atoms, tile.n, first_message_.data(),
                                   scratch.message.data(), work_->edges.gradient.data());
}

template class CartesianEvaluator<float>;
template class CartesianEvaluator<double>;

}  // namespace qdml
