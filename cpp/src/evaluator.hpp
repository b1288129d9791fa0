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

template <class real>
class Evaluator {
public:
    Evaluator(const Model& model, const Kernels<real>& kernels);
    ~Evaluator();

    void compute(const Graph& graph, const Request& request, Exchange* exchange, Result& result);
    int max_exchange_width() const noexcept;
    std::int64_t memory_estimate(std::int64_t n_local, std::int64_t n_ghost,
                                 std::int64_t n_edges) const noexcept;

private:
    struct Scratch;
    struct Tile;

    Tile make_tile(const Graph& graph, int index, Scratch& scratch) const;
    template <class Body>
    void for_tiles(const Graph& graph, const Body& body);
    Convolution<real> convolution(std::size_t t) const;

    real* h_row(const Tile& tile, int k);
    void prepare(const Graph& graph);
    void forward(const Tile& tile, std::size_t t, Scratch& scratch);
    void read_out(const Tile& tile, Scratch& scratch, double* atom_energy);
    void gate_and_out_backward(const Tile& tile, std::size_t t, const real* z, Scratch& scratch);
    void backward(const Tile& tile, std::size_t t, Scratch& scratch);
    void first_gradient(const Tile& tile, Scratch& scratch);
    template <class Send>
    void backward_layers(const Graph& graph, const Send& send);
    void keep_own_gradients(const Graph& graph);
    void centroid_virial(const Graph& graph, Exchange* exchange, Result& result);

    Weights<real> weights_;
    Kernels<real> kernels_;
    Zbl zbl_;
    double cutoff_ = 0.0;
    int knots_ = 0;
    int h_stride_ = 0;  ///< widest node features; one stride, as tiles of threads share the array

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
