// SPDX-License-Identifier: MIT
/// The gate of any list of irreps for one register of channels, CPU and CUDA, and its adjoint.
#pragma once

#include "kernels.hpp"
#include "kernels/gate.hpp"

namespace qdml {
namespace QDML_ISA {

/// silu(x) (kind 0) or tanh(x) (kind 1) and its derivative.
template <class V>
QDML_INLINE V activation(int kind, const V& x, V& derivative) {
    if (kind == 0) {
        return silu(x, derivative);
    }
    const V y = 1 - 2 / (1 + exponential(2 * x));
    derivative = 1 - y * y;
    return y;
}

/// Features of an atom from its pre-activations z: the channels of an irrep from c on.
template <class real>
QDML_INLINE void path_gate(const GatePart& s, int c, const real* z, real* h) {
    Register<real> unused;
    const int at = channel_offset(s.degree, c);
    if (s.degree == 0) {
        store<real>(h + s.h_offset + at,
                    activation(s.activation, load(z + s.z_offset + at), unused));
        return;
    }
    const auto factor = activation(s.activation, load(z + s.gate_offset + c), unused);
    for (int m = 0; m < 2 * s.degree + 1; ++m) {
        const int i = at + m * kBlock;
        store<real>(h + s.h_offset + i, load(z + s.z_offset + i) * factor);
    }
}

/// Gradients of z, and of the gates, from those of h.
template <class real>
QDML_INLINE void path_gate_adjoint(const GatePart& s, int c, const real* z, const real* grad_h,
                                   real* grad_z) {
    using V = Register<real>;
    const int at = channel_offset(s.degree, c);
    V derivative;
    if (s.degree == 0) {
        activation(s.activation, load(z + s.z_offset + at), derivative);
        store<real>(grad_z + s.z_offset + at, load(grad_h + s.h_offset + at) * derivative);
        return;
    }
    const V factor = activation(s.activation, load(z + s.gate_offset + c), derivative);
    V sum = V{};
    for (int m = 0; m < 2 * s.degree + 1; ++m) {
        const int i = at + m * kBlock;
        const V g = load(grad_h + s.h_offset + i);
        sum += g * load(z + s.z_offset + i);
        store<real>(grad_z + s.z_offset + i, g * factor);
    }
    store<real>(grad_z + s.gate_offset + c, sum * derivative);
}

}  // namespace QDML_ISA
}  // namespace qdml
