// SPDX-License-Identifier: MIT
/// Asks the processor, and the environment, for the instruction set.
#include "instruction_set.hpp"

#include <cstdlib>
#include <string>

#include "qdml/engine.hpp"

namespace qdml {

InstructionSet choose_instruction_set() {
    const char* variable = std::getenv("QDML_ISA");
    const std::string forced = variable == nullptr ? "" : variable;
#ifdef QDML_X86
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") &&
                            __builtin_cpu_supports("avx512vl") &&
                            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    if (has_avx512 && (forced.empty() || forced == "avx512")) {
        return InstructionSet::avx512;
    }
    if (has_avx2 && (forced.empty() || forced == "avx2")) {
        return InstructionSet::avx2;
    }
#elif defined(QDML_NEON)  // part of every AArch64 processor
    if (forced.empty() || forced == "neon") {
        return InstructionSet::neon;
    }
#endif
    if (!forced.empty() && forced != "baseline") {
        throw Error("isa_unavailable", "QDML_ISA=" + forced +
                                           ": this processor or build has no such kernels; unset "
                                           "it or use baseline, avx2, avx512 or neon");
    }
    return InstructionSet::baseline;
}

}  // namespace qdml
