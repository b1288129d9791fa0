// SPDX-License-Identifier: MIT
/// The message kernels of one instruction set, number type and layout of sums: one translation unit
/// each (QDML_ISA, QDML_VECTOR_BYTES, QDML_REAL, QDML_SEPARATED), so that none takes long to compile.
#include "convolution.hpp"
#include "table.hpp"

namespace qdml {
namespace QDML_ISA {
namespace {

template <int LI, int LO>
void add_pair(Kernels<QDML_REAL>& k) {
    using Y = Layer<LI, LO, QDML_SEPARATED>;
    k.forward[QDML_SEPARATED][LI][LO] = convolution_forward<QDML_REAL, Y>;
    k.backward[QDML_SEPARATED][LI][LO] = convolution_backward<QDML_REAL, Y>;
    if constexpr (LI == 0) {  // one term per degree: the layouts are the same
        k.first_gradient[LO] = convolution_first_gradient<QDML_REAL, Y>;
    }
}

template <int LI>
void add_pairs(Kernels<QDML_REAL>& k) {
    add_pair<LI, 0>(k);
    add_pair<LI, 1>(k);
    add_pair<LI, 2>(k);
    add_pair<LI, 3>(k);
}

}  // namespace

void add_messages(Kernels<QDML_REAL>& k, Separated<QDML_SEPARATED>) {
    add_pairs<0>(k);
    add_pairs<1>(k);
    add_pairs<2>(k);
    add_pairs<3>(k);
}

}  // namespace QDML_ISA
}  // namespace qdml
