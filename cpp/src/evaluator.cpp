// SPDX-License-Identifier: MIT
/// The order of an evaluation, the same for all families of architectures (docs/conventions.md):
///
///     forward  t = 0..T-1   A = Σ messages; z = linear_out(A) + self_connection(h); h' = gate(z);
///                           H of the next layer = linear_in(h'), exchanged; the last layer reads out
///     backward t = T-1..1   dE/dH = Σ over receivers (G exchanged); dE/dh; dE/dz and G of layer t-1
///     layer 0               its own G alone gives dE/dr of its edges
///
/// With shells instead of an exchange, layer t is evaluated for the atoms that the layers after it reach
/// (forward), and the gradient goes back one shell further in every layer. While rows of an exchange travel, the
/// tiles are evaluated that have no edges to atoms of other ranks.
#include "evaluator.hpp"

#include <algorithm>

#include "read_out.hpp"
#include "threads.hpp"

namespace qdml {

template <class real>
CpuEvaluator<real>::CpuEvaluator(const Model& model, double cutoff, int knots, Spline spline)
    : shape_{static_cast<int>(model.info.species.size()), cutoff, knots, spline} {
    if (model.has_zbl()) {
        zbl_ = Zbl(model.info.species, model.tensor("zbl.r_max"));
    }
}

template <class real>
bool CpuEvaluator<real>::share_work(const AnyEvaluator& other) {
    const auto* found = dynamic_cast<const CpuEvaluator*>(&other);
    work_ = found != nullptr ? found->work_ : work_;
    return found != nullptr;
}

template <class real>
int CpuEvaluator<real>::max_exchange_width() const noexcept {
    return memory_.sizes().widest_exchange();
}

template <class real>
void CpuEvaluator<real>::set_memory_limit(std::int64_t bytes) {
    memory_.set_limit(bytes);
    work_->release();
}

/// Layer t is evaluated for the first so many rows.
template <class real>
int CpuEvaluator<real>::rows_of(const Graph& graph, std::size_t t) const noexcept {
    return graph.shell == nullptr ? graph.n_local : graph.shell[n_layers() - 1 - t];
}

/// Rows of atoms of other potentials, which no tile writes, become zero.
template <class real>
void CpuEvaluator<real>::clear_others(const Graph& graph, real* rows, std::int64_t width) const {
    for (std::int64_t i = 0; i < graph.n_local; ++i) {
        if (graph.species[i] < 0) {
            std::fill_n(rows + i * width, width, real(0));
        }
    }
}

/// Which tiles have edges to ghosts that arrive.
template <class real>
void CpuEvaluator<real>::find_outer_tiles(const Graph& graph, const std::vector<int>& arrival) {
    const int size = memory_.sizes().tile, n_tiles = (graph.n_local + size - 1) / size;
    work_->waits.resize(static_cast<std::size_t>(n_tiles));
#pragma omp parallel for schedule(static)
    for (int index = 0; index < n_tiles; ++index) {
        const int end = std::min((index + 1) * size, graph.n_local);
        work_->waits[static_cast<std::size_t>(index)] = std::any_of(
            graph.neighbor + graph.row_start[index * size], graph.neighbor + graph.row_start[end], [&](int j) {
                return j >= graph.n_local && arrival[static_cast<std::size_t>(j - graph.n_local)] >= 0;
            });
    }
}

/// Call body(tile, scratch) for the tiles of `rows`. Which thread takes a tile, and when, changes no number.
template <class real>
template <class Body>
void CpuEvaluator<real>::for_tiles(const Graph& graph, const Rows& rows, bool new_edges, Tiles which,
                                   const Body& body) {
    const int size = memory_.sizes().tile, n_tiles = (rows.last - rows.first + size - 1) / size;
#pragma omp parallel for schedule(dynamic, 1)
    for (int index = 0; index < n_tiles; ++index) {
        if (which != Tiles::all && (work_->waits[static_cast<std::size_t>(index)] != 0) != (which == Tiles::outer)) {
            continue;
        }
        if (which == Tiles::inner && this_thread() == 0) {
            work_->ghosts.progress();
        }
        Scratch<real>& scratch = *work_->scratch[static_cast<std::size_t>(this_thread())];
        const Tile tile = make_tile(graph, rows, index, size, shape_.n_species, scratch);
        if (new_edges) {
            take_edges(tile);
        }
        body(tile, scratch);
    }
}

template <class real>
void CpuEvaluator<real>::forward_pass(const Graph& graph, const Rows& rows, bool new_edges, Tiles which,
                                      std::size_t t) {
    const bool last = t + 1 == n_layers();
    for_tiles(graph, rows, new_edges, which, [&](const Tile& tile, Scratch<real>& scratch) {
        forward(tile, t, scratch);
        if (last) {
            read_out(tile, scratch);
            gate_backward(tile, t, scratch);
        }
        if (last && t == 0) {
            first_gradient(tile, scratch);
        }
    });
}

template <class real>
void CpuEvaluator<real>::backward_pass(const Graph& graph, const Rows& rows, bool new_edges, Tiles which,
                                       std::size_t t) {
    for_tiles(graph, rows, new_edges, which, [&](const Tile& tile, Scratch<real>& scratch) {
        backward(tile, t, scratch);
        gate_backward(tile, t - 1, scratch);
        if (t == 1) {
            first_gradient(tile, scratch);
        }
    });
}

/// Senders of layer t whose own layer t counts for no energy get a gradient from their receivers alone;
/// receivers outside the shell give none.
template <class real>
void CpuEvaluator<real>::start_backward(const Graph& graph, std::size_t t) {
    const std::int64_t width = memory_.sizes().layers[t].gradient;
    clear_others(graph, gradient(t), width);
    if (graph.shell != nullptr) {
        const std::int64_t inner = rows_of(graph, t), outer = rows_of(graph, t - 1);
        std::fill_n(gradient(t) + inner * width, (graph.n_total - inner) * width, real(0));
        std::fill_n(work_->h.data() + inner * h_stride(), (outer - inner) * h_stride(), real(0));
    }
}

template <class real>
void CpuEvaluator<real>::evaluate(const Graph& graph, const Request& request, Exchange* exchange,
                                  Result& result, bool same_graph) {
    Edges<real>& edges = work_->edges;
    edges.count(graph, shape_, same_graph);
    keeps_gradients_ = request.centroid_virial;
    std::int64_t travelling = 0;
    if (exchange != nullptr) {
        const Routes& routes = exchange->routes();
        travelling = memory_.travelling_bytes(static_cast<std::int64_t>(routes.sent.size()), routes.n_received);
    }
    const std::vector<int> chunk = memory_.divide(graph, request.centroid_virial, travelling, *work_);
    memory_.prepare(graph, keeps_gradients_, *work_);
    work_->atom_energy.assign(static_cast<std::size_t>(graph.n_local), 0.0);
    result.force.assign(static_cast<std::size_t>(graph.n_total) * 3, 0.0);
    result.atom_virial.assign(
        request.atom_virial ? static_cast<std::size_t>(graph.n_total) * 9 : 0, 0.0);
    std::fill(result.virial, result.virial + 9, 0.0);
    const std::size_t last_layer = n_layers() - 1;
    const int n_energies = rows_of(graph, last_layer);
    const bool whole = chunk.size() == 2;
    GhostRows<real>& ghosts = work_->ghosts;
    ghosts.forget();
    const auto make_edges = [&](const Rows& rows, bool pairs) {
        edges.build(graph, rows.first, rows.built);
        edges.start(graph, pairs ? &zbl_ : nullptr, n_energies, work_->atom_energy.data());
        memory_.prepare_edges(rows, *work_);
    };
    if (whole) {
        make_edges({0, graph.n_local, 0}, true);
        if (exchange != nullptr) {
            find_outer_tiles(graph, exchange->routes().arrival);
        }
    }
    // One pass over the first `n_rows`. In chunks each pass makes its edges and, with `has_gradient`, turns
    // their gradients into forces; ZBL belongs to the one that ends with layer 0.
    const auto pass = [&](int n_rows, bool has_gradient, bool pairs, const auto& body) {
        if (whole && ghosts.is_waiting()) {
            const Rows rows = {0, graph.n_local, n_rows};
            body(rows, Tiles::inner);
            ghosts.finish();
            body(rows, Tiles::outer);
            return;
        }
        ghosts.finish();
        for (std::size_t k = 0; k + 1 < chunk.size() && chunk[k] < n_rows; ++k) {
            const int end = std::min(chunk[k + 1], n_rows);
            const Rows rows = {chunk[k], whole ? graph.n_local : end, end};
            if (!whole) {
                make_edges(rows, pairs);
            }
            body(rows, Tiles::all);
            if (!whole && has_gradient) {
                edges.add_forces(graph, request.atom_virial, result);
            }
        }
    };
    for (std::size_t t = 0; t <= last_layer; ++t) {
        const bool only = last_layer == 0;
        pass(rows_of(graph, t), only, only,
             [&](const Rows& rows, Tiles which) { forward_pass(graph, rows, !whole || t == 0, which, t); });
        if (t < last_layer) {
            const int width = memory_.sizes().layers[t + 1].message;
            clear_others(graph, work_->message[t + 1].data(), width);
            if (exchange != nullptr) {
                ghosts.start(*exchange, graph.n_local, work_->message[t + 1].data(), width);
            }
        }
    }
    if (request.centroid_virial) {
        keep_own_gradients(graph);
    }
    for (std::size_t t = last_layer; t > 0; --t) {
        start_backward(graph, t);
        if (exchange != nullptr) {
            ghosts.start(*exchange, graph.n_local, gradient(t), memory_.sizes().layers[t].gradient);
        }
        pass(rows_of(graph, t - 1), true, t == 1,
             [&](const Rows& rows, Tiles which) { backward_pass(graph, rows, !whole, which, t); });
    }
    if (whole) {
        edges.add_forces(graph, request.atom_virial, result);
    }
    result.centroid_virial.clear();
    if (request.centroid_virial) {
        centroid_virial(graph, exchange, result);
    }
    store_energies(work_->atom_energy, request, result);
}

/// After the forward pass: what is there now belongs to the energy of the edge's own center.
template <class real>
void CpuEvaluator<real>::keep_own_gradients(const Graph& graph) {
    const std::int64_t n_edges = work_->edges.row_start[graph.n_local];
    const std::int64_t n_energies = rows_of(graph, n_layers() - 1);
    work_->own_h.reserve(graph.n_local * std::int64_t(h_stride()));
    std::copy_n(work_->h.data(), n_energies * h_stride(), work_->own_h.data());
    work_->own_gradient.reserve(n_edges);
    std::copy_n(work_->edges.gradient.data(), n_edges, work_->own_gradient.data());
}

/// The adjoints that the backward pass starts from, those of E_i times x_i; all others are zero.
template <class real>
void CpuEvaluator<real>::start_moments(const Graph& graph, const std::vector<double>& x) {
    for (std::size_t t = 1; t < n_layers(); ++t) {
        std::fill_n(gradient(t), std::int64_t(graph.n_total) * memory_.sizes().layers[t].gradient,
                    real(0));
    }
    const std::int64_t stride = h_stride(), n_energies = rows_of(graph, n_layers() - 1);
    const auto& start = work_->edges.row_start;
    for (std::int64_t i = 0; i < graph.n_local; ++i) {
        const auto here = static_cast<real>(x[static_cast<std::size_t>(i)]);
        for (std::int64_t c = i * stride; i < n_energies && c < (i + 1) * stride; ++c) {
            work_->h[c] = here * work_->own_h[c];
        }
        for (std::int64_t e = start[i]; e < start[i + 1]; ++e) {
            for (int k = 0; k < 4; ++k) {
                work_->edges.gradient[e].value[k] = here * work_->own_gradient[e].value[k];
            }
        }
    }
}

/// Σ_k (x_k - x_i) ⊗ ∂E_k/∂x_i by the backward pass with every adjoint of E_k times x_k. The pass is
/// linear, so only its start changes, and what travels to ghosts: an image lies elsewhere than its
/// owner, so owners send Σ_k (x_k - x_i) ∂E_k/∂A_i, to which both sides add x_i G_i of their own.
template <class real>
void CpuEvaluator<real>::centroid_virial(const Graph& graph, Exchange* exchange, Result& result) {
    const std::size_t last_layer = n_layers() - 1;
    const std::int64_t n_local = graph.n_local, n_total = graph.n_total;
    result.centroid_virial.assign(static_cast<std::size_t>(n_total) * 9, 0.0);
    work_->moment.reserve(work_->edges.row_start[n_local]);
    for (std::size_t t = 1; t <= last_layer; ++t) {
        work_->moment_gradient[t].reserve(n_total * memory_.sizes().layers[t].gradient);
    }
    std::vector<double> x(static_cast<std::size_t>(n_total));
    // rows += sign x_i G_i; the first `n` rows
    const auto add_position = [&](std::size_t t, std::int64_t n, double sign) {
        const std::int64_t width = memory_.sizes().layers[t].gradient;
        for (std::int64_t i = 0; i < n; ++i) {
            const auto factor = static_cast<real>(sign * x[static_cast<std::size_t>(i)]);
            for (std::int64_t c = i * width; c < (i + 1) * width; ++c) {
                gradient(t)[c] += factor * work_->moment_gradient[t][c];
            }
        }
    };
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
        start_moments(graph, x);
        for (std::size_t t = last_layer; t > 0; --t) {
            start_backward(graph, t);
            if (t == last_layer) {  // G_i of the last layer belongs to E_i alone
                add_position(t, n_total, 1.0);
            } else if (exchange != nullptr) {
                add_position(t, n_local, -1.0);
                work_->ghosts.start(*exchange, graph.n_local, gradient(t), memory_.sizes().layers[t].gradient);
                work_->ghosts.finish();
                add_position(t, n_total, 1.0);
            }
            backward_pass(graph, {0, graph.n_local, rows_of(graph, t - 1)}, false, Tiles::all, t);
        }
        std::swap(work_->gradient, work_->moment_gradient);
        std::swap(work_->edges.gradient, work_->moment);
        work_->edges.centroid_virial(graph, axis, x, work_->moment, result);
    }
}

template class CpuEvaluator<float>;
template class CpuEvaluator<double>;

}  // namespace qdml
