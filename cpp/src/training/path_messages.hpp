// SPDX-License-Identifier: MIT
/// Sums of messages along Clebsch-Gordan paths as a function of arrays, with first and second
/// derivatives: `Messages` (messages.hpp) for the layers of docs/conventions.md, "Clebsch-Gordan paths".
///
/// Arrays: sent [A][W], per irrep of the message its [2l+1][C], one after the other; vector [A][K][3]
/// (Å); table [K+1][2][F], F the channels of all paths; received and G [A][W'], per path its
/// [2l_out+1][C].
#pragma once

#include <cstdint>

#include "../buffer.hpp"
#include "blocks.hpp"
#include "chosen.hpp"
#include "operations.hpp"
#include "path_shape.hpp"

namespace qdml {

/// One evaluation.
template <class real>
class PathMessages final : public MessageOperations<real> {
public:
    /// `plan` is of the same batch, with Spline::hermite. Throws Error `layer_unavailable` where
    /// has_path_messages() is false.
    PathMessages(const PathShape& shape, double cutoff, const EdgePlan<real>& plan,
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
    struct Tile;
    struct Place;

    void pack_table(const real* table);
    void pack_features(const real* sent, real* to) const;
    void pack_plain(const real* sent);
    void pack_duals(const real* sent, const Direction<real>& u);
    void pack_gradient(const real* g);
    void prepare_second(const Direction<real>& u, const real* sent, const real* table,
                        const real* g);
    Tile tile(const Rows& rows, bool dual, int first, int last) const;
    void couple(Tile& tile, const Place& place) const;
    template <class Body>
    void for_blocks(Tile& tile, const Body& body) const;
    template <class Kernel, class Convolution>
    void run_forward(const Kernel& kernel, const Convolution& c, const Tile& tile,
                     const Place& place, real* out) const;
    template <class Kernel, class Convolution>
    void run_backward(const Kernel& kernel, const Convolution& c, const Tile& tile,
                      const Place& place, real* out, real* kept) const;
    template <class Kernel>
    void sum_receivers(bool dual, const Kernel& kernel, real* received);
    template <class Kernel>
    void sum_senders(Tile& tile, const Kernel& kernel, real* grad_sent) const;
    template <class Kernel>
    void sum_tables(bool dual, const Kernel& kernel, real* grad_sent, real* grad_table);
    template <class Kernel, class ToVectors>
    void sum_edges(bool dual, const Kernel& kernel, const ToVectors& to_vectors, real* grad_sent,
                   real* grad_vector);

    PathShape shape_;
    Knots knots_;
    EdgePlan<real> plan_;
    const Parallel& parallel_;
    ChosenKernels<real> kernels_;
    std::int64_t width_in_, width_out_;
    Blocks table_of_;
    int widest_ = 0;  ///< entries of the largest coupling matrix
    Buffer<int> rows_;
    Buffer<real> table_, features_, gradient_;  ///< in blocks
    Buffer<char> records_;                      ///< of duals
};

extern template class PathMessages<float>;
extern template class PathMessages<double>;

}  // namespace qdml
