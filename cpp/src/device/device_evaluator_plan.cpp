// SPDX-License-Identifier: MIT
/// The linear maps of a step on the device as stages of jobs, made anew for every list.
#include "device_evaluator.hpp"

#include <algorithm>

namespace qdml {

template <class real>
FeatureArray<real> DeviceEvaluator<real>::pre_activations(std::size_t t) const {
    return {z_[t].data(), weights_.layers[t].z.width, weights_.layers[t].z};
}
template <class real>
FeatureArray<real> DeviceEvaluator<real>::grad_pre_activations(std::size_t t) const {
    return {grad_z_.data(), weights_.layers[t].z.width, weights_.layers[t].z};
}
template <class real>
FeatureArray<real> DeviceEvaluator<real>::sums(std::size_t t) const {
    return {work_.data(), weights_.layers[t].message_out.width, weights_.layers[t].message_out};
}
template <class real>
FeatureArray<real> DeviceEvaluator<real>::sum_gradients(std::size_t t) const {
    return {t > 0 ? gradient_[t].data() : work_.data(), weights_.layers[t].message_out.width,
            weights_.layers[t].message_out};
}
template <class real>
FeatureArray<real> DeviceEvaluator<real>::message_gradients(std::size_t t) const {
    return {work_.data(), weights_.layers[t].message_in.width, weights_.layers[t].message_in};
}

/// All jobs for the atoms and addresses of now. A self-connection splits a degree by species.
template <class real>
void DeviceEvaluator<real>::make_plan() {
    plan_.clear();
    const auto& start = list_.species_start();
    const int n_atoms = start.back();
    const auto by_species = [&](bool split, const auto& body) {
        for (int s = 0; s < (split ? weights_.n_species : 1); ++s) {
            const auto k = static_cast<std::size_t>(s);
            const int first = split ? start[k] : 0;
            body(k, list_.order() + first, split ? start[k + 1] - first : n_atoms);
        }
    };
    for (std::size_t t = 0; t < weights_.layers.size(); ++t) {
        const auto& layer = weights_.layers[t];
        const int l_in = layer.shape.l_in, l_out = layer.shape.l_out;
        const auto has_self = [&](int l) { return t > 0 && l <= std::min(l_in, l_out); };
        LayerStages& stage = stages_[t];
        stage.sums_to_z = plan_.begin();
        for (int l = 0; l <= l_out; ++l) {
            const auto d = static_cast<std::size_t>(l);
            by_species(has_self(l), [&](std::size_t species, const int* atoms, int n) {
                auto* job = plan_.add(stage.sums_to_z, atoms, n, l, pre_activations(t));
                if (job == nullptr) return;
                for (std::size_t slot = 0; slot < layer.linear_out[d].size(); ++slot) {
                    plan_.add_term(job, placed(layer.linear_out[d][slot].forward()), sums(t), l, static_cast<int>(slot));
                }
                if (has_self(l)) {
                    plan_.add_term(job, placed(layer.self_connection[species][d].forward()), features(layer.node_in), l);
                }
                plan_.close(stage.sums_to_z);
            });
        }
        stage.z_to_gradient = plan_.begin();
        for (int l = 0; l <= l_out; ++l) {
            const auto& maps = layer.linear_out[static_cast<std::size_t>(l)];
            for (std::size_t slot = 0; slot < maps.size(); ++slot) {
                auto* job =
                    plan_.add(stage.z_to_gradient, list_.order(), n_atoms, l, sum_gradients(t), static_cast<int>(slot));
                if (job == nullptr) continue;
                plan_.add_term(job, placed(maps[slot].transposed()), grad_pre_activations(t), l);
                plan_.close(stage.z_to_gradient);
            }
        }
        if (t == 0) continue;
        stages_[t - 1].features_to_message = plan_.begin();
        for (int l = 0; l <= l_in; ++l) {
            const auto& map = layer.linear_in[static_cast<std::size_t>(l)];
            auto* job = plan_.add(stages_[t - 1].features_to_message, list_.order(), n_atoms, l,
                                  {message_[t].data(), layer.message_in.width, layer.message_in});
            if (job == nullptr) continue;
            plan_.add_term(job, placed(map.forward()), features(layer.node_in), l);
            plan_.close(stages_[t - 1].features_to_message);
        }
        stage.to_feature_gradient = plan_.begin();
        for (int l = 0; l <= l_in; ++l) {
            const auto d = static_cast<std::size_t>(l);
            by_species(has_self(l), [&](std::size_t species, const int* atoms, int n) {
                auto* job = plan_.add(stage.to_feature_gradient, atoms, n, l, features(layer.node_in));
                if (job == nullptr) return;
                if (has_self(l)) {
                    plan_.add_term(job, placed(layer.self_connection[species][d].transposed()), grad_pre_activations(t), l);
                }
                plan_.add_term(job, placed(layer.linear_in[d].transposed()), message_gradients(t), l);
                plan_.close(stage.to_feature_gradient);
            });
        }
    }
    // map k takes the features or the activations 2 k - 1 to the pre-activations 2 k
    const auto scalars = [&](const DeviceBuffer<real>& buffer, std::size_t map) -> Array {
        const int blocks = weights_.readout_blocks[map];
        return {buffer.data(), blocks * kBlock, scalar_layout(blocks)};
    };
    const Array last = {h_.data(), h_stride_, scalar_layout(weights_.readout_blocks[0])};
    for (std::size_t k = 0; k < weights_.readout.size(); ++k) {
        const Array in = k == 0 ? last : scalars(readout_[2 * k - 1], k);
        const Array grad_in = k == 0 ? last : scalars(readout_grad_[k - 1], k);
        readout_forward_[k] = plan_.begin();
        if (auto* job = plan_.add(readout_forward_[k], list_.order(), n_atoms, 0, scalars(readout_[2 * k], k + 1))) {
            plan_.add_term(job, placed(weights_.readout[k].forward()), in, 0);
            plan_.close(readout_forward_[k]);
        }
        readout_backward_[k] = plan_.begin();
        if (auto* job = plan_.add(readout_backward_[k], list_.order(), n_atoms, 0, grad_in)) {
            plan_.add_term(job, placed(weights_.readout[k].transposed()), scalars(readout_grad_[k], k + 1), 0);
            plan_.close(readout_backward_[k]);
        }
    }
    plan_.upload();
}
template class DeviceEvaluator<float>;
template class DeviceEvaluator<double>;

}  // namespace qdml
