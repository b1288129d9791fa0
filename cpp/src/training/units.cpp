// SPDX-License-Identifier: MIT
/// The kernels of training of one instruction set, number type and layout of sums: one translation
/// unit each, as kernels/messages.cpp.
#include "gradients.hpp"
#include "table.hpp"

namespace qdml {
namespace QDML_ISA {
namespace {

using real = QDML_REAL;

template <class Y>
void table(const Convolution<real>& c, const int* rows, int n, const real* h, const real* g,
           real* out, real* table_gradient) {
    sum_gradients<real, Y>(c, rows, n, h, g, out, TableGradients<real>{table_gradient});
}

template <class Y>
void dual_forward(const Convolution<real>& c, const void* edges, const int* rows, int n,
                  const real* h, real* out) {
    convolution_forward<Dual<real>, Y>(with_duals(c, edges), rows, n, duals(h), out);
}

template <class Y>
void dual_table(const Convolution<real>& c, const void* edges, const int* rows, int n,
                const real* h, const real* g, real* out, real* table_gradient) {
    sum_gradients<Dual<real>, Y>(with_duals(c, edges), rows, n, duals(h), g, out,
                                 TableGradients<Dual<real>>{table_gradient});
}

template <class Y>
void dual_backward(const Convolution<real>& c, const void* edges, const int* rows, int n,
                   const real* h, const real* g, real* out, EdgeGradient<real>* gradient) {
    sum_gradients<Dual<real>, Y>(with_duals(c, edges), rows, n, duals(h), g, out,
                                 DualEdgeGradients<real>{gradient});
}

template <int LI, int LO>
void add_pair(TrainingKernels<real>& k) {
    if constexpr (has_training_kernels(LI, LO)) {
        using Y = Layer<LI, LO, QDML_SEPARATED>;
        k.table[QDML_SEPARATED][LI][LO] = table<Y>;
        k.dual_forward[QDML_SEPARATED][LI][LO] = dual_forward<Y>;
        k.dual_table[QDML_SEPARATED][LI][LO] = dual_table<Y>;
        k.dual_backward[QDML_SEPARATED][LI][LO] = dual_backward<Y>;
    }
}

template <int LI>
void add_pairs(TrainingKernels<real>& k) {
    add_pair<LI, 0>(k);
    add_pair<LI, 1>(k);
    add_pair<LI, 2>(k);
    add_pair<LI, 3>(k);
}

}  // namespace

void add_training(TrainingKernels<real>& k, Separated<QDML_SEPARATED>) {
    add_pairs<0>(k);
    add_pairs<1>(k);
    add_pairs<2>(k);
    add_pairs<3>(k);
}

}  // namespace QDML_ISA
}  // namespace qdml
