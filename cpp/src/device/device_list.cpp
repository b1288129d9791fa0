// SPDX-License-Identifier: MIT
/// The list goes to the device when it changes, or is made there; distances follow in every step.
#include "device_list.hpp"

#include <algorithm>
#include <climits>
#include <cmath>

#include "zbl.hpp"

namespace qdml {

template <class real>
DeviceList<real>::DeviceList(const Model& model, const EdgeShape& shape, DeviceContext& context)
    : context_(context),
      shape_(shape),
      symbols_(model.info.species),
      zbl_(context),
      device_species_(context),
      order_(context),
      device_neighbor_(context),
      incoming_(context),
      scratch_(context),
      bad_edge_(context),
      list_start_(context),
      incoming_start_(context),
      row_end_(context),
      owner_(context),
      row_order_(context),
      cell_(context),
      cell_atoms_(context),
      part_code_(context),
      cell_start_(context),
      staged_(context),
      vector_(context),
      position_(context),
      distance_(context),
      slot_(context),
      other_(context),
      other_species_(context),
      record_(context),
      gradient_(context) {
    bad_edge_.reserve(1);
    if (!model.has_zbl()) return;
    const Zbl zbl(model.info.species, model.tensor("zbl.r_max"));
    host_zbl_ = zbl.r_max();
    n_zbl_ = static_cast<std::int64_t>(host_zbl_.size());
    host_zbl_.insert(host_zbl_.end(), zbl.charge().begin(), zbl.charge().end());
    host_zbl_.insert(host_zbl_.end(), zbl.inverse_a().begin(), zbl.inverse_a().end());
    zbl_.upload(host_zbl_.data(), 3 * n_zbl_);
    context_.synchronize();
}

template <class real>
bool DeviceList<real>::makes_same_edges(const DeviceList& other) const {
    return shape_ == other.shape_ && symbols_ == other.symbols_ && host_zbl_ == other.host_zbl_;
}

template <class real>
void DeviceList<real>::check_species(const Graph& graph) const {
    for (int i = 0; i < graph.n_total; ++i) {
        if (graph.species[i] < -1 || graph.species[i] >= shape_.n_species) {
            throw Error("graph_invalid", "atom " + std::to_string(i) + " has species " +
                                             std::to_string(graph.species[i]) + ", the model has 0.." +
                                             std::to_string(shape_.n_species - 1));
        }
    }
    for (int i = 0; graph.owner != nullptr && i < graph.n_total - graph.n_local; ++i) {
        if (graph.owner[i] < 0 || graph.owner[i] >= graph.n_local) {
            throw Error("graph_invalid", "ghost " + std::to_string(graph.n_local + i) + " has owner " +
                                             std::to_string(graph.owner[i]) + ", there are " +
                                             std::to_string(graph.n_local) + " local atoms");
        }
    }
}

/// What would make kernels read past their arrays; distances are looked at on the device.
template <class real>
void DeviceList<real>::check_list(const Graph& graph) const {
    for (int i = 0; i < graph.n_local; ++i) {
        for (std::int64_t e = graph.row_start[i]; e < graph.row_start[i + 1]; ++e) {
            if (graph.neighbor[e] < 0 || graph.neighbor[e] >= graph.n_total) {
                throw Error("graph_invalid", "edge " + std::to_string(e) + " from atom " + std::to_string(i) + " to " +
                                                 std::to_string(graph.neighbor[e]) + ": no such atom, there are " +
                                                 std::to_string(graph.n_total));
            }
        }
    }
}

template <class real>
bool DeviceList<real>::take(const Graph& graph) {
    const bool has_list = graph.row_start != nullptr || graph.n_local == 0;
    return has_list ? take_list(graph) : make_list(graph);
}

template <class real>
void DeviceList<real>::take_atoms(const Graph& graph) {
    n_local_ = graph.n_local;
    n_total_ = graph.n_total;
    species_.assign(graph.species, graph.species + n_total_);
    device_species_.upload(species_.data(), n_total_);
    has_owner_ = graph.owner != nullptr;
    if (has_owner_) {
        owner_.upload(graph.owner, n_total_ - n_local_);
        context_.synchronize();  // the caller's array may go
    }
    sort_by_species();
}

template <class real>
bool DeviceList<real>::take_list(const Graph& graph) {
    const auto n_rows = static_cast<std::size_t>(graph.n_local) + 1, n_total = static_cast<std::size_t>(graph.n_total);
    const std::int64_t none = 0;
    const std::int64_t* start = graph.n_local > 0 ? graph.row_start : &none;
    const auto n_edges = static_cast<std::size_t>(start[graph.n_local]);
    if (!is_made_ && !has_owner_ && graph.owner == nullptr && graph.n_local == n_local_ && graph.n_total == n_total_ &&
        n_edges == neighbor_.size() && std::equal(start, start + n_rows, row_start_.begin()) &&
        std::equal(graph.species, graph.species + n_total, species_.begin()) &&
        std::equal(graph.neighbor, graph.neighbor + n_edges, neighbor_.begin())) {
        return false;
    }
    check_species(graph);
    check_list(graph);
    n_local_ = -1;  // no list, should anything below fail
    ++version_;
    row_start_.assign(start, start + n_rows);
    neighbor_.assign(graph.neighbor, graph.neighbor + n_edges);
    list_start_.upload(row_start_.data(), graph.n_local + 1);
    device_neighbor_.upload(neighbor_.data(), static_cast<std::int64_t>(n_edges));
    take_atoms(graph);
    is_made_ = is_ordered_ = false;
    turn_list(static_cast<std::int64_t>(n_edges));
    return true;
}

/// Bounding box in cells at least as wide as the reach, not many more cells than atoms.
template <class real>
CellGrid DeviceList<real>::make_grid(const Graph& graph) const {
    double low[3] = {0, 0, 0}, high[3] = {0, 0, 0};
    for (int i = 0; i < graph.n_total; ++i) {
        for (int axis = 0; axis < 3; ++axis) {
            const double x = graph.position[3ll * i + axis];
            if (!std::isfinite(x)) {
                throw Error("graph_invalid",
                            "position of atom " + std::to_string(i) + " is not finite; the run has blown up");
            }
            low[axis] = i > 0 ? std::min(low[axis], x) : x;
            high[axis] = i > 0 ? std::max(high[axis], x) : x;
        }
    }
    CellGrid grid = {};
    double width = shape_.cutoff + graph.skin;
    for (;; width *= 1.26) {  // twice the volume
        double n_cells = 1;
        for (int axis = 0; axis < 3; ++axis) {
            const double n = std::floor((high[axis] - low[axis]) / width);
            grid.low[axis] = low[axis];
            grid.cells[axis] = static_cast<int>(std::min(std::max(n, 1.0), 1024.0));
            grid.inverse_width[axis] = grid.cells[axis] / std::max(high[axis] - low[axis], width);
            grid.bits[axis] = 0;
            while ((1 << grid.bits[axis]) < grid.cells[axis]) ++grid.bits[axis];
            n_cells *= 1 << grid.bits[axis];
        }
        if (n_cells <= std::max(64.0, 2.0 * graph.n_total)) return grid;
    }
}

template <class real>
void DeviceList<real>::upload_positions(const Graph& graph) {
    const std::int64_t n = 3ll * graph.n_total;
    context_.synchronize();  // an earlier copy may still read the staged numbers
    staged_.reserve(n);
    std::copy_n(graph.position, n, staged_.data());
    position_.upload(staged_.data(), n);
}

template <class real>
bool DeviceList<real>::make_list(const Graph& graph) {
    if (graph.list_number == list_number_ && is_made_ && graph.n_local == n_local_ && graph.n_total == n_total_ &&
        has_owner_ == (graph.owner != nullptr)) {
        return false;
    }
    check_species(graph);
    DeviceNeighbors d = {};
    d.grid = make_grid(graph);
    n_local_ = -1;
    ++version_;
    take_atoms(graph);
    upload_positions(graph);
    const auto& call = context_.call();
    const int bits = d.grid.bits[0] + d.grid.bits[1] + d.grid.bits[2], n_cells = 1 << bits;
    n_cells_ = n_cells;
    cell_.reserve(n_total_);
    cell_atoms_.reserve(n_total_);
    row_order_.reserve(n_local_);
    cell_start_.reserve(n_cells + 1);
    scratch_.reserve(n_cells + n_total_);
    list_start_.reserve(n_local_ + 1);
    const char* what = "making the neighbour list";
    context_.check(call.cells(context_.stream(), d.grid, n_total_, position_.data(), cell_.data()), what);
    // local atoms in the order of cells, then all
    context_.check(call.transpose(context_.stream(), n_cells, n_local_, cell_.data(), cell_start_.data(),
                                  row_order_.data(), scratch_.data()),
                   what);
    context_.check(call.transpose(context_.stream(), n_cells, n_total_, cell_.data(), cell_start_.data(),
                                  cell_atoms_.data(), scratch_.data()),
                   what);
    d.n_local = n_local_;
    d.reach = shape_.cutoff + graph.skin;
    d.position = position_.data();
    d.species = device_species_.data();
    d.cell_start = cell_start_.data();
    d.cell_atoms = cell_atoms_.data();
    context_.check(call.count_neighbors(context_.stream(), d, list_start_.data()), what);
    row_start_.resize(static_cast<std::size_t>(n_local_) + 1);
    list_start_.download(row_start_.data(), n_local_ + 1);
    context_.synchronize();
    const std::int64_t n_list = row_start_.back();
    device_neighbor_.reserve(n_list);
    context_.check(call.fill_neighbors(context_.stream(), d, list_start_.data(), device_neighbor_.data()), what);
    neighbor_.clear();
    is_made_ = is_ordered_ = true;
    list_number_ = graph.list_number;
    turn_list(n_list);
    return true;
}

/// Within both parts in the order of cells, where there are any.
template <class real>
void DeviceList<real>::put_inner_first(const int* arrival) {
    const auto& call = context_.call();
    const int n_cells = is_made_ ? n_cells_ : 1;
    part_code_.reserve(n_local_);
    row_order_.reserve(n_local_);
    cell_start_.reserve(2ll * n_cells + 1);
    scratch_.reserve(2ll * n_cells + n_local_);
    const char* what = "ordering the rows";
    const auto bytes = static_cast<std::size_t>(n_local_) * sizeof(int);
    if (n_local_ > 0) {
        context_.check(is_made_ ? call.copy(context_.stream(), part_code_.data(), cell_.data(), bytes)
                                : call.fill(context_.stream(), part_code_.data(), 0, bytes),
                       what);
    }
    context_.check(call.mark_outer(context_.stream(), n_local_, list_start_.data(), device_neighbor_.data(), arrival,
                                   n_cells, part_code_.data()),
                   what);
    context_.check(call.transpose(context_.stream(), 2 * n_cells, n_local_, part_code_.data(), cell_start_.data(),
                                  row_order_.data(), scratch_.data()),
                   what);
    std::int64_t n_inner = 0;
    context_.check(call.to_host(context_.stream(), &n_inner, cell_start_.data() + n_cells, sizeof n_inner), what);
    context_.synchronize();
    n_inner_ = static_cast<int>(n_inner);
    is_ordered_ = true;
}

/// The same edges by their neighbour.
template <class real>
void DeviceList<real>::turn_list(std::int64_t n_list) {
    if (n_list + n_total_ >= INT_MAX) {
        n_local_ = -1;
        throw Error("graph_invalid",
                    std::to_string(n_list) + " edges are more than one GPU can number; divide the atoms among more");
    }
    row_end_.reserve(n_local_);
    incoming_start_.reserve(n_total_ + 1);
    incoming_.reserve(n_list);
    scratch_.reserve(n_total_ + n_list);
    context_.check(
        context_.call().transpose(context_.stream(), n_total_, static_cast<int>(n_list), device_neighbor_.data(),
                                  incoming_start_.data(), incoming_.data(), scratch_.data()),
        "turning the neighbour list");
    context_.synchronize();
}

template <class real>
void DeviceList<real>::explain(const Graph& graph, std::int64_t e) const {
    int j = 0;
    context_.check(context_.call().to_host(context_.stream(), &j, device_neighbor_.data() + e, sizeof j),
                   "copying from the device");
    context_.synchronize();
    const auto i =
        static_cast<std::int64_t>(std::upper_bound(row_start_.begin(), row_start_.end(), e) - row_start_.begin() - 1);
    double squared = 0;
    for (int k = 0; k < 3; ++k) {
        const double r =
            is_made_ ? graph.position[3ll * j + k] - graph.position[3 * i + k] : graph.edge_vector[3 * e + k];
        squared += r * r;
    }
    refuse_edge(e, static_cast<int>(i), j, squared);
}

template <class real>
void DeviceList<real>::sort_by_species() {
    std::vector<int> order;
    species_start_.assign(1, 0);
    for (int s = 0; s < shape_.n_species; ++s) {
        for (int i = 0; i < n_local_; ++i) {
            if (species_[static_cast<std::size_t>(i)] == s) order.push_back(i);
        }
        species_start_.push_back(static_cast<int>(order.size()));
    }
    order_.upload(order.data(), static_cast<std::int64_t>(order.size()));
    context_.synchronize();  // `order` ends here
}

template class DeviceList<float>;
template class DeviceList<double>;

}  // namespace qdml
