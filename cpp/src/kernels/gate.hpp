// SPDX-License-Identifier: MIT
/// silu and the gate for one register of channels (docs/conventions.md, "One layer"), CPU and CUDA.
#pragma once

#include "tensor.hpp"

namespace qdml {
namespace QDML_ISA {

/// silu(x) and its derivative.
template <class V>
QDML_INLINE V silu(const V& x, V& derivative) {
    const V sigmoid = 1 / (1 + exponential(-x));
    derivative = sigmoid * (1 + x * (1 - sigmoid));
    return x * sigmoid;
}

/// Offset of the gates of degree l >= 1 among the pre-activations.
QDML_INLINE int gate_offset(const GateShape& s, int l) {
    int blocks = 0;
    for (int d = 0; d < l; ++d) blocks += s.blocks[d];
    return s.z_offset[0] + blocks * kBlock;
}

/// Where component 0 of channel c of degree l lies in [block][2l + 1][16].
QDML_INLINE int channel_offset(int l, int c) {
    return c / kBlock * (2 * l + 1) * kBlock + c % kBlock;
}

/// h = z silu(gate), all components of degree l >= 1; pointers to component 0 of these channels.
template <class real>
QDML_INLINE void gate_channels(int l, const real* gate, const real* z, real* h) {
    Register<real> unused;
    const auto factor = silu(load(gate), unused);
    for (int m = 0; m < 2 * l + 1; ++m) {
        store<real>(h + m * kBlock, load(z + m * kBlock) * factor);
    }
}

/// Adjoint of gate_channels: gradients of the gate and of z.
template <class real>
QDML_INLINE void gate_channels_backward(int l, const real* gate, const real* z, const real* grad_h,
                                        real* grad_gate, real* grad_z) {
    using V = Register<real>;
    V derivative;
    const V factor = silu(load(gate), derivative);
    V sum = V{};
    for (int m = 0; m < 2 * l + 1; ++m) {
        const V g = load(grad_h + m * kBlock);
        sum += g * load(z + m * kBlock);
        store<real>(grad_z + m * kBlock, g * factor);
    }
    store<real>(grad_gate, sum * derivative);
}

}  // namespace QDML_ISA
}  // namespace qdml
