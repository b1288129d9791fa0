// SPDX-License-Identifier: MIT
/// The message kernels of one instruction set, number type and layout of sums: one translation unit
/// each (QDML_ISA, QDML_VECTOR_BYTES, QDML_REAL, QDML_SEPARATED), so that none takes long to compile.
#include "convolution.hpp"
#include "table.hpp"

namespace qdml {
namespace QDML_ISA {

void add_messages(Kernels<QDML_REAL>& k, Separated<QDML_SEPARATED>) {
    for_degrees([&k](auto l_in, auto l_out) {
        constexpr int kIn = decltype(l_in)::value, kOut = decltype(l_out)::value;
        using Y = Layer<kIn, kOut, QDML_SEPARATED>;
        k.forward[QDML_SEPARATED][kIn][kOut] = convolution_forward<QDML_REAL, Y>;
        k.backward[QDML_SEPARATED][kIn][kOut] = convolution_backward<QDML_REAL, Y>;
        if constexpr (kIn == 0) {  // one term per degree: the layouts are the same
            k.first_gradient[kOut] = convolution_first_gradient<QDML_REAL, Y>;
        }
    });
}

}  // namespace QDML_ISA
}  // namespace qdml
