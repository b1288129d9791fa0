// SPDX-License-Identifier: MIT
/// The model as equations of docs/conventions.md, tile by tile of atoms.
///
///     forward  t = 0..T-1   A = Σ messages; z = linear_out(A) + self_connection(h); h' = gate(z);
///                           H of the next layer = linear_in(h'), exchanged; the last tile reads out
///     backward t = T-1..1   dE/dH = Σ over receivers (G exchanged); dE/dh; dE/dz and G of layer t-1
///     layer 0               its own G alone gives dE/dr of its edges
#include "evaluator.hpp"

#include <algorithm>

#include "read_out.hpp"
#include "threads.hpp"

namespace qdml {
namespace {

constexpr int kTile = kMostAtomsOfTile;

/// Rows of degree l of a tile; a slot of separated sums on the side that has them.
template <class real, class In, class Out>
int rows(Scratch<real>& scratch, int begin, int end, int l, const DegreeLayout& from,
         const DegreeLayout& to, const In& in_row, const Out& out_row, int slot = 0) {
    const int components = (2 * l + 1) * kBlock;
    return scratch.rows(begin, end, l, from.offset + (from.slots > 1 ? slot : 0) * components,
                        to.offset + (to.slots > 1 ? slot : 0) * components, in_row, out_row);
}

}  // namespace

template <class real>
Evaluator<real>::Evaluator(const Model& model, const Kernels<real>& kernels)
    : weights_(model),
      kernels_(kernels),
      shape_{weights_.n_species, model.architecture.cutoff, model.architecture.knots},
      memory_(weights_),
      h_stride_(memory_.h_stride()) {
    if (model.has_zbl()) {
        zbl_ = Zbl(model.info.species, model.tensor("zbl.r_max"));
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
int Evaluator<real>::max_exchange_width() const noexcept {
    int width = 0;
    for (std::size_t t = 1; t < weights_.layers.size(); ++t) {
        width = std::max({width, weights_.layers[t].message_in.width,
                          weights_.layers[t].message_out.width});
    }
    return width;
}

template <class real>
void Evaluator<real>::set_memory_limit(std::int64_t bytes) {
    memory_.set_limit(bytes);
    work_->release();
}

template <class real>
Convolution<real> Evaluator<real>::convolution(std::size_t t) const {
    return {work_->edges.row_start.data(),
            t == 0 ? work_->edges.neighbor_species.data() : work_->edges.neighbor.data(),
            work_->edges.record.data(),
            weights_.layers[t].radial.data(),
            weights_.n_knots,
            weights_.n_blocks};
}

/// Rows of atoms that no tile writes must be zero.
template <class real>
void Evaluator<real>::clear_rows(const Graph& graph) {
    for (std::int64_t i = 0; i < graph.n_local; ++i) {
        if (graph.species[i] < 0) {
            for (std::size_t t = 1; t < weights_.layers.size(); ++t) {
                const auto& layer = weights_.layers[t];
                std::fill_n(work_->message[t].data() + i * layer.message_in.width,
                            layer.message_in.width, real(0));
                std::fill_n(work_->gradient[t].data() + i * layer.message_out.width,
                            layer.message_out.width, real(0));
            }
        }
    }
}

template <class real>
real* Evaluator<real>::h_row(const Tile& tile, int k) {
    return work_->h.data() + std::int64_t(tile.atoms[k]) * h_stride_;
}

/// Call body(tile, scratch) for the tiles of rows first..last-1, first a multiple of kTile. Which
/// thread takes a tile changes no number.
template <class real>
template <class Body>
void Evaluator<real>::for_tiles(const Graph& graph, int first, int last, const Body& body) {
    const int begin = first / kTile, end = (last + kTile - 1) / kTile;
#pragma omp parallel for schedule(dynamic, 1)
    for (int index = begin; index < end; ++index) {
        Scratch<real>& scratch = *work_->scratch[static_cast<std::size_t>(this_thread())];
        body(make_tile(graph, index * kTile, std::min((index + 1) * kTile, graph.n_local),
                       weights_.n_species, scratch),
             scratch);
    }
}

/// Layer t of one tile up to H of the next layer; z of the last layer stays in the scratch.
template <class real>
void Evaluator<real>::forward(const Tile& tile, std::size_t t, Scratch<real>& scratch) {
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
void Evaluator<real>::gate_and_out_backward(const Tile& tile, std::size_t t, const real* z_rows,
                                            Scratch<real>& scratch) {
    const auto& layer = weights_.layers[t];
    const bool last = t + 1 == weights_.layers.size();
    const auto grad_h = [&](int k) { return h_row(tile, k); };  // of h', then of h
    const auto grad_z = [&](int k) {
        return scratch.grad_z.data() + std::int64_t(k) * layer.z.width;
    };
    const auto g = [&](int k) {
        return t > 0 ? work_->gradient[t].data() +
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
void Evaluator<real>::backward(const Tile& tile, std::size_t t, Scratch<real>& scratch) {
    const auto& layer = weights_.layers[t];
    const auto l_in = static_cast<std::size_t>(layer.shape.l_in);
    const auto l_out = static_cast<std::size_t>(layer.shape.l_out);
    kernels_.backward[weights_.separated][l_in][l_out](
        convolution(t), tile.atoms, tile.n, work_->message[t].data(), work_->gradient[t].data(),
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

/// Layer 0 from G of the receivers, in the scratch: edge gradients.
template <class real>
void Evaluator<real>::first_gradient(const Tile& tile, Scratch<real>& scratch) {
    const auto l_out = static_cast<std::size_t>(weights_.layers[0].shape.l_out);
    kernels_.first_gradient[l_out](convolution(0), tile.atoms, tile.n, first_message_.data(),
                                   scratch.message.data(), work_->edges.gradient.data());
}

/// All layers backward from G of the last one; send(t) fills the ghosts of G of layer t, and
/// pass(t, body) calls body(tile, scratch) for all tiles.
template <class real>
template <class Pass, class Send>
void Evaluator<real>::backward_layers(const Pass& pass, const Send& send) {
    for (std::size_t t = weights_.layers.size(); t-- > 1;) {
        send(t);
        pass(t, [&](const Tile& tile, Scratch<real>& scratch) {
            backward(tile, t, scratch);
            gate_and_out_backward(tile, t - 1, work_->z[t - 1].data(), scratch);
            if (t == 1) {
                first_gradient(tile, scratch);
            }
        });
    }
}

/// After the forward pass: what is there now belongs to the energy of the edge's own center.
template <class real>
void Evaluator<real>::keep_own_gradients(const Graph& graph) {
    const std::int64_t n_edges = work_->edges.row_start[graph.n_local];
    work_->own_h.reserve(std::int64_t(graph.n_local) * h_stride_);
    std::copy_n(work_->h.data(), std::int64_t(graph.n_local) * h_stride_, work_->own_h.data());
    work_->own_gradient.reserve(n_edges);
    std::copy_n(work_->edges.gradient.data(), n_edges, work_->own_gradient.data());
}

/// Σ_k (x_k - x_i) ⊗ ∂E_k/∂x_i by the backward pass with every adjoint of E_k times x_k. The pass is
/// linear, so only its start changes, and what travels to ghosts: an image lies elsewhere than its
/// owner, so owners send Σ_k (x_k - x_i) ∂E_k/∂A_i, to which both sides add x_i G_i of their own.
template <class real>
void Evaluator<real>::centroid_virial(const Graph& graph, Exchange* exchange, Result& result) {
    const std::size_t n_layers = weights_.layers.size();
    const std::int64_t n_local = graph.n_local, n_total = graph.n_total;
    const std::int64_t n_edges = work_->edges.row_start[n_local];
    result.centroid_virial.assign(static_cast<std::size_t>(n_total) * 9, 0.0);
    work_->moment.reserve(n_edges);
    work_->moment_gradient.resize(n_layers);
    for (std::size_t t = 1; t < n_layers; ++t) {
        work_->moment_gradient[t].reserve(n_total * weights_.layers[t].message_out.width);
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
        std::swap(work_->gradient, work_->moment_gradient);
        std::swap(work_->edges.gradient, work_->moment);
        for (std::size_t t = 1; t < n_layers; ++t) {
            std::fill_n(work_->gradient[t].data(), n_total * weights_.layers[t].message_out.width,
                        real(0));
        }
        // rows += sign x_i G_i; the first `n` rows
        const auto add_position = [&](std::size_t t, std::int64_t n, double sign) {
            const std::int64_t width = weights_.layers[t].message_out.width;
            for (std::int64_t i = 0; i < n; ++i) {
                const auto factor = static_cast<real>(sign * x[static_cast<std::size_t>(i)]);
                for (std::int64_t c = i * width; c < (i + 1) * width; ++c) {
                    work_->gradient[t][c] += factor * work_->moment_gradient[t][c];
                }
            }
        };
        for (std::int64_t i = 0; i < n_local; ++i) {
            const auto here = static_cast<real>(x[static_cast<std::size_t>(i)]);
            for (std::int64_t c = i * h_stride_; c < (i + 1) * h_stride_; ++c) {
                work_->h[c] = here * work_->own_h[c];
            }
            const auto& start = work_->edges.row_start;
            for (std::int64_t e = start[i]; e < start[i + 1]; ++e) {
                for (int k = 0; k < 4; ++k) {
                    work_->edges.gradient[e].value[k] = here * work_->own_gradient[e].value[k];
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
                    exchange->fill_ghosts(work_->gradient[t].data(),
                                          weights_.layers[t].message_out.width);
                }
            }
            add_position(t, n_total, 1.0);
        });
        std::swap(work_->gradient, work_->moment_gradient);
        std::swap(work_->edges.gradient, work_->moment);
        work_->edges.centroid_virial(graph, axis, x, work_->moment, result);
    }
}

template <class real>
void Evaluator<real>::evaluate(const Graph& graph, const Request& request, Exchange* exchange,
                               Result& result, bool same_graph) {
    Edges<real>& edges = work_->edges;
    work_->atom_energy.assign(static_cast<std::size_t>(graph.n_local), 0.0);
    edges.count(graph, shape_, same_graph);
    const std::vector<int> chunk = memory_.divide(graph, request.centroid_virial, kTile, *work_);
    memory_.prepare(graph, *work_);
    clear_rows(graph);
    result.force.assign(static_cast<std::size_t>(graph.n_total) * 3, 0.0);
    result.atom_virial.assign(
        request.atom_virial ? static_cast<std::size_t>(graph.n_total) * 9 : 0, 0.0);
    std::fill(result.virial, result.virial + 9, 0.0);
    const bool whole = chunk.size() == 2;
    if (whole) {
        edges.build(graph, 0, graph.n_local);
        edges.start(graph, &zbl_, work_->atom_energy.data());
    }
    // One pass over all atoms. In chunks each pass makes its edges and, with `gradient`, turns their
    // gradients into forces; ZBL belongs to the one that ends with layer 0.
    const auto pass = [&](bool gradient, bool pairs, const auto& body) {
        for (std::size_t k = 0; k + 1 < chunk.size(); ++k) {
            if (!whole) {
                edges.build(graph, chunk[k], chunk[k + 1]);
                edges.start(graph, pairs ? &zbl_ : nullptr, work_->atom_energy.data());
            }
            for_tiles(graph, chunk[k], chunk[k + 1], body);
            if (!whole && gradient) {
                edges.add_forces(graph, request.atom_virial, result);
            }
        }
    };
    const std::size_t n_layers = weights_.layers.size();
    for (std::size_t t = 0; t < n_layers; ++t) {
        const bool last = t + 1 == n_layers, only = n_layers == 1;
        pass(only, only, [&](const Tile& tile, Scratch<real>& scratch) {
            forward(tile, t, scratch);
            if (last) {
                read_out(weights_, kernels_, tile, work_->h.data(), h_stride_, scratch,
                         work_->atom_energy.data());
                gate_and_out_backward(tile, t, scratch.z.data(), scratch);
            }
            if (only) {
                first_gradient(tile, scratch);
            }
        });
        if (!last && exchange != nullptr) {
            exchange->fill_ghosts(work_->message[t + 1].data(),
                                  weights_.layers[t + 1].message_in.width);
        }
    }
    if (request.centroid_virial) {
        keep_own_gradients(graph);
    }
    backward_layers(
        [&](std::size_t t, const auto& body) { pass(true, t == 1, body); },
        [&](std::size_t t) {
            if (exchange != nullptr) {
                exchange->fill_ghosts(work_->gradient[t].data(),
                                      weights_.layers[t].message_out.width);
            }
        });
    if (whole) {
        edges.add_forces(graph, request.atom_virial, result);
    }
    result.centroid_virial.clear();
    if (request.centroid_virial) {
        centroid_virial(graph, exchange, result);
    }
    store_energies(work_->atom_energy, request, result);
}

template class Evaluator<float>;
template class Evaluator<double>;

}  // namespace qdml
