// SPDX-License-Identifier: MIT
/// All kernels of Clebsch-Gordan paths for one instruction set; compiled once each.
#include "convolution.hpp"
#include "node.hpp"

namespace qdml {
namespace QDML_ISA {

template <class real, int LIn, int LEdge, int LOut>
constexpr void add_path(PathKernels<real>& k) {
    if constexpr (LOut <= LIn + LEdge && LIn <= LOut + LEdge && LEdge <= LIn + LOut) {
        auto& path = k.path[LIn][LEdge][LOut];
        path.couple = path_couple<real, LIn, LEdge, LOut>;
        path.forward = path_forward<real, LIn, LEdge, LOut>;
        path.backward = path_backward<real, LIn, LEdge, LOut>;
        if constexpr (LIn == 0) {
            path.first_gradient = path_first_gradient<real, LOut>;
        }
    }
}

template <class real, int... I>
constexpr void add_paths(PathKernels<real>& k, std::integer_sequence<int, I...>) {
    constexpr int n = kMaxDegree + 1;
    (add_path<real, I / (n * n), I / n % n, I % n>(k), ...);
}

template <class real>
constexpr PathKernels<real> make_path_kernels() {
    constexpr int n = kMaxDegree + 1;
    PathKernels<real> k = {};
    k.harmonics = path_harmonics<real>;
    add_paths(k, std::make_integer_sequence<int, n * n * n>());
    k.finish = path_finish<real>;
    k.gate_forward = path_gate_forward<real>;
    k.gate_backward = path_gate_backward<real>;
    return k;
}

const PathKernelSet& path_kernels() noexcept {
    static constexpr PathKernelSet set = {make_path_kernels<float>(), make_path_kernels<double>()};
    return set;
}

}  // namespace QDML_ISA
}  // namespace qdml
