// SPDX-License-Identifier: MIT
/// The tables of training kernels of one instruction set: messages (units.cpp, path_units.cpp) and
/// dual numbers.
#include "../kernels/dual.hpp"
#include "../edge_geometry.hpp"
#include "path_table.hpp"
#include "table.hpp"

namespace qdml {
namespace QDML_ISA {

template <class real>
static void dual_records(int n, const real* v, const real* u, Spline spline, int knots,
                         double inverse_spacing, void* edges) {
    auto* record = static_cast<EdgeRecord<Dual<real>>*>(edges);
    for (int e = 0; e < n; ++e) {
        Dual<double> x[3];
        double square = 0.0, along = 0.0;
        for (int k = 0; k < 3; ++k) {
            x[k] = {v[3 * e + k], u[3 * e + k]};
            square += x[k].v * x[k].v;
            along += x[k].v * x[k].e;
        }
        const double length = __builtin_sqrt(square);
        const Dual<double> r = {length, along / length};
        set_record(record[e], x, r, spline, knots, inverse_spacing);
    }
}

template <class real>
static void dual_to_cartesian(int n, const void* edges, const EdgeGradient<real>* gradient,
                              real* out) {
    const auto* record = static_cast<const EdgeRecord<Dual<real>>*>(edges);
    for (int e = 0; e < n; ++e) {
        Dual<real> g[4];
        for (int k = 0; k < 4; ++k) {
            g[k] = {gradient[2 * e].value[k], gradient[2 * e + 1].value[k]};
        }
        to_cartesian(record[e], g);
        for (int k = 0; k < 3; ++k) out[3 * e + k] = g[k].e;
    }
}

template <class real>
static void interleave(std::int64_t n, const real* value, const real* derivative, real* out) {
    for (std::int64_t i = 0; i < n; i += kLanes<real>) {
        store(out + 2 * i, load(value + i));
        store(out + 2 * i + kLanes<real>, load(derivative + i));
    }
}

template <class real>
static TrainingKernels<real> make() {
    TrainingKernels<real> k = {};
    add_training(k, Separated<0>());
    add_training(k, Separated<1>());
    k.dual_record_bytes = sizeof(EdgeRecord<Dual<real>>);
    k.dual_records = dual_records<real>;
    k.dual_to_cartesian = dual_to_cartesian<real>;
    k.interleave = interleave<real>;
    return k;
}

const TrainingKernelSet& training_kernels() noexcept {
    static const TrainingKernelSet set = {make<float>(), make<double>()};
    return set;
}

template <class real>
static PathTrainingKernels<real> make_paths() {
    PathTrainingKernels<real> k = {};
    add_path_training(k);
    return k;
}

const PathTrainingKernelSet& path_training_kernels() noexcept {
    static const PathTrainingKernelSet set = {make_paths<float>(), make_paths<double>()};
    return set;
}

}  // namespace QDML_ISA
}  // namespace qdml
