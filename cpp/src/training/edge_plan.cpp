// SPDX-License-Identifier: MIT
/// Counts the edges of every row, then writes their records.
#include "edge_plan.hpp"

#include <atomic>
#include <cmath>
#include <string>

#include "qdml/engine.hpp"

namespace qdml {
namespace {

constexpr int kRows = 16;  ///< per task

/// Takes pieces of a block of memory, each at a multiple of 64 bytes.
class Pieces {
public:
    explicit Pieces(char* memory) : memory_(memory) {}
    template <class T>
    T* next(std::int64_t n) {
        char* at = memory_ + used_;
        used_ += (n * static_cast<std::int64_t>(sizeof(T)) + 63) / 64 * 64;
        return reinterpret_cast<T*>(at);
    }
    std::int64_t used() const { return used_; }

private:
    char* memory_;
    std::int64_t used_ = 0;
};

template <class real>
EdgeRows<real> rows_at(Pieces& pieces, std::int64_t n_atoms, std::int64_t n_slots) {
    EdgeRows<real> rows;
    rows.row_start = pieces.next<std::int64_t>(n_atoms + 1);
    rows.other = pieces.next<int>(n_atoms * n_slots);
    rows.slot = pieces.next<int>(n_atoms * n_slots);
    rows.record = pieces.next<EdgeRecord<real>>(n_atoms * n_slots);
    return rows;
}

/// Vector (Å) and length of the edge of a slot, negated where the row is a sender's.
struct Edge {
    double v[3], r;

    template <class real>
    Edge(const real* vector, double sign) {
        for (int k = 0; k < 3; ++k) v[k] = sign * static_cast<double>(vector[k]);
        r = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    }
};

/// One of the two kinds of rows.
template <class real>
struct RowMaker {
    const EdgeSlots<real>& slots;
    const Knots& knots;
    bool of_senders;
    EdgeRows<real>& rows;

    int slot_of(std::int64_t slot) const {
        return of_senders ? slots.reverse[slot] : static_cast<int>(slot);
    }
    Edge edge_of(int slot) const {
        return {slots.vector + 3 * std::int64_t(slot), of_senders ? -1.0 : 1.0};
    }
    std::int64_t first_slot(int i) const { return std::int64_t(i) * slots.n_slots; }

    void count(int i) const {
        int n = 0;
        for (auto s = first_slot(i); s < first_slot(i + 1); ++s) {
            n += edge_of(slot_of(s)).r < knots.cutoff ? 1 : 0;
        }
        rows.row_start[i + 1] = n;
    }
    void write(int i) const {
        std::int64_t to = rows.row_start[i];
        for (auto s = first_slot(i); s < first_slot(i + 1); ++s) {
            const int slot = slot_of(s);
            const Edge edge = edge_of(slot);
            if (edge.r < knots.cutoff) {
                rows.other[to] = slots.neighbor[s];
                rows.slot[to] = slot;
                set_record(rows.record[to++], edge.v, edge.r, knots.spline, knots.intervals,
                           knots.intervals / knots.cutoff);
            }
        }
    }
};

/// The first slot that is not valid, or -1.
template <class real>
std::int64_t find_fault(const EdgeSlots<real>& s, const Parallel& parallel) {
    std::atomic<std::int64_t> fault{-1};
    for_groups(parallel, s.n_atoms, kRows, [&](int first, int last) {
        const std::int64_t n = std::int64_t(s.n_atoms) * s.n_slots;
        for (auto e = std::int64_t(first) * s.n_slots; e < std::int64_t(last) * s.n_slots; ++e) {
            const bool good = s.neighbor[e] >= 0 && s.neighbor[e] < s.n_atoms && s.reverse[e] >= 0 &&
                              s.reverse[e] < n && std::isfinite(Edge(s.vector + 3 * e, 1.0).r);
            if (!good) fault = e;
        }
    });
    return fault;
}

}  // namespace

template <class real>
std::int64_t EdgePlan<real>::bytes(std::int64_t n_atoms, std::int64_t n_slots) {
    Pieces pieces(nullptr);
    rows_at<real>(pieces, n_atoms, n_slots);
    rows_at<real>(pieces, n_atoms, n_slots);
    return pieces.used();
}

template <class real>
EdgePlan<real> EdgePlan<real>::at(void* memory, std::int64_t n_atoms, std::int64_t n_slots) {
    Pieces pieces(static_cast<char*>(memory));
    EdgePlan plan;
    plan.receivers = rows_at<real>(pieces, n_atoms, n_slots);
    plan.senders = rows_at<real>(pieces, n_atoms, n_slots);
    return plan;
}

template <class real>
void make_edge_plan(const EdgeSlots<real>& slots, const Knots& knots, EdgePlan<real>& plan,
                    const Parallel& parallel) {
    if (const auto fault = find_fault(slots, parallel); fault >= 0) {
        throw Error("batch_invalid", "slot " + std::to_string(fault) + " of [" +
                                         std::to_string(slots.n_atoms) + "," +
                                         std::to_string(slots.n_slots) +
                                         "]: neighbor or reverse points outside the batch, or the "
                                         "edge vector is not finite");
    }
    const RowMaker<real> makers[2] = {{slots, knots, false, plan.receivers},
                                      {slots, knots, true, plan.senders}};
    for_groups(parallel, slots.n_atoms, kRows, [&](int first, int last) {
        for (const auto& maker : makers) {
            for (int i = first; i < last; ++i) maker.count(i);
        }
    });
    for (const auto& maker : makers) {
        maker.rows.row_start[0] = 0;
        for (int i = 0; i < slots.n_atoms; ++i) maker.rows.row_start[i + 1] += maker.rows.row_start[i];
    }
    for_groups(parallel, slots.n_atoms, kRows, [&](int first, int last) {
        for (const auto& maker : makers) {
            for (int i = first; i < last; ++i) maker.write(i);
        }
    });
}

template struct EdgePlan<float>;
template struct EdgePlan<double>;
template void make_edge_plan(const EdgeSlots<float>&, const Knots&, EdgePlan<float>&,
                             const Parallel&);
template void make_edge_plan(const EdgeSlots<double>&, const Knots&, EdgePlan<double>&,
                             const Parallel&);

}  // namespace qdml
