// SPDX-License-Identifier: MIT
/// The neighbour list of a graph on a device, taken over or made there, and the arrays over its edges for a range of
/// rows.
#pragma once

#include <string>
#include <vector>

#include "edges.hpp"
#include "memory.hpp"
#include "model.hpp"

namespace qdml {

/// Rows by what they wait for: `inner` ones have no neighbours among the atoms of other ranks.
enum class Part { all, inner, outer };

template <class real>
class DeviceList {
public:
    DeviceList(const Model& model, const EdgeShape& shape, DeviceContext& context);

    /// Take over species and neighbours of `graph`, or make its list. True if they differ from those before: then
    /// addresses and counts do too. Throws Error `graph_invalid` for what cannot be a graph.
    bool take(const Graph& graph);
    /// Changes with every list.
    std::int64_t version() const noexcept { return version_; }
    /// Do two lists make the same edges, with the same start of their gradients, of any graph?
    bool makes_same_edges(const DeviceList& other) const;
    /// Arrays over edges are for these rows from now on; their vectors, or all positions, are copied to the device.
    void hold(const Graph& graph, int first, int last);
    /// Divide the rows of this list; arrival: Routes::arrival, on the device.
    void put_inner_first(const int* arrival);
    /// Rows of messages() from now on, where all are held.
    void choose(Part part) noexcept { part_ = part; }
    Part part() const noexcept { return part_; }
    /// Throw the Error `graph_invalid` that says what is wrong with edge e of the list.
    [[noreturn]] void explain(const Graph& graph, std::int64_t e) const;
    /// Rows of owners of the ghosts, or null.
    const int* owner() const noexcept { return has_owner_ ? owner_.data() : nullptr; }
    /// Room for chunks of at most this many edges.
    void reserve(std::int64_t n_edges);

    int n_local() const noexcept { return n_local_; }
    int n_total() const noexcept { return n_total_; }
    /// Edges of the rows before `row`.
    std::int64_t before(int row) const { return row_start_[static_cast<std::size_t>(row)]; }
    /// Edges of the rows that are held, the first of them, and their number.
    std::int64_t first_edge() const noexcept { return first_edge_; }
    std::int64_t n_held() const { return before(last_) - first_edge_; }
    /// Local atoms of the model sorted by species, and where each species starts [S + 1].
    const int* order() const noexcept { return order_.data(); }
    const std::vector<int>& species_start() const noexcept { return species_start_; }
    const int* species() const noexcept { return device_species_.data(); }

    DeviceEdges<real> edges(double* atom_energy) const;
    DeviceForces<real> forces(double* row_virial, double* force, double* atom_virial) const;
    DeviceMessages<real> messages(const real* table, std::int64_t n_knots, int n_blocks, bool by_species) const;
    int first_held() const noexcept { return first_; }
    int n_held_rows() const noexcept { return last_ - first_; }
    EdgeGradient<real>* gradient() const { return gradient_.data() - first_edge_; }
    const std::int64_t* list_start() const noexcept { return list_start_.data(); }
    const std::int64_t* row_end() const noexcept { return row_end_.data(); }
    int* bad_edge() const noexcept { return bad_edge_.data(); }

    /// Bytes for lists that come in the way of the present one; edges are those of the list, with skin.
    std::int64_t atom_bytes(std::int64_t n_local, std::int64_t n_total, std::int64_t n_edges) const noexcept;
    std::int64_t edge_bytes(std::int64_t n_edges) const noexcept;
    std::int64_t bytes() const noexcept;
    void release_edges() noexcept;

private:
    void check_species(const Graph& graph) const;
    void check_list(const Graph& graph) const;
    bool take_list(const Graph& graph);
    bool make_list(const Graph& graph);
    CellGrid make_grid(const Graph& graph) const;
    void take_atoms(const Graph& graph);
    void turn_list(std::int64_t n_list);
    void sort_by_species();
    void upload_positions(const Graph& graph);

    DeviceContext& context_;
    EdgeShape shape_;
    std::vector<std::string> symbols_;  ///< of the species
    int n_local_ = -1, n_total_ = -1;
    std::int64_t list_number_ = 0, version_ = 0;
    bool is_made_ = false, has_owner_ = false;  ///< here, from positions; ghosts have owners on this rank
    std::vector<int> species_, neighbor_;
    std::vector<std::int64_t> row_start_;
    std::vector<int> species_start_;
    int first_ = 0, last_ = 0;
    std::int64_t first_edge_ = 0;

    std::vector<double> host_zbl_;  ///< r_max, charge, 1/a
    DeviceBuffer<double> zbl_;
    std::int64_t n_zbl_ = 0;
    DeviceBuffer<int> device_species_, order_, device_neighbor_, incoming_, scratch_, bad_edge_;
    DeviceBuffer<std::int64_t> list_start_, incoming_start_, row_end_;
    DeviceBuffer<int> owner_, row_order_, cell_, cell_atoms_, part_code_;
    int n_cells_ = 1;          ///< numbers in cell_, if the list was made here
    bool is_ordered_ = false;  ///< row_order_ is of this list
    int n_inner_ = 0;          ///< the first of them
    Part part_ = Part::all;
    DeviceBuffer<std::int64_t> cell_start_;
    PinnedBuffer<double> staged_;
    DeviceBuffer<double> vector_, position_, distance_;
    DeviceBuffer<int> slot_, other_, other_species_;
    DeviceBuffer<EdgeRecord<real>> record_;
    DeviceBuffer<EdgeGradient<real>> gradient_;
};

extern template class DeviceList<float>;
extern template class DeviceList<double>;

}  // namespace qdml
