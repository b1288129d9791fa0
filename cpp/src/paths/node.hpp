// SPDX-License-Identifier: MIT
/// The gate of all features of one atom, and its adjoint.
#pragma once

#include "gate.hpp"

namespace qdml {
namespace QDML_ISA {

template <class real>
void path_gate_forward(const GatePart* parts, int n_parts, const real* z, real* h) {
    for (int p = 0; p < n_parts; ++p) {
        for (int c = 0; c < parts[p].blocks * kBlock; c += kLanes<real>) {
            path_gate(parts[p], c, z, h);
        }
    }
}

template <class real>
void path_gate_backward(const GatePart* parts, int n_parts, const real* z, const real* grad_h,
                        real* grad_z) {
    for (int p = 0; p < n_parts; ++p) {
        for (int c = 0; c < parts[p].blocks * kBlock; c += kLanes<real>) {
            path_gate_adjoint(parts[p], c, z, grad_h, grad_z);
        }
    }
}

}  // namespace QDML_ISA
}  // namespace qdml
