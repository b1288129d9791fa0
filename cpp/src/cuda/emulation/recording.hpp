// SPDX-License-Identifier: MIT
/// Between the two halves of the emulation: kernels run at once (fibers.cpp) or are recorded first (runtime.cpp).
#pragma once

#include <csignal>

#include "emulation.hpp"

namespace qdml {
namespace emulation {

/// Run all blocks of a kernel now.
void run_kernel(const std::function<void()>& thread, long long grid, int block);

/// While it lives, an access to a forbidden page ends the process with a message.
class Guarded {
public:
    Guarded();
    ~Guarded();
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;

private:
    struct sigaction before_;
};

}  // namespace emulation
}  // namespace qdml
