# SPDX-License-Identifier: MIT
"""What experiment sees of a dot: vibrations, strain of its bonds, x-ray scattering and PDF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from scipy.ndimage import gaussian_filter1d

from qdml.analyse.surface import Roles, bond_length, find_pairs
from qdml.errors import ConfigError

WAVENUMBER_PER_FS = 33356.41
"""cm-1 of one oscillation per fs."""

SPECTRUM_WIDTH = 5.0
"""cm-1: Gaussian that smooths the vibrational density."""

R_BIN = 0.01
"""A: pair distances enter the Debye sum in bins of this width; 0.01 A at Q 20 is 0.2 rad."""


@dataclass(frozen=True)
class Spectrum:
    """Vibrational density of states: wavenumber (cm-1) and density per group, each of area 1."""

    wavenumber: np.ndarray
    density: dict[str, np.ndarray]


def vibrational_density(
    velocities: np.ndarray, masses: np.ndarray, spacing: float, groups: dict[str, np.ndarray]
) -> Spectrum:
    """Mass-weighted power spectrum of velocities [n_frames, n, 3], `spacing` fs apart.

    groups: name to mask [n]. By the Wiener-Khinchin theorem this is the Fourier transform of the
    velocity autocorrelation; a Hann window keeps peaks from leaking, the mean is removed.
    """
    n_frames = len(velocities)
    window = np.hanning(n_frames)[:, None, None]
    signal = (velocities - velocities.mean(axis=0)) * window
    power = (np.abs(np.fft.rfft(signal, axis=0)) ** 2).sum(axis=2) * masses
    wavenumber = np.fft.rfftfreq(n_frames, spacing) * WAVENUMBER_PER_FS
    step = wavenumber[1]
    density = {}
    for name, mask in groups.items():
        curve = gaussian_filter1d(power[:, mask].sum(axis=1), SPECTRUM_WIDTH / step)
        density[name] = curve / max(curve.sum() * step, 1e-300)
    return Spectrum(wavenumber, density)


def bond_strain(
    frames: list[Atoms], roles: Roles, bulk_bond: float
) -> tuple[np.ndarray, np.ndarray]:
    """Distance from the centre (A) and strain of the mean cation-anion bond of each lattice atom.

    Atoms keep their order over the frames; bonds are those of each frame. strain = d/bulk_bond - 1,
    NaN for an atom that is never bonded. Both [n_lattice].
    """
    reach = max(bond_length(c, a) for c in roles.cations for a in roles.anions)
    symbols = np.array(frames[0].get_chemical_symbols())
    cation, anion = np.isin(symbols, roles.cations), np.isin(symbols, roles.anions)
    total, count, radius = np.zeros(len(symbols)), np.zeros(len(symbols)), np.zeros(len(symbols))
    for atoms in frames:
        found = find_pairs(atoms, reach)
        opposite = (cation[found.i] & anion[found.j]) | (anion[found.i] & cation[found.j])
        i = found.i[opposite]
        total += np.bincount(i, found.distance[opposite], len(symbols))
        count += np.bincount(i, minlength=len(symbols))
        centre = atoms.positions[cation | anion].mean(axis=0)
        radius += np.linalg.norm(atoms.positions - centre, axis=1)
    lattice = cation | anion
    with np.errstate(invalid="ignore", divide="ignore"):
        strain = total / count / bulk_bond - 1
    return (radius / len(frames))[lattice], strain[lattice]


@dataclass(frozen=True)
class Scattering:
    """X-ray powder pattern I(Q) per atom (e^2) over Q (1/A) and reduced PDF G(r) (1/A^2) over r."""

    q: np.ndarray
    intensity: np.ndarray
    r: np.ndarray
    pdf: np.ndarray


def form_factors(symbols: list[str], q: np.ndarray) -> dict[str, np.ndarray]:
    """X-ray form factors of neutral atoms (electrons) over Q = 4 pi sin(theta)/lambda in 1/A.

    Cromer-Mann fits as in the package periodictable; ConfigError without it.
    """
    try:
        from periodictable.cromermann import fxrayatq
    except ImportError:
        raise ConfigError(
            "periodictable is not installed; `pip install 'qdml[validate]'`"
        ) from None
    return {symbol: np.asarray(fxrayatq(symbol, q)) for symbol in symbols}


def debye_scattering(frames: list[Atoms], q_max: float = 20.0, r_max: float = 25.0) -> Scattering:
    """Mean Debye pattern of free clusters, and the PDF by its sine transform up to q_max.

    I(Q) = sum_ij f_i f_j sin(Q r_ij)/(Q r_ij) (Debye 1915); S = (I/N - <f^2> + <f>^2)/<f>^2,
    G(r) = 2/pi int Q (S - 1) sin(Q r) dQ with a Lorch-free cut at q_max (Egami and Billinge 2003).
    """
    q = np.linspace(0.5, q_max, 1000)
    symbols = sorted(set(frames[0].get_chemical_symbols()))
    factors = form_factors(symbols, q)
    names = np.array(frames[0].get_chemical_symbols())
    share = {s: float(np.mean(names == s)) for s in symbols}
    n_atoms = len(names)
    span = max(float(np.ptp(atoms.positions, axis=0).max()) for atoms in frames) * np.sqrt(3) + 1
    n_bins = int(span / R_BIN) + 1
    centres = (np.arange(n_bins) + 0.5) * R_BIN
    intensity = n_atoms * sum(share[s] * factors[s] ** 2 for s in symbols)
    for k, a in enumerate(symbols):
        for b in symbols[k:]:
            counts = np.zeros(n_bins)
            for atoms in frames:
                one, two = atoms.positions[names == a], atoms.positions[names == b]
                if a == b:
                    i, j = np.triu_indices(len(one), 1)
                    distance = np.linalg.norm(one[i] - one[j], axis=1)
                else:
                    distance = np.linalg.norm(one[:, None] - two, axis=2).ravel()
                counts += np.bincount((distance / R_BIN).astype(int), minlength=n_bins)
            filled = counts > 0
            phase = np.outer(q, centres[filled])
            shape = (np.sin(phase) / phase) @ (counts[filled] / len(frames))
            intensity = intensity + 2 * factors[a] * factors[b] * shape
    intensity = intensity / n_atoms
    mean = sum(share[s] * factors[s] for s in symbols)
    square = sum(share[s] * factors[s] ** 2 for s in symbols)
    structure = (intensity - square + mean**2) / mean**2
    r = np.arange(1.0, r_max, 0.02)
    pdf = 2 / np.pi * (np.sin(np.outer(r, q)) @ (q * (structure - 1))) * (q[1] - q[0])
    return Scattering(q, intensity, r, pdf)
