// SPDX-License-Identifier: MIT
/// The family of Clebsch-Gordan paths on a device.
#pragma once

#include "device_evaluator.hpp"
#include "paths/architecture.hpp"

namespace qdml {

template <class real>
class DevicePaths : public DeviceEvaluator<real> {
public:
    DevicePaths(const Model& model, const DeviceInterface& interface, const DeviceKernels<real>& kernels, int device);

private:
    using Base = DeviceEvaluator<real>;
    using Base::arrays_, Base::device_weights_, Base::kernels_, Base::plan_, Base::sizes_, Base::stages_;
    using Base::context, Base::do_it, Base::list, Base::stream;

    void start_features() override;
    void forward(std::size_t t) override;
    void gate_forward(std::size_t t) override;
    void gate_backward(std::size_t t) override;
    void backward(std::size_t t, EdgeGradient<real>* gradient) override;
    void first_gradient(EdgeGradient<real>* gradient) override;
    void add_stages(std::size_t t) override;
    DevicePath place(std::size_t t, const PathWeights<real>& path) const;
    DeviceMessages<real> messages(std::size_t t, const PathWeights<real>& path) const;
    real* moments() const { return arrays_->edge.data() - list().first_edge() * sizes_.edge; }
    void clear_moments();
    void finish(EdgeGradient<real>* gradient);

    PathModelWeights<real> weights_;
    std::vector<DeviceGate> gate_;
    DeviceBuffer<real> embedding_;  ///< [S][sizes_.h]
};

extern template class DevicePaths<float>;
extern template class DevicePaths<double>;

}  // namespace qdml
