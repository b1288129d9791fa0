// SPDX-License-Identifier: MIT
/// Sums of messages along Clebsch-Gordan paths as a function of arrays, with first and second
/// derivatives: `Messages` (messages.hpp) for the layers of docs/conventions.md, "Clebsch-Gordan paths".
///
/// Arrays: sent [A][W], per irrep of the message its [2l+1][C], one after the other; vector [A][K][3]
/// (Å); table [K+1][2][F], F the channels of all paths; received and G [A][W'], per path its
/// [2l_out+1][C]. Every sum has an order that does not depend on the number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "../buffer.hpp"
#include "blocks.hpp"
#include "chosen.hpp"
#include "direction.hpp"

namespace qdml {

struct PathShape {
    /// An irrep of the features or the sums of one path; `offset` in numbers of an atom's row.
    struct Part {
        int degree, channels;
        std::int64_t offset;
        std::int64_t size() const { return std::int64_t(2 * degree + 1) * channels; }
    };
    struct Path {
        int part;  ///< of sent
        int l_edge;
        Part sum;
        int first_channel;  ///< in the table
    };
    std::vector<Part> sent;
    std::vector<Path> paths;
    int n_atoms = 0, n_slots = 0;
    int knots = 0;  ///< spline intervals

    void add_irrep(int degree, int channels);
    /// Throws Error `layer_unavailable` for a part that does not exist.
    void add_path(int part, int l_edge, int l_out);
    std::int64_t width_in() const;   ///< W
    std::int64_t width_out() const;  ///< W'
    int channels() const;            ///< F
};

/// Whether there are kernels for a layer: degrees up to 3 that couple, channels in sixteens.
bool has_path_messages(const PathShape& shape);

/// One evaluation; methods fill the arrays they name completely.
template <class real>
class PathMessages {
public:
    /// `plan` is of the same batch, with Spline::hermite. Throws Error `layer_unavailable` where
    /// has_path_messages() is false.
    PathMessages(const PathShape& shape, double cutoff, const EdgePlan<real>& plan,
                 const Parallel& parallel);

    /// received = A.
    void forward(const real* sent, const real* table, real* received);
    /// Gradient of s in sent and vector.
    void vector_gradient(const real* sent, const real* table, const real* g, real* grad_sent,
                         real* grad_vector);
    /// Gradient of s in sent and table.
    void table_gradient(const real* sent, const real* table, const real* g, real* grad_sent,
                        real* grad_table);

    using Derivative = Direction<real>;
    /// Derivative of A.
    void tangent(const Derivative& u, const real* sent, const real* table, real* received);
    /// Derivative of table_gradient at fixed G.
    void table_second(const Derivative& u, const real* sent, const real* table, const real* g,
                      real* grad_sent, real* grad_table);
    /// Derivative of vector_gradient at fixed G.
    void vector_second(const Derivative& u, const real* sent, const real* table, const real* g,
                       real* grad_sent, real* grad_vector);

private:
    using Rows = EdgeRows<real>;
    struct Tile;
    struct Place;

    void pack_table(const real* table);
    void pack_features(const real* sent, real* to) const;
    void pack_plain(const real* sent);
    void pack_duals(const real* sent, const Derivative& u);
    void pack_gradient(const real* g);
    void prepare_second(const Derivative& u, const real* sent, const real* table, const real* g);
    Tile tile(const Rows& rows, bool dual, int first, int last) const;
    void couple(Tile& tile, const Place& place) const;
    template <class Kernel>
    void for_blocks(Tile& tile, const Kernel& kernel) const;
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
