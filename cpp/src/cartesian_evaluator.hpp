// SPDX-License-Identifier: MIT
/// Layers of a Cartesian model in one precision, tile by tile.
#pragma once

#include "buffer.hpp"
#include "evaluator.hpp"
#include "kernels/kernels.hpp"
#include "weights.hpp"

namespace qdml {

template <class real>
class CartesianEvaluator : public CpuEvaluator<real> {
public:
    CartesianEvaluator(const Model& model, const Kernels<real>& kernels);

private:
    using CpuEvaluator<real>::work_;
    using CpuEvaluator<real>::gradient;
    using CpuEvaluator<real>::h_row;
    using CpuEvaluator<real>::h_stride;

    void forward(const Tile& tile, std::size_t t, Scratch<real>& scratch) override;
    void read_out(const Tile& tile, Scratch<real>& scratch) override;
    void gate_backward(const Tile& tile, std::size_t t, Scratch<real>& scratch) override;
    void backward(const Tile& tile, std::size_t t, Scratch<real>& scratch) override;
    void first_gradient(const Tile& tile, Scratch<real>& scratch) override;

    Convolution<real> convolution(std::size_t t) const;

    Weights<real> weights_;
    Kernels<real> kernels_;
    Buffer<real> first_message_;  ///< H of layer 0 [species][C]
};

extern template class CartesianEvaluator<float>;
extern template class CartesianEvaluator<double>;

}  // namespace qdml
