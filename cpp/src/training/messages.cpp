// SPDX-License-Identifier: MIT
/// Packs arrays into the layout of the kernels and runs the kernels over groups of rows.
///
/// A task is one block of a group of rows; where edges are summed over all channels, a group of rows.
#include "messages.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "../cartesian.hpp"

namespace qdml {
namespace {

constexpr int kRows = 16;      ///< of a task
constexpr int kMostParts = 8;  ///< tables that are summed at the end: at most so many groups of rows

int slots_of(const MessageShape& s, int l) {
    return l > s.l_out ? 0 : s.separated ? n_terms(s.l_in, s.l_out, l) : 1;
}

}  // namespace

int MessageShape::terms() const { return n_terms(l_in, l_out); }

int MessageShape::components_out() const {
    int n = 0;
    for (int l = 0; l <= l_out; ++l) n += slots_of(*this, l) * (2 * l + 1);
    return n;
}

bool has_messages(const MessageShape& s) {
    return s.l_in >= 0 && s.l_in <= kMaxDegree && s.l_out >= 0 && s.l_out <= kMaxDegree &&
           has_training_kernels(s.l_in, s.l_out) && s.channels > 0 && s.channels % kBlock == 0;
}

template <class real>
Messages<real>::Messages(const MessageShape& shape, double cutoff, const EdgePlan<real>& plan,
                         const Parallel& parallel)
    : shape_(shape),
      knots_{Spline::cubic_b, shape.knots, cutoff},
      blocks_(shape.channels / kBlock),
      plan_(plan),
      parallel_(parallel),
      kernels_(choose_kernels<real>()) {
    if (!has_messages(shape)) {
        throw Error("layer_unavailable", "messages from degree " + std::to_string(shape.l_in) +
                                             " to " + std::to_string(shape.l_out) + " with " +
                                             std::to_string(shape.channels) +
                                             " channels have no kernels of training");
    }
    in_ = shape.components_in();
    out_ = shape.components_out();
    features_of_ = {shape.channels, std::int64_t(shape.n_atoms) * in_};
    sums_of_ = {shape.channels, std::int64_t(shape.n_atoms) * out_};
    table_of_ = {shape.channels, std::int64_t(shape.knots + 3) * shape.terms()};
    rows_.reserve(shape.n_atoms);
    for (int i = 0; i < shape.n_atoms; ++i) rows_[i] = i;
}

template <class real>
Convolution<real> Messages<real>::convolution(const Rows& rows, int block) const {
    return {rows.row_start, rows.other,       rows.record, table_.data() + block * table_of_.size(),
            shape_.knots + 3, 1};
}

/// Rows of atoms first .. last of one block.
template <class real>
static void unpack(const Blocks& blocks, const real* from, int components, int first, int last,
                   int block, real* to) {
    blocks.unpack(from, block, std::int64_t(first) * components, std::int64_t(last) * components, to);
}

template <class real>
void Messages<real>::pack_table(const real* table) {
    table_.reserve(table_of_.total());
    table_of_.pack(parallel_, table, table_.data());
}

template <class real>
void Messages<real>::pack_features(const real* sent) {
    features_.reserve(features_of_.total());
    features_of_.pack(parallel_, sent, features_.data());
}

/// G as the backward kernels gather it: traceless tensors, odd degrees negated.
template <class real>
void Messages<real>::pack_gradient(const real* g) {
    gradient_.reserve(sums_of_.total());
    sums_of_.pack(parallel_, g, gradient_.data());
    SumShape sums = {1, shape_.l_out, {}, out_};
    for (int l = 0; l <= shape_.l_out; ++l) sums.slots[l] = slots_of(shape_, l);
    for_groups(parallel_, blocks_ * shape_.n_atoms, kRows, [&](int first, int last) {
        for (int row = first; row < last; ++row) {
            kernels_.engine.to_tensors(sums, true, gradient_.data() + std::int64_t(row) * out_ * kBlock);
        }
    });
}

template <class real>
void Messages<real>::pack_duals(const Direction<real>& u, const real* sent) {
    const std::int64_t n = features_of_.total();
    features_.reserve(2 * n);
    result_.reserve(2 * n);
    features_of_.pack(parallel_, sent, result_.data());
    features_of_.pack(parallel_, u.u_sent, result_.data() + n);
    make_duals(std::int64_t(blocks_) * shape_.n_atoms, std::int64_t(in_) * kBlock, result_.data(),
               result_.data() + n, kernels_.training, parallel_, features_.data());
}

template <class real>
template <class Kernel>
void Messages<real>::sum_receivers(const Kernel& kernel, real* received) {
    result_.reserve(sums_of_.total());
    for_groups(parallel_, blocks_ * ((shape_.n_atoms + kRows - 1) / kRows), 1, [&](int task, int) {
        const int block = task % blocks_, first = task / blocks_ * kRows;
        const int last = std::min(first + kRows, shape_.n_atoms);
        real* to = result_.data() + block * sums_of_.size() + std::int64_t(first) * out_ * kBlock;
        kernel(convolution(plan_.receivers, block), rows_.data() + first, last - first, block, to);
        unpack(sums_of_, to, out_, first, last, block, received);
    });
}

template <class real>
void Messages<real>::forward(const real* sent, const real* table, real* received) {
    pack_table(table);
    pack_features(sent);
    const auto kernel = kernels_.engine.forward[shape_.separated][shape_.l_in][shape_.l_out];
    sum_receivers([&](const Convolution<real>& c, const int* rows, int n, int block, real* to) {
        kernel(c, rows, n, features_.data() + block * features_of_.size(), to);
    }, received);
}

template <class real>
void Messages<real>::tangent(const Direction<real>& u, const real* sent, const real* table,
                             real* received) {
    pack_table(table);
    pack_duals(u, sent);
    make_dual_records(plan_.receivers, shape_.n_atoms, u, 1.0, knots_, kernels_.training, parallel_,
                      records_);
    const auto kernel = kernels_.training.dual_forward[shape_.separated][shape_.l_in][shape_.l_out];
    sum_receivers([&](const Convolution<real>& c, const int* rows, int n, int block, real* to) {
        kernel(c, records_.data(), rows, n, features_.data() + 2 * block * features_of_.size(), to);
    }, received);
}

template <class real>
template <class Kernel>
void Messages<real>::sum_tables(const Kernel& kernel, real* grad_sent, real* grad_table) {
    // parts of the rows, each with a table of its own, do not depend on the number of threads
    const int parts = std::clamp((shape_.n_atoms + kRows - 1) / kRows, 1, kMostParts);
    const std::int64_t table = table_of_.size();
    Buffer<real> tables;
    tables.reserve(table * blocks_ * parts);
    result_.reserve(features_of_.total());
    for_groups(parallel_, blocks_ * parts, 1, [&](int task, int) {
        const int block = task % blocks_;
        const std::int64_t part = task / blocks_, n = shape_.n_atoms;
        const int first = static_cast<int>(n * part / parts);
        const int last = static_cast<int>(n * (part + 1) / parts);
        real* own = tables.data() + task * table;
        std::fill(own, own + table, real(0));
        real* to = result_.data() + block * features_of_.size() + std::int64_t(first) * in_ * kBlock;
        kernel(convolution(plan_.senders, block), rows_.data() + first, last - first, block, to, own);
        unpack(features_of_, to, in_, first, last, block, grad_sent);
    });
    const std::int64_t kept = std::int64_t(shape_.knots) * shape_.terms();  // not the last three
    table_of_.sum_parts(parallel_, tables.data(), parts, kept, grad_table);
}

template <class real>
void Messages<real>::table_gradient(const real* sent, const real* table, const real* g,
                                    real* grad_sent, real* grad_table) {
    pack_table(table);
    pack_features(sent);
    pack_gradient(g);
    const auto kernel = kernels_.training.table[shape_.separated][shape_.l_in][shape_.l_out];
    sum_tables([&](const Convolution<real>& c, const int* rows, int n, int block, real* out,
                   real* own) {
        kernel(c, rows, n, features_.data() + block * features_of_.size(),
               gradient_.data() + block * sums_of_.size(), out, own);
    }, grad_sent, grad_table);
}

template <class real>
void Messages<real>::prepare_second(const Direction<real>& u, const real* sent, const real* table,
                                    const real* g) {
    pack_table(table);
    pack_duals(u, sent);
    pack_gradient(g);
    make_dual_records(plan_.senders, shape_.n_atoms, u, -1.0, knots_, kernels_.training, parallel_,
                      records_);
}

template <class real>
void Messages<real>::table_second(const Direction<real>& u, const real* sent, const real* table,
                                  const real* g, real* grad_sent, real* grad_table) {
    prepare_second(u, sent, table, g);
    const auto kernel = kernels_.training.dual_table[shape_.separated][shape_.l_in][shape_.l_out];
    sum_tables([&](const Convolution<real>& c, const int* rows, int n, int block, real* out,
                   real* own) {
        kernel(c, records_.data(), rows, n, features_.data() + 2 * block * features_of_.size(),
               gradient_.data() + block * sums_of_.size(), out, own);
    }, grad_sent, grad_table);
}

template <class real>
template <class Kernel, class ToCartesian>
void Messages<real>::sum_edges(int per_edge, const Kernel& kernel, const ToCartesian& to_vectors,
                               real* grad_sent, real* grad_vector) {
    const Rows& rows = plan_.senders;
    const std::int64_t n_vectors = 3 * std::int64_t(shape_.n_atoms) * shape_.n_slots;
    std::fill(grad_vector, grad_vector + n_vectors, real(0));  // of the empty slots
    Buffer<EdgeGradient<real>> gradients;
    gradients.reserve(per_edge * rows.row_start[shape_.n_atoms]);
    result_.reserve(features_of_.total());
    for_groups(parallel_, shape_.n_atoms, kRows / 2, [&](int first, int last) {
        const std::int64_t begin = rows.row_start[first], end = rows.row_start[last];
        std::memset(static_cast<void*>(gradients.data() + per_edge * begin), 0,
                    sizeof(EdgeGradient<real>) * static_cast<std::size_t>(per_edge * (end - begin)));
        for (int block = 0; block < blocks_; ++block) {
            real* to = result_.data() + block * features_of_.size() + std::int64_t(first) * in_ * kBlock;
            kernel(convolution(rows, block), rows_.data() + first, last - first, block, to,
                   gradients.data());
            unpack(features_of_, to, in_, first, last, block, grad_sent);
        }
        to_vectors(begin, end, gradients.data());
    });
}

template <class real>
void Messages<real>::vector_gradient(const real* sent, const real* table, const real* g,
                                     real* grad_sent, real* grad_vector) {
    pack_table(table);
    pack_features(sent);
    pack_gradient(g);
    const auto kernel = kernels_.engine.backward[shape_.separated][shape_.l_in][shape_.l_out];
    const Rows& rows = plan_.senders;
    sum_edges(1, [&](const Convolution<real>& c, const int* which, int n, int block, real* out,
                     EdgeGradient<real>* gradients) {
        kernel(c, which, n, features_.data() + block * features_of_.size(),
               gradient_.data() + block * sums_of_.size(), out, gradients);
    }, [&](std::int64_t begin, std::int64_t end, EdgeGradient<real>* gradients) {
        for (std::int64_t e = begin; e < end; ++e) {
            to_cartesian(rows.record[e], gradients[e].value);
            for (int k = 0; k < 3; ++k) {  // the row has -vector
                grad_vector[3 * std::int64_t(rows.slot[e]) + k] = -gradients[e].value[k];
            }
        }
    }, grad_sent, grad_vector);
}

template <class real>
void Messages<real>::vector_second(const Direction<real>& u, const real* sent, const real* table,
                                   const real* g, real* grad_sent, real* grad_vector) {
    prepare_second(u, sent, table, g);
    const auto kernel = kernels_.training.dual_backward[shape_.separated][shape_.l_in][shape_.l_out];
    const Rows& rows = plan_.senders;
    sum_edges(2, [&](const Convolution<real>& c, const int* which, int n, int block, real* out,
                     EdgeGradient<real>* gradients) {
        kernel(c, records_.data(), which, n, features_.data() + 2 * block * features_of_.size(),
               gradient_.data() + block * sums_of_.size(), out, gradients);
    }, [&](std::int64_t begin, std::int64_t end, const EdgeGradient<real>* gradients) {
        for (std::int64_t e = begin; e < end; ++e) {
            real v[3];
            kernels_.training.dual_to_cartesian(1, records_.data() + e * kernels_.training.dual_record_bytes,
                                        gradients + 2 * e, v);
            for (int k = 0; k < 3; ++k) {
                grad_vector[3 * std::int64_t(rows.slot[e]) + k] = -v[k];
            }
        }
    }, grad_sent, grad_vector);
}

template class Messages<float>;
template class Messages<double>;

}  // namespace qdml
