// SPDX-License-Identifier: MIT
/// How the translation units of one instruction set fill its table of path kernels of training.
#pragma once

#include "path_kernels.hpp"

namespace qdml {
namespace QDML_ISA {

void add_path_training(PathTrainingKernels<float>&);
void add_path_training(PathTrainingKernels<double>&);

}  // namespace QDML_ISA
}  // namespace qdml
