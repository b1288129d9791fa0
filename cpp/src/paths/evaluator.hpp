// SPDX-License-Identifier: MIT
/// Energy and gradient of one graph for a `clebsch-gordan` model in one precision.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "../evaluator.hpp"
#include "buffer.hpp"
#include "paths/kernels.hpp"
#include "paths/weights.hpp"
#include "qdml/engine.hpp"
#include "zbl.hpp"

namespace qdml {

template <class real>
class PathEvaluator : public CpuEvaluator<real> {
public:
    PathEvaluator(const Model& model, const Kernels<real>& kernels, const PathKernels<real>& paths);

    int max_exchange_width() const noexcept override;
    std::int64_t memory_estimate(std::int64_t n_local, std::int64_t n_ghost,
                                 std::int64_t n_edges) const noexcept override;
    /// Edges are not divided: a limit below the estimate is Error `memory_limit` in compute.
    void set_memory_limit(std::int64_t bytes) override { memory_limit_ = bytes; }

private:
    struct EdgeTile;
    using CpuEvaluator<real>::work_;

    /// Throws Error `request_unsupported` for Request::centroid_virial, on every rank alike.
    void evaluate(const Graph& graph, const Request& request, Exchange* exchange, Result& result,
                  bool same_graph) override;

    void prepare(const Graph& graph);
    EdgeTile make_edge_tile(const Graph& graph, int index, Scratch<real>& scratch) const;
    template <class Body>
    void for_tiles(const Graph& graph, const Body& body);

    const real* couple(const EdgeTile& tile, const PathWeights<real>& path, Scratch<real>& scratch) const;
    PathConvolution<real> convolution(const EdgeTile& tile, std::size_t t, const real* m) const;
    template <class Body>
    void self_connection(const EdgeTile& tile, std::size_t t, const Body& body) const;

    void forward(const EdgeTile& tile, std::size_t t, Scratch<real>& scratch);
    void gate_backward(const EdgeTile& tile, std::size_t t, const real* z, Scratch<real>& scratch);
    void backward(const EdgeTile& tile, std::size_t t, Scratch<real>& scratch);
    void first_gradient(const EdgeTile& tile, Scratch<real>& scratch);

    PathModelWeights<real> weights_;
    Kernels<real> kernels_;
    PathKernels<real> paths_;
    Zbl zbl_;
    int h_stride_ = 0;         ///< widest node features
    int widest_gradient_ = 0;  ///< of the layers from 1 on

    std::int64_t memory_limit_ = 0;  ///< bytes, 0: none

    EdgeShape shape_;
    Buffer<real> first_message_;  ///< H of layer 0 [species][width]
};

extern template class PathEvaluator<float>;
extern template class PathEvaluator<double>;

}  // namespace qdml
