// SPDX-License-Identifier: MIT
/// The linear maps of a step on the device as stages of jobs, made anew for every list.
#include "device_evaluator.hpp"

namespace qdml {

/// All jobs for the atoms and addresses of now.
template <class real>
void DeviceEvaluator<real>::make_plan() {
    plan_.clear();
    for (std::size_t t = 0; t < n_layers(); ++t) add_stages(t);
    add_readout();
    plan_.upload();
    home_->synchronize();  // the arrays may have another stream
}

/// Map k takes the features or the activations 2 k - 1 to the pre-activations 2 k.
template <class real>
void DeviceEvaluator<real>::add_readout() {
    const int n_atoms = list().species_start().back();
    const auto scalars = [&](const DeviceBuffer<real>& buffer, std::size_t map) {
        const int blocks = (*readout_blocks_)[map];
        return scalar_part(buffer.data(), blocks * kBlock, blocks);
    };
    const FeaturePart<real> last = scalar_part(arrays_->h.data(), sizes_.h, readout_blocks_->front());
    for (std::size_t k = 0; k < readout_maps_->size(); ++k) {
        const PackedLinear<real>& map = (*readout_maps_)[k];
        readout_forward_[k] = plan_.begin();
        plan_.add(readout_forward_[k], list().order(), n_atoms, scalars(arrays_->readout[2 * k], k + 1),
                  {{device_weights_.at(map.forward()), k == 0 ? last : scalars(arrays_->readout[2 * k - 1], k)}});
        readout_backward_[k] = plan_.begin();
        plan_.add(readout_backward_[k], list().order(), n_atoms,
                  k == 0 ? last : scalars(arrays_->readout_grad[k - 1], k),
                  {{device_weights_.at(map.transposed()), scalars(arrays_->readout_grad[k], k + 1)}});
    }
}

template class DeviceEvaluator<float>;
template class DeviceEvaluator<double>;

}  // namespace qdml
