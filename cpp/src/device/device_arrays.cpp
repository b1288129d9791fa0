// SPDX-License-Identifier: MIT
/// Arrays of a step on the device: made empty, sized by DeviceEvaluator.
#include "device_arrays.hpp"

#include <algorithm>

namespace qdml {

int DeviceSizes::widest_z() const {
    int width = 0;
    for (const Layer& layer : layers) width = std::max(width, layer.z);
    return width;
}

bool DeviceSizes::operator==(const DeviceSizes& other) const {
    const auto same = [](const Layer& a, const Layer& b) {
        return a.z == b.z && a.message == b.message && a.gradient == b.gradient;
    };
    return h == other.h && work == other.work && edge == other.edge &&
           std::equal(layers.begin(), layers.end(), other.layers.begin(), other.layers.end(), same);
}

template <class real>
DeviceArrays<real>::DeviceArrays(const Model& model, const EdgeShape& shape, std::shared_ptr<DeviceContext> on)
    : context(std::move(on)),
      list(model, shape, *context),
      h(*context),
      work(*context),
      grad_z(*context),
      edge(*context),
      atom_energy(*context),
      row_virial(*context),
      force(*context),
      atom_virial(*context),
      partial(*context),
      totals(*context),
      nearest_distance(*context),
      nearest_row(*context),
      host_force(*context),
      host_energy(*context),
      host_virial(*context),
      host_totals(*context),
      host_bad_edge(*context),
      host_row(*context),
      host_distance(*context),
      sent_index(*context),
      arrival(*context),
      owner(*context),
      sent(*context),
      received(*context),
      host_sent(*context),
      host_received(*context),
      own_grad_z(*context),
      own_gradient(*context),
      moment(*context),
      position(*context),
      centroid(*context) {
    partial.reserve(kPartialSums * kTotals);
    totals.reserve(kTotals);
    host_totals.reserve(kTotals);
    host_bad_edge.reserve(1);
}

template <class real>
void DeviceArrays<real>::add_layers(std::size_t n_layers, std::size_t n_maps) {
    for (std::size_t t = 0; t < n_layers; ++t) {
        for (auto* buffers : {&z, &message, &gradient, &kept_gradient}) buffers->emplace_back(*context);
    }
    for (std::size_t k = 0; k < n_maps; ++k) {
        for (int n = 0; n < 2; ++n) readout.emplace_back(*context);
        readout_grad.emplace_back(*context);
    }
}

template <class real>
std::int64_t DeviceArrays<real>::bytes() const noexcept {
    std::int64_t sum = list.bytes() + edge.bytes() + h.bytes() + work.bytes() + grad_z.bytes() + atom_energy.bytes() +
                       row_virial.bytes() + force.bytes() + atom_virial.bytes() + own_grad_z.bytes() +
                       own_gradient.bytes() + moment.bytes() + nearest_distance.bytes() + nearest_row.bytes() +
                       sent.bytes() + received.bytes() + sent_index.bytes() + arrival.bytes() + owner.bytes() +
                       position.bytes() + centroid.bytes();
    for (const auto* buffers : {&z, &message, &gradient, &kept_gradient, &readout, &readout_grad}) {
        for (const auto& buffer : *buffers) sum += buffer.bytes();
    }
    return sum;
}

template struct DeviceArrays<float>;
template struct DeviceArrays<double>;

}  // namespace qdml
