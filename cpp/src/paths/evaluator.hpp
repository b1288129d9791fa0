// SPDX-License-Identifier: MIT
/// Energy and gradient of one graph for a `clebsch-gordan` model in one precision.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "buffer.hpp"
#include "../evaluator.hpp"
#include "edges.hpp"
#include "paths/kernels.hpp"
#include "paths/weights.hpp"
#include "qdml/engine.hpp"
#include "zbl.hpp"

namespace qdml {

template <class real>
class PathEvaluator : public AnyEvaluator {
public:
    PathEvaluator(const Model& model, const Kernels<real>& kernels, const PathKernels<real>& paths);
    ~PathEvaluator() override;

    /// Throws Error `request_unsupported` for Request::centroid_virial, on every rank alike.
    void compute(const Graph& graph, const Request& request, Exchange* exchange,
                 Result& result) override;
    int max_exchange_width() const noexcept override;
    std::int64_t memory_estimate(std::int64_t n_local, std::int64_t n_ghost,
                                 std::int64_t n_edges) const noexcept override;
    std::int64_t memory_allocated() const noexcept override;
    /// Edges are not divided: a limit below the estimate is Error `memory_limit` in compute.
    void set_memory_limit(std::int64_t bytes) override { memory_limit_ = bytes; }

private:
    struct Scratch;
    struct Tile;

    void prepare(const Graph& graph);
    Tile make_tile(const Graph& graph, int index, Scratch& scratch) const;
    template <class Body>
    void for_tiles(const Graph& graph, const Body& body);

    const real* couple(const Tile& tile, const PathWeights<real>& path, Scratch& scratch) const;
    PathConvolution<real> convolution(const Tile& tile, std::size_t t, const real* m) const;
    template <class Body>
    void self_connection(const Tile& tile, std::size_t t, const Body& body) const;

    void forward(const Tile& tile, std::size_t t, Scratch& scratch);
    void read_out(const Tile& tile, Scratch& scratch);
    void gate_backward(const Tile& tile, std::size_t t, const real* z, Scratch& scratch);
    void backward(const Tile& tile, std::size_t t, Scratch& scratch);
    void first_gradient(const Tile& tile, Scratch& scratch);

    PathModelWeights<real> weights_;
    Kernels<real> kernels_;
    PathKernels<real> paths_;
    Zbl zbl_;
    int h_stride_ = 0;         ///< widest node features
    int widest_gradient_ = 0;  ///< of the layers from 1 on

    std::int64_t memory_limit_ = 0;  ///< bytes, 0: none

    Edges<real> edges_;
    Buffer<real> harmonics_;             ///< per tile [16][stride of the tile]
    Buffer<real> first_message_;         ///< H of layer 0 [species][width]
    Buffer<real> h_;                     ///< node features, then their gradients [n_local][h_stride_]
    std::vector<Buffer<real>> z_;        ///< pre-activations per layer but the last [n_local][width]
    std::vector<Buffer<real>> message_;  ///< H per layer >= 1 [n_total][width]
    Buffer<real> gradient_[2];           ///< G of layer t >= 1 in [t % 2], [n_total][width]
    std::vector<double> atom_energy_;    ///< [n_local]
    std::vector<std::unique_ptr<Scratch>> scratch_;  ///< one per thread
};

extern template class PathEvaluator<float>;
extern template class PathEvaluator<double>;

}  // namespace qdml
