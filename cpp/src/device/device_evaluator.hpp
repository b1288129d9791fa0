// SPDX-License-Identifier: MIT
/// The Cartesian family on a device: the equations and the order of evaluator.cpp, all arrays on the device.
///
/// Between exchanges the host only hands over work; with none, a step is one recorded graph. Differences from the CPU:
/// layers run over all atoms at once instead of tiles, and sums over edges go by distance.
#pragma once

#include <memory>
#include <vector>

#include "evaluator.hpp"
#include "device_list.hpp"
#include "device_weights.hpp"
#include "linear_plan.hpp"
#include "segments.hpp"

namespace qdml {

template <class real>
class DeviceEvaluator : public AnyEvaluator {
public:
    /// Uploads the weights. Throws Error (`device_failed`, `memory_limit`).
    DeviceEvaluator(const Model& model, const DeviceInterface& interface, const DeviceKernels<real>& kernels, int device);
    ~DeviceEvaluator() override;
    const std::string& device_name() const noexcept { return context_.name(); }

    void compute(const Graph& graph, const Request& request, Exchange* exchange, Result& result) override;
    bool makes_lists() const noexcept override { return true; }
    int max_exchange_width() const noexcept override;
    std::int64_t memory_estimate(std::int64_t n_local, std::int64_t n_ghost, std::int64_t n_edges) const noexcept override;
    std::int64_t memory_allocated() const noexcept override;
    void set_memory_limit(std::int64_t bytes) override;

private:
    using Array = FeatureArray<real>;

    void do_it(int error, const char* what) const { context_.check(error, what); }
    std::int64_t atom_bytes(std::int64_t n_local, std::int64_t n_total, std::int64_t n_edges) const noexcept;
    std::int64_t centroid_bytes(std::int64_t n_local, std::int64_t n_total, std::int64_t n_edges) const noexcept;
    std::vector<int> divide(const Graph& graph, bool centroid_virial);
    void prepare(const Graph& graph, const Request& request, bool changed);
    void make_first_message();
    void make_plan();
    LinearMap<real> placed(LinearMap<real> map) const;
    Array features(const FeatureLayout& layout) const { return {h_.data(), h_stride_, layout}; }
    Array pre_activations(std::size_t t) const;
    Array grad_pre_activations(std::size_t t) const;
    Array sums(std::size_t t) const;           ///< A
    Array sum_gradients(std::size_t t) const;  ///< G
    Array message_gradients(std::size_t t) const;

    void run(const Stage& stage) const;
    DeviceMessages<real> messages(std::size_t t) const;
    void geometry(bool pairs);
    void find_nearest();
    void forward(std::size_t t);
    void next_messages(std::size_t t);
    void read_out();
    void gate_backward(std::size_t t);
    void out_backward(std::size_t t);
    void backward(std::size_t t, EdgeGradient<real>* gradient);
    void first_gradient(EdgeGradient<real>* gradient);
    void add_forces(bool atom_virial);
    void copy_to_ghosts(DeviceBuffer<real>& rows, int width);
    void send(DeviceBuffer<real>& rows, int width, Exchange* exchange);
    void fetch_sent_rows(const DeviceBuffer<real>& rows, int width, const std::vector<int>& sent);
    void exchange_rows(DeviceBuffer<real>& rows, int width, Exchange* exchange);
    void centroid_virial(const Graph& graph, Exchange* exchange, Result& result);
    void collect(const Graph& graph, const Request& request, Result& result);

    Weights<real> weights_;
    mutable DeviceContext context_;
    const DeviceKernels<real>& kernels_;
    DeviceWeights<real> device_weights_;
    DeviceList<real> list_;
    int h_stride_ = 0, message_widest_ = 0, z_widest_ = 0;
    std::int64_t memory_limit_ = 0;

    DeviceBuffer<real> first_message_;  ///< H of layer 0 [species][C]
    DeviceBuffer<real> h_;              ///< node features, then their gradients [n_local][h_stride_]
    DeviceBuffer<real> work_;           ///< A, G of layer 0 or dE/dH [n_local][message_widest_]
    DeviceBuffer<real> grad_z_;         ///< [n_local][z_widest_]
    std::vector<DeviceBuffer<real>> z_, message_, gradient_;  ///< per layer as in Evaluator
    std::vector<DeviceBuffer<real>> readout_;       ///< pre-activations and activations of the maps [n_local][width]
    std::vector<DeviceBuffer<real>> readout_grad_;  ///< gradient of the output of each map
    DeviceBuffer<double> atom_energy_, row_virial_, force_, atom_virial_, partial_, totals_, nearest_distance_;
    DeviceBuffer<int> nearest_row_;
    PinnedBuffer<double> host_force_, host_energy_, host_virial_, host_totals_;
    PinnedBuffer<int> host_bad_edge_, host_row_;
    PinnedBuffer<double> host_distance_;
    PinnedBuffer<real> host_rows_, host_sent_;
    DeviceBuffer<real> sent_;       ///< rows that an exchange reads, packed
    DeviceBuffer<int> sent_index_;  ///< and which they are
    std::vector<int> sent_rows_;    ///< what sent_index_ holds

    LinearPlan<real> plan_;
    struct LayerStages {
        Stage sums_to_z, features_to_message, z_to_gradient, to_feature_gradient;
    };
    std::vector<LayerStages> stages_;
    std::vector<Stage> readout_forward_, readout_backward_;
    Segments segments_;
    std::int64_t planned_generation_ = -1, seen_generation_ = -1;
    bool seen_atom_virial_ = false, seen_nearest_ = false, seen_exchange_ = false;

    // only for centroid virials
    DeviceBuffer<real> own_grad_z_;  ///< dE_i/dz_i of the last layer
    DeviceBuffer<EdgeGradient<real>> own_gradient_, moment_;
    std::vector<DeviceBuffer<real>> kept_gradient_;
    DeviceBuffer<double> position_, centroid_;
};

extern template class DeviceEvaluator<float>;
extern template class DeviceEvaluator<double>;

}  // namespace qdml
