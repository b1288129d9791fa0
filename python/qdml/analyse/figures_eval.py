# SPDX-License-Identifier: MIT
"""Figures of an evaluation: direction of the forces, reliability of the spread of a committee."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from ase.data import chemical_symbols
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qdml.analyse.angles import FORCE_FLOOR, force_angles
from qdml.analyse.calibration import interval_levels
from qdml.analyse.figures import colour, new_figure, styled
from qdml.analyse.groups import region_names
from qdml.analyse.parity import Evaluation
from qdml.analyse.surface import REGIONS

REGION_COLOURS = {"core": "#0072B2", "surface": "#D55E00", "ligand": "#009E73"}
MAX_CLASSES = 12
MIN_ATOMS = 10
"""A class of fewer atoms has no median worth drawing."""


@styled
def draw_angles(evaluation: Evaluation, split: str) -> Figure:
    """Median angle against the size of the reference force, by element and by region."""
    numbers, regions, angles, lengths = _collect(evaluation, split)
    has_regions = regions.size > 0
    figure, axes = new_figure(1, 2 if has_regions else 1, 3.1, sharey=True)
    elements = sorted(set(numbers), key=lambda z: -int((numbers == z).sum()))
    for z in elements:
        name = chemical_symbols[z]
        _medians(axes[0, 0], lengths[numbers == z], angles[numbers == z], name, colour(name))
    axes[0, 0].set_title("by element")
    if has_regions:
        for name in REGIONS:
            here = regions == name
            _medians(axes[0, 1], lengths[here], angles[here], name, REGION_COLOURS[name])
        axes[0, 1].set_title("by region")
    for axis in axes[0]:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda v, _: f"{v:g}"))
        axis.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        axis.set_xlabel("reference force (eV/Å)")
        axis.set_ylim(bottom=0)
        if axis.lines:
            axis.legend(ncols=2 if len(axis.lines) > 4 else 1)
    axes[0, 0].set_ylabel("median angle (degrees)")
    return figure


def _collect(
    evaluation: Evaluation, split: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Atomic number, region (empty array without), angle and length of the counted forces."""
    numbers, regions, angles, lengths = [], [], [], []
    for k, name in enumerate(evaluation.split):
        both, letters = evaluation.forces[k], evaluation.regions[k]
        if name != split or both is None:
            continue
        kept = np.linalg.norm(both[0], axis=1) > FORCE_FLOOR
        angle, length = force_angles(*both)
        numbers.append(evaluation.numbers[k][kept])
        angles.append(angle)
        lengths.append(length)
        if letters is not None:
            regions.append(region_names(letters)[kept])
    if len(regions) != len(numbers):
        regions = []
    empty = [np.empty(0)]
    return tuple(np.concatenate(x or empty) for x in (numbers, regions, angles, lengths))


def _medians(axis: Axes, lengths: np.ndarray, angles: np.ndarray, label: str, tint: str) -> None:
    """Medians of angle and force in classes of equal numbers of atoms by the size of the force."""
    n_classes = min(MAX_CLASSES, len(lengths) // MIN_ATOMS)
    if n_classes == 0:
        return
    classes = np.array_split(np.argsort(lengths, kind="stable"), n_classes)
    middles = [np.median(lengths[c]) for c in classes]
    axis.plot(middles, [np.median(angles[c]) for c in classes], color=tint, marker=".", label=label)


@styled
def draw_reliability(spread: np.ndarray, error: np.ndarray, found: dict[str, Any]) -> Figure:
    """Error against spread of a committee: atoms, bins, the diagonal and the scaled line.

    spread [n], error [n, 3] in eV/Å; found is the result of `calibration`.
    """
    figure, axes = new_figure(1, 2, 3.4)
    axis = axes[0, 0]
    size = np.linalg.norm(error, axis=1)
    shown = (spread > 0) & (size > 0)
    axis.scatter(spread[shown], size[shown], s=5, alpha=0.5, linewidths=0, color="#9A9A9A",
                 rasterized=True, label="atoms")  # fmt: skip
    bins = np.array([[b["spread"], b["error"]] for b in found["bins"]])
    axis.plot(*bins.T, color="#0072B2", marker="o", markersize=3.5, label="root mean squares")
    low, high = min(spread[shown].min(), size[shown].min()), max(spread.max(), size.max())
    ends = np.array([low, high])
    axis.plot(ends, ends, color="#5b6770", linewidth=0.8, label="error = spread")
    axis.plot(ends, found["factor"] * ends, color="#D55E00", linewidth=1.0, linestyle=(0, (5, 3)),
              label=f"error = {found['factor']:.2g} × spread")  # fmt: skip
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("spread of the committee (eV/Å)")
    axis.set_ylabel("error of the mean force (eV/Å)")
    axis.legend(loc="upper left")
    axis = axes[0, 1]
    for factor, tint, label in ((1.0, "#0072B2", "spread as it is"),
                                (found["factor"], "#D55E00", "spread scaled")):  # fmt: skip
        expected = np.sort(interval_levels(factor * spread, error))
        observed = (np.arange(len(expected)) + 0.5) / max(len(expected), 1)
        axis.plot(expected, observed, color=tint, label=label)
    axis.plot([0, 1], [0, 1], color="#5b6770", linewidth=0.8)
    axis.set_xlabel("probability of the interval")
    axis.set_ylabel("share of components inside")
    axis.set_aspect("equal")
    axis.legend(loc="lower right")
    return figure
