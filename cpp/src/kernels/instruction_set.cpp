// SPDX-License-Identifier: MIT
/// All kernels for one instruction set; compiled once each with QDML_ISA and QDML_VECTOR_BYTES set.
#include "convolution.hpp"
#include "node.hpp"

namespace qdml {
namespace QDML_ISA {

template <class real>
constexpr Kernels<real> make() {
    Kernels<real> k = {};
#define QDML_PAIR(LI, LO)                                   \
    k.forward[LI][LO] = convolution_forward<real, LI, LO>; \
    k.backward[LI][LO] = convolution_backward<real, LI, LO>;
    QDML_PAIR(0, 0) QDML_PAIR(0, 1) QDML_PAIR(0, 2)
    QDML_PAIR(1, 0) QDML_PAIR(1, 1) QDML_PAIR(1, 2)
    QDML_PAIR(2, 0) QDML_PAIR(2, 1) QDML_PAIR(2, 2)
#undef QDML_PAIR
    k.first_gradient[0] = convolution_first_gradient<real, 0>;
    k.first_gradient[1] = convolution_first_gradient<real, 1>;
    k.first_gradient[2] = convolution_first_gradient<real, 2>;
    k.linear = linear<real>;
    k.gate_forward = gate_forward<real>;
    k.gate_backward = gate_backward<real>;
    k.silu_forward = silu_forward<real>;
    k.silu_backward = silu_backward<real>;
    return k;
}

#define QDML_TEXT_OF(x) #x
#define QDML_TEXT(x) QDML_TEXT_OF(x)

const KernelSet& kernels() noexcept {
    static constexpr KernelSet set = {QDML_TEXT(QDML_ISA), make<float>(), make<double>()};
    return set;
}

}  // namespace QDML_ISA
}  // namespace qdml
