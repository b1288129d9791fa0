// SPDX-License-Identifier: MIT
/// From an instruction set to its four tables, for one number type.
#include "chosen.hpp"

#include <type_traits>

#include "../instruction_set.hpp"

namespace qdml {
namespace {

template <class real, class Set>
const auto& of_type(const Set& set) {
    if constexpr (std::is_same_v<real, float>) {
        return set.single;
    } else {
        return set.reference;
    }
}

template <class real>
ChosenKernels<real> from(const KernelSet& engine, const TrainingKernelSet& training,
                         const PathKernelSet& paths, const PathTrainingKernelSet& path_training) {
    return {of_type<real>(engine), of_type<real>(training), of_type<real>(paths),
            of_type<real>(path_training)};
}

}  // namespace

template <class real>
ChosenKernels<real> choose_kernels() {
    switch (choose_instruction_set()) {
#ifdef QDML_X86
        case InstructionSet::avx512:
            return from<real>(avx512::kernels(), avx512::training_kernels(),
                              avx512::path_kernels(), avx512::path_training_kernels());
        case InstructionSet::avx2:
            return from<real>(avx2::kernels(), avx2::training_kernels(), avx2::path_kernels(),
                              avx2::path_training_kernels());
#elif defined(QDML_NEON)
        case InstructionSet::neon:
            return from<real>(neon::kernels(), neon::training_kernels(), neon::path_kernels(),
                              neon::path_training_kernels());
#endif
        default:
            return from<real>(baseline::kernels(), baseline::training_kernels(),
                              baseline::path_kernels(), baseline::path_training_kernels());
    }
}

template ChosenKernels<float> choose_kernels();
template ChosenKernels<double> choose_kernels();

}  // namespace qdml
