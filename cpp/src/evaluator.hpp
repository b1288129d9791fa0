// SPDX-License-Identifier: MIT
/// Energy and gradient of one graph in one precision: the layers forward, the layers backward.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "buffer.hpp"
#include "edges.hpp"
#include "kernels/kernels.hpp"
#include "model.hpp"
#include "qdml/engine.hpp"
#include "weights.hpp"
#include "zbl.hpp"

namespace qdml {

/// What Engine needs of a model in one precision; the functions are those of qdml/engine.hpp.
class AnyEvaluator {
public:
    virtual ~AnyEvaluator() = default;
    virtual void compute(const Graph& graph, const Request& request, Exchange* exchange,
                         Result& result) = 0;
    virtual int max_exchange_width() const noexcept = 0;
    virtual std::int64_t memory_estimate(std::int64_t n_local, std::int64_t n_ghost,
                                         std::int64_t n_edges) const noexcept = 0;
    virtual std::int64_t memory_allocated() const noexcept = 0;
    virtual void set_memory_limit(std::int64_t bytes) = 0;
};

/// The Cartesian family.
template <class real>
class Evaluator : public AnyEvaluator {
public:
    Evaluator(const Model& model, const Kernels<real>& kernels);
    ~Evaluator() override;

    void compute(const Graph& graph, const Request& request, Exchange* exchange,
                 Result& result) override;
    int max_exchange_width() const noexcept override;
    std::int64_t memory_estimate(std::int64_t n_local, std::int64_t n_ghost,
                                 std::int64_t n_edges) const noexcept override;
    std::int64_t memory_allocated() const noexcept override;
    void set_memory_limit(std::int64_t bytes) override;

private:
    struct Scratch;
    struct Tile;

    Tile make_tile(const Graph& graph, int index, Scratch& scratch) const;
    template <class Body>
    void for_tiles(const Graph& graph, int first, int last, const Body& body);
    Convolution<real> convolution(std::size_t t) const;

    real* h_row(const Tile& tile, int k);
    std::int64_t scratch_bytes() const noexcept;
    std::int64_t atom_bytes(std::int64_t n_local, std::int64_t n_total) const noexcept;
    std::int64_t centroid_bytes(std::int64_t n_local, std::int64_t n_total,
                                std::int64_t n_edges) const noexcept;
    std::vector<int> divide(const Graph& graph, bool centroid_virial);
    void prepare(const Graph& graph);
    void release() noexcept;
    void forward(const Tile& tile, std::size_t t, Scratch& scratch);
    void read_out(const Tile& tile, Scratch& scratch, double* atom_energy);
    void gate_and_out_backward(const Tile& tile, std::size_t t, const real* z, Scratch& scratch);
    void backward(const Tile& tile, std::size_t t, Scratch& scratch);
    void first_gradient(const Tile& tile, Scratch& scratch);
    template <class Pass, class Send>
    void backward_layers(const Pass& pass, const Send& send);
    void keep_own_gradients(const Graph& graph);
    void centroid_virial(const Graph& graph, Exchange* exchange, Result& result);

    Weights<real> weights_;
    Kernels<real> kernels_;
    Zbl zbl_;
    int h_stride_ = 0;  ///< widest node features; one stride, as tiles of threads share the array
    int message_widest_ = 0, z_widest_ = 0, readout_widest_ = 0;  ///< of the scratch of a tile
    std::int64_t memory_limit_ = 0;  ///< bytes, 0: none

    Edges<real> edges_;
    Buffer<real> first_message_;           ///< H of layer 0 [species][C]
    Buffer<real> h_;                       ///< node features, then their gradients [n_local][h_stride_]
    std::vector<Buffer<real>> z_;          ///< pre-activations per layer [n_local][width]
    std::vector<Buffer<real>> message_;    ///< H per layer >= 1 [n_total][width]
    std::vector<Buffer<real>> gradient_;   ///< G per layer >= 1 [n_total][width]
    std::vector<double> atom_energy_;      ///< [n_local]
    std::vector<std::unique_ptr<Scratch>> scratch_;  ///< one per thread

    // only for centroid virials
    Buffer<real> own_h_;                        ///< dE_i/dh_i of the last layer [n_local][h_stride_]
    Buffer<EdgeGradient<real>> own_gradient_;   ///< dE_i/dr of the edges of i, kept after the forward pass
    Buffer<EdgeGradient<real>> moment_;         ///< Σ_k x_k dE_k/dr [n_edges]
    std::vector<Buffer<real>> moment_gradient_;  ///< Σ_k x_k dE_k/dA per layer >= 1 [n_total][width]
};

extern template class Evaluator<float>;
extern template class Evaluator<double>;

}  // namespace qdml
