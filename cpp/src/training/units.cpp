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

}  // namespace

void add_training(TrainingKernels<real>& k, Separated<QDML_SEPARATED>) {
    for_degrees([&k](auto l_in, auto l_out) {
        constexpr int kIn = decltype(l_in)::value, kOut = decltype(l_out)::value;
        if constexpr (has_training_kernels(kIn, kOut)) {
            using Y = Layer<kIn, kOut, QDML_SEPARATED>;
            k.table[QDML_SEPARATED][kIn][kOut] = table<Y>;
            k.dual_forward[QDML_SEPARATED][kIn][kOut] = dual_forward<Y>;
            k.dual_table[QDML_SEPARATED][kIn][kOut] = dual_table<Y>;
            k.dual_backward[QDML_SEPARATED][kIn][kOut] = dual_backward<Y>;
        }
    });
}

}  // namespace QDML_ISA
}  // namespace qdml
