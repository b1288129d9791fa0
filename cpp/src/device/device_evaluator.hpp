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
#include "device_arrays.hpp"
#include "device_weights.hpp"
#include "linear_plan.hpp"
#include "segments.hpp"

namespace qdml {

template <class real>
class DeviceEvaluator : public AnyEvaluator {
public:
    ~DeviceEvaluator() override;
    const std::string& device_name() const noexcept { return context().name(); }

    void compute(const Graph& graph, const Request& request, Exchange* exchange, Result& result) override {
        evaluate(graph, request, exchange, result, false);
    }
    void compute_same_graph(const Graph& graph, const Request& request, Exchange* exchange, Result& result) override {
        evaluate(graph, request, exchange, result, true);
    }
    bool share_work(const AnyEvaluator& other) override;
    bool makes_lists() const noexcept override { return true; }
    int max_exchange_width() const noexcept override;
    std::int64_t memory_estimate(std::int64_t n_local, std::int64_t n_ghost,
                                 std::int64_t n_edges) const noexcept override;
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
    /// Sums of messages of the chosen rows that are held (DeviceList::choose) to work_.
    virtual void forward(std::size_t t) = 0;
    virtual void gate_forward(std::size_t t) = 0;
    /// From dE/dh' of layer t to dE/dz.
    virtual void gate_backward(std::size_t t) = 0;
    /// From dE/dz to G as the kernels want it.
    virtual void out_backward(std::size_t t) { run(stages_[t].z_to_gradient); }
    /// Layer t >= 1 from G of the receivers, for the chosen rows that are held: edge gradients, and dE/dH to work_.
    /// Called for all rows, or for the inner and then the outer ones.
    virtual void backward(std::size_t t, EdgeGradient<real>* gradient) = 0;
    /// Layer 0 from its G in work_, for the held rows: edge gradients.
    virtual void first_gradient(EdgeGradient<real>* gradient) = 0;
    /// The linear maps of layer t for the atoms and addresses of now.
    virtual void add_stages(std::size_t t) = 0;

    /// body(species, atoms, n) for the atoms of the model, at once or species by species.
    template <class Body>
    void by_species(bool split, const Body& body) const {
        const auto& start = list().species_start();
        const int* order = list().order();
        if (!split) {
            body(std::size_t(0), order, start.back());
            return;
        }
        for (std::size_t s = 0; s + 1 < start.size(); ++s) {
            body(s, order + start[s], start[s + 1] - start[s]);
        }
    }
    /// Senders of layer t: H of every atom, in layer 0 of every species.
    const real* senders(std::size_t t) const { return t == 0 ? first_message_.data() : arrays_->message[t].data(); }
    real* sum_gradients(std::size_t t) const { return t > 0 ? arrays_->gradient[t].data() : arrays_->work.data(); }
    std::size_t n_layers() const noexcept { return sizes_.layers.size(); }
    void do_it(int error, const char* what) const { context().check(error, what); }
    void run(const Stage& stage) const;

    DeviceContext& context() const noexcept { return *arrays_->context; }
    void* stream() const noexcept { return context().stream(); }
    DeviceList<real>& list() const noexcept { return arrays_->list; }

    DeviceSizes sizes_;
    std::shared_ptr<DeviceContext> home_;  ///< of the weights and the plan
    std::shared_ptr<DeviceArrays<real>> arrays_;
    const DeviceKernels<real>& kernels_;
    DeviceWeights<real> device_weights_;
    LinearPlan<real> plan_;
    std::vector<LayerStages> stages_;

private:
    /// What a recorded step depends on beside the list.
    struct StepKind {
        std::int64_t generation = -1;
        bool atom_virial = false, nearest = false, has_edges = false;
        std::int64_t routes = -1;  ///< Routes::number, if there is an exchange
        Halo halo = Halo::full;
        bool from_device = false;  ///< Exchange::takes_device_memory
        bool operator==(const StepKind& o) const {
            return generation == o.generation && atom_virial == o.atom_virial && nearest == o.nearest &&
                   has_edges == o.has_edges && routes == o.routes && halo == o.halo && from_device == o.from_device;
        }
    };

    void evaluate(const Graph& graph, const Request& request, Exchange* exchange, Result& result, bool same_graph);
    void start(const std::vector<double>& reference, const std::vector<double>& scale, DeviceSizes sizes);
    std::int64_t edge_bytes(std::int64_t n_edges) const noexcept;
    std::int64_t atom_bytes(std::int64_t n_local, std::int64_t n_total, std::int64_t n_edges) const noexcept;
    std::int64_t centroid_bytes(std::int64_t n_local, std::int64_t n_total, std::int64_t n_edges) const noexcept;
    std::int64_t travelling_bytes(std::int64_t n_sent, std::int64_t n_received) const noexcept;
    void reserve_edges(std::int64_t n_edges);
    void release_edges() noexcept;
    std::vector<int> divide(const Graph& graph, bool centroid_virial, const Exchange* exchange);
    void prepare(const Graph& graph, const Request& request, bool changed);
    void make_plan();
    void add_readout();

    void geometry(bool pairs);
    void restart_edges();
    void find_nearest();
    void next_messages(std::size_t t);
    void read_out();
    void add_forces(bool atom_virial);
    void copy_to_ghosts(DeviceBuffer<real>& rows, int width);
    void take_routes(const Exchange& exchange);
    void pack_rows(DeviceBuffer<real>& rows, int width, const Exchange& exchange);
    void start_exchange(int width, Exchange& exchange);
    void unpack_rows(DeviceBuffer<real>& rows, int width, const Exchange& exchange);
    void send(DeviceBuffer<real>& rows, int width, Exchange* exchange);
    void centroid_virial(const Graph& graph, Exchange* exchange, Result& result);
    void collect(const Graph& graph, const Request& request, Result& result);

    int n_species_ = 0;
    const std::vector<PackedLinear<real>>* readout_maps_ = nullptr;
    const std::vector<int>* readout_blocks_ = nullptr;
    std::int64_t memory_limit_ = 0;

    DeviceBuffer<real> first_message_;  ///< H of layer 0 [species][width]
    std::vector<Stage> readout_forward_, readout_backward_;
    Segments segments_;
    std::int64_t planned_generation_ = -1, planned_version_ = -1;
    StepKind seen_;
};

extern template class DeviceEvaluator<float>;
extern template class DeviceEvaluator<double>;

}  // namespace qdml
