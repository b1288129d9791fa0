// SPDX-License-Identifier: MIT
/// Layers of a `clebsch-gordan` model in one precision, tile by tile.
#pragma once

#include <cstdint>

#include "../evaluator.hpp"
#include "buffer.hpp"
#include "paths/kernels.hpp"
#include "paths/weights.hpp"

namespace qdml {

template <class real>
class PathEvaluator : public CpuEvaluator<real> {
public:
    PathEvaluator(const Model& model, const Kernels<real>& kernels, const PathKernels<real>& paths);

private:
    struct EdgeTile;
    using CpuEvaluator<real>::work_;
    using CpuEvaluator<real>::gradient;
    using CpuEvaluator<real>::h_row;
    using CpuEvaluator<real>::h_stride;

    void take_edges(const Tile& tile) override;
    void forward(const Tile& tile, std::size_t t, Scratch<real>& scratch) override;
    void read_out(const Tile& tile, Scratch<real>& scratch) override;
    void gate_backward(const Tile& tile, std::size_t t, Scratch<real>& scratch) override;
    void backward(const Tile& tile, std::size_t t, Scratch<real>& scratch) override;
    void first_gradient(const Tile& tile, Scratch<real>& scratch) override;

    EdgeTile edges_of(const Tile& tile) const;
    const real* couple(const EdgeTile& edges, const PathWeights<real>& path, Scratch<real>& scratch) const;
    PathConvolution<real> convolution(const EdgeTile& edges, std::size_t t, const real* m) const;
    template <class Body>
    void self_connection(const Tile& tile, std::size_t t, const Body& body) const;

    PathModelWeights<real> weights_;
    Kernels<real> kernels_;
    PathKernels<real> paths_;
    Buffer<real> first_message_;  ///< H of layer 0 [species][width]
};

extern template class PathEvaluator<float>;
extern template class PathEvaluator<double>;

}  // namespace qdml
