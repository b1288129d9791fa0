// SPDX-License-Identifier: MIT
/// Geometry in fp64, records in the kernels' precision; gathers only, so threads never share a sum.
#include "edges.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace qdml {
namespace {

/// One edge counts when both ends belong to the model and it is shorter than the cutoff.
bool is_inside(const Graph& graph, int i, std::int64_t e, double cutoff_squared) {
    const double* r = graph.edge_vector + 3 * e;
    return r[0] * r[0] + r[1] * r[1] + r[2] * r[2] < cutoff_squared && graph.species[i] >= 0 &&
           graph.species[graph.neighbor[e]] >= 0;
}

[[noreturn]] void refuse_graph(const std::string& message) {
    throw Error("graph_invalid", message);
}

/// Name the first bad edge of a graph in which the parallel pass found one.
void explain(const Graph& graph) {
    for (int i = 0; i < graph.n_local; ++i) {
        for (std::int64_t e = graph.row_start[i]; e < graph.row_start[i + 1]; ++e) {
            const int j = graph.neighbor[e];
            if (j < 0 || j >= graph.n_total) {
                refuse_graph("edge " + std::to_string(e) + " from atom " + std::to_string(i) +
                             " to " + std::to_string(j) + ": no such atom, there are " +
                             std::to_string(graph.n_total));
            }
            const double* r = graph.edge_vector + 3 * e;
            const double squared = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
            if (!(squared >= kClosestSquared) || !std::isfinite(squared)) {
                refuse_edge(e, i, j, squared);
            }
        }
    }
}

}  // namespace

void refuse_edge(std::int64_t e, int i, int j, double squared) {
    refuse_graph("edge " + std::to_string(e) + " from atom " + std::to_string(i) + " to " +
                 std::to_string(j) +
                 (std::isfinite(squared) ? ": two atoms at the same place; remove one of them"
                                         : ": the distance is not finite; the run has blown up"));
}

template <class real>
void Edges<real>::count(const Graph& graph, const EdgeShape& shape, bool same_graph) {
    if (same_graph && shape == shape_) {
        return;
    }
    shape_ = shape;
    is_built_ = false;
    const int n = graph.n_local;
    for (int i = 0; i < graph.n_total; ++i) {
        if (graph.species[i] < -1 || graph.species[i] >= shape_.n_species) {
            refuse_graph("atom " + std::to_string(i) + " has species " +
                         std::to_string(graph.species[i]) + ", the model has 0.." +
                         std::to_string(shape_.n_species - 1));
        }
    }
    if (before_.bytes() > Buffer<std::int64_t>::bytes_for(n + 1)) {
        before_.release();  // of a larger system; release() must keep it
    }
    before_.reserve(n + 1);
    const double squared = shape_.cutoff * shape_.cutoff;
    bool bad = false;
#pragma omp parallel for schedule(static) reduction(|| : bad)
    for (int i = 0; i < n; ++i) {
        std::int64_t count = 0;
        for (std::int64_t e = graph.row_start[i]; e < graph.row_start[i + 1]; ++e) {
            const double* r = graph.edge_vector + 3 * e;
            const double r2 = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
            const int j = graph.neighbor[e];
            if (j < 0 || j >= graph.n_total || !(r2 >= kClosestSquared) || !(r2 < HUGE_VAL)) {
                bad = true;
                break;
            }
            count += is_inside(graph, i, e, squared) ? 1 : 0;
        }
        before_[i + 1] = count;
    }
    if (bad) {
        explain(graph);
    }
    before_[0] = 0;
    for (int i = 0; i < n; ++i) {
        before_[i + 1] += before_[i];
    }
}

template <class real>
void Edges<real>::build(const Graph& graph, int first, int last) {
    if (is_built_ && first == first_ && last == last_) {
        return;
    }
    first_ = first;
    last_ = last;
    is_built_ = false;  // until the arrays are there: any of them may not fit into the memory
    row_start.reserve(graph.n_local + 1);
    const std::int64_t n_edges = before_[last] - before_[first];
    for (int i = first; i <= last; ++i) {
        row_start[i] = before_[i] - before_[first];
    }
    neighbor.reserve(n_edges);
    neighbor_species.reserve(n_edges);
    record.reserve(n_edges);
    gradient.reserve(n_edges);
    const double squared = shape_.cutoff * shape_.cutoff, inverse_spacing = shape_.knots / shape_.cutoff;
#pragma omp parallel for schedule(static)
    for (int i = first; i < last; ++i) {
        std::int64_t to = row_start[i];
        for (std::int64_t e = graph.row_start[i]; e < graph.row_start[i + 1]; ++e) {
            if (!is_inside(graph, i, e, squared)) {
                continue;
            }
            const double* v = graph.edge_vector + 3 * e;
            const double r = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
            neighbor[to] = graph.neighbor[e];
            neighbor_species[to] = graph.species[graph.neighbor[e]];
            set_record(record[to], v, r, shape_.spline, shape_.knots, inverse_spacing);
            ++to;
        }
    }
    is_built_ = true;
    is_transposed_ = false;
}

template <class real>
void Edges<real>::start(const Graph& graph, const Zbl* zbl, int n_energies, double* atom_energy) {
    const bool active = zbl != nullptr && zbl->active();
    const double squared = shape_.cutoff * shape_.cutoff;
#pragma omp parallel for schedule(static)
    for (int i = first_; i < last_; ++i) {
        std::fill_n(gradient.data() + row_start[i], row_start[i + 1] - row_start[i],
                    EdgeGradient<real>{});
        if (!active || i >= n_energies) {
            continue;
        }
        std::int64_t to = row_start[i];
        const int a = graph.species[i];
        for (std::int64_t e = graph.row_start[i]; e < graph.row_start[i + 1]; ++e) {
            if (!is_inside(graph, i, e, squared)) {
                continue;
            }
            const double* v = graph.edge_vector + 3 * e;
            const double r2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
            const int b = graph.species[graph.neighbor[e]];
            const double r_max = zbl->r_max(a, b);
            if (r2 < 1.01 * r_max * r_max && std::sqrt(r2) < r_max) {  // few roots
                const PairTerm pair = (*zbl)(a, b, std::sqrt(r2));
                atom_energy[i] += 0.5 * pair.energy;
                gradient[to].value[3] = static_cast<real>(0.5 * pair.derivative);
            }
            ++to;
        }
    }
}

/// Counting sort by neighbour; within one neighbour the edges keep the order of the rows, so that
/// every sum has one order for any number of threads.
template <class real>
void Edges<real>::transpose(const Graph& graph) {
    if (is_transposed_) {
        return;
    }
    const std::int64_t n_edges = row_start[last_];
    incoming_start_.reserve(graph.n_total + 1);
    incoming_.reserve(n_edges);
    std::int64_t* start = incoming_start_.data();
    std::fill(start, start + graph.n_total + 1, 0);
    for (std::int64_t e = 0; e < n_edges; ++e) {
        ++start[neighbor[e] + 1];
    }
    for (int i = 0; i < graph.n_total; ++i) {
        start[i + 1] += start[i];
    }
    for (std::int64_t e = 0; e < n_edges; ++e) {  // start[j] runs ahead to the start of j + 1
        incoming_[start[neighbor[e]]++] = e;
    }
    for (int i = graph.n_total; i > 0; --i) {
        start[i] = start[i - 1];
    }
    start[0] = 0;
    is_transposed_ = true;
}

template <class real>
void Edges<real>::add_forces(const Graph& graph, bool atom_virial, Result& result) {
    transpose(graph);
    row_sums_.reserve(std::int64_t(last_ - first_) * 9);
#pragma omp parallel for schedule(static)
    for (int i = first_; i < last_; ++i) {
        double sum[3] = {}, virial[9] = {};
        for (std::int64_t e = row_start[i]; e < row_start[i + 1]; ++e) {
            const EdgeRecord<real>& edge = record[e];
            real* g = gradient[e].value;
            to_cartesian(edge, g);
            for (int k = 0; k < 3; ++k) {
                sum[k] += g[k];
            }
            const double r = 1.0 / edge.inverse_r;
            for (int k = 0; k < 9; ++k) {
                virial[k] -= r * edge.direction[k / 3] * g[k % 3];
            }
        }
        for (int k = 0; k < 3; ++k) {
            result.force[static_cast<std::size_t>(i) * 3 + static_cast<std::size_t>(k)] += sum[k];
        }
        for (int k = 0; k < 9; ++k) {
            row_sums_[std::int64_t(i - first_) * 9 + k] = virial[k];
        }
    }
    for (std::int64_t i = 0; i < last_ - first_; ++i) {
        for (int k = 0; k < 9; ++k) {
            result.virial[k] += row_sums_[i * 9 + k];
        }
    }
#pragma omp parallel for schedule(static)
    for (int i = 0; i < graph.n_total; ++i) {
        double sum[3] = {}, virial[9] = {};
        for (std::int64_t k = incoming_start_[i]; k < incoming_start_[i + 1]; ++k) {
            const std::int64_t e = incoming_[k];
            const real* g = gradient[e].value;
            for (int m = 0; m < 3; ++m) {
                sum[m] += g[m];
            }
            if (atom_virial) {
                const double r = 1.0 / record[e].inverse_r;
                for (int m = 0; m < 9; ++m) {
                    virial[m] -= r * record[e].direction[m / 3] * g[m % 3];
                }
            }
        }
        double* f = result.force.data() + static_cast<std::size_t>(i) * 3;
        for (int m = 0; m < 3; ++m) {
            f[m] -= sum[m];
        }
        if (atom_virial) {
            double* w = result.atom_virial.data() + static_cast<std::size_t>(i) * 9;
            const bool own = i >= first_ && i < last_;
            for (int m = 0; m < 9; ++m) {
                w[m] += 0.5 * (virial[m] + (own ? row_sums_[std::int64_t(i - first_) * 9 + m] : 0.0));
            }
        }
    }
}

template <class real>
void Edges<real>::centroid_virial(const Graph& graph, int axis, const std::vector<double>& x,
                                  Buffer<EdgeGradient<real>>& moment, Result& result) const {
    const std::int64_t n_edges = row_start[graph.n_local];
#pragma omp parallel for schedule(static)
    for (std::int64_t e = 0; e < n_edges; ++e) {
        to_cartesian(record[e], moment[e].value);
    }
#pragma omp parallel for schedule(static)
    for (int i = 0; i < graph.n_total; ++i) {
        const double here = x[static_cast<std::size_t>(i)];
        double* w = result.centroid_virial.data() + static_cast<std::size_t>(i) * 9 + 3 * axis;
        // dE_k/dx_i is -dE_k/dr of its own row and +dE_k/dr of the edges that end in i
        const auto add = [&](std::int64_t e, double sign) {
            for (int b = 0; b < 3; ++b) {
                w[b] += sign * (moment[e].value[b] - here * gradient[e].value[b]);
            }
        };
        for (std::int64_t e = i < graph.n_local ? row_start[i] : 0;
             i < graph.n_local && e < row_start[i + 1]; ++e) {
            add(e, -1.0);
        }
        for (std::int64_t k = incoming_start_[i]; k < incoming_start_[i + 1]; ++k) {
            add(incoming_[k], 1.0);
        }
    }
}

template <class real>
std::int64_t Edges<real>::atom_bytes(std::int64_t n_local, std::int64_t n_total) noexcept {
    return 2 * Buffer<std::int64_t>::bytes_for(n_local + 1) +
           Buffer<std::int64_t>::bytes_for(n_total + 1);
}

template <class real>
std::int64_t Edges<real>::edge_bytes(std::int64_t rows, std::int64_t edges) noexcept {
    return 2 * Buffer<int>::bytes_for(edges) + Buffer<EdgeRecord<real>>::bytes_for(edges) +
           Buffer<EdgeGradient<real>>::bytes_for(edges) + Buffer<std::int64_t>::bytes_for(edges) +
           Buffer<double>::bytes_for(rows * 9);
}

template <class real>
std::int64_t Edges<real>::bytes() const noexcept {
    return row_start.bytes() + neighbor.bytes() + neighbor_species.bytes() + record.bytes() +
           gradient.bytes() + before_.bytes() + incoming_start_.bytes() + incoming_.bytes() +
           row_sums_.bytes();
}

/// All but the counts of count(), which the next build() needs.
template <class real>
void Edges<real>::release() noexcept {
    is_built_ = false;
    row_start.release();
    neighbor.release();
    neighbor_species.release();
    record.release();
    gradient.release();
    incoming_start_.release();
    incoming_.release();
    row_sums_.release();
}

template class Edges<float>;
template class Edges<double>;

}  // namespace qdml
