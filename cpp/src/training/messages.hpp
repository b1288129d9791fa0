// SPDX-License-Identifier: MIT
/// The messages of one layer as a function of arrays, with first and second derivatives.
///
/// A(sent, vector, table) is what docs/conventions.md calls A_i; s = <G, A> for a given G. Arrays are
/// those of python/qdml_train: sent [A][(l_in+1)²][C], vector [A][K][3] (Å), table [knots+3][terms][C],
/// received and G [A][components][C] with the components of docs/conventions.md, sums of one degree
/// one after the other. A is linear in sent and in table. The last three knots of a table are zero by
/// contract, so their gradient is given as zero.
#pragma once

#include <cstdint>

#include "../buffer.hpp"
#include "blocks.hpp"
#include "chosen.hpp"
#include "operations.hpp"

namespace qdml {

struct MessageShape {
    int l_in, l_out;
    bool separated;
    int n_atoms, n_slots;
    int channels;  ///< a multiple of 16
    int knots;     ///< spline intervals

    int terms() const;
    int components_in() const { return (l_in + 1) * (l_in + 1); }
    int components_out() const;
};

/// Whether there are kernels for a layer; the others must be computed otherwise.
bool has_messages(const MessageShape& shape);

/// One evaluation.
template <class real>
class Messages final : public MessageOperations<real> {
public:
    /// `plan` is of the same batch. Throws Error `layer_unavailable` where has_messages() is false.
    Messages(const MessageShape& shape, double cutoff, const EdgePlan<real>& plan,
             const Parallel& parallel);

    void forward(const real* sent, const real* table, real* received) override;
    void vector_gradient(const real* sent, const real* table, const real* g, real* grad_sent,
                         real* grad_vector) override;
    void table_gradient(const real* sent, const real* table, const real* g, real* grad_sent,
                        real* grad_table) override;
    void tangent(const Direction<real>& u, const real* sent, const real* table,
                 real* received) override;
    void table_second(const Direction<real>& u, const real* sent, const real* table, const real* g,
                      real* grad_sent, real* grad_table) override;
    void vector_second(const Direction<real>& u, const real* sent, const real* table,
                       const real* g, real* grad_sent, real* grad_vector) override;

private:
    using Rows = EdgeRows<real>;

    Convolution<real> convolution(const Rows& rows, int block) const;
    void pack_table(const real* table);
    void pack_features(const real* sent);
    void pack_gradient(const real* g);
    void pack_duals(const Direction<real>& u, const real* sent);
    void prepare_second(const Direction<real>& u, const real* sent, const real* table,
                        const real* g);
    template <class Kernel>
    void sum_receivers(const Kernel& kernel, real* received);
    template <class Kernel>
    void sum_tables(const Kernel& kernel, real* grad_sent, real* grad_table);
    template <class Kernel, class ToCartesian>
    void sum_edges(int per_edge, const Kernel& kernel, const ToCartesian& to_cartesian,
                   real* grad_sent, real* grad_vector);

    MessageShape shape_;
    Knots knots_;
    int blocks_, in_, out_;  ///< blocks of 16 channels, components of sent and received
    Blocks features_of_, sums_of_, table_of_;
    EdgePlan<real> plan_;
    const Parallel& parallel_;
    ChosenKernels<real> kernels_;
    Buffer<int> rows_;
    Buffer<real> table_, features_, gradient_, result_;  ///< in blocks
    Buffer<char> records_;
};

extern template class Messages<float>;
extern template class Messages<double>;

}  // namespace qdml
