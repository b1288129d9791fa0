// SPDX-License-Identifier: MIT
/// One step on the device; the equations are those listed at the top of ../evaluator.cpp.
#include "device_evaluator.hpp"

#include <algorithm>

namespace qdml {

template <class real>
DeviceEvaluator<real>::DeviceEvaluator(const Model& model, const EdgeShape& shape, const DeviceInterface& interface,
                                       const DeviceKernels<real>& kernels, int device)
    : home_(std::make_shared<DeviceContext>(interface, device)),
      arrays_(std::make_shared<DeviceArrays<real>>(model, shape, home_)),
      kernels_(kernels),
      device_weights_(*home_),
      plan_(*home_),
      n_species_(shape.n_species),
      first_message_(*home_),
      segments_(*home_) {}

template <class real>
DeviceEvaluator<real>::~DeviceEvaluator() {
    context().call().synchronize(stream());
}

template <class real>
void DeviceEvaluator<real>::start(const std::vector<double>& reference, const std::vector<double>& scale,
                                  DeviceSizes sizes) {
    sizes_ = std::move(sizes);
    for (const auto& linear : *readout_maps_) device_weights_.add(linear);
    device_weights_.upload(reference, scale);
    stages_.resize(n_layers());
    readout_forward_.resize(readout_maps_->size());
    readout_backward_.resize(readout_maps_->size());
    arrays_->add_layers(n_layers(), readout_maps_->size());
}

/// Weights, plan and recorded graphs stay this member's own; the arrays and their stream are those of `other`.
template <class real>
bool DeviceEvaluator<real>::share_work(const AnyEvaluator& other) {
    const auto* found = dynamic_cast<const DeviceEvaluator*>(&other);
    if (found == nullptr || !(found->sizes_ == sizes_) || *found->readout_blocks_ != *readout_blocks_ ||
        !found->list().makes_same_edges(list())) {
        return false;
    }
    home_->synchronize();
    arrays_ = found->arrays_;
    segments_.move_to(context());
    planned_version_ = -1;
    return true;
}

/// The message of a sender in layer 0 depends on its species alone.
template <class real>
void DeviceEvaluator<real>::make_first_message(const PackedLinear<real>& linear_in, const real* embedding,
                                               int embedding_width) {
    std::vector<int> species(static_cast<std::size_t>(n_species_));
    for (std::size_t s = 0; s < species.size(); ++s) species[s] = static_cast<int>(s);
    DeviceBuffer<int> rows(context());
    rows.upload(species.data(), n_species_);
    const LinearMap<real> map = device_weights_.at(linear_in.forward());
    const int width = map.out_blocks * kBlock;
    first_message_.reserve(std::int64_t(n_species_) * width);
    plan_.clear();
    Stage stage = plan_.begin();
    plan_.add(stage, rows.data(), n_species_, scalar_part(first_message_.data(), width, map.out_blocks),
              {{map, scalar_part(const_cast<real*>(embedding), embedding_width, map.in_blocks)}});
    plan_.upload();
    run(stage);
    context().synchronize();
}

template <class real>
void DeviceEvaluator<real>::run(const Stage& stage) const {
    do_it(kernels_.linear(stream(), plan_.jobs() + stage.first, plan_.terms(), stage.n_jobs, stage.n_blocks),
          "linear maps");
}

template <class real>
void DeviceEvaluator<real>::geometry(bool pairs) {
    do_it(kernels_.geometry(stream(), list().edges(pairs ? arrays_->atom_energy.data() : nullptr)), "edges");
}

template <class real>
void DeviceEvaluator<real>::find_nearest() {
    do_it(kernels_.nearest(stream(), list().edges(nullptr), arrays_->nearest_distance.data(),
                           arrays_->nearest_row.data()),
          "nearest neighbours");
}

/// From the sums of all atoms to features and, but for the last layer, the messages of the next.
template <class real>
void DeviceEvaluator<real>::next_messages(std::size_t t) {
    run(stages_[t].sums_to_z);
    gate_forward(t);
    if (t + 1 < n_layers()) run(stages_[t].features_to_message);
}

template <class real>
void DeviceEvaluator<real>::read_out() {
    const std::size_t n_maps = readout_maps_->size();
    const auto values = [&](std::size_t map) {
        return std::int64_t(list().n_local()) * (*readout_blocks_)[map] * kBlock;
    };
    for (std::size_t k = 0; k < n_maps; ++k) {
        run(readout_forward_[k]);
        if (k + 1 < n_maps) {
            do_it(kernels_.silu_forward(stream(), values(k + 1), arrays_->readout[2 * k].data(),
                                        arrays_->readout[2 * k + 1].data()),
                  "read-out");
        }
    }
    do_it(kernels_.energies(stream(), list().n_local(), list().species(), device_weights_.reference(),
                            device_weights_.scale(), arrays_->readout[2 * n_maps - 2].data(),
                            arrays_->atom_energy.data(), arrays_->readout_grad[n_maps - 1].data()),
          "energies");
    for (std::size_t k = n_maps; k-- > 0;) {
        run(readout_backward_[k]);
        if (k > 0) {
            real* grad = arrays_->readout_grad[k - 1].data();
            do_it(kernels_.silu_backward(stream(), values(k), arrays_->readout[2 * k - 2].data(), grad, grad),
                  "read-out");
        }
    }
}

template <class real>
void DeviceEvaluator<real>::add_forces(bool atom_virial) {
    do_it(kernels_.forces(stream(), list().forces(arrays_->row_virial.data(), arrays_->force.data(),
                                                  atom_virial ? arrays_->atom_virial.data() : nullptr)),
          "forces");
}

/// Where the edges of the same graph are in place, only their gradients start anew.
template <class real>
void DeviceEvaluator<real>::restart_edges() {
    do_it(kernels_.restart_edges(stream(), list().edges(arrays_->atom_energy.data())), "edges");
}

template <class real>
void DeviceEvaluator<real>::evaluate(const Graph& graph, const Request& request, Exchange* exchange, Result& result,
                                     bool same_graph) {
    context().use();
    if (!same_graph) {
        list().take(graph);
        arrays_->edges_made = -1;
    }
    const bool changed = planned_version_ != list().version();
    const bool has_owner = list().owner() != nullptr, has_exchange = exchange != nullptr && !has_owner;
    const std::vector<int> chunk = divide(graph, request.centroid_virial, has_exchange ? exchange : nullptr);
    prepare(graph, request, changed);
    const bool whole = chunk.size() == 2;
    if (has_exchange) take_routes(*exchange);
    const bool has_edges = whole && arrays_->edges_made == context().generation();
    if (whole && !has_edges) list().hold(graph, 0, list().n_local());
    StepKind kind = {context().generation(), request.atom_virial, request.nearest, has_edges};
    if (has_exchange) {
        kind.routes = exchange->routes().number;
        kind.halo = exchange->halo();
        kind.from_device = exchange->takes_device_memory();
    }
    const bool same = !changed && kind == seen_;
    segments_.begin(same, whole);
    DeviceBuffer<real>* travelling = nullptr;  // rows on their way
    int travelling_width = 0;
    const auto fill_ghosts = [&](DeviceBuffer<real>& rows, int width) {
        if (has_owner) {
            segments_.add([this, &rows, width] { copy_to_ghosts(rows, width); });
        } else if (has_exchange) {
            segments_.add([=, &rows] { pack_rows(rows, width, *exchange); });
            segments_.flush();
            start_exchange(width, *exchange);
            travelling = &rows;
            travelling_width = width;
        }
    };
    const auto finish_exchange = [&] {
        exchange->finish();
        DeviceBuffer<real>& rows = *travelling;
        segments_.add([=, &rows, width = travelling_width] { unpack_rows(rows, width, *exchange); });
        travelling = nullptr;
    };
    // One pass over all rows, those without edges to other ranks while rows travel. In chunks each pass makes its edges
    // and, with `gradient`, turns their gradients into forces; ZBL belongs to the one of layer 0.
    const auto pass = [&](bool gradient, bool pairs, const auto& body) {
        if (whole && travelling != nullptr) {
            const auto add = [&](Part part) {
                segments_.add([=] {
                    list().choose(part);
                    body();
                    list().choose(Part::all);
                });
            };
            add(Part::inner);
            segments_.flush();
            finish_exchange();
            add(Part::outer);
            return;
        }
        if (whole) {
            segments_.add(body);
            return;
        }
        if (travelling != nullptr) finish_exchange();
        segments_.flush();
        for (std::size_t k = 0; k + 1 < chunk.size(); ++k) {
            list().hold(graph, chunk[k], chunk[k + 1]);
            geometry(pairs);
            if (pairs && request.nearest) find_nearest();
            body();
            if (gradient) add_forces(request.atom_virial);
        }
    };
    const std::int64_t n_local = list().n_local(), n_total = list().n_total();
    segments_.add([=] {
        arrays_->atom_energy.zero(n_local);
        arrays_->force.zero(3 * n_total);
        arrays_->row_virial.zero(9 * n_local);
        if (request.atom_virial) arrays_->atom_virial.zero(9 * n_total);
        do_it(context().call().fill(stream(), list().bad_edge(), 0x7f, sizeof(int)), "clearing memory of the device");
        if (has_edges) {
            restart_edges();
        } else if (whole) {
            geometry(true);
        }
        if (whole && request.nearest) find_nearest();
        start_features();
    });
    const std::size_t n_layers = this->n_layers();
    for (std::size_t t = 0; t < n_layers; ++t) {
        pass(false, false, [=] { forward(t); });
        segments_.add([=] { next_messages(t); });
        if (t + 1 < n_layers) fill_ghosts(arrays_->message[t + 1], sizes_.layers[t + 1].message);
    }
    segments_.add([=] {
        read_out();
        gate_backward(n_layers - 1);
        out_backward(n_layers - 1);
    });
    if (request.centroid_virial) {
        segments_.flush();
        // what is there now belongs to the energy of the edge's own center
        const std::int64_t n_edges = list().before(list().n_local());
        do_it(context().call().copy(stream(), arrays_->own_grad_z.data(), arrays_->grad_z.data(),
                                   static_cast<std::size_t>(n_local * sizes_.layers.back().z) * sizeof(real)),
              "copying on the device");
        do_it(context().call().copy(stream(), arrays_->own_gradient.data(), list().gradient(),
                                   static_cast<std::size_t>(n_edges) * sizeof(EdgeGradient<real>)),
              "copying on the device");
    }
    for (std::size_t t = n_layers; t-- > 1;) {
        fill_ghosts(arrays_->gradient[t], sizes_.layers[t].gradient);
        pass(true, false, [=] { backward(t, list().gradient()); });
        segments_.add([=] {
            run(stages_[t].to_feature_gradient);
            gate_backward(t - 1);
            out_backward(t - 1);
        });
    }
    pass(true, true, [=] { first_gradient(list().gradient()); });
    segments_.add([=] {
        if (whole) add_forces(request.atom_virial);
        do_it(context().call().totals(stream(), list().n_local(), arrays_->atom_energy.data(),
                                      arrays_->row_virial.data(), arrays_->partial.data(), arrays_->totals.data()),
              "totals");
    });
    segments_.flush();
    seen_ = kind;
    arrays_->edges_made = whole ? kind.generation : -1;
    collect(graph, request, result);
    result.centroid_virial.clear();
    if (request.centroid_virial) centroid_virial(graph, exchange, result);
}

template class DeviceEvaluator<float>;
template class DeviceEvaluator<double>;

}  // namespace qdml
