// SPDX-License-Identifier: MIT
/// The Cartesian family on a device.
#pragma once

#include "device_evaluator.hpp"

namespace qdml {

template <class real>
class DeviceCartesian : public DeviceEvaluator<real> {
public:
    DeviceCartesian(const Model& model, const DeviceInterface& interface, const DeviceKernels<real>& kernels,
                    int device);

private:
    using Base = DeviceEvaluator<real>;
    using Base::arrays_, Base::device_weights_, Base::kernels_, Base::plan_, Base::sizes_, Base::stages_;
    using Base::context, Base::do_it, Base::list, Base::stream;

    void forward(std::size_t t) override;
    void gate_forward(std::size_t t) override;
    void gate_backward(std::size_t t) override;
    void out_backward(std::size_t t) override;
    void backward(std::size_t t, EdgeGradient<real>* gradient) override;
    void first_gradient(EdgeGradient<real>* gradient) override;
    void add_stages(std::size_t t) override;
    DeviceMessages<real> messages(std::size_t t) const;

    Weights<real> weights_;
};

extern template class DeviceCartesian<float>;
extern template class DeviceCartesian<double>;

}  // namespace qdml
