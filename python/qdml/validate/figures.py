# SPDX-License-Identifier: MIT
"""Figures of a validation."""

from __future__ import annotations

import numpy as np
from ase.units import GPa
from matplotlib.figure import Figure

from qdml.analyse.figures import CYCLE, new_figure, styled
from qdml.validate.observables import Scattering, Spectrum
from qdml.validate.phonons import Phonons
from qdml.validate.reference import HeldOut, VolumeCurve

MODEL, DFT = "#0072B2", "#D55E00"
REGION_COLOURS = {"bulk": "#7A7A7A", "core": "#0072B2", "surface": "#D55E00", "ligand": "#009E73"}


@styled
def draw_curves(reference: VolumeCurve, model: VolumeCurve) -> Figure:
    """Energy and pressure over volume, DFT points and the potential on the same cells."""
    figure, axes = new_figure(1, 2, 3.0)
    volume = reference.volume
    fine = np.linspace(volume.min(), volume.max(), 200)
    for curve, tint, name in ((reference, DFT, "DFT"), (model, MODEL, "potential")):
        marker = "o" if name == "DFT" else "x"
        energy = 1000 * (curve.energy - curve.energy.min())
        axes[0, 0].plot(volume, energy, marker, color=tint, label=name, markersize=5)
        axes[0, 0].plot(fine, 1000 * curve.equation.energy(fine), color=tint, linewidth=0.9)
        axes[0, 1].plot(volume, curve.pressure / GPa, marker, color=tint, markersize=5)
        axes[0, 1].plot(fine, curve.equation.pressure(fine) / GPa, color=tint, linewidth=0.9)
    axes[0, 0].set_ylabel("energy above the lowest (meV/atom)")
    axes[0, 1].set_ylabel("pressure (GPa)")
    axes[0, 1].axhline(0, color="#9A9A9A", linewidth=0.7)
    axes[0, 0].legend()
    for axis in axes[0]:
        axis.set_xlabel("volume per atom (Å³)")
    return figure


@styled
def draw_errors(errors: HeldOut) -> Figure:
    """Force components of held-out frames, one panel per region."""
    names = [name for name in REGION_COLOURS if name in errors.pairs]
    figure, axes = new_figure(1, len(names), 2.9)
    for axis, name in zip(axes[0], names, strict=True):
        pairs = errors.pairs[name]
        span = 1.05 * np.abs(pairs).max()
        axis.plot([-span, span], [-span, span], color="#9A9A9A", linewidth=0.8)
        axis.plot(*pairs.T, ".", color=REGION_COLOURS[name], markersize=2.5, alpha=0.6)
        axis.set_title(f"{name}: MAE {1000 * errors.forces[name][0]:.0f} meV/Å")
        axis.set_xlabel("DFT force (eV/Å)")
        axis.set_aspect("equal")
    axes[0, 0].set_ylabel("potential (eV/Å)")
    return figure


@styled
def draw_phonons(found: Phonons) -> Figure:
    """Bands and density of states."""
    figure, axes = new_figure(1, 2, 3.4, sharey=True, width_ratios=[3, 1])
    for distance, values in found.bands:
        axes[0, 0].plot(distance, values, color=MODEL, linewidth=0.9)
    for position, _ in found.labels:
        axes[0, 0].axvline(position, color="#C8C8C8", linewidth=0.6)
    axes[0, 0].set_xticks([x for x, _ in found.labels], [_greek(n) for _, n in found.labels])
    axes[0, 0].set_ylabel("wavenumber (cm⁻¹)")
    axes[0, 0].set_xlim(found.labels[0][0], found.labels[-1][0])
    axes[0, 0].axhline(0, color="#9A9A9A", linewidth=0.7)
    wavenumber, density = found.density
    axes[0, 1].plot(density, wavenumber, color=MODEL, linewidth=0.9)
    axes[0, 1].set_xlabel("states (1/cm⁻¹)")
    axes[0, 1].set_xlim(0, None)
    return figure


def _greek(name: str) -> str:
    return "Γ" if name == "G" else name


@styled
def draw_wholeness(runs: dict[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Atoms outside the largest piece over time (ps), one line per run."""
    figure, axes = new_figure(1, 1, 2.4)
    for (name, (time, detached)), tint in zip(runs.items(), CYCLE, strict=False):
        axes[0, 0].step(time, detached, color=tint, where="post", label=name)
    axes[0, 0].set_xlabel("time (ps)")
    axes[0, 0].set_ylabel("atoms not attached")
    most = max([1, *(int(detached.max()) for _, detached in runs.values())])
    axes[0, 0].set_ylim(-0.05 * most, 1.1 * most)
    axes[0, 0].legend()
    return figure


@styled
def draw_spectrum(spectrum: Spectrum, upper: float) -> Figure:
    """Vibrational density of states by group, up to `upper` cm-1."""
    figure, axes = new_figure(1, 1, 2.8)
    shown = spectrum.wavenumber <= upper
    for (name, density), tint in zip(spectrum.density.items(), CYCLE, strict=False):
        axes[0, 0].plot(spectrum.wavenumber[shown], 100 * density[shown], color=tint, label=name)
    axes[0, 0].set_xlabel("wavenumber (cm⁻¹)")
    axes[0, 0].set_ylabel("density (% per cm⁻¹)")
    axes[0, 0].legend(ncols=2)
    return figure


@styled
def draw_strain(radius: np.ndarray, strain: np.ndarray, symbols: np.ndarray) -> Figure:
    """Strain of the mean bond of each lattice atom over its distance from the centre."""
    from qdml.analyse.figures import colour

    figure, axes = new_figure(1, 1, 2.8)
    for symbol in sorted(set(symbols)):
        here = symbols == symbol
        axes[0, 0].plot(radius[here], 100 * strain[here], "o", color=colour(symbol),
                        markersize=3.5, alpha=0.8, label=symbol)  # fmt: skip
    axes[0, 0].axhline(0, color="#9A9A9A", linewidth=0.7)
    axes[0, 0].set_xlabel("distance from the centre (Å)")
    axes[0, 0].set_ylabel("bond strain (%)")
    axes[0, 0].legend()
    return figure


@styled
def draw_scattering(found: Scattering) -> Figure:
    """Debye pattern and pair distribution function."""
    figure, axes = new_figure(1, 2, 2.9)
    axes[0, 0].plot(found.q, found.intensity, color=MODEL, linewidth=1.0)
    axes[0, 0].set_xlabel("Q (1/Å)")
    axes[0, 0].set_ylabel("I(Q) per atom (electrons²)")
    axes[0, 0].set_yscale("log")
    axes[0, 1].plot(found.r, found.pdf, color=MODEL, linewidth=1.0)
    axes[0, 1].axhline(0, color="#9A9A9A", linewidth=0.7)
    axes[0, 1].set_xlabel("r (Å)")
    axes[0, 1].set_ylabel("G(r) (1/Å²)")
    return figure
