// SPDX-License-Identifier: MIT
/// A direction in which derivatives are taken, and the edges of a plan as dual numbers along it.
#pragma once

#include "../buffer.hpp"
#include "edge_plan.hpp"
#include "kernels.hpp"

namespace qdml {

/// (u_sent, u_vector); `vector` is that of the plan.
template <class real>
struct Direction {
    const real* vector;
    const real* u_sent;
    const real* u_vector;
};

/// Records of duals of all edges of some rows (TrainingKernels::dual_records); `sign` -1 where the rows
/// are those of senders.
template <class real>
void make_dual_records(const EdgeRows<real>& rows, int n_atoms, const Direction<real>& u, double sign,
                       const Knots& knots, const TrainingKernels<real>& kernels,
                       const Parallel& parallel, Buffer<char>& records);

/// Duals [2 n] of n = rows · width numbers and their derivatives in blocks, `width` in sixteens.
template <class real>
void make_duals(std::int64_t rows, std::int64_t width, const real* value, const real* derivative,
                const TrainingKernels<real>& kernels, const Parallel& parallel, real* duals);

extern template void make_dual_records(const EdgeRows<float>&, int, const Direction<float>&, double,
                                       const Knots&, const TrainingKernels<float>&,
                                       const Parallel&, Buffer<char>&);
extern template void make_dual_records(const EdgeRows<double>&, int, const Direction<double>&,
                                       double, const Knots&, const TrainingKernels<double>&,
                                       const Parallel&, Buffer<char>&);
extern template void make_duals(std::int64_t, std::int64_t, const float*, const float*,
                                const TrainingKernels<float>&, const Parallel&, float*);
extern template void make_duals(std::int64_t, std::int64_t, const double*, const double*,
                                const TrainingKernels<double>&, const Parallel&, double*);

}  // namespace qdml
