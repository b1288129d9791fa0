// SPDX-License-Identifier: MIT
/// Sizes of the arrays of DeviceEvaluator, the memory limit, and what goes back to the host.
#include <algorithm>

#include "device_evaluator.hpp"

namespace qdml {

template <class real>
int DeviceEvaluator<real>::max_exchange_width() const noexcept {
    int width = 0;
    for (const auto& layer : sizes_.layers) width = std::max({width, layer.message, layer.gradient});
    return width;
}

/// Arrays that stay for the whole step; the turned list has numbers per edge, too.
template <class real>
std::int64_t DeviceEvaluator<real>::atom_bytes(std::int64_t n_local, std::int64_t n_total,
                                               std::int64_t n_edges) const noexcept {
    using B = DeviceBuffer<real>;
    using D = DeviceBuffer<double>;
    std::int64_t sum = list().atom_bytes(n_local, n_total, n_edges) + B::bytes_for(n_local * sizes_.h) +
                       B::bytes_for(n_local * sizes_.work) + B::bytes_for(n_local * sizes_.widest_z()) +
                       D::bytes_for(n_local) + D::bytes_for(9 * n_local) + D::bytes_for(3 * n_total) +
                       D::bytes_for(9 * n_total);
    for (std::size_t t = 0; t < n_layers(); ++t) {
        const auto& layer = sizes_.layers[t];
        sum += B::bytes_for(n_local * layer.z);
        if (t > 0) sum += B::bytes_for(n_total * layer.message) + B::bytes_for(n_total * layer.gradient);
    }
    for (std::size_t k = 1; k < readout_blocks_->size(); ++k) {
        sum += 3 * B::bytes_for(n_local * (*readout_blocks_)[k] * kBlock);
    }
    return sum;
}

/// Rows that an exchange sends and receives.
template <class real>
std::int64_t DeviceEvaluator<real>::travelling_bytes(std::int64_t n_sent, std::int64_t n_received) const noexcept {
    if (n_sent + n_received == 0) return 0;
    const auto row = static_cast<std::int64_t>(sizeof(real)) * max_exchange_width();
    return DeviceBuffer<char>::bytes_for(n_sent * row) + DeviceBuffer<char>::bytes_for(n_received * row);
}

/// What centroid virials keep beside that.
template <class real>
std::int64_t DeviceEvaluator<real>::centroid_bytes(std::int64_t n_local, std::int64_t n_total,
                                                   std::int64_t n_edges) const noexcept {
    std::int64_t sum = DeviceBuffer<real>::bytes_for(n_local * sizes_.layers.back().z) +
                       2 * DeviceBuffer<EdgeGradient<real>>::bytes_for(n_edges) +
                       DeviceBuffer<double>::bytes_for(n_total) + DeviceBuffer<double>::bytes_for(9 * n_total);
    for (std::size_t t = 1; t < n_layers(); ++t) {
        sum += DeviceBuffer<real>::bytes_for(n_total * sizes_.layers[t].gradient);
    }
    return sum;
}

/// Arrays over edges.
template <class real>
std::int64_t DeviceEvaluator<real>::edge_bytes(std::int64_t n_edges) const noexcept {
    return list().edge_bytes(n_edges) +
           (sizes_.edge > 0 ? DeviceBuffer<real>::bytes_for(n_edges * sizes_.edge) : 0);
}

template <class real>
void DeviceEvaluator<real>::reserve_edges(std::int64_t n_edges) {
    list().reserve(n_edges);
    if (sizes_.edge > 0) arrays_->edge.reserve(n_edges * sizes_.edge);
}

template <class real>
void DeviceEvaluator<real>::release_edges() noexcept {
    list().release_edges();
    arrays_->edge.release();
}

template <class real>
std::int64_t DeviceEvaluator<real>::memory_estimate(std::int64_t n_local, std::int64_t n_ghost,
                                                    std::int64_t n_edges) const noexcept {
    const std::int64_t n_travelling = list().owner() != nullptr ? 0 : n_ghost;
    const std::int64_t atoms =
        atom_bytes(n_local, n_local + n_ghost, n_edges) + travelling_bytes(n_travelling, n_travelling);
    const std::int64_t all = atoms + edge_bytes(n_edges);
    return memory_limit_ > 0 ? std::min(all, std::max(atoms, memory_limit_)) : all;
}

template <class real>
std::int64_t DeviceEvaluator<real>::memory_allocated() const noexcept {
    return arrays_->bytes();
}

template <class real>
void DeviceEvaluator<real>::set_memory_limit(std::int64_t bytes) {
    memory_limit_ = bytes;
    release_edges();
}

/// Rows of the passes over the edges: boundaries of chunks that fit the memory limit, [0, n_local] where all edges do.
template <class real>
std::vector<int> DeviceEvaluator<real>::divide(const Graph& graph, bool centroid_virial, const Exchange* exchange) {
    const int n = graph.n_local;
    const std::int64_t n_edges = list().before(n), all = edge_bytes(n_edges);
    if (memory_limit_ == 0) {
        reserve_edges(n_edges);
        return {0, n};
    }
    std::int64_t fixed = atom_bytes(n, graph.n_total, n_edges);
    if (centroid_virial) fixed += centroid_bytes(n, graph.n_total, n_edges);
    if (exchange != nullptr) {
        const Routes& routes = exchange->routes();
        fixed += travelling_bytes(static_cast<std::int64_t>(routes.sent.size()), routes.n_received);
    }
    const std::int64_t left = memory_limit_ - fixed;
    std::vector<int> chunk = {0};
    std::int64_t widest_row = 0, largest = 0;
    for (int i = 0; i < n; ++i) {
        const int first = chunk.back();
        widest_row = std::max(widest_row, list().before(i + 1) - list().before(i));
        if (all > left && i > first && edge_bytes(list().before(i + 1) - list().before(first)) > left) {
            chunk.push_back(i);
        }
        largest = std::max(largest, list().before(i + 1) - list().before(chunk.back()));
    }
    chunk.push_back(n);
    const std::int64_t least = fixed + (centroid_virial ? all : edge_bytes(widest_row));
    if (least > memory_limit_) {
        throw Error("memory_limit", "the arrays on " + context().name() + " for " + std::to_string(n) +
                                        " local atoms, " + std::to_string(graph.n_total - n) + " ghosts and " +
                                        std::to_string(n_edges) + " edges need at least " + std::to_string(least) +
                                        " bytes" + (centroid_virial ? " with centroid virials" : "") +
                                        ", the limit is " + std::to_string(memory_limit_) +
                                        "; raise the limit or divide the atoms among more GPUs");
    }
    if (list().bytes() + arrays_->edge.bytes() - list().atom_bytes(n, graph.n_total, n_edges) > left) {
        release_edges();
    }
    reserve_edges(largest);
    return chunk;
}

/// Size all arrays; messages and gradients of atoms that are not part of the model stay zero.
template <class real>
void DeviceEvaluator<real>::prepare(const Graph& graph, const Request& request, bool changed) {
    const std::int64_t n_local = graph.n_local, n_total = graph.n_total;
    for (std::size_t t = 0; t < n_layers(); ++t) {
        const auto& layer = sizes_.layers[t];
        arrays_->z[t].reserve(n_local * layer.z);
        if (t == 0) continue;
        arrays_->message[t].reserve(n_total * layer.message);
        arrays_->gradient[t].reserve(n_total * layer.gradient);
    }
    arrays_->h.reserve(n_local * sizes_.h);
    arrays_->work.reserve(n_local * sizes_.work);
    arrays_->grad_z.reserve(n_local * sizes_.widest_z());
    for (std::size_t k = 0; k < readout_maps_->size(); ++k) {
        const std::int64_t n = n_local * (*readout_blocks_)[k + 1] * kBlock;
        arrays_->readout[2 * k].reserve(n);
        arrays_->readout[2 * k + 1].reserve(n);
        arrays_->readout_grad[k].reserve(n);
    }
    arrays_->atom_energy.reserve(n_local);
    arrays_->row_virial.reserve(9 * n_local);
    arrays_->force.reserve(3 * n_total);
    arrays_->host_force.reserve(3 * n_total);
    arrays_->host_energy.reserve(n_local);
    if (request.atom_virial || request.centroid_virial) arrays_->host_virial.reserve(9 * n_total);
    if (request.atom_virial) arrays_->atom_virial.reserve(9 * n_total);
    if (request.nearest) {
        arrays_->nearest_distance.reserve(n_local * n_species_);
        arrays_->nearest_row.reserve(n_local * n_species_);
        arrays_->host_distance.reserve(n_local * n_species_);
        arrays_->host_row.reserve(n_local * n_species_);
    }
    if (request.centroid_virial) {
        const std::int64_t n_edges = list().before(graph.n_local);
        arrays_->own_grad_z.reserve(n_local * sizes_.layers.back().z);
        arrays_->own_gradient.reserve(n_edges);
        arrays_->moment.reserve(n_edges);
        arrays_->position.reserve(n_total);
        arrays_->centroid.reserve(9 * n_total);
        for (std::size_t t = 1; t < n_layers(); ++t) {
            arrays_->kept_gradient[t].reserve(n_total * sizes_.layers[t].gradient);
        }
    }
    if (!changed && planned_generation_ == context().generation()) return;
    for (std::size_t t = 1; t < n_layers(); ++t) {
        arrays_->message[t].zero(n_total * sizes_.layers[t].message);
        arrays_->gradient[t].zero(n_total * sizes_.layers[t].gradient);
    }
    make_plan();
    planned_generation_ = context().generation();
    planned_version_ = list().version();
}

template <class real>
void DeviceEvaluator<real>::collect(const Graph& graph, const Request& request, Result& result) {
    const std::int64_t n_local = list().n_local(), n_total = list().n_total();
    arrays_->force.download(arrays_->host_force.data(), 3 * n_total);
    arrays_->totals.download(arrays_->host_totals.data(), kTotals);
    if (request.atom_energy) arrays_->atom_energy.download(arrays_->host_energy.data(), n_local);
    if (request.atom_virial) arrays_->atom_virial.download(arrays_->host_virial.data(), 9 * n_total);
    const std::int64_t n_nearest = request.nearest ? n_local * n_species_ : 0;
    if (n_nearest > 0) {
        arrays_->nearest_distance.download(arrays_->host_distance.data(), n_nearest);
        arrays_->nearest_row.download(arrays_->host_row.data(), n_nearest);
    }
    do_it(context().call().to_host(stream(), arrays_->host_bad_edge.data(), list().bad_edge(), sizeof(int)),
          "copying from the device");
    context().synchronize();
    const std::int64_t bad = *arrays_->host_bad_edge.data();
    if (bad < list().before(list().n_local())) list().explain(graph, bad);
    const auto take = [](const PinnedBuffer<double>& from, std::int64_t n, std::vector<double>& to) {
        to.assign(from.data(), from.data() + n);
    };
    take(arrays_->host_force, 3 * n_total, result.force);
    take(arrays_->host_energy, request.atom_energy ? n_local : 0, result.atom_energy);
    take(arrays_->host_virial, request.atom_virial ? 9 * n_total : 0, result.atom_virial);
    take(arrays_->host_distance, n_nearest, result.nearest_distance);
    result.nearest_row.assign(arrays_->host_row.data(), arrays_->host_row.data() + n_nearest);
    result.energy = arrays_->host_totals.data()[0];
    std::copy_n(arrays_->host_totals.data() + 1, 9, result.virial);
}

/// As Evaluator::centroid_virial, with G kept aside while each axis overwrites it.
template <class real>
void DeviceEvaluator<real>::centroid_virial(const Graph& graph, Exchange* exchange, Result& result) {
    const std::size_t n_layers = this->n_layers();
    const std::int64_t n_local = list().n_local(), n_total = list().n_total();
    const auto width = [&](std::size_t t) { return sizes_.layers[t].gradient; };
    for (std::size_t t = 1; t < n_layers; ++t) {
        do_it(context().call().copy(stream(), arrays_->kept_gradient[t].data(), arrays_->gradient[t].data(),
                                   static_cast<std::size_t>(n_total * width(t)) * sizeof(real)),
              "copying on the device");
    }
    std::vector<double> x(static_cast<std::size_t>(n_total));
    for (int axis = 0; axis < 3; ++axis) {
        double origin = 0.0;  // near the atoms, for the digits of single precision
        for (std::int64_t i = 0; i < n_local; ++i)
            origin += graph.position[3 * i + axis] / static_cast<double>(n_local);
        context().synchronize();  // the last copy of x
        for (std::int64_t i = 0; i < n_total; ++i) {
            x[static_cast<std::size_t>(i)] = graph.position[3 * i + axis] - origin;
        }
        arrays_->position.upload(x.data(), n_total);
        const auto add_position = [&](std::size_t t, std::int64_t n, double sign) {
            do_it(kernels_.add_scaled_rows(stream(), n, width(t), arrays_->position.data(), sign,
                                           arrays_->kept_gradient[t].data(), arrays_->gradient[t].data()),
                  "centroid virials");
        };
        do_it(kernels_.scale_rows(stream(), n_local, sizes_.layers.back().z, arrays_->position.data(),
                                  arrays_->own_grad_z.data(), arrays_->grad_z.data()),
              "centroid virials");
        do_it(kernels_.scale_edges(stream(), list().n_local(), list().list_start(), list().row_end(),
                                   arrays_->position.data(), arrays_->own_gradient.data(), arrays_->moment.data()),
              "centroid virials");
        for (std::size_t t = 1; t < n_layers; ++t) arrays_->gradient[t].zero(n_total * width(t));
        // Of the last layer, G_i belongs to E_i alone: its moment is x_i G_i. Of the others it is made here.
        if (n_layers == 1) out_backward(0);
        for (std::size_t t = n_layers; t-- > 1;) {
            if (t + 1 < n_layers) {
                add_position(t, n_local, -1.0);
                send(arrays_->gradient[t], width(t), exchange);
            }
            add_position(t, n_total, 1.0);
            backward(t, arrays_->moment.data());
            run(stages_[t].to_feature_gradient);
            gate_backward(t - 1);
            out_backward(t - 1);
        }
        first_gradient(arrays_->moment.data());
        do_it(kernels_.centroid(stream(), list().forces(nullptr, nullptr, nullptr), axis, arrays_->position.data(),
                                arrays_->moment.data(), arrays_->centroid.data()),
              "centroid virials");
    }
    arrays_->centroid.download(arrays_->host_virial.data(), 9 * n_total);
    context().synchronize();
    result.centroid_virial.assign(arrays_->host_virial.data(), arrays_->host_virial.data() + 9 * n_total);
}

template class DeviceEvaluator<float>;
template class DeviceEvaluator<double>;

}  // namespace qdml
