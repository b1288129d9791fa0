// SPDX-License-Identifier: MIT
/// How the translation units of one instruction set fill its table of training kernels.
#pragma once

#include "../kernels/table.hpp"
#include "kernels.hpp"

namespace qdml {
namespace QDML_ISA {

void add_training(TrainingKernels<float>&, Separated<0>);
void add_training(TrainingKernels<float>&, Separated<1>);
void add_training(TrainingKernels<double>&, Separated<0>);
void add_training(TrainingKernels<double>&, Separated<1>);

}  // namespace QDML_ISA
}  // namespace qdml
