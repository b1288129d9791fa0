// SPDX-License-Identifier: MIT
/// Arrays over the edges of a range of rows on the device: sizes, addresses for the kernels.
#include "device_list.hpp"

#include <algorithm>

namespace qdml {

template <class real>
void DeviceList<real>::reserve(std::int64_t n_edges) {
    if (is_made_) {
        position_.reserve(3ll * n_total_);
    } else {
        staged_.reserve(3 * n_edges);
        vector_.reserve(3 * n_edges);
    }
    distance_.reserve(n_edges);
    slot_.reserve(n_edges);
    other_.reserve(n_edges);
    other_species_.reserve(n_edges);
    record_.reserve(n_edges);
    gradient_.reserve(n_edges);
}

template <class real>
void DeviceList<real>::hold(const Graph& graph, int first, int last) {
    first_ = first;
    last_ = last;
    first_edge_ = before(first);
    if (is_made_) {
        if (first == 0) upload_positions(graph);
        return;
    }
    const std::int64_t n = before(last) - first_edge_;
    context_.synchronize();  // an earlier copy may still read the staged vectors
    std::copy_n(graph.edge_vector + 3 * first_edge_, 3 * n, staged_.data());
    vector_.upload(staged_.data(), 3 * n);
}

template <class real>
DeviceEdges<real> DeviceList<real>::edges(double* atom_energy) const {
    DeviceEdges<real> d = {};
    d.first = first_;
    d.n_rows = last_ - first_;
    d.n_species = shape_.n_species;
    d.species = device_species_.data();
    d.list_start = list_start_.data();
    d.neighbor = device_neighbor_.data();
    d.vector = is_made_ ? nullptr : vector_.data() - 3 * first_edge_;
    d.position = position_.data();
    d.cutoff = shape_.cutoff;
    d.knots = shape_.knots;
    d.spline = shape_.spline;
    if (n_zbl_ > 0) {
        d.zbl_r_max = zbl_.data();
        d.zbl_charge = zbl_.data() + n_zbl_;
        d.zbl_inverse_a = zbl_.data() + 2 * n_zbl_;
    }
    d.distance = distance_.data() - first_edge_;
    d.row_end = row_end_.data();
    d.slot = slot_.data() - first_edge_;
    d.other = other_.data() - first_edge_;
    d.other_species = other_species_.data() - first_edge_;
    d.record = record_.data() - first_edge_;
    d.gradient = gradient();
    d.atom_energy = atom_energy;
    d.bad_edge = bad_edge_.data();
    return d;
}

template <class real>
DeviceForces<real> DeviceList<real>::forces(double* row_virial, double* force, double* atom_virial) const {
    DeviceForces<real> f = {};
    f.n_local = n_local_;
    f.n_total = n_total_;
    f.first = first_;
    f.n_rows = last_ - first_;
    f.first_edge = first_edge_;
    f.last_edge = before(last_);
    f.list_start = list_start_.data();
    f.row_end = row_end_.data();
    f.slot = slot_.data() - first_edge_;
    f.incoming_start = incoming_start_.data();
    f.incoming = incoming_.data();
    f.record = record_.data() - first_edge_;
    f.gradient = gradient();
    f.row_virial = row_virial;
    f.force = force;
    f.atom_virial = atom_virial;
    return f;
}

template <class real>
DeviceMessages<real> DeviceList<real>::messages(const real* table, std::int64_t n_knots, int n_blocks,
                                                bool by_species) const {
    const int* other = by_species ? other_species_.data() : other_.data();
    DeviceMessages<real> m = {{list_start_.data(), other - first_edge_, record_.data() - first_edge_, table, n_knots,
                               n_blocks},
                              row_end_.data(),
                              first_,
                              last_ - first_,
                              nullptr};
    if (!is_ordered_ || last_ - first_ != n_local_) return m;
    m.order = row_order_.data() + (part_ == Part::outer ? n_inner_ : 0);
    if (part_ == Part::inner) m.n_rows = n_inner_;
    if (part_ == Part::outer) m.n_rows = n_local_ - n_inner_;
    return m;
}

template <class real>
std::int64_t DeviceList<real>::atom_bytes(std::int64_t n_local, std::int64_t n_total,
                                          std::int64_t n_edges) const noexcept {
    using I = DeviceBuffer<int>;
    using L = DeviceBuffer<std::int64_t>;
    const std::int64_t sum = I::bytes_for(n_total) + I::bytes_for(n_local) + 2 * I::bytes_for(n_edges) +
                             L::bytes_for(n_local + 1) + L::bytes_for(n_local) + L::bytes_for(n_total + 1);
    if (!is_made_) return sum + I::bytes_for(n_total + n_edges);
    // positions, cells and what is in them, the order of the rows, owners
    const std::int64_t n_cells = n_total == n_total_ ? n_cells_ : std::max<std::int64_t>(64, 2 * n_total);
    return sum + I::bytes_for(n_total + std::max(n_cells, n_edges)) + DeviceBuffer<double>::bytes_for(3 * n_total) +
           L::bytes_for(n_cells + 1) + 2 * I::bytes_for(n_total) + I::bytes_for(n_local) +
           (has_owner_ ? I::bytes_for(n_total - n_local) : 0);
}

template <class real>
std::int64_t DeviceList<real>::edge_bytes(std::int64_t n_edges) const noexcept {
    return (is_made_ ? 0 : DeviceBuffer<double>::bytes_for(3 * n_edges)) + DeviceBuffer<double>::bytes_for(n_edges) +
           3 * DeviceBuffer<int>::bytes_for(n_edges) + DeviceBuffer<EdgeRecord<real>>::bytes_for(n_edges) +
           DeviceBuffer<EdgeGradient<real>>::bytes_for(n_edges);
}

template <class real>
std::int64_t DeviceList<real>::bytes() const noexcept {
    return device_species_.bytes() + order_.bytes() + device_neighbor_.bytes() + incoming_.bytes() + scratch_.bytes() +
           list_start_.bytes() + incoming_start_.bytes() + row_end_.bytes() + owner_.bytes() + row_order_.bytes() +
           cell_.bytes() + cell_atoms_.bytes() + part_code_.bytes() + cell_start_.bytes() + vector_.bytes() +
           position_.bytes() + distance_.bytes() + slot_.bytes() + other_.bytes() + other_species_.bytes() +
           record_.bytes() + gradient_.bytes();
}

template <class real>
void DeviceList<real>::release_edges() noexcept {
    staged_.release();
    vector_.release();
    distance_.release();
    slot_.release();
    other_.release();
    other_species_.release();
    record_.release();
    gradient_.release();
}
template class DeviceList<float>;
template class DeviceList<double>;

}  // namespace qdml
