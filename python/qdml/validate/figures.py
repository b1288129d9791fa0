# SPDX-License-Identifier: MIT
"""Figures of a validation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from ase.units import GPa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, MultipleLocator

from qdml.analyse.figures import CYCLE, new_figure, styled
from qdml.analyse.figures_md import draw_shares
from qdml.validate.local_order import REGION_NAMES, ROLES, Group, LocalOrder
from qdml.validate.observables import Scattering, Spectrum
from qdml.validate.phonons import Phonons
from qdml.validate.reference import HeldOut, VolumeCurve

MODEL, DFT = "#0072B2", "#D55E00"
START = "#9A9A9A"
REGION_COLOURS = {
    "bulk": "#7A7A7A",
    "core": "#0072B2",
    "surface": "#D55E00",
    "ligand": "#009E73",
    "facet": "#CC79A7",
    "new ligand": "#E69F00",
}


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
        axis.set_title(f"{name}\nMAE {1000 * errors.forces[name][0]:.0f} meV/Å")
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
    axes[0, 0].yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes[0, 0].legend()
    return figure


def run_colours(runs: Iterable[str], start: str) -> dict[str, str]:
    """Colour of each run, the same as in `draw_wholeness`; the structure named `start` is grey."""
    rest = iter(CYCLE)
    return {name: START if name == start else next(rest) for name in runs}


@styled
def draw_local_coordination(
    orders: dict[str, LocalOrder], titles: dict[Group, str], start: str
) -> Figure:
    """Shares of coordination numbers: a row per role, a column per region, bars per run."""
    figure, axes = new_figure(2, 2, 4.6, sharey=True)
    colours = run_colours(orders, start)
    for group, axis in _panels(axes, titles):
        draw_shares(axis, {name: o.shares(group) for name, o in orders.items()}, colours)
    for axis in axes[:, 0]:
        axis.set_ylabel("share of atoms")
    for axis in axes[1]:
        axis.set_xlabel("bonds")
    _legend_above(figure, colours)
    return figure


@styled
def draw_local_angles(
    orders: dict[str, LocalOrder], titles: dict[Group, str], start: str
) -> Figure:
    """Densities of bond angles: a row per role of the central atom, a column per region."""
    figure, axes = new_figure(2, 2, 4.6, sharex=True)
    colours = run_colours(orders, start)
    # an atom with one bond, such as a bromide on a face, has no angle
    bent = {g: t for g, t in titles.items() if any(len(o.angles[g]) for o in orders.values())}
    for group, axis in _panels(axes, bent):
        top = 0.0
        for name, order in orders.items():
            angle, density = order.angle_density(group)
            axis.plot(angle, 100 * density, color=colours[name], linewidth=1.2)
            # the start has no thermal width: its peaks may leave the panel
            top = max(top, 0.0 if name == start else 100 * float(density.max()))
        axis.set_ylim(0, 1.3 * top or None)
        axis.set_xlim(40, 180)
        axis.xaxis.set_major_locator(MultipleLocator(20))
    for axis in axes[:, 0]:
        axis.set_ylabel("density (% per degree)")
    for axis in axes[1]:
        axis.set_xlabel("angle (°)")
    _legend_above(figure, colours)
    return figure


def _panels(axes: np.ndarray, titles: dict[Group, str]) -> Iterator[tuple[Group, Axes]]:
    """Panels that have something to draw, titled; the others say that there is nothing."""
    for row, role in enumerate(ROLES):
        for column, region in enumerate(REGION_NAMES):
            axis, group = axes[row, column], (role, region)
            if group in titles:
                axis.set_title(titles[group])
                yield group, axis
            else:
                axis.set_axis_off()
                text = f"none: {role}, {region}"
                axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center")


def _legend_above(figure: Figure, colours: dict[str, str]) -> None:
    handles = [Line2D([], [], color=tint, linewidth=4, label=n) for n, tint in colours.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))


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
