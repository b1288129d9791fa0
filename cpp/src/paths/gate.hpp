// SPDX-License-Identifier: MIT
/// The gate of any list of irreps, and its adjoint.
#pragma once

#include "kernels.hpp"
#include "kernels/node.hpp"

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

template <class real>
void path_gate_forward(const GatePart* parts, int n_parts, const real* z, real* h) {
    Register<real> unused;
    for (int p = 0; p < n_parts; ++p) {
        const GatePart& s = parts[p];
        const int components = 2 * s.degree + 1;
        for (int c = 0; c < s.blocks * kBlock; c += kLanes<real>) {
            const int at = c / kBlock * components * kBlock + c % kBlock;
            if (s.degree == 0) {
                store<real>(h + s.h_offset + at,
                            activation(s.activation, load(z + s.z_offset + at), unused));
                continue;
            }
            const auto factor = activation(s.activation, load(z + s.gate_offset + c), unused);
            for (int m = 0; m < components; ++m) {
                const int i = at + m * kBlock;
                store<real>(h + s.h_offset + i, load(z + s.z_offset + i) * factor);
            }
        }
    }
}

template <class real>
void path_gate_backward(const GatePart* parts, int n_parts, const real* z, const real* grad_h,
                        real* grad_z) {
    using V = Register<real>;
    for (int p = 0; p < n_parts; ++p) {
        const GatePart& s = parts[p];
        const int components = 2 * s.degree + 1;
        for (int c = 0; c < s.blocks * kBlock; c += kLanes<real>) {
            const int at = c / kBlock * components * kBlock + c % kBlock;
            V derivative;
            if (s.degree == 0) {
                activation(s.activation, load(z + s.z_offset + at), derivative);
                store<real>(grad_z + s.z_offset + at, load(grad_h + s.h_offset + at) * derivative);
                continue;
            }
            const V factor = activation(s.activation, load(z + s.gate_offset + c), derivative);
            V sum = zero<V>();
            for (int m = 0; m < components; ++m) {
                const int i = at + m * kBlock;
                const V g = load(grad_h + s.h_offset + i);
                sum += g * load(z + s.z_offset + i);
                store<real>(grad_z + s.z_offset + i, g * factor);
            }
            store<real>(grad_z + s.gate_offset + c, sum * derivative);
        }
    }
}

}  // namespace QDML_ISA
}  // namespace qdml
