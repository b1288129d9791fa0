// SPDX-License-Identifier: MIT
/// The edges of a padded batch within the cutoff, as rows for the kernels: made once per step.
///
/// A batch has A atoms with K slots each: neighbor [A][K] the sender of a message, reverse [A][K] the
/// flat slot (i K + k) of the opposite edge, vector [A][K][3] r_ij (Å). Slots longer than the cutoff
/// are empty. Every slot's vector counts for its own message only; nothing supposes that opposite
/// edges have opposite vectors.
#pragma once

#include <cstdint>

#include "../edge_geometry.hpp"
#include "parallel.hpp"

namespace qdml {

/// What the weights of an edge interpolate in.
struct Knots {
    Spline spline;
    int intervals;
    double cutoff;  ///< Å
};

/// Where the edges of a batch come from.
template <class real>
struct EdgeSlots {
    int n_atoms, n_slots;
    const real* vector;
    const int* neighbor;
    const int* reverse;
};

/// Rows of edges in the form of Convolution. `slot`: whose vector an edge has.
template <class real>
struct EdgeRows {
    std::int64_t* row_start;
    int* other;
    int* slot;
    EdgeRecord<real>* record;
};

/// Views into one block of memory. Rows of `receivers`: the messages to an atom, for the forward
/// pass. Rows of `senders`: the messages from an atom, their vectors negated, as the backward pass of
/// the engine wants them (kernels/message_backward.hpp, load_reversed).
template <class real>
struct EdgePlan {
    EdgeRows<real> receivers, senders;

    /// Bytes of a plan; the memory begins at a multiple of 64.
    static std::int64_t bytes(std::int64_t n_atoms, std::int64_t n_slots);
    static EdgePlan at(void* memory, std::int64_t n_atoms, std::int64_t n_slots);
};

/// Fill a plan. Throws Error `batch_invalid` for an index outside the batch or a vector that is not
/// finite.
template <class real>
void make_edge_plan(const EdgeSlots<real>& slots, const Knots& knots, EdgePlan<real>& plan,
                    const Parallel& parallel);

extern template struct EdgePlan<float>;
extern template struct EdgePlan<double>;

}  // namespace qdml
