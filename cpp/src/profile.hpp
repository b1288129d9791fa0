// SPDX-License-Identifier: MIT
/// Time spent in each kind of kernel, for builds with QDML_PROFILE; other builds hold none of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/kernels.hpp"

namespace qdml {

struct StageTime {
    std::string name;  ///< e.g. "forward middle", "linear"
    double seconds = 0;
    std::int64_t calls = 0;
};

/// The same kernels, each wrapped in a watch. Valid for the life of the program; the times of all
/// engines of one precision add up, so profile one engine at a time.
template <class real>
const Kernels<real>& profiled(const Kernels<real>& kernels);

/// Times since the last reset, summed over threads.
std::vector<StageTime> stage_times();
void reset_stage_times();

}  // namespace qdml
