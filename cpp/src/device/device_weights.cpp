// SPDX-License-Identifier: MIT
/// All tensors in one allocation, each on a boundary of 256 bytes.
#include "device_weights.hpp"

#include <cstring>

namespace qdml {

template <class real>
void DeviceWeights<real>::add(const real* from, std::int64_t n) {
    constexpr std::size_t kGrain = 256 / sizeof(real);
    const std::size_t begin = (all_.size() + kGrain - 1) / kGrain * kGrain;
    all_.resize(begin + static_cast<std::size_t>(n));
    std::memcpy(all_.data() + begin, from, static_cast<std::size_t>(n) * sizeof(real));
    offset_[from] = static_cast<std::int64_t>(begin);
}

template <class real>
void DeviceWeights<real>::add(const PackedLinear<real>& linear) {
    for (const auto& map : {linear.forward(), linear.transposed()}) {
        add(map.weight, std::int64_t(map.in_blocks) * kBlock * map.out_blocks * kBlock);
    }
}

template <class real>
void DeviceWeights<real>::upload(const std::vector<double>& reference, const std::vector<double>& scale) {
    arena_.upload(all_.data(), static_cast<std::int64_t>(all_.size()));
    n_species_ = static_cast<std::int64_t>(reference.size());
    std::vector<double> energies = reference;
    energies.insert(energies.end(), scale.begin(), scale.end());
    energies_.upload(energies.data(), static_cast<std::int64_t>(energies.size()));
    context_.synchronize();  // the host's copies end here
    all_ = {};
}

template class DeviceWeights<float>;
template class DeviceWeights<double>;

}  // namespace qdml
