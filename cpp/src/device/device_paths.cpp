// SPDX-License-Identifier: MIT
/// The steps of a layer of Clebsch-Gordan paths on the device; the equations are those of ../paths/evaluator.cpp.
///
/// Unlike there, the sums A of all paths exist at once, in the array that later holds G of layer 0 or dE/dH: linear_out
/// of all atoms is one launch. Paths are launched one after the other, since several add to one dE/dH and to one edge.
#include "device_paths.hpp"

#include <algorithm>

namespace qdml {
namespace {

template <class real>
void add_tensors(const PathModelWeights<real>& weights, DeviceWeights<real>& device) {
    for (const auto& layer : weights.layers) {
        for (const auto& map : layer.linear_in) device.add(map.linear);
        for (const auto& species : layer.self_connection) {
            for (const auto& map : species) device.add(map.linear);
        }
        for (const auto& path : layer.paths) {
            device.add(path.linear_out);
            device.add(path.gradient_out);
            device.add(path.radial.data(), path.blocks * weights.n_knots * 2 * kBlock);
        }
    }
}

template <class real>
DeviceSizes sizes_of(const PathModelWeights<real>& weights) {
    DeviceSizes sizes;
    for (const auto& layer : weights.layers) {
        const bool first = sizes.layers.empty();
        sizes.layers.push_back({layer.z.width, first ? 0 : layer.message.width, first ? 0 : layer.gradient_width});
        sizes.h = std::max({sizes.h, layer.node_in.width, layer.node_out.width});
        sizes.work = std::max({sizes.work, layer.message.width, layer.gradient_width});
    }
    sizes.edge = kHarmonics;
    return sizes;
}

DeviceGate gate_of(const std::vector<GatePart>& parts) {
    DeviceGate gate = {};
    for (const GatePart& part : parts) {
        gate.part[gate.n_parts++] = part;
        gate.channels += part.blocks * kBlock;
    }
    return gate;
}

/// The map to or from an irrep, or null.
template <class real>
const IrrepsMap<real>* find(const std::vector<IrrepsMap<real>>& maps, std::size_t IrrepsMap<real>::*end,
                            std::size_t irrep) {
    for (const auto& map : maps) {
        if (map.*end == irrep) return &map;
    }
    return nullptr;
}

}  // namespace

template <class real>
DevicePaths<real>::DevicePaths(const Model& model, const DeviceInterface& interface, const DeviceKernels<real>& kernels,
                               int device)
    : Base(model,
           {static_cast<int>(model.info.species.size()), model.paths->cutoff, model.paths->knots, Spline::hermite},
           interface, kernels, device),
      weights_(model),
      embedding_(context()) {
    add_tensors(weights_, device_weights_);
    this->start(weights_, sizes_of(weights_));
    for (const auto& layer : weights_.layers) gate_.push_back(gate_of(layer.gate));
    const std::int64_t width = weights_.layers[0].node_in.width, n_species = weights_.n_species;
    std::vector<real> rows(static_cast<std::size_t>(n_species * sizes_.h), real(0));
    for (std::int64_t s = 0; s < n_species; ++s) {
        std::copy_n(weights_.embedding.data() + s * width, width, rows.data() + s * sizes_.h);
    }
    embedding_.upload(rows.data(), n_species * sizes_.h);
    this->make_first_message(weights_.layers[0].linear_in[0].linear, embedding_.data(), sizes_.h);
}

/// Where a path lies in the rows of H, A and G.
template <class real>
DevicePath DevicePaths<real>::place(std::size_t t, const PathWeights<real>& path) const {
    const auto& layer = weights_.layers[t];
    return {path.l_in,
            path.path.edge,
            path.l_out,
            layer.message.width,
            layer.message.parts[path.path.in].offset,
            layer.gradient_width,
            path.gradient.offset};
}

template <class real>
DeviceMessages<real> DevicePaths<real>::messages(std::size_t t, const PathWeights<real>& path) const {
    return list().messages(device_weights_.at(path.radial.data()), weights_.n_knots, path.blocks, t == 0);
}

/// The self-connection of layer 0 reads the embedding.
template <class real>
void DevicePaths<real>::start_features() {
    do_it(kernels_.copy_rows(stream(), list().n_local(), sizes_.h, list().species(), embedding_.data(),
                             arrays_->h.data()),
          "embedding");
}

template <class real>
void DevicePaths<real>::forward(std::size_t t) {
    for (const auto& path : weights_.layers[t].paths) {
        do_it(kernels_.path_forward(stream(), place(t, path), messages(t, path), this->senders(t),
                                    arrays_->work.data()),
              "messages");
    }
}

template <class real>
void DevicePaths<real>::gate_forward(std::size_t t) {
    do_it(kernels_.path_gate_forward(stream(), gate_[t], list().n_local(), arrays_->z[t].data(),
                                     weights_.layers[t].z.width, arrays_->h.data(), sizes_.h),
          "gate");
}

template <class real>
void DevicePaths<real>::gate_backward(std::size_t t) {
    const int width = weights_.layers[t].z.width;
    do_it(kernels_.path_gate_backward(stream(), gate_[t], list().n_local(), arrays_->z[t].data(), arrays_->h.data(),
                                      sizes_.h, arrays_->grad_z.data(), width),
          "gate");
}

template <class real>
void DevicePaths<real>::clear_moments() {
    const auto bytes = static_cast<std::size_t>(list().n_held() * sizes_.edge) * sizeof(real);
    do_it(context().call().fill(stream(), arrays_->edge.data(), 0, bytes), "clearing memory of the device");
}

template <class real>
void DevicePaths<real>::finish(EdgeGradient<real>* gradient) {
    DeviceMessages<real> all = messages(0, weights_.layers[0].paths[0]);
    all.first = list().first_held();
    all.n_rows = list().n_held_rows();
    do_it(kernels_.path_finish(stream(), all, moments(), gradient), "gradients of edges");
}

template <class real>
void DevicePaths<real>::backward(std::size_t t, EdgeGradient<real>* gradient) {
    const auto& layer = weights_.layers[t];
    const std::int64_t width = layer.message.width, n_rows = list().n_held_rows();
    if (list().part() != Part::outer) {
        clear_moments();
        do_it(context().call().fill(stream(), arrays_->work.data() + list().first_held() * width, 0,
                                    static_cast<std::size_t>(n_rows * width) * sizeof(real)),
              "clearing memory of the device");
    }
    for (const auto& path : layer.paths) {
        do_it(kernels_.path_backward(stream(), place(t, path), messages(t, path), this->senders(t),
                                     this->sum_gradients(t), arrays_->work.data(), moments()),
              "gradients of messages");
    }
    if (list().part() != Part::inner) finish(gradient);
}

template <class real>
void DevicePaths<real>::first_gradient(EdgeGradient<real>* gradient) {
    clear_moments();
    for (const auto& path : weights_.layers[0].paths) {
        do_it(kernels_.path_first_gradient(stream(), place(0, path), messages(0, path), this->senders(0),
                                           arrays_->work.data(), moments()),
              "gradients of messages");
    }
    finish(gradient);
}

/// A self-connection of the species splits an irrep by species.
template <class real>
void DevicePaths<real>::add_stages(std::size_t t) {
    using Terms = std::vector<typename LinearPlan<real>::Term>;
    const auto& layer = weights_.layers[t];
    const auto& self = layer.self_connection;
    const auto z = [&](std::size_t k) { return part_of(arrays_->z[t].data(), layer.z.width, layer.z.parts[k]); };
    const auto grad_z = [&](std::size_t k) { return part_of(arrays_->grad_z.data(), layer.z.width, layer.z.parts[k]); };
    const auto features = [&](std::size_t k) { return part_of(arrays_->h.data(), sizes_.h, layer.node_in.parts[k]); };
    const auto sums = [&](real* rows, const PathWeights<real>& path) {
        return part_of(rows, layer.gradient_width, path.gradient);
    };
    const auto messages = [&](real* rows, std::size_t k) {
        return part_of(rows, layer.message.width, layer.message.parts[k]);
    };
    auto& stage = stages_[t];
    stage.sums_to_z = plan_.begin();
    for (std::size_t k = 0; k < layer.z.parts.size(); ++k) {
        const bool split = self.size() > 1 && find(self[0], &IrrepsMap<real>::to, k) != nullptr;
        this->by_species(split, [&](std::size_t species, const int* atoms, int n) {
            Terms terms;
            for (const auto& path : layer.paths) {
                if (path.path.out != k) continue;
                terms.push_back({device_weights_.at(path.linear_out.forward()), sums(arrays_->work.data(), path)});
            }
            if (const auto* map = find(self[species], &IrrepsMap<real>::to, k)) {
                terms.push_back({device_weights_.at(map->linear.forward()), features(map->from)});
            }
            plan_.add(stage.sums_to_z, atoms, n, z(k), terms);
        });
    }
    stage.z_to_gradient = plan_.begin();
    for (const auto& path : layer.paths) {
        this->by_species(false, [&](std::size_t, const int* atoms, int n) {
            plan_.add(stage.z_to_gradient, atoms, n, sums(this->sum_gradients(t), path),
                      {{device_weights_.at(path.gradient_out.transposed()), grad_z(path.path.out)}});
        });
    }
    if (t == 0) return;
    stages_[t - 1].features_to_message = plan_.begin();
    for (const auto& map : layer.linear_in) {
        this->by_species(false, [&](std::size_t, const int* atoms, int n) {
            plan_.add(stages_[t - 1].features_to_message, atoms, n, messages(arrays_->message[t].data(), map.to),
                      {{device_weights_.at(map.linear.forward()), features(map.from)}});
        });
    }
    stage.to_feature_gradient = plan_.begin();
    for (std::size_t k = 0; k < layer.node_in.parts.size(); ++k) {
        const bool split = self.size() > 1 && find(self[0], &IrrepsMap<real>::from, k) != nullptr;
        this->by_species(split, [&](std::size_t species, const int* atoms, int n) {
            Terms terms;
            if (const auto* map = find(self[species], &IrrepsMap<real>::from, k)) {
                terms.push_back({device_weights_.at(map->linear.transposed()), grad_z(map->to)});
            }
            if (const auto* map = find(layer.linear_in, &IrrepsMap<real>::from, k)) {
                terms.push_back(
                    {device_weights_.at(map->linear.transposed()), messages(arrays_->work.data(), map->to)});
            }
            plan_.add(stage.to_feature_gradient, atoms, n, features(k), terms);
        });
    }
}

template class DevicePaths<float>;
template class DevicePaths<double>;

}  // namespace qdml
