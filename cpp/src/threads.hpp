// SPDX-License-Identifier: MIT
/// Number of OpenMP threads and the index of this one; one thread without OpenMP.
#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

namespace qdml {

inline int max_threads() {
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

inline int this_thread() {
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

}  // namespace qdml
