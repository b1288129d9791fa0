# SPDX-License-Identifier: MIT
"""The angle between predicted and reference forces: an error that does not depend on their size."""

from __future__ import annotations

import numpy as np

FORCE_FLOOR = 0.1
"""eV/Å; the direction of smaller reference forces is not counted. Twice the grid noise of 0.05 eV/Å
that plane-wave labels of dots carry, which turns a small force into any direction."""


def force_angles(reference: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angles in degrees and lengths in eV/Å of the reference forces above FORCE_FLOOR.

    reference and predicted [n, 3] in eV/Å; returns two [m] arrays, m <= n. The angle is
    2 atan2(|a - b|, |a + b|) of the unit vectors a, b, which keeps its digits near 0 and 180
    degrees, where the arc cosine loses them (W. Kahan, How Futile are Mindless Assessments of
    Roundoff, 2006, "Mangled Angles"). A predicted force of zero has no direction and counts 90
    degrees.
    """
    length = np.linalg.norm(reference, axis=1)
    kept = length > FORCE_FLOOR
    a = reference[kept] / length[kept, None]
    size = np.linalg.norm(predicted[kept], axis=1)
    b = predicted[kept] / np.where(size > 0, size, 1.0)[:, None]
    angle = 2 * np.arctan2(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1))
    return np.degrees(angle), length[kept]


def mean_angle(angles: np.ndarray, lengths: np.ndarray) -> float | None:
    """Mean of the angles weighted by the lengths of the reference forces; None without any."""
    return float(angles @ lengths / lengths.sum()) if len(angles) else None
