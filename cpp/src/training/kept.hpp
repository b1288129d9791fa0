// SPDX-License-Identifier: MIT
/// Duals among plain numbers: how training reads features and what it keeps of a gradient.
#pragma once

#include "../kernels/dual.hpp"

namespace qdml {
namespace QDML_ISA {

/// The part of a gradient that is kept: of duals the derivative.
template <class V>
QDML_INLINE V kept(const V& x) {
    return x;
}
template <class V>
QDML_INLINE V kept(const Dual<V>& x) {
    return x.e;
}

template <class real>
QDML_INLINE const Dual<real>* duals(const real* h) {
    return reinterpret_cast<const Dual<real>*>(h);
}

}  // namespace QDML_ISA
}  // namespace qdml
