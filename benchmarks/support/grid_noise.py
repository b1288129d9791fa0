# SPDX-License-Identifier: MIT
"""Force noise of a real-space grid ("egg box"): a wave in the absolute position of an atom.

A plane-wave or Gaussian-and-plane-wave code integrates on a grid of spacing h, so the force on an
atom gains a term that repeats with h along each axis, the same for all atoms of an element:
f_c = sum over sine and cosine of 2 pi x_c / h. It is no function of the distances to other atoms,
and no potential can or should learn it.
"""

from __future__ import annotations

import numpy as np

BOHR = 0.529177210903
CHUNK = 1000


def amplitudes(position: np.ndarray, force: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Amplitude of the wave of each spacing in one force component; position, force [n]."""
    wave = 2 * np.pi / spacing
    found = np.empty(len(wave))
    for k in range(0, len(wave), CHUNK):
        phase = np.exp(1j * np.outer(wave[k : k + CHUNK], position))
        found[k : k + CHUNK] = 2 * np.abs(phase @ force) / len(position)
    return found


def scan(position: np.ndarray, force: np.ndarray, low: float, high: float, n: int):
    """Spacings (A), evenly spaced in 1/h, and their amplitudes as root sum over x, y, z.

    position, force: [n, 3]. The sum adds up what all three directions share.
    """
    spacing = 1 / np.linspace(1 / high, 1 / low, n)
    each = [amplitudes(position[:, c], force[:, c], spacing) for c in range(3)]
    return spacing, np.sqrt(np.sum(np.square(each), axis=0))


def find_spacing(position: np.ndarray, force: np.ndarray, low: float = 0.04, high: float = 0.5):
    """The spacing of the strongest wave, A, and its amplitude over the median of the scan."""
    spacing, amplitude = scan(position, force, low, high, 20000)
    best = spacing[amplitude.argmax()]
    near, fine = scan(position, force, best * 0.999, best * 1.001, 2001)
    return float(near[fine.argmax()]), float(fine.max() / np.median(amplitude))


def waves(position: np.ndarray, spacing: float) -> np.ndarray:
    """Sine and cosine of every coordinate, [n, 3, 2]."""
    phase = 2 * np.pi * position / spacing
    return np.stack([np.sin(phase), np.cos(phase)], axis=-1)


def fit(position: np.ndarray, force: np.ndarray, spacing: float) -> np.ndarray:
    """Least-squares coefficients of the wave of each direction, [3, 2], in the unit of force."""
    terms = waves(position, spacing)
    return np.stack([np.linalg.lstsq(terms[:, c], force[:, c], rcond=None)[0] for c in range(3)])


def noise(position: np.ndarray, coefficients: np.ndarray, spacing: float) -> np.ndarray:
    """The fitted noise at positions [n, 3], in the unit of force."""
    return (waves(position, spacing) * coefficients).sum(axis=-1)


def cutoff_of(spacing: float) -> float:
    """Density cutoff in Ry of a grid of this spacing (A): h = pi / sqrt(E), h in bohr, E in Ry."""
    return float((np.pi / (spacing / BOHR)) ** 2)
