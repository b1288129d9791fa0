// SPDX-License-Identifier: MIT
/// Energy and gradient of one graph in one precision: the layers forward, the layers backward.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model.hpp"
#include "qdml/engine.hpp"
#include "work_memory.hpp"
#include "workspace.hpp"
#include "zbl.hpp"

namespace qdml {

/// What Engine needs of a model in one precision; the functions are those of qdml/engine.hpp.
class AnyEvaluator {
public:
    virtual ~AnyEvaluator() = default;
    virtual void compute(const Graph& graph, const Request& request, Exchange* exchange,
                         Result& result) = 0;
    /// The same for a graph whose arrays hold what they held at the last call of an evaluator that
    /// shares the work arrays with this one.
    virtual void compute_same_graph(const Graph& graph, const Request& request, Exchange* exchange,
                                    Result& result) {
        compute(graph, request, exchange, result);
    }
    /// Are shells (Graph::shell) understood?
    virtual bool takes_shells() const noexcept { return false; }
    /// From now on work in the arrays of `other`; false, and nothing happens, where that cannot be.
    virtual bool share_work(const AnyEvaluator&) { return false; }
    virtual bool makes_lists() const noexcept { return false; }
    virtual int max_exchange_width() const noexcept = 0;
    virtual std::int64_t memory_estimate(std::int64_t n_local, std::int64_t n_ghost,
                                         std::int64_t n_edges) const noexcept = 0;
    virtual std::int64_t memory_allocated() const noexcept = 0;
    virtual void set_memory_limit(std::int64_t bytes) = 0;
};

/// Evaluators on the CPU: the layers forward and backward over the rows of a graph, whatever a layer is.
/// All can work in the same arrays.
template <class real>
class CpuEvaluator : public AnyEvaluator {
public:
    void compute(const Graph& graph, const Request& request, Exchange* exchange,
                 Result& result) override {
        evaluate(graph, request, exchange, result, false);
    }
    void compute_same_graph(const Graph& graph, const Request& request, Exchange* exchange,
                            Result& result) override {
        evaluate(graph, request, exchange, result, true);
    }
    bool takes_shells() const noexcept override { return true; }
    bool share_work(const AnyEvaluator& other) override;
    int max_exchange_width() const noexcept override;
    std::int64_t memory_estimate(std::int64_t n_local, std::int64_t n_ghost,
                                 std::int64_t n_edges) const noexcept override {
        return memory_.estimate(n_local, n_local + n_ghost, n_edges);
    }
    std::int64_t memory_allocated() const noexcept override { return work_->bytes(); }
    void set_memory_limit(std::int64_t bytes) override;

protected:
    CpuEvaluator(const Model& model, double cutoff, int knots, Spline spline);
    /// To be called by constructors.
    void set_sizes(WorkSizes sizes) { memory_ = WorkMemory<real>(std::move(sizes)); }

    // The steps of one tile.
    /// The edges of the tile are new.
    virtual void take_edges(const Tile&) {}
    /// Layer t up to H of the next layer; z of the last layer stays in the scratch.
    virtual void forward(const Tile& tile, std::size_t t, Scratch<real>& scratch) = 0;
    /// Energies, and dE/dh of the last layer in place of its h.
    virtual void read_out(const Tile& tile, Scratch<real>& scratch) = 0;
    /// From dE/dh of layer t's output to its G (of layer 0 in the scratch), and the part of dE/dh of its
    /// input that goes through the self-connection.
    virtual void gate_backward(const Tile& tile, std::size_t t, Scratch<real>& scratch) = 0;
    /// Layer t >= 1 from G of the receivers: edge gradients, and the rest of dE/dh of its input.
    virtual void backward(const Tile& tile, std::size_t t, Scratch<real>& scratch) = 0;
    /// Layer 0 from its G in the scratch: edge gradients.
    virtual void first_gradient(const Tile& tile, Scratch<real>& scratch) = 0;

    /// G of layer t >= 1 [n_total][width]; two layers at a time unless a later pass needs all.
    real* gradient(std::size_t t) {
        return work_->gradient[keeps_gradients_ ? t : t % 2].data();
    }
    int h_stride() const noexcept { return memory_.sizes().h; }
    real* h_row(const Tile& tile, int k) {
        return work_->h.data() + std::int64_t(tile.atoms[k]) * h_stride();
    }

    std::shared_ptr<Workspace<real>> work_ = std::make_shared<Workspace<real>>();

private:
    void evaluate(const Graph& graph, const Request& request, Exchange* exchange, Result& result,
                  bool same_graph);
    std::size_t n_layers() const noexcept { return memory_.sizes().layers.size(); }
    int rows_of(const Graph& graph, std::size_t t) const noexcept;
    void clear_others(const Graph& graph, real* rows, std::int64_t width) const;
    /// Tiles of all rows by what they wait for.
    enum class Tiles { all, inner, outer };  ///< inner: without edges to atoms of other ranks
    void find_outer_tiles(const Graph& graph, const std::vector<int>& arrival);
    template <class Body>
    void for_tiles(const Graph& graph, const Rows& rows, bool new_edges, Tiles which, const Body& body);
    void forward_pass(const Graph& graph, const Rows& rows, bool new_edges, Tiles which, std::size_t t);
    void backward_pass(const Graph& graph, const Rows& rows, bool new_edges, Tiles which, std::size_t t);
    void start_backward(const Graph& graph, std::size_t t);
    void keep_own_gradients(const Graph& graph);
    void start_moments(const Graph& graph, const std::vector<double>& x);
    void centroid_virial(const Graph& graph, Exchange* exchange, Result& result);

    EdgeShape shape_;
    Zbl zbl_;
    WorkMemory<real> memory_;
    bool keeps_gradients_ = false;
};

extern template class CpuEvaluator<float>;
extern template class CpuEvaluator<double>;

}  // namespace qdml
