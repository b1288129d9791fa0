// SPDX-License-Identifier: MIT
/// Runs the kernels of paths over tiles of rows: harmonics once per tile, a coupling matrix per path.
#include "path_messages.hpp"

#include <algorithm>

#include "qdml/engine.hpp"

namespace qdml {
namespace {

constexpr int kRows = 8;       ///< of a tile: its coupling matrices stay in the cache
constexpr int kMostParts = 8;  ///< tables that are summed at the end

}  // namespace

/// Some rows, their edges, and Y and M of these edges: with duals their derivatives behind them.
template <class real>
struct PathMessages<real>::Tile {
    int first, n;
    std::int64_t n_edges, stride;
    bool dual;
    DualPathConvolution<real> convolution;
    Buffer<real> harmonics, coupling;
};

/// Where one block of 16 channels of a path lies; offsets in numbers.
template <class real>
struct PathMessages<real>::Place {
    int l_in, l_edge, l_out;
    std::int64_t sent, sum;  ///< in the rows of atoms
    std::int64_t table;
};

template <class real>
PathMessages<real>::PathMessages(const PathShape& shape, double cutoff, const EdgePlan<real>& plan,
                                 const Parallel& parallel)
    : shape_(shape),
      knots_{Spline::hermite, shape.knots, cutoff},
      plan_(plan),
      parallel_(parallel),
      kernels_(choose_kernels<real>()),
      width_in_(shape.width_in()),
      width_out_(shape.width_out()),
      table_of_{shape.channels(), 2 * (std::int64_t(shape.knots) + 1)} {
    if (!has_path_messages(shape)) {
        throw Error("layer_unavailable", "a layer of Clebsch-Gordan paths has no kernels of training");
    }
    for (const auto& path : shape_.paths) {
        const int l_in = shape_.sent[static_cast<std::size_t>(path.part)].degree;
        widest_ = std::max(widest_, (2 * l_in + 1) * (2 * path.sum.degree + 1));
    }
    rows_.reserve(shape.n_atoms);
    for (int i = 0; i < shape.n_atoms; ++i) rows_[i] = i;
}

template <class real>
void PathMessages<real>::pack_table(const real* table) {
    table_.reserve(table_of_.total());
    table_of_.pack(parallel_, table, table_.data());
}

template <class real>
void PathMessages<real>::pack_features(const real* sent, real* to) const {
    for_groups(parallel_, shape_.n_atoms, kRows, [&](int first, int last) {
        for (std::int64_t i = first; i < last; ++i) {
            for (const auto& part : shape_.sent) {
                const std::int64_t at = i * width_in_ + part.offset;
                part.pack(sent + at, real(1), to + at);
            }
        }
    });
}

template <class real>
void PathMessages<real>::pack_plain(const real* sent) {
    features_.reserve(shape_.n_atoms * width_in_);
    pack_features(sent, features_.data());
}

template <class real>
void PathMessages<real>::pack_duals(const real* sent, const Direction<real>& u) {
    const std::int64_t n = shape_.n_atoms * width_in_;
    Buffer<real> value, derivative;
    value.reserve(n);
    derivative.reserve(n);
    features_.reserve(2 * n);
    pack_features(sent, value.data());
    pack_features(u.u_sent, derivative.data());
    make_duals(shape_.n_atoms, width_in_, value.data(), derivative.data(), kernels_.training,
               parallel_, features_.data());
}

/// G as the backward kernels gather it. The sender meets the edge the other way round, where the
/// harmonics have the sign (-1)^l.
template <class real>
void PathMessages<real>::pack_gradient(const real* g) {
    gradient_.reserve(shape_.n_atoms * width_out_);
    for_groups(parallel_, shape_.n_atoms, kRows, [&](int first, int last) {
        for (std::int64_t i = first; i < last; ++i) {
            for (const auto& path : shape_.paths) {
                const std::int64_t at = i * width_out_ + path.sum.offset;
                path.sum.pack(g + at, real(path.l_edge % 2 ? -1 : 1), gradient_.data() + at);
            }
        }
    });
}

template <class real>
typename PathMessages<real>::Tile PathMessages<real>::tile(const Rows& rows, bool dual, int first,
                                                           int last) const {
    Tile t;
    const std::int64_t begin = rows.row_start[first];
    t.first = first;
    t.n = last - first;
    t.n_edges = rows.row_start[last] - begin;
    t.stride = (t.n_edges + kBlock - 1) / kBlock * kBlock;
    t.dual = dual;
    const int n = dual ? 2 : 1;
    t.harmonics.reserve(n * kHarmonics * t.stride);
    t.coupling.reserve(n * widest_ * t.stride);
    real *y = t.harmonics.data(), *m = t.coupling.data();
    t.convolution = {{rows.row_start, rows.other, rows.record, begin, m, t.stride, nullptr},
                     dual ? records_.data() : nullptr,
                     m + widest_ * t.stride};
    if (dual) {
        kernels_.path_training.dual_harmonics(
            t.n_edges, records_.data() + begin * kernels_.training.dual_record_bytes, t.stride, y,
            y + kHarmonics * t.stride);
    } else {
        kernels_.paths.harmonics(t.n_edges, rows.record + begin, t.stride, y);
    }
    return t;
}

template <class real>
void PathMessages<real>::couple(Tile& t, const Place& p) const {
    const auto kernel = kernels_.paths.path[p.l_in][p.l_edge][p.l_out].couple;
    kernel(t.n_edges, t.harmonics.data(), t.stride, t.coupling.data());
    if (t.dual) {
        kernel(t.n_edges, t.harmonics.data() + kHarmonics * t.stride, t.stride,
               t.coupling.data() + widest_ * t.stride);
    }
}

/// body(place) for every block of every path, with M of the path and the table of the block in place.
template <class real>
template <class Body>
void PathMessages<real>::for_blocks(Tile& t, const Body& body) const {
    for (const auto& path : shape_.paths) {
        const auto& part = shape_.sent[static_cast<std::size_t>(path.part)];
        Place p = {part.degree, path.l_edge, path.sum.degree, part.offset, path.sum.offset,
                   path.first_channel / kBlock * table_of_.size()};
        couple(t, p);
        for (int block = 0; block < part.channels / kBlock; ++block) {
            t.convolution.plain.table = table_.data() + p.table;
            body(p);
            p.sent += (2 * p.l_in + 1) * kBlock;
            p.sum += (2 * p.l_out + 1) * kBlock;
            p.table += table_of_.size();
        }
    }
}

template <class real>
template <class Kernel, class Convolution>
void PathMessages<real>::run_forward(const Kernel& kernel, const Convolution& c, const Tile& t,
                                     const Place& p, real* out) const {
    kernel(c, rows_.data() + t.first, t.n, features_.data() + (t.dual ? 2 : 1) * p.sent, width_in_,
           out, width_out_);
}

/// `kept`: what the kernel keeps of the edges, moments or a table.
template <class real>
template <class Kernel, class Convolution>
void PathMessages<real>::run_backward(const Kernel& kernel, const Convolution& c, const Tile& t,
                                      const Place& p, real* out, real* kept) const {
    kernel(c, rows_.data() + t.first, t.n, features_.data() + (t.dual ? 2 : 1) * p.sent, width_in_,
           gradient_.data() + p.sum, width_out_, out, width_in_, kept);
}

template <class real>
template <class Kernel>
void PathMessages<real>::sum_receivers(bool dual, const Kernel& kernel, real* received) {
    for_groups(parallel_, shape_.n_atoms, kRows, [&](int first, int last) {
        Tile t = tile(plan_.receivers, dual, first, last);
        Buffer<real> sums;
        sums.reserve(t.n * width_out_);
        for_blocks(t, [&](const Place& p) { kernel(t, p, sums.data() + p.sum); });
        for (std::int64_t i = 0; i < t.n; ++i) {
            for (const auto& path : shape_.paths) {
                path.sum.unpack(sums.data() + i * width_out_ + path.sum.offset,
                                received + (first + i) * width_out_ + path.sum.offset);
            }
        }
    });
}

/// The gradient in the features of a tile's senders: `kernel` adds to rows of width_in_.
template <class real>
template <class Kernel>
void PathMessages<real>::sum_senders(Tile& t, const Kernel& kernel, real* grad_sent) const {
    Buffer<real> sums;
    sums.reserve(t.n * width_in_);
    std::fill_n(sums.data(), t.n * width_in_, real(0));
    for_blocks(t, [&](const Place& p) { kernel(p, sums.data() + p.sent); });
    for (std::int64_t i = 0; i < t.n; ++i) {
        for (const auto& part : shape_.sent) {
            part.unpack(sums.data() + i * width_in_ + part.offset,
                        grad_sent + (t.first + i) * width_in_ + part.offset);
        }
    }
}

template <class real>
template <class Kernel>
void PathMessages<real>::sum_tables(bool dual, const Kernel& kernel, real* grad_sent,
                                    real* grad_table) {
    // parts of the rows, each with a table of its own, do not depend on the number of threads
    const int tiles = (shape_.n_atoms + kRows - 1) / kRows;
    const int parts = std::clamp(tiles, 1, kMostParts);
    const std::int64_t size = table_of_.total();
    Buffer<real> tables;
    tables.reserve(size * parts);
    for_groups(parallel_, parts, 1, [&](std::int64_t part, int) {
        real* own = tables.data() + part * size;
        std::fill_n(own, size, real(0));
        for (auto k = tiles * part / parts; k < tiles * (part + 1) / parts; ++k) {
            const int first = static_cast<int>(k) * kRows;
            Tile t = tile(plan_.senders, dual, first, std::min(first + kRows, shape_.n_atoms));
            sum_senders(t, [&](const Place& p, real* out) { kernel(t, p, out, own + p.table); },
                        grad_sent);
        }
    });
    table_of_.sum_parts(parallel_, tables.data(), parts, table_of_.rows, grad_table);
}

template <class real>
template <class Kernel, class ToVectors>
void PathMessages<real>::sum_edges(bool dual, const Kernel& kernel, const ToVectors& to_vectors,
                                   real* grad_sent, real* grad_vector) {
    const std::int64_t n_vectors = 3 * std::int64_t(shape_.n_atoms) * shape_.n_slots;
    std::fill_n(grad_vector, n_vectors, real(0));  // of the empty slots
    const Rows& rows = plan_.senders;
    for_groups(parallel_, shape_.n_atoms, kRows, [&](int first, int last) {
        Tile t = tile(rows, dual, first, last);
        const std::int64_t n_moments = (dual ? 2 : 1) * t.n_edges * kMoments;
        Buffer<real> moments, vectors;
        moments.reserve(n_moments);
        std::fill_n(moments.data(), n_moments, real(0));
        sum_senders(t, [&](const Place& p, real* out) { kernel(t, p, out, moments.data()); },
                    grad_sent);
        vectors.reserve(3 * t.n_edges);
        const std::int64_t begin = rows.row_start[first];
        to_vectors(begin, t.n_edges, moments.data(), vectors.data());
        for (std::int64_t e = 0; e < t.n_edges; ++e) {
            for (int k = 0; k < 3; ++k) {  // the row has -vector
                grad_vector[3 * std::int64_t(rows.slot[begin + e]) + k] = -vectors[3 * e + k];
            }
        }
    });
}

template <class real>
void PathMessages<real>::forward(const real* sent, const real* table, real* received) {
    pack_table(table);
    pack_plain(sent);
    sum_receivers(false, [&](const Tile& t, const Place& p, real* out) {
        run_forward(kernels_.paths.path[p.l_in][p.l_edge][p.l_out].forward, t.convolution.plain, t,
                    p, out);
    }, received);
}

template <class real>
void PathMessages<real>::tangent(const Direction<real>& u, const real* sent, const real* table,
                                 real* received) {
    pack_table(table);
    pack_duals(sent, u);
    make_dual_records(plan_.receivers, shape_.n_atoms, u, 1.0, knots_, kernels_.training, parallel_,
                      records_);
    sum_receivers(true, [&](const Tile& t, const Place& p, real* out) {
        run_forward(kernels_.path_training.path[p.l_in][p.l_edge][p.l_out].dual_forward,
                    t.convolution, t, p, out);
    }, received);
}

template <class real>
void PathMessages<real>::table_gradient(const real* sent, const real* table, const real* g,
                                        real* grad_sent, real* grad_table) {
    pack_table(table);
    pack_plain(sent);
    pack_gradient(g);
    sum_tables(false, [&](const Tile& t, const Place& p, real* out, real* own) {
        run_backward(kernels_.path_training.path[p.l_in][p.l_edge][p.l_out].table,
                     t.convolution.plain, t, p, out, own);
    }, grad_sent, grad_table);
}

template <class real>
void PathMessages<real>::prepare_second(const Direction<real>& u, const real* sent, const real* table,
                                        const real* g) {
    pack_table(table);
    pack_duals(sent, u);
    pack_gradient(g);
    make_dual_records(plan_.senders, shape_.n_atoms, u, -1.0, knots_, kernels_.training, parallel_,
                      records_);
}

template <class real>
void PathMessages<real>::table_second(const Direction<real>& u, const real* sent, const real* table,
                                      const real* g, real* grad_sent, real* grad_table) {
    prepare_second(u, sent, table, g);
    sum_tables(true, [&](const Tile& t, const Place& p, real* out, real* own) {
        run_backward(kernels_.path_training.path[p.l_in][p.l_edge][p.l_out].dual_table,
                     t.convolution, t, p, out, own);
    }, grad_sent, grad_table);
}

template <class real>
void PathMessages<real>::vector_gradient(const real* sent, const real* table, const real* g,
                                         real* grad_sent, real* grad_vector) {
    pack_table(table);
    pack_plain(sent);
    pack_gradient(g);
    sum_edges(false, [&](const Tile& t, const Place& p, real* out, real* moments) {
        run_backward(kernels_.paths.path[p.l_in][p.l_edge][p.l_out].backward, t.convolution.plain,
                     t, p, out, moments);
    }, [&](std::int64_t begin, std::int64_t n, const real* moments, real* vectors) {
        Buffer<EdgeGradient<real>> gradient;
        gradient.reserve(n);
        std::fill_n(gradient.data(), n, EdgeGradient<real>{});
        kernels_.paths.finish(n, plan_.senders.record + begin, moments, gradient.data());
        for (std::int64_t e = 0; e < n; ++e) {
            to_cartesian(plan_.senders.record[begin + e], gradient[e].value);
            std::copy_n(gradient[e].value, 3, vectors + 3 * e);
        }
    }, grad_sent, grad_vector);
}

template <class real>
void PathMessages<real>::vector_second(const Direction<real>& u, const real* sent, const real* table,
                                       const real* g, real* grad_sent, real* grad_vector) {
    prepare_second(u, sent, table, g);
    sum_edges(true, [&](const Tile& t, const Place& p, real* out, real* moments) {
        run_backward(kernels_.path_training.path[p.l_in][p.l_edge][p.l_out].dual_backward,
                     t.convolution, t, p, out, moments);
    }, [&](std::int64_t begin, std::int64_t n, const real* moments, real* vectors) {
        kernels_.path_training.dual_finish(
            n, records_.data() + begin * kernels_.training.dual_record_bytes, moments, vectors);
    }, grad_sent, grad_vector);
}

template class PathMessages<float>;
template class PathMessages<double>;

}  // namespace qdml
