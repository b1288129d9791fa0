// SPDX-License-Identifier: MIT
/// Energy and gradient of one graph in one precision: the layers forward, the layers backward.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "buffer.hpp"
#include "kernels/kernels.hpp"
#include "work_memory.hpp"
#include "model.hpp"
#include "qdml/engine.hpp"
#include "weights.hpp"
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
    /// From now on work in the arrays of `other`; false, and nothing happens, where that cannot be.
    virtual bool share_work(const AnyEvaluator&) { return false; }
    virtual bool makes_lists() const noexcept { return false; }
    virtual int max_exchange_width() const noexcept = 0;
    virtual std::int64_t memory_estimate(std::int64_t n_local, std::int64_t n_ghost,
                                         std::int64_t n_edges) const noexcept = 0;
    virtual std::int64_t memory_allocated() const noexcept = 0;
    virtual void set_memory_limit(std::int64_t bytes) = 0;
};

/// Evaluators on the CPU: all can work in the same arrays.
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
    bool share_work(const AnyEvaluator& other) override {
        const auto* found = dynamic_cast<const CpuEvaluator*>(&other);
        work_ = found != nullptr ? found->work_ : work_;
        return found != nullptr;
    }
    std::int64_t memory_allocated() const noexcept override { return work_->bytes(); }

protected:
    virtual void evaluate(const Graph& graph, const Request& request, Exchange* exchange,
                          Result& result, bool same_graph) = 0;
    std::shared_ptr<Workspace<real>> work_ = std::make_shared<Workspace<real>>();
};

/// The Cartesian family.
template <class real>
class Evaluator : public CpuEvaluator<real> {
public:
    Evaluator(const Model& model, const Kernels<real>& kernels);

    int max_exchange_width() const noexcept override;
    std::int64_t memory_estimate(std::int64_t n_local, std::int64_t n_ghost,
                                 std::int64_t n_edges) const noexcept override {
        return memory_.estimate(n_local, n_local + n_ghost, n_edges);
    }
    void set_memory_limit(std::int64_t bytes) override;

private:
    using CpuEvaluator<real>::work_;

    void evaluate(const Graph& graph, const Request& request, Exchange* exchange, Result& result,
                  bool same_graph) override;

    template <class Body>
    void for_tiles(const Graph& graph, int first, int last, const Body& body);
    Convolution<real> convolution(std::size_t t) const;

    real* h_row(const Tile& tile, int k);
    void clear_rows(const Graph& graph);
    void forward(const Tile& tile, std::size_t t, Scratch<real>& scratch);
    void gate_and_out_backward(const Tile& tile, std::size_t t, const real* z,
                               Scratch<real>& scratch);
    void backward(const Tile& tile, std::size_t t, Scratch<real>& scratch);
    void first_gradient(const Tile& tile, Scratch<real>& scratch);
    template <class Pass, class Send>
    void backward_layers(const Pass& pass, const Send& send);
    void keep_own_gradients(const Graph& graph);
    void centroid_virial(const Graph& graph, Exchange* exchange, Result& result);

    Weights<real> weights_;
    Kernels<real> kernels_;
    Zbl zbl_;
    EdgeShape shape_;
    WorkMemory<real> memory_;
    int h_stride_ = 0;            ///< widest node features
    Buffer<real> first_message_;  ///< H of layer 0 [species][C]
};

extern template class Evaluator<float>;
extern template class Evaluator<double>;

}  // namespace qdml
