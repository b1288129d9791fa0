// SPDX-License-Identifier: MIT
/// Edges within the cutoff of a range of rows: records for the kernels, transposed list, forces.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "edge_geometry.hpp"
#include "kernels/kernels.hpp"
#include "qdml/engine.hpp"
#include "zbl.hpp"

namespace qdml {

/// What a model asks of its edges; models that ask the same may use the same edges.
struct EdgeShape {
    int n_species = 0;
    double cutoff = 0.0;  ///< Å
    int knots = 0;
    Spline spline = Spline::cubic_b;

    bool operator==(const EdgeShape& o) const noexcept {
        return n_species == o.n_species && cutoff == o.cutoff && knots == o.knots &&
               spline == o.spline;
    }
};

/// Throw the Error `graph_invalid` for edge e from i to j, whose squared length (Å²) is zero or not finite.
[[noreturn]] void refuse_edge(std::int64_t e, int i, int j, double squared);

template <class real>
class Edges {
public:
    /// Check the graph and count the edges within the cutoff. Throws Error `graph_invalid`. Does
    /// nothing when `same_graph`, the graph of the last call, was counted for the same shape.
    void count(const Graph& graph, const EdgeShape& shape, bool same_graph);
    /// Edges of the rows before `row` after count(), row 0..n_local.
    std::int64_t before(int row) const { return before_[row]; }

    /// Fill all arrays but the gradients for the rows first..last-1, unless they are there since
    /// count().
    void build(const Graph& graph, int first, int last);
    /// Set the gradients of these rows to zero. With `zbl`, its energies of the first `n_energies` atoms go
    /// to `atom_energy` [n_local] (added, eV) and their derivatives to the gradients.
    void start(const Graph& graph, const Zbl* zbl, int n_energies, double* atom_energy);
    /// Add the gradients of these rows to forces and virials of `result`, which start from zero
    /// (docs/conventions.md, "Parallel runs"). The gradients are used up.
    void add_forces(const Graph& graph, bool atom_virial, Result& result);
    /// Add column `axis` of the centroid virials (docs/conventions.md, "Per-atom quantities"). `moment`
    /// holds Σ_k x_k[axis] of the gradients of E_k, positions `x` [n_total]; call after `add_forces`,
    /// with all rows built.
    void centroid_virial(const Graph& graph, int axis, const std::vector<double>& x,
                         Buffer<EdgeGradient<real>>& moment, Result& result) const;

    /// Bytes of the arrays over atoms, and of those over `rows` rows with `edges` edges.
    static std::int64_t atom_bytes(std::int64_t n_local, std::int64_t n_total) noexcept;
    static std::int64_t edge_bytes(std::int64_t rows, std::int64_t edges) noexcept;
    std::int64_t bytes() const noexcept;
    void release() noexcept;

    Buffer<std::int64_t> row_start;      ///< [n_local + 1], of the rows first..last
    Buffer<int> neighbor;                ///< [n]
    Buffer<int> neighbor_species;        ///< [n]
    Buffer<EdgeRecord<real>> record;     ///< [n]
    Buffer<EdgeGradient<real>> gradient;  ///< [n] dE/dr̂ and dE/dr, accumulated by the kernels

private:
    void transpose(const Graph& graph);

    EdgeShape shape_;
    int first_ = 0, last_ = 0;             ///< rows built
    bool is_built_ = false, is_transposed_ = false;
    Buffer<std::int64_t> before_;          ///< [n_local + 1]
    Buffer<std::int64_t> incoming_start_;  ///< [n_total + 1]
    Buffer<std::int64_t> incoming_;        ///< [n] edges by their neighbour, in order of the rows
    Buffer<double> row_sums_;              ///< [last - first][9] virial of the rows
};

extern template class Edges<float>;
extern template class Edges<double>;

}  // namespace qdml
