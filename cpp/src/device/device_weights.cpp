// SPDX-License-Identifier: MIT
/// All tensors in one allocation, each on a boundary of 256 bytes.
#include "device_weights.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

namespace qdml {

template <class real>
DeviceWeights<real>::DeviceWeights(const Weights<real>& host, DeviceContext& context)
    : n_species_(host.n_species), arena_(context), energies_(context) {
    std::vector<real> all;
    const auto add = [&](const real* from, std::int64_t n) {
        constexpr std::size_t kGrain = 256 / sizeof(real);
        const std::size_t begin = (all.size() + kGrain - 1) / kGrain * kGrain;
        all.resize(begin + static_cast<std::size_t>(n));
        std::memcpy(all.data() + begin, from, static_cast<std::size_t>(n) * sizeof(real));
        offset_[from] = static_cast<std::int64_t>(begin);
    };
    const auto add_linear = [&](const PackedLinear<real>& linear) {
        for (const auto& map : {linear.forward(), linear.transposed()}) {
            add(map.weight, std::int64_t(map.in_blocks) * kBlock * map.out_blocks * kBlock);
        }
    };
    for (const auto& layer : host.layers) {
        const auto l_in = static_cast<std::size_t>(layer.shape.l_in), l_out = static_cast<std::size_t>(layer.shape.l_out);
        for (std::size_t l = 0; l <= l_in; ++l) add_linear(layer.linear_in[l]);
        for (std::size_t l = 0; l <= l_out; ++l) {
            for (const auto& linear : layer.linear_out[l]) add_linear(linear);
        }
        for (const auto& species : layer.self_connection) {
            for (std::size_t l = 0; l <= std::min(l_in, l_out); ++l) add_linear(species[l]);
        }
        add(layer.radial.data(), layer.n_radial);
    }
    for (const auto& linear : host.readout) add_linear(linear);
    add(host.embedding.data(), std::int64_t(host.n_species) * host.layers[0].node_in.width);
    arena_.upload(all.data(), static_cast<std::int64_t>(all.size()));
    std::vector<double> energies = host.reference;
    energies.insert(energies.end(), host.scale.begin(), host.scale.end());
    energies_.upload(energies.data(), static_cast<std::int64_t>(energies.size()));
    context.synchronize();
}

template class DeviceWeights<float>;
template class DeviceWeights<double>;

}  // namespace qdml
