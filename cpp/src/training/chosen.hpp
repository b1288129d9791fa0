// SPDX-License-Identifier: MIT
/// The kernels of the instruction set of this processor that training uses.
#pragma once

#include "../paths/kernels.hpp"
#include "kernels.hpp"
#include "path_kernels.hpp"

namespace qdml {

template <class real>
struct ChosenKernels {
    const Kernels<real>& engine;
    const TrainingKernels<real>& training;
    const PathKernels<real>& paths;
    const PathTrainingKernels<real>& path_training;
};

template <class real>
ChosenKernels<real> choose_kernels();

}  // namespace qdml
