// SPDX-License-Identifier: MIT
/// What the evaluations of a step work in on a device: the stream, the list and its edges, features, sums.
#pragma once

#include <memory>
#include <vector>

#include "device_list.hpp"

namespace qdml {

/// Numbers of kernel precision that a family keeps.
struct DeviceSizes {
    struct Layer {
        int z = 0, message = 0, gradient = 0;  ///< of an atom: z, H and G; no H and G in layer 0
    };
    std::vector<Layer> layers;
    int h = 0;     ///< widest node features
    int work = 0;  ///< widest A, G of layer 0 or dE/dH
    int edge = 0;  ///< of an edge, beside DeviceList

    int widest_z() const;
    /// Do two models keep the same arrays?
    bool operator==(const DeviceSizes& other) const;
};

/// Members of a committee of one architecture share one of these: the list and the edges are made once for all.
template <class real>
struct DeviceArrays {
    DeviceArrays(const Model& model, const EdgeShape& shape, std::shared_ptr<DeviceContext> on);
    void add_layers(std::size_t n_layers, std::size_t n_maps);
    std::int64_t bytes() const noexcept;

    std::shared_ptr<DeviceContext> context;  // outlives what follows
    DeviceList<real> list;
    /// Addresses for which the list has the edges of all rows in place (DeviceContext::generation), or -1.
    std::int64_t edges_made = -1;

    DeviceBuffer<real> h;       ///< node features, then their gradients [n_local][DeviceSizes::h]
    DeviceBuffer<real> work;    ///< A, G of layer 0 or dE/dH [n_local][DeviceSizes::work]
    DeviceBuffer<real> grad_z;  ///< [n_local][widest z]
    DeviceBuffer<real> edge;    ///< [edges][DeviceSizes::edge]
    std::vector<DeviceBuffer<real>> z, message, gradient;  ///< per layer: z [n_local], H and G [n_total]
    std::vector<DeviceBuffer<real>> readout;       ///< pre-activations and activations of the maps [n_local][width]
    std::vector<DeviceBuffer<real>> readout_grad;  ///< gradient of the output of each map
    DeviceBuffer<double> atom_energy, row_virial, force, atom_virial, partial, totals, nearest_distance;
    DeviceBuffer<int> nearest_row;
    PinnedBuffer<double> host_force, host_energy, host_virial, host_totals;
    PinnedBuffer<int> host_bad_edge, host_row;
    PinnedBuffer<double> host_distance;

    // of an exchange
    std::int64_t routes = -1, routes_of_list = -1;  ///< Routes::number and the version of the list that follow from it
    int n_sent = 0, n_received = 0;
    DeviceBuffer<int> sent_index, arrival, owner;  ///< Routes
    DeviceBuffer<char> sent, received;             ///< packed rows
    PinnedBuffer<char> host_sent, host_received;   ///< and the same for a transport that does not see the device

    // only for centroid virials
    DeviceBuffer<real> own_grad_z;  ///< dE_i/dz_i of the last layer
    DeviceBuffer<EdgeGradient<real>> own_gradient, moment;
    std::vector<DeviceBuffer<real>> kept_gradient;
    DeviceBuffer<double> position, centroid;
};

extern template struct DeviceArrays<float>;
extern template struct DeviceArrays<double>;

}  // namespace qdml
