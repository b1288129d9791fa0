// SPDX-License-Identifier: MIT
/// How the translation units of one instruction set fill its table of kernels.
#pragma once

#include "kernels.hpp"

namespace qdml {
namespace QDML_ISA {

/// Layout of the sums: summed (0) or separated (1).
template <int kSeparated>
struct Separated {};

void add_messages(Kernels<float>&, Separated<0>);
void add_messages(Kernels<float>&, Separated<1>);
void add_messages(Kernels<double>&, Separated<0>);
void add_messages(Kernels<double>&, Separated<1>);

}  // namespace QDML_ISA
}  // namespace qdml
