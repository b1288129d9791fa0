// SPDX-License-Identifier: MIT
/// The kernels of training along Clebsch-Gordan paths of one instruction set and number type: one
/// translation unit each (QDML_REAL), as units.cpp.
#include "path_gradients.hpp"
#include "path_table.hpp"

namespace qdml {
namespace QDML_ISA {
namespace {

using real = QDML_REAL;

template <int LIn, int LEdge, int LOut>
void table(const PathConvolution<real>& c, const int* rows, int n, const real* h,
           std::int64_t h_width, const real* g, std::int64_t g_width, real* grad_h,
           std::int64_t grad_width, real* table_gradient) {
    gradients_along_path<real, LIn, LEdge, LOut>(c, rows, n, h, h_width, g, g_width, grad_h,
                                                 grad_width,
                                                 PathTableGradient<real>{table_gradient});
}

template <int LIn, int LEdge, int LOut>
void dual_forward(const DualPathConvolution<real>& c, const int* rows, int n, const real* h,
                  std::int64_t h_width, real* out, std::int64_t out_width) {
    sum_along_path<Dual<real>, LIn, LEdge, LOut>(DualEdges<real>(c), rows, n, duals(h), h_width,
                                                 out, out_width);
}

template <int LIn, int LEdge, int LOut>
void dual_table(const DualPathConvolution<real>& c, const int* rows, int n, const real* h,
                std::int64_t h_width, const real* g, std::int64_t g_width, real* grad_h,
                std::int64_t grad_width, real* table_gradient) {
    gradients_along_path<Dual<real>, LIn, LEdge, LOut>(
        DualEdges<real>(c), rows, n, duals(h), h_width, g, g_width, grad_h, grad_width,
        PathTableGradient<Dual<real>>{table_gradient});
}

template <int LIn, int LEdge, int LOut>
void dual_backward(const DualPathConvolution<real>& c, const int* rows, int n, const real* h,
                   std::int64_t h_width, const real* g, std::int64_t g_width, real* grad_h,
                   std::int64_t grad_width, real* moments) {
    gradients_along_path<Dual<real>, LIn, LEdge, LOut>(DualEdges<real>(c), rows, n, duals(h),
                                                       h_width, g, g_width, grad_h, grad_width,
                                                       DualMoments<real>{moments});
}

template <int LIn, int LEdge, int LOut>
void add(PathTrainingKernels<real>& k) {
    if constexpr (LOut <= LIn + LEdge && LIn <= LOut + LEdge && LEdge <= LIn + LOut) {
        k.path[LIn][LEdge][LOut] = {table<LIn, LEdge, LOut>, dual_forward<LIn, LEdge, LOut>,
                                    dual_table<LIn, LEdge, LOut>, dual_backward<LIn, LEdge, LOut>};
    }
}

template <int... I>
void add_all(PathTrainingKernels<real>& k, std::integer_sequence<int, I...>) {
    constexpr int n = kMaxDegree + 1;
    (add<I / (n * n), I / n % n, I % n>(k), ...);
}

}  // namespace

void add_path_training(PathTrainingKernels<real>& k) {
    constexpr int n = kMaxDegree + 1;
    add_all(k, std::make_integer_sequence<int, n * n * n>());
    k.dual_harmonics = dual_path_harmonics<real>;
    k.dual_finish = dual_path_finish<real>;
}

}  // namespace QDML_ISA
}  // namespace qdml
