// SPDX-License-Identifier: MIT
/// One step on the device; the equations are those listed at the top of ../evaluator.cpp.
#include "device_evaluator.hpp"

#include <algorithm>

namespace qdml {

template <class real>
DeviceEvaluator<real>::DeviceEvaluator(const Model& model, const DeviceInterface& interface,
                                       const DeviceKernels<real>& kernels, int device)
    : weights_(model),
      context_(interface, device),
      kernels_(kernels),
      device_weights_(weights_, context_),
      list_(model, context_),
      first_message_(context_),
      h_(context_),
      work_(context_),
      grad_z_(context_),
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
      plan_(context_),
      stages_(weights_.layers.size()),
      readout_forward_(weights_.readout.size()),
      readout_backward_(weights_.readout.size()),
      segments_(context_),
      own_grad_z_(context_),
      own_gradient_(context_),
      moment_(context_),
      position_(context_),
      centroid_(context_) {
    for (const auto& layer : weights_.layers) {
        h_stride_ = std::max({h_stride_, layer.node_in.width, layer.node_out.width});
        z_widest_ = std::max(z_widest_, layer.z.width);
        message_widest_ = std::max({message_widest_, layer.message_in.width, layer.message_out.width});
        for (auto* buffers : {&z_, &message_, &gradient_, &kept_gradient_}) buffers->emplace_back(context_);
    }
    for (std::size_t k = 0; k < weights_.readout.size(); ++k) {
        for (int n = 0; n < 2; ++n) readout_.emplace_back(context_);
        readout_grad_.emplace_back(context_);
    }
    partial_.reserve(kPartialSums * kTotals);
    totals_.reserve(kTotals);
    host_totals_.reserve(kTotals);
    host_bad_edge_.reserve(1);
    make_first_message();
}

template <class real>
DeviceEvaluator<real>::~DeviceEvaluator() {
    context_.call().synchronize(context_.stream());
}

template <class real>
LinearMap<real> DeviceEvaluator<real>::placed(LinearMap<real> map) const {
    map.weight = device_weights_.at(map.weight);
    return map;
}

/// Layer 0: the message of a sender depends on its species alone.
template <class real>
void DeviceEvaluator<real>::make_first_message() {
    const auto& first = weights_.layers[0];
    std::vector<int> species(static_cast<std::size_t>(weights_.n_species));
    for (std::size_t s = 0; s < species.size(); ++s) species[s] = static_cast<int>(s);
    DeviceBuffer<int> rows(context_);
    rows.upload(species.data(), weights_.n_species);
    first_message_.reserve(std::int64_t(weights_.n_species) * first.message_in.width);
    const Array embedding = {const_cast<real*>(device_weights_.at(weights_.embedding.data())), first.node_in.width,
                             first.node_in};
    plan_.clear();
    Stage stage = plan_.begin();
    auto* job = plan_.add(stage, rows.data(), weights_.n_species, 0,
                          {first_message_.data(), first.message_in.width, first.message_in});
    plan_.add_term(job, placed(first.linear_in[0].forward()), embedding, 0);
    plan_.close(stage);
    plan_.upload();
    run(stage);
    context_.synchronize();
}

template <class real>
void DeviceEvaluator<real>::run(const Stage& stage) const {
    do_it(kernels_.linear(context_.stream(), plan_.data() + stage.first, stage.n_jobs, stage.n_blocks), "linear maps");
}

template <class real>
DeviceMessages<real> DeviceEvaluator<real>::messages(std::size_t t) const {
    return list_.messages(device_weights_.at(weights_.layers[t].radial.data()), weights_.n_knots, weights_.n_blocks, t == 0);
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

/// Sums of messages of the rows that the list holds.
template <class real>
void DeviceEvaluator<real>::forward(std::size_t t) {
    const auto& shape = weights_.layers[t].shape;
    do_it(kernels_.forward(context_.stream(), shape.l_in, shape.l_out, weights_.separated, messages(t),
                           t == 0 ? first_message_.data() : message_[t].data(), work_.data()),
          "messages");
}

/// From the sums of all atoms to features and, but for the last layer, the messages of the next.
template <class real>
void DeviceEvaluator<real>::next_messages(std::size_t t) {
    const auto& layer = weights_.layers[t];
    run(stages_[t].sums_to_z);
    do_it(kernels_.gate_forward(context_.stream(), layer.gate, list_.n_local(), z_[t].data(), layer.z.width, h_.data(),
                                h_stride_),
          "gate");
    if (t + 1 < weights_.layers.size()) run(stages_[t].features_to_message);
}

template <class real>
void DeviceEvaluator<real>::read_out() {
    const std::size_t n_maps = weights_.readout.size();
    const auto values = [&](std::size_t map) { return std::int64_t(list_.n_local()) * weights_.readout_blocks[map] * kBlock; };
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

/// From dE/dh' of layer t to dE/dz.
template <class real>
void DeviceEvaluator<real>::gate_backward(std::size_t t) {
    const auto& layer = weights_.layers[t];
    do_it(kernels_.gate_backward(context_.stream(), layer.gate, list_.n_local(), z_[t].data(), h_.data(), h_stride_,
                                 grad_z_.data(), layer.z.width),
          "gate");
}

/// From dE/dz to G as the kernels want it.
template <class real>
void DeviceEvaluator<real>::out_backward(std::size_t t) {
    run(stages_[t].z_to_gradient);
    do_it(kernels_.to_tensors(context_.stream(), weights_.layers[t].sums, t > 0, list_.n_local(), sum_gradients(t).data),
          "tensors");
}

/// Layer t >= 1 from G of the receivers, for the rows that the list holds: edge gradients and dE/dH.
template <class real>
void DeviceEvaluator<real>::backward(std::size_t t, EdgeGradient<real>* gradient) {
    const auto& shape = weights_.layers[t].shape;
    do_it(kernels_.backward(context_.stream(), shape.l_in, shape.l_out, weights_.separated, messages(t), message_[t].data(),
                            gradient_[t].data(), work_.data(), gradient),
          "gradients of messages");
}

template <class real>
void DeviceEvaluator<real>::first_gradient(EdgeGradient<real>* gradient) {
    do_it(kernels_.first_gradient(context_.stream(), weights_.layers[0].shape.l_out, messages(0), first_message_.data(),
                                  work_.data(), gradient),
          "gradients of messages");
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
    });
    const std::size_t n_layers = weights_.layers.size();
    for (std::size_t t = 0; t < n_layers; ++t) {
        pass(false, false, [=] { forward(t); });
        segments_.add([=] { next_messages(t); });
        if (t + 1 < n_layers) fill_ghosts(message_[t + 1], weights_.layers[t + 1].message_in.width);
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
                                   static_cast<std::size_t>(n_local * weights_.layers.back().z.width) * sizeof(real)),
              "copying on the device");
        do_it(context_.call().copy(context_.stream(), own_gradient_.data(), list_.gradient(),
                                   static_cast<std::size_t>(n_edges) * sizeof(EdgeGradient<real>)),
              "copying on the device");
    }
    for (std::size_t t = n_layers; t-- > 1;) {
        fill_ghosts(gradient_[t], weights_.layers[t].message_out.width);
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
