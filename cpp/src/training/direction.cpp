// SPDX-License-Identifier: MIT
/// Hands edges and features to the kernels that make duals of them, in groups of rows.
#include "direction.hpp"

namespace qdml {
namespace {

constexpr int kRows = 16;  ///< of a task
constexpr int kEdges = 64;

}  // namespace

template <class real>
void make_dual_records(const EdgeRows<real>& rows, int n_atoms, const Direction<real>& u, double sign,
                       const Knots& knots, const TrainingKernels<real>& kernels,
                       const Parallel& parallel, Buffer<char>& records) {
    records.reserve(rows.row_start[n_atoms] * kernels.dual_record_bytes);
    for_groups(parallel, n_atoms, kRows, [&](int first, int last) {
        real v[3 * kEdges], derivative[3 * kEdges];
        const std::int64_t end = rows.row_start[last];
        for (std::int64_t begin = rows.row_start[first]; begin < end; begin += kEdges) {
            const int n = static_cast<int>(std::min<std::int64_t>(kEdges, end - begin));
            for (int e = 0; e < n; ++e) {
                const std::int64_t from = 3 * std::int64_t(rows.slot[begin + e]);
                for (int k = 0; k < 3; ++k) {
                    v[3 * e + k] = static_cast<real>(sign) * u.vector[from + k];
                    derivative[3 * e + k] = static_cast<real>(sign) * u.u_vector[from + k];
                }
            }
            kernels.dual_records(n, v, derivative, knots.spline, knots.intervals,
                                 knots.intervals / knots.cutoff,
                                 records.data() + begin * kernels.dual_record_bytes);
        }
    });
}

template <class real>
void make_duals(std::int64_t rows, std::int64_t width, const real* value, const real* derivative,
                const TrainingKernels<real>& kernels, const Parallel& parallel, real* duals) {
    for_groups(parallel, static_cast<int>(rows), kRows, [&](int first, int last) {
        const std::int64_t at = first * width;
        kernels.interleave((last - first) * width, value + at, derivative + at, duals + 2 * at);
    });
}

template void make_dual_records(const EdgeRows<float>&, int, const Direction<float>&, double,
                                const Knots&, const TrainingKernels<float>&, const Parallel&,
                                Buffer<char>&);
template void make_dual_records(const EdgeRows<double>&, int, const Direction<double>&, double,
                                const Knots&, const TrainingKernels<double>&, const Parallel&,
                                Buffer<char>&);
template void make_duals(std::int64_t, std::int64_t, const float*, const float*,
                         const TrainingKernels<float>&, const Parallel&, float*);
template void make_duals(std::int64_t, std::int64_t, const double*, const double*,
                         const TrainingKernels<double>&, const Parallel&, double*);

}  // namespace qdml
