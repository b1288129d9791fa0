// SPDX-License-Identifier: MIT
/// The edges within the cutoff of one step: records for the kernels, the transposed list, forces.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "kernels/kernels.hpp"
#include "qdml/engine.hpp"
#include "zbl.hpp"

namespace qdml {

template <class real>
class Edges {
public:
    /// Filter the graph by the cutoff and fill all arrays. ZBL goes to `atom_energy` [n_local] (added,
    /// eV) and to the gradients. Throws Error `graph_invalid` on impossible input.
    void build(const Graph& graph, int n_species, double cutoff, int knots, const Zbl& zbl,
               double* atom_energy);
    /// Turn the gradients into forces and virial of `result` (docs/conventions.md, "Parallel runs").
    void forces(const Graph& graph, bool atom_virial, Result& result);
    /// Add column `axis` of the centroid virials (docs/conventions.md, "Per-atom quantities"). `moment`
    /// holds Σ_k x_k[axis] of the gradients of E_k, positions `x` [n_total]; call after `forces`.
    void centroid_virial(const Graph& graph, int axis, const std::vector<double>& x,
                         Buffer<EdgeGradient<real>>& moment, Result& result) const;

    Buffer<std::int64_t> row_start;      ///< [n_local + 1]
    Buffer<int> neighbor;                ///< [n]
    Buffer<int> neighbor_species;        ///< [n]
    Buffer<EdgeRecord<real>> record;     ///< [n]
    Buffer<EdgeGradient<real>> gradient;  ///< [n] dE/dr̂ and dE/dr, accumulated by the kernels

private:
    void transpose(const Graph& graph);

    Buffer<std::int64_t> incoming_start_;  ///< [n_total + 1]
    Buffer<std::int64_t> incoming_;        ///< [n] edges by their neighbour, in order of the rows
    Buffer<double> row_sums_;              ///< [n_local][9] virial of the rows
};

extern template class Edges<float>;
extern template class Edges<double>;

}  // namespace qdml
