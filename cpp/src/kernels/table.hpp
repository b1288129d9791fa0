// SPDX-License-Identifier: MIT
/// How the translation units of one instruction set fill its table of kernels.
#pragma once

#include <type_traits>
#include <utility>

#include "kernels.hpp"

namespace qdml {
namespace QDML_ISA {

/// Layout of the sums: summed (0) or separated (1).
template <int kSeparated>
struct Separated {};

template <class Add, int... kPair>
void for_degrees(const Add& add, std::integer_sequence<int, kPair...>) {
    constexpr int kDegrees = kMaxDegree + 1;
    (add(std::integral_constant<int, kPair / kDegrees>(),
         std::integral_constant<int, kPair % kDegrees>()),
     ...);
}

/// add(l_in, l_out) for every pair of degrees, as constants of the compiler.
template <class Add>
void for_degrees(const Add& add) {
    for_degrees(add, std::make_integer_sequence<int, (kMaxDegree + 1) * (kMaxDegree + 1)>());
}

void add_messages(Kernels<float>&, Separated<0>);
void add_messages(Kernels<float>&, Separated<1>);
void add_messages(Kernels<double>&, Separated<0>);
void add_messages(Kernels<double>&, Separated<1>);

}  // namespace QDML_ISA
}  // namespace qdml
