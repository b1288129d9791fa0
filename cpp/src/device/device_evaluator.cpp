// SPDX-License-Identifier: MIT
/// One step on the device; the equations are those listed at the top of ../evaluator.cpp.
#include "device_evaluator.hpp"

#include <algorithm>

namespace qdml {

int DeviceSizes::widest_z() const {
    int width = 0;
    for (const Layer& layer : layers) width = std::max(width, layer.z);
    return width;
}

template <class real>
DeviceEvaluator<real>::DeviceEvaluator(const Model& model, const EdgeShape& shape, const DeviceInterface& interface,
                                       const DeviceKernels<real>& kernels, int device)
    : context_(interface, device),
      kernels_(kernels),
      device_weights_(context_),
      list_(model, shape, context_),
      plan_(context_),
      h_(context_),
      work_(context_),
      grad_z_(context_),
      edge_(context_),
      n_species_(shape.n_species),
      first_message_(context_),
      atom_energy_(context_),
      row_virial_(context_),
      force_(context_),
      atom_virial_(context_),
      partial_(context_),
      totals_(context_),
      nearest_distance_(context_),
      nearest_row_(context_),
      host_force_(context_),
      host_energy_(context_),
      host_virial_(context_),
      host_totals_(context_),
      host_bad_edge_(context_),
      host_row_(context_),
      host_distance_(context_),
      host_rows_(context_),
      host_sent_(context_),
      sent_(context_),
      sent_index_(context_),
      segments_(context_),
      own_grad_z_(context_),
      own_gradient_(context_),
      moment_(context_),
      position_(context_),
      centroid_(context_) {
    partial_.reserve(kPartialSums * kTotals);
    totals_.reserve(kTotals);
    host_totals_.reserve(kTotals);
    host_bad_edge_.reserve(1);
}

template <class real>
DeviceEvaluator<real>::~DeviceEvaluator() {
    context_.call().synchronize(context_.stream());
}

template <class real>
void DeviceEvaluator<real>::start(const std::vector<double>& reference, const std::vector<double>& scale,
                                  DeviceSizes sizes) {
    sizes_ = std::move(sizes);
    for (const auto& linear : *readout_maps_) device_weights_.add(linear);
    device_weights_.upload(reference, scale);
    stages_.resize(n_layers());
    for (std::size_t t = 0; t < n_layers(); ++t) {
        for (auto* buffers : {&z_, &message_, &gradient_, &kept_gradient_}) buffers->emplace_back(context_);
    }
    readout_forward_.resize(readout_maps_->size());
    readout_backward_.resize(readout_maps_->size());
    for (std::size_t k = 0; k < readout_maps_->size(); ++k) {
        for (int n = 0; n < 2; ++n) readout_.emplace_back(context_);
        readout_grad_.emplace_back(context_);
    }
}

/// The message of a sender in layer 0 depends on its species alone.
template <class real>
void DeviceEvaluator<real>::make_first_message(const PackedLinear<real>& linear_in, const real* embedding,
                                               int embedding_width) {
    std::vector<int> species(static_cast<std::size_t>(n_species_));
    for (std::size_t s = 0; s < species.size(); ++s) species[s] = static_cast<int>(s);
    DeviceBuffer<int> rows(context_);
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
    context_.synchronize();
}

template <class real>
void DeviceEvaluator<real>::run(const Stage& stage) const {
    do_it(kernels_.linear(context_.stream(), plan_.jobs() + stage.first, plan_.terms(), stage.n_jobs, stage.n_blocks),
          "linear maps");
}

template <class real>
void DeviceEvaluator<real>::geometry(bool pairs) {
    do_it(kernels_.geometry(context_.stream(), list_.edges(pairs ? atom_energy_.data() : nullptr)), "edges");
}

template <class real>
void DeviceEvaluator<real>::find_nearest() {
    do_it(kernels_.nearest(context_.stream(), list_.edges(nullptr), nearest_distance_.data(), nearest_row_.data()),
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
    const auto values = [&](std::size_t map) { return std::int64_t(list_.n_local()) * (*readout_blocks_)[map] * kBlock; };
    for (std::size_t k = 0; k < n_maps; ++k) {
        run(readout_forward_[k]);
        if (k + 1 < n_maps) {
            do_it(kernels_.silu_forward(context_.stream(), values(k + 1), readout_[2 * k].data(), readout_[2 * k + 1].data()),
                  "read-out");
        }
    }
    do_it(kernels_.energies(context_.stream(), list_.n_local(), list_.species(), device_weights_.reference(),
                            device_weights_.scale(), readout_[2 * n_maps - 2].data(), atom_energy_.data(),
                            readout_grad_[n_maps - 1].data()),
          "energies");
    for (std::size_t k = n_maps; k-- > 0;) {
        run(readout_backward_[k]);
        if (k > 0) {
            real* grad = readout_grad_[k - 1].data();
            do_it(kernels_.silu_backward(context_.stream(), values(k), readout_[2 * k - 2].data(), grad, grad), "read-out");
        }
    }
}

template <class real>
void DeviceEvaluator<real>::add_forces(bool atom_virial) {
    do_it(kernels_.forces(context_.stream(),
                          list_.forces(row_virial_.data(), force_.data(), atom_virial ? atom_virial_.data() : nullptr)),
          "forces");
}

template <class real>
void DeviceEvaluator<real>::compute(const Graph& graph, const Request& request, Exchange* exchange, Result& result) {
    context_.use();
    const bool changed = list_.take(graph);
    const std::vector<int> chunk = divide(graph, request.centroid_virial);
    prepare(graph, request, changed);
    const bool whole = chunk.size() == 2, has_owner = list_.owner() != nullptr;
    const bool has_exchange = exchange != nullptr && !has_owner;
    if (whole) list_.hold(graph, 0, list_.n_local());
    const bool same = !changed && seen_generation_ == context_.generation() &&
                      seen_atom_virial_ == request.atom_virial &&
                      seen_nearest_ == request.nearest && seen_exchange_ == has_exchange;
    segments_.begin(same, whole);
    // One pass over all rows. In chunks each pass makes its edges and, with `gradient`, turns their gradients into
    // forces; ZBL belongs to the one of layer 0.
    const auto pass = [&](bool gradient, bool pairs, const auto& body) {
        if (whole) {
            segments_.add(body);
            return;
        }
        segments_.flush();
        for (std::size_t k = 0; k + 1 < chunk.size(); ++k) {
            list_.hold(graph, chunk[k], chunk[k + 1]);
            geometry(pairs);
            if (pairs && request.nearest) find_nearest();
            body();
            if (gradient) add_forces(request.atom_virial);
        }
    };
    const auto fill_ghosts = [&](DeviceBuffer<real>& rows, int width) {
        if (has_owner) {
            segments_.add([this, &rows, width] { copy_to_ghosts(rows, width); });
        } else if (has_exchange) {
            segments_.flush();
            exchange_rows(rows, width, exchange);
        }
    };
    const std::int64_t n_local = list_.n_local(), n_total = list_.n_total();
    segments_.add([=] {
        atom_energy_.zero(n_local);
        force_.zero(3 * n_total);
        row_virial_.zero(9 * n_local);
        if (request.atom_virial) atom_virial_.zero(9 * n_total);
        do_it(context_.call().fill(context_.stream(), list_.bad_edge(), 0x7f, sizeof(int)), "clearing memory of the device");
        if (whole) geometry(true);
        if (whole && request.nearest) find_nearest();
        start_features();
    });
    const std::size_t n_layers = this->n_layers();
    for (std::size_t t = 0; t < n_layers; ++t) {
        pass(false, false, [=] { forward(t); });
        segments_.add([=] { next_messages(t); });
        if (t + 1 < n_layers) fill_ghosts(message_[t + 1], sizes_.layers[t + 1].message);
    }
    segments_.add([=] {
        read_out();
        gate_backward(n_layers - 1);
        out_backward(n_layers - 1);
    });
    if (request.centroid_virial) {
        segments_.flush();
        // what is there now belongs to the energy of the edge's own center
        const std::int64_t n_edges = list_.before(list_.n_local());
        do_it(context_.call().copy(context_.stream(), own_grad_z_.data(), grad_z_.data(),
                                   static_cast<std::size_t>(n_local * sizes_.layers.back().z) * sizeof(real)),
              "copying on the device");
        do_it(context_.call().copy(context_.stream(), own_gradient_.data(), list_.gradient(),
                                   static_cast<std::size_t>(n_edges) * sizeof(EdgeGradient<real>)),
              "copying on the device");
    }
    for (std::size_t t = n_layers; t-- > 1;) {
        fill_ghosts(gradient_[t], sizes_.layers[t].gradient);
        pass(true, false, [=] { backward(t, list_.gradient()); });
        segments_.add([=] {
            run(stages_[t].to_feature_gradient);
            gate_backward(t - 1);
            out_backward(t - 1);
        });
    }
    pass(true, true, [=] { first_gradient(list_.gradient()); });
    segments_.add([=] {
        if (whole) add_forces(request.atom_virial);
        do_it(context_.call().totals(context_.stream(), list_.n_local(), atom_energy_.data(), row_virial_.data(),
                                     partial_.data(), totals_.data()),
              "totals");
    });
    segments_.flush();
    seen_generation_ = context_.generation();
    seen_atom_virial_ = request.atom_virial;
    seen_nearest_ = request.nearest;
    seen_exchange_ = has_exchange;
    collect(graph, request, result);
    result.centroid_virial.clear();
    if (request.centroid_virial) centroid_virial(graph, exchange, result);
}

template class DeviceEvaluator<float>;
template class DeviceEvaluator<double>;

}  // namespace qdml
