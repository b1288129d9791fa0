// SPDX-License-Identifier: MIT
/// Which of the compiled instruction sets runs: the widest of this processor.
#pragma once

namespace qdml {

enum class InstructionSet { baseline, avx2, avx512, neon };

/// QDML_ISA=baseline|avx2|avx512|neon forces one (tests). Throws Error `isa_unavailable`.
InstructionSet choose_instruction_set();

}  // namespace qdml
