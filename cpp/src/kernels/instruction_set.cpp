// SPDX-License-Identifier: MIT
/// The table of kernels of one instruction set: messages (messages.cpp) and work per atom.
#include "node.hpp"
#include "table.hpp"

namespace qdml {
namespace QDML_ISA {

template <class real>
static Kernels<real> make() {
    Kernels<real> k = {};
    add_messages(k, Separated<0>());
    add_messages(k, Separated<1>());
    k.linear = linear<real>;
    k.to_tensors = to_tensors<real>;
    k.gate_forward = gate_forward<real>;
    k.gate_backward = gate_backward<real>;
    k.silu_forward = silu_forward<real>;
    k.silu_backward = silu_backward<real>;
    return k;
}

#define QDML_TEXT_OF(x) #x
#define QDML_TEXT(x) QDML_TEXT_OF(x)

const KernelSet& kernels() noexcept {
    static const KernelSet set = {QDML_TEXT(QDML_ISA), make<float>(), make<double>()};
    return set;
}

}  // namespace QDML_ISA
}  // namespace qdml
