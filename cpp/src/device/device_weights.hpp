// SPDX-License-Identifier: MIT
/// A model's packed tensors on a device, found by their place in host memory.
#pragma once

#include <unordered_map>
#include <vector>

#include "memory.hpp"
#include "weights.hpp"

namespace qdml {

template <class real>
class DeviceWeights {
public:
    explicit DeviceWeights(DeviceContext& context) : context_(context), arena_(context), energies_(context) {}

    /// Take a tensor of `n` values along, a linear map both ways.
    void add(const real* from, std::int64_t n);
    void add(const PackedLinear<real>& linear);
    /// Copy all of them to the device, with E0 and σ of the species.
    void upload(const std::vector<double>& reference, const std::vector<double>& scale);

    /// Device copy of the tensor that starts at `host` of the packed weights.
    const real* at(const real* host) const { return arena_.data() + offset_.at(host); }
    LinearMap<real> at(LinearMap<real> map) const {
        map.weight = at(map.weight);
        return map;
    }
    const double* reference() const noexcept { return energies_.data(); }
    const double* scale() const noexcept { return energies_.data() + n_species_; }

private:
    DeviceContext& context_;
    std::int64_t n_species_ = 0;
    std::vector<real> all_;  ///< until upload()
    std::unordered_map<const real*, std::int64_t> offset_;
    DeviceBuffer<real> arena_;
    DeviceBuffer<double> energies_;
};

extern template class DeviceWeights<float>;
extern template class DeviceWeights<double>;

}  // namespace qdml
