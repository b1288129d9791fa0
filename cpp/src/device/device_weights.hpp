// SPDX-License-Identifier: MIT
/// A model's packed tensors on a device, found by their place in host memory.
#pragma once

#include <unordered_map>

#include "memory.hpp"
#include "weights.hpp"

namespace qdml {

template <class real>
class DeviceWeights {
public:
    DeviceWeights(const Weights<real>& host, DeviceContext& context);

    /// Device copy of the tensor that starts at `host` of the packed weights.
    const real* at(const real* host) const { return arena_.data() + offset_.at(host); }
    const double* reference() const noexcept { return energies_.data(); }
    const double* scale() const noexcept { return energies_.data() + n_species_; }

private:
    int n_species_;
    std::unordered_map<const real*, std::int64_t> offset_;
    DeviceBuffer<real> arena_;
    DeviceBuffer<double> energies_;
};

extern template class DeviceWeights<float>;
extern template class DeviceWeights<double>;

}  // namespace qdml
