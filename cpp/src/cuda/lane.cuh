// SPDX-License-Identifier: MIT
/// One channel per CUDA thread: the names of kernels/simd.hpp with a register of a single lane, so that
/// kernels/message.hpp is the same mathematics on the device.
#pragma once

#ifndef QDML_ISA
#error "define QDML_ISA"
#endif
#define QDML_INLINE __device__ __forceinline__

namespace qdml {
namespace QDML_ISA {

template <class real>
using Register = real;

template <class real>
QDML_INLINE real load(const real* p) {
    return __ldg(p);
}

template <class real>
QDML_INLINE void store(real* p, real v) {
    *p = v;
}

/// Sum over the 32 lanes of a warp by a butterfly: every lane gets the sum, always in the same order.
template <class real>
QDML_INLINE real warp_sum(real v) {
    for (int distance = 16; distance > 0; distance /= 2) {
        v += __shfl_xor_sync(0xffffffffu, v, distance);
    }
    return v;
}

}  // namespace QDML_ISA
}  // namespace qdml
