// SPDX-License-Identifier: MIT
/// How the operations of training share work: a loop over tasks that the caller provides.
#pragma once

#include <algorithm>
#include <functional>

namespace qdml {

/// Calls task(0) .. task(n - 1) in any order and on any threads, and returns when all are done.
using Parallel = std::function<void(int n, const std::function<void(int)>& task)>;

/// The same over n items in groups of `size`: task(first, last). Groups do not depend on threads.
template <class Task>
void for_groups(const Parallel& parallel, int n, int size, const Task& task) {
    parallel((n + size - 1) / size, [&](int group) {
        task(group * size, std::min(n, (group + 1) * size));
    });
}

}  // namespace qdml
