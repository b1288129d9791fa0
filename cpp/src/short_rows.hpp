// SPDX-License-Identifier: MIT
/// A row in 16 bits a value (Halo::int16), the same lines on the host and on a CUDA device.
///
/// Its largest absolute value as fp32, then integers of that / 32767. A row with an infinite or undefined value comes
/// back undefined; one whose values are all below 1e-34, as zeros.
#pragma once

#include <cmath>
#include <cstdint>

#include "edge_geometry.hpp"

namespace qdml {

constexpr float kShortSteps = 32767.0F;  ///< largest 16-bit integer

/// The larger of two absolute values, undefined where one is.
QDML_HOST_DEVICE inline float larger(float a, float b) { return b > a || b != b ? b : a; }

/// Integers per unit of a row with this largest value; 0: it has none to send.
QDML_HOST_DEVICE inline float short_steps(float scale) {
    return scale > 1e-34F && scale < 3e38F ? kShortSteps / scale : 0.0F;
}

QDML_HOST_DEVICE inline std::int16_t shorten(float value, float steps) {
    return static_cast<std::int16_t>(steps > 0.0F ? rintf(value * steps) : 0.0F);
}

QDML_HOST_DEVICE inline float lengthen(std::int16_t value, float scale) {
    return scale / kShortSteps * static_cast<float>(value);
}

}  // namespace qdml
