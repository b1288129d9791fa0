// SPDX-License-Identifier: MIT
/// The steps of a Cartesian layer on the device; the equations are those of ../cartesian_evaluator.cpp.
#include "device_cartesian.hpp"

#include <algorithm>

namespace qdml {
namespace {

template <class real>
void add_tensors(const Weights<real>& weights, DeviceWeights<real>& device) {
    for (const auto& layer : weights.layers) {
        const auto l_in = static_cast<std::size_t>(layer.shape.l_in),
                   l_out = static_cast<std::size_t>(layer.shape.l_out);
        for (std::size_t l = 0; l <= l_in; ++l) device.add(layer.linear_in[l]);
        for (std::size_t l = 0; l <= l_out; ++l) {
            for (const auto& linear : layer.linear_out[l]) device.add(linear);
        }
        for (const auto& species : layer.self_connection) {
            for (std::size_t l = 0; l <= std::min(l_in, l_out); ++l) device.add(species[l]);
        }
        device.add(layer.radial.data(), layer.n_radial);
    }
    device.add(weights.embedding.data(), std::int64_t(weights.n_species) * weights.layers[0].node_in.width);
}

template <class real>
DeviceSizes sizes_of(const Weights<real>& weights) {
    DeviceSizes sizes;
    for (const auto& layer : weights.layers) {
        const bool first = sizes.layers.empty();
        sizes.layers.push_back(
            {layer.z.width, first ? 0 : layer.message_in.width, first ? 0 : layer.message_out.width});
        sizes.h = std::max({sizes.h, layer.node_in.width, layer.node_out.width});
        sizes.work = std::max({sizes.work, layer.message_in.width, layer.message_out.width});
    }
    return sizes;
}

}  // namespace

template <class real>
DeviceCartesian<real>::DeviceCartesian(const Model& model, const DeviceInterface& interface,
                                       const DeviceKernels<real>& kernels, int device)
    : Base(model,
           {static_cast<int>(model.info.species.size()), model.architecture.cutoff, model.architecture.knots,
            Spline::cubic_b},
           interface, kernels, device),
      weights_(model) {
    add_tensors(weights_, device_weights_);
    this->start(weights_, sizes_of(weights_));
    this->make_first_message(weights_.layers[0].linear_in[0], device_weights_.at(weights_.embedding.data()),
                             weights_.layers[0].node_in.width);
}

template <class real>
DeviceMessages<real> DeviceCartesian<real>::messages(std::size_t t) const {
    const real* table = device_weights_.at(weights_.layers[t].radial.data());
    return list().messages(table, weights_.n_knots, weights_.n_blocks, t == 0);
}

template <class real>
void DeviceCartesian<real>::forward(std::size_t t) {
    const auto& shape = weights_.layers[t].shape;
    do_it(kernels_.forward(stream(), shape.l_in, shape.l_out, weights_.separated, messages(t), this->senders(t),
                           arrays_->work.data()),
          "messages");
}

template <class real>
void DeviceCartesian<real>::gate_forward(std::size_t t) {
    const auto& layer = weights_.layers[t];
    do_it(kernels_.gate_forward(stream(), layer.gate, list().n_local(), arrays_->z[t].data(), layer.z.width,
                                arrays_->h.data(), sizes_.h),
          "gate");
}

template <class real>
void DeviceCartesian<real>::gate_backward(std::size_t t) {
    const auto& layer = weights_.layers[t];
    do_it(kernels_.gate_backward(stream(), layer.gate, list().n_local(), arrays_->z[t].data(), arrays_->h.data(),
                                 sizes_.h, arrays_->grad_z.data(), layer.z.width),
          "gate");
}

template <class real>
void DeviceCartesian<real>::out_backward(std::size_t t) {
    Base::out_backward(t);
    do_it(kernels_.to_tensors(stream(), weights_.layers[t].sums, t > 0, list().n_local(), this->sum_gradients(t)),
          "tensors");
}

template <class real>
void DeviceCartesian<real>::backward(std::size_t t, EdgeGradient<real>* gradient) {
    const auto& shape = weights_.layers[t].shape;
    do_it(kernels_.backward(stream(), shape.l_in, shape.l_out, weights_.separated, messages(t), this->senders(t),
                            this->sum_gradients(t), arrays_->work.data(), gradient),
          "gradients of messages");
}

template <class real>
void DeviceCartesian<real>::first_gradient(EdgeGradient<real>* gradient) {
    do_it(kernels_.first_gradient(stream(), weights_.layers[0].shape.l_out, messages(0), this->senders(0),
                                  arrays_->work.data(), gradient),
          "gradients of messages");
}

/// A self-connection splits a degree by species.
template <class real>
void DeviceCartesian<real>::add_stages(std::size_t t) {
    using Terms = std::vector<typename LinearPlan<real>::Term>;
    const auto& layer = weights_.layers[t];
    const int l_in = layer.shape.l_in, l_out = layer.shape.l_out;
    const auto has_self = [&](int l) { return t > 0 && l <= std::min(l_in, l_out); };
    const auto z = [&](int l) { return part_of(arrays_->z[t].data(), layer.z.width, layer.z, l); };
    const auto grad_z = [&](int l) { return part_of(arrays_->grad_z.data(), layer.z.width, layer.z, l); };
    const auto features = [&](int l) { return part_of(arrays_->h.data(), sizes_.h, layer.node_in, l); };
    const auto sums = [&](real* rows, int l, std::size_t slot) {
        return part_of(rows, layer.message_out.width, layer.message_out, l, static_cast<int>(slot));
    };
    const auto messages = [&](real* rows, int l) { return part_of(rows, layer.message_in.width, layer.message_in, l); };
    auto& stage = stages_[t];
    stage.sums_to_z = plan_.begin();
    for (int l = 0; l <= l_out; ++l) {
        const auto d = static_cast<std::size_t>(l);
        this->by_species(has_self(l), [&](std::size_t species, const int* atoms, int n) {
            Terms terms;
            for (std::size_t slot = 0; slot < layer.linear_out[d].size(); ++slot) {
                terms.push_back(
                    {device_weights_.at(layer.linear_out[d][slot].forward()), sums(arrays_->work.data(), l, slot)});
            }
            if (has_self(l)) {
                terms.push_back({device_weights_.at(layer.self_connection[species][d].forward()), features(l)});
            }
            plan_.add(stage.sums_to_z, atoms, n, z(l), terms);
        });
    }
    stage.z_to_gradient = plan_.begin();
    for (int l = 0; l <= l_out; ++l) {
        const auto& maps = layer.linear_out[static_cast<std::size_t>(l)];
        for (std::size_t slot = 0; slot < maps.size(); ++slot) {
            this->by_species(false, [&](std::size_t, const int* atoms, int n) {
                plan_.add(stage.z_to_gradient, atoms, n, sums(this->sum_gradients(t), l, slot),
                          {{device_weights_.at(maps[slot].transposed()), grad_z(l)}});
            });
        }
    }
    if (t == 0) return;
    stages_[t - 1].features_to_message = plan_.begin();
    for (int l = 0; l <= l_in; ++l) {
        const auto map = device_weights_.at(layer.linear_in[static_cast<std::size_t>(l)].forward());
        this->by_species(false, [&](std::size_t, const int* atoms, int n) {
            plan_.add(stages_[t - 1].features_to_message, atoms, n, messages(arrays_->message[t].data(), l),
                      {{map, features(l)}});
        });
    }
    stage.to_feature_gradient = plan_.begin();
    for (int l = 0; l <= l_in; ++l) {
        const auto d = static_cast<std::size_t>(l);
        this->by_species(has_self(l), [&](std::size_t species, const int* atoms, int n) {
            Terms terms;
            if (has_self(l)) {
                terms.push_back({device_weights_.at(layer.self_connection[species][d].transposed()), grad_z(l)});
            }
            terms.push_back({device_weights_.at(layer.linear_in[d].transposed()), messages(arrays_->work.data(), l)});
            plan_.add(stage.to_feature_gradient, atoms, n, features(l), terms);
        });
    }
}

template class DeviceCartesian<float>;
template class DeviceCartesian<double>;

}  // namespace qdml
