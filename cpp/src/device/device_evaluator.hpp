// SPDX-License-Identifier: MIT
/// An evaluation on a device, for every family: the equations and the order of ../evaluator.cpp, all arrays there.
///
/// Between exchanges the host only hands over work; with none, a step is one recorded graph. Differences from the CPU:
/// layers run over all atoms at once instead of tiles, and sums over edges go by distance.
#pragma once

#include <memory>
#include <vector>

#include "edges.hpp"
#include "evaluator.hpp"
#include "device_list.hpp"
#include "device_weights.hpp"
#include "linear_plan.hpp"
#include "segments.hpp"

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
};

template <class real>
class DeviceEvaluator : public AnyEvaluator {
public:
    ~DeviceEvaluator() override;
    const std::string& device_name() const noexcept { return context_.name(); }

    void compute(const Graph& graph, const Request& request, Exchange* exchange, Result& result) override;
    bool makes_lists() const noexcept override { return true; }
    int max_exchange_width() const noexcept override;
    std::int64_t memory_estimate(std::int64_t n_local, std::int64_t n_ghost, std::int64_t n_edges) const noexcept override;
    std::int64_t memory_allocated() const noexcept override;
    void set_memory_limit(std::int64_t bytes) override;

protected:
    /// Throws Error (`device_failed`, `memory_limit`), like all that follows.
    DeviceEvaluator(const Model& model, const EdgeShape& shape, const DeviceInterface& interface,
                    const DeviceKernels<real>& kernels, int device);
    /// To be called by constructors once device_weights_ has the tensors of the family but those of the read-out:
    /// uploads all. `weights` (weights.hpp) stays as long as this.
    template <class FamilyWeights>
    void start(const FamilyWeights& weights, DeviceSizes sizes) {
        readout_maps_ = &weights.readout;
        readout_blocks_ = &weights.readout_blocks;
        start(weights.reference, weights.scale, std::move(sizes));
    }
    /// H of layer 0 for each species, from its row of the embedding on the device.
    void make_first_message(const PackedLinear<real>& linear_in, const real* embedding, int embedding_width);

    // The steps of a layer, all atoms at once but where the rows that the list holds are named.
    struct LayerStages {
        Stage sums_to_z, features_to_message, z_to_gradient, to_feature_gradient;
    };
    /// Before layer 0.
    virtual void start_features() {}
    /// Sums of messages of the held rows to work_.
    virtual void forward(std::size_t t) = 0;
    virtual void gate_forward(std::size_t t) = 0;
    /// From dE/dh' of layer t to dE/dz.
    virtual void gate_backward(std::size_t t) = 0;
    /// From dE/dz to G as the kernels want it.
    virtual void out_backward(std::size_t t) { run(stages_[t].z_to_gradient); }
    /// Layer t >= 1 from G of the receivers, for the held rows: edge gradients, and dE/dH to work_.
    virtual void backward(std::size_t t, EdgeGradient<real>* gradient) = 0;
    /// Layer 0 from its G in work_, for the held rows: edge gradients.
    virtual void first_gradient(EdgeGradient<real>* gradient) = 0;
    /// The linear maps of layer t for the atoms and addresses of now.
    virtual void add_stages(std::size_t t) = 0;

    /// body(species, atoms, n) for the atoms of the model, at once or species by species.
    template <class Body>
    void by_species(bool split, const Body& body) const {
        const auto& start = list_.species_start();
        if (!split) {
            body(std::size_t(0), list_.order(), start.back());
            return;
        }
        for (std::size_t s = 0; s + 1 < start.size(); ++s) {
            body(s, list_.order() + start[s], start[s + 1] - start[s]);
        }
    }
    /// Senders of layer t: H of every atom, in layer 0 of every species.
    const real* senders(std::size_t t) const { return t == 0 ? first_message_.data() : message_[t].data(); }
    real* sum_gradients(std::size_t t) const { return t > 0 ? gradient_[t].data() : work_.data(); }
    std::size_t n_layers() const noexcept { return sizes_.layers.size(); }
    void do_it(int error, const char* what) const { context_.check(error, what); }
    void run(const Stage& stage) const;

    DeviceSizes sizes_;
    mutable DeviceContext context_;
    const DeviceKernels<real>& kernels_;
    DeviceWeights<real> device_weights_;
    DeviceList<real> list_;
    LinearPlan<real> plan_;
    std::vector<LayerStages> stages_;
    DeviceBuffer<real> h_;       ///< node features, then their gradients [n_local][sizes_.h]
    DeviceBuffer<real> work_;    ///< A, G of layer 0 or dE/dH [n_local][sizes_.work]
    DeviceBuffer<real> grad_z_;  ///< [n_local][widest z]
    DeviceBuffer<real> edge_;    ///< [edges][sizes_.edge]
    std::vector<DeviceBuffer<real>> z_, message_, gradient_;  ///< per layer: z [n_local], H and G [n_total]

private:
    void start(const std::vector<double>& reference, const std::vector<double>& scale, DeviceSizes sizes);
    std::int64_t edge_bytes(std::int64_t n_edges) const noexcept;
    std::int64_t atom_bytes(std::int64_t n_local, std::int64_t n_total, std::int64_t n_edges) const noexcept;
    std::int64_t centroid_bytes(std::int64_t n_local, std::int64_t n_total, std::int64_t n_edges) const noexcept;
    void reserve_edges(std::int64_t n_edges);
    void release_edges() noexcept;
    std::vector<int> divide(const Graph& graph, bool centroid_virial);
    void prepare(const Graph& graph, const Request& request, bool changed);
    void make_plan();
    void add_readout();

    void geometry(bool pairs);
    void find_nearest();
    void next_messages(std::size_t t);
    void read_out();
    void add_forces(bool atom_virial);
    void copy_to_ghosts(DeviceBuffer<real>& rows, int width);
    void send(DeviceBuffer<real>& rows, int width, Exchange* exchange);
    void fetch_sent_rows(const DeviceBuffer<real>& rows, int width, const std::vector<int>& sent);
    void exchange_rows(DeviceBuffer<real>& rows, int width, Exchange* exchange);
    void centroid_virial(const Graph& graph, Exchange* exchange, Result& result);
    void collect(const Graph& graph, const Request& request, Result& result);

    int n_species_ = 0;
    const std::vector<PackedLinear<real>>* readout_maps_ = nullptr;
    const std::vector<int>* readout_blocks_ = nullptr;
    std::int64_t memory_limit_ = 0;

    DeviceBuffer<real> first_message_;  ///< H of layer 0 [species][width]
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
