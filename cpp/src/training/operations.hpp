// SPDX-License-Identifier: MIT
/// What training needs of the messages of a layer: A as a function of arrays, and its derivatives.
///
/// s = <G, A(sent, vector, table)> for a given G. Methods fill the arrays they name completely; every
/// sum has an order that does not depend on the number of threads. `messages.hpp` and
/// `path_messages.hpp` say how the arrays of the two families lie.
#pragma once

#include "direction.hpp"

namespace qdml {

template <class real>
class MessageOperations {
public:
    virtual ~MessageOperations() = default;

    /// received = A.
    virtual void forward(const real* sent, const real* table, real* received) = 0;
    /// Gradient of s in sent and vector.
    virtual void vector_gradient(const real* sent, const real* table, const real* g,
                                 real* grad_sent, real* grad_vector) = 0;
    /// Gradient of s in sent and table.
    virtual void table_gradient(const real* sent, const real* table, const real* g,
                                real* grad_sent, real* grad_table) = 0;
    /// Derivative of A along a direction.
    virtual void tangent(const Direction<real>& u, const real* sent, const real* table,
                         real* received) = 0;
    /// Derivative of table_gradient at fixed G.
    virtual void table_second(const Direction<real>& u, const real* sent, const real* table,
                              const real* g, real* grad_sent, real* grad_table) = 0;
    /// Derivative of vector_gradient at fixed G.
    virtual void vector_second(const Direction<real>& u, const real* sent, const real* table,
                               const real* g, real* grad_sent, real* grad_vector) = 0;
};

}  // namespace qdml
