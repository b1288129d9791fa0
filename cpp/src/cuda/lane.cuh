// SPDX-License-Identifier: MIT
/// One channel per CUDA thread: the names of kernels/simd.hpp with a register of a single lane, so that
/// kernels/message.hpp and kernels/gate.hpp are the same mathematics on the device.
#pragma once

#include "portability.cuh"

#ifndef QDML_ISA
#error "define QDML_ISA"
#endif
#define QDML_INLINE __device__ __forceinline__

namespace qdml {
namespace QDML_ISA {

template <class real>
using Register = real;

template <class real>
using Constant = real;

/// Read-only for the whole kernel: not for arrays that the same kernel writes.
template <class real>
QDML_INLINE real load(const real* p) {
    return __ldg(p);
}

template <class real>
QDML_INLINE void store(real* p, real v) {
    *p = v;
}

QDML_INLINE float exponential(float x) { return expf(x); }
QDML_INLINE double exponential(double x) { return exp(x); }

/// Sum over the 32 lanes of a warp by a butterfly: every lane gets the sum, always in the same order.
template <class T>
QDML_INLINE T warp_sum(T v) {
    for (int distance = 16; distance > 0; distance /= 2) {
        v += __shfl_xor_sync(0xffffffffu, v, distance);
    }
    return v;
}

/// Sums over the warp of four numbers by 6 shuffles: lane 8 k gets the sum of v[k], in a fixed order.
template <class real>
QDML_INLINE real warp_sum_of_four(const real* v, int lane) {
    const bool high = (lane & 16) != 0, second = (lane & 8) != 0;
    real a = high ? v[2] : v[0], b = high ? v[3] : v[1];
    a += __shfl_xor_sync(0xffffffffu, high ? v[0] : v[2], 16);
    b += __shfl_xor_sync(0xffffffffu, high ? v[1] : v[3], 16);
    real sum = second ? b : a;
    sum += __shfl_xor_sync(0xffffffffu, second ? a : b, 8);
    for (int distance = 4; distance > 0; distance /= 2) {
        sum += __shfl_xor_sync(0xffffffffu, sum, distance);
    }
    return sum;
}

}  // namespace QDML_ISA
}  // namespace qdml
