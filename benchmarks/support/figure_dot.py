# SPDX-License-Identifier: MIT
"""Figures of cdse_dot_dynamics.py and cdse_dot_baselines.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from qdml.validate.observables import Spectrum
from scipy.ndimage import gaussian_filter1d

DFT, MD = "#d55e00", "#2b6cb0"
FORCE_COLOURS = ("#d0d0d0", "#9a9a9a", "#e69f00", "#d55e00", "#4c9f70", "#2b6cb0", "#8b5fbf")


def draw(
    dft: dict[str, Any],
    md: dict[str, Any],
    spectra: dict[str, Spectrum],
    rows: list[dict[str, Any]],
    pairs: Sequence[tuple[str, str]],
    density: Callable[..., np.ndarray],
    path: Path,
) -> None:
    """Distances, binding modes, coordination, vibrations as PNG; `density` is n(r) of a pair."""
    figure, axes = plt.subplots(2, 4, figsize=(16, 7.2))
    for axis, (a, b) in zip(axes[0], pairs[:4], strict=True):
        r = dft["distances"].r
        for source, colour, name in ((dft, DFT, "DFT"), (md, MD, "potential")):
            curve = gaussian_filter1d(density(source["distances"], a, b), 1)
            axis.plot(r, curve, color=colour, label=name)
        shared = next(x["md"] for x in rows if x["name"].startswith(f"overlap of {a}-{b} "))
        axis.set_title(f"{a}-{b}, overlap {shared:.3f}", fontsize=10)
        axis.set_xlabel("r (Å)")
        axis.set_xlim(1.5, 8)
    axes[0, 0].set_ylabel("neighbours per Å")
    axes[0, 0].legend(frameon=False)
    bars(axes[1, 0], [r for r in rows if r["name"].startswith("formate")], "formate ", "")
    axes[1, 0].set_title("binding modes of the formates", fontsize=10)
    bars(axes[1, 1], [r for r in rows if "neighbours" in r["name"]], "", " neighbours")
    axes[1, 1].set_title("coordination", fontsize=10)
    for axis, (low, high), elements in (
        (axes[1, 2], (0, 300), ("Cd", "Se")), (axes[1, 3], (600, 3300), ("O", "C", "H")),
    ):  # fmt: skip
        for k, element in enumerate(elements):
            top = 0.0
            for name, colour in (("DFT", DFT), ("MD", MD)):
                s = spectra[name]
                inside = (s.wavenumber > low) & (s.wavenumber < high)
                curve = s.density[element][inside]
                top = top or curve.max()
                axis.plot(s.wavenumber[inside], curve / top + 1.1 * k, color=colour, linewidth=1)
            axis.text(high - 0.06 * (high - low), 1.1 * k + 0.3, element)
        axis.set(xlabel="wavenumber (1/cm)", yticks=[], xlim=(low, high))
        axis.set_title("vibrational density (DFT orange, potential blue)", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def bars(axis: plt.Axes, rows: list[dict[str, Any]], prefix: str, suffix: str) -> None:
    """Shares of DFT and of the potential side by side; the halves of DFT as a black line."""
    x = np.arange(len(rows))
    axis.bar(x - 0.2, [r["dft"] for r in rows], 0.38, color=DFT, label="DFT")
    axis.bar(x + 0.2, [r["md"] for r in rows], 0.38, color=MD, label="potential")
    for k, row in enumerate(rows):
        axis.plot([k - 0.2] * 2, row["halves"], color="black", linewidth=1.5)
    names = [r["name"].removeprefix(prefix).removesuffix(suffix) for r in rows]
    axis.set_xticks(x, names, rotation=35, ha="right", fontsize=8)
    axis.set_ylabel("share")


def draw_forces(rows: dict[str, dict[str, Any]], elements: Sequence[str], path: Path) -> None:
    """Write the test errors of all methods by element as PNG; `rows` by name, with rmse in eV/Å."""
    figure, axis = plt.subplots(figsize=(12, 4.2))
    names = list(rows)
    width = 0.84 / len(names)
    for k, name in enumerate(names):
        found = rows[name]["rmse"]
        x = [n + (k - (len(names) - 1) / 2) * width for n, s in enumerate(elements) if s in found]
        heights = [1e3 * found[s] for s in elements if s in found]
        axis.bar(x, heights, 0.92 * width, color=FORCE_COLOURS[k % len(FORCE_COLOURS)],
                 label=f"{name} ({rows[name]['frames']})")  # fmt: skip
        for place, height in zip(x, heights, strict=True):
            axis.text(place, height * 1.04, f"{height:.0f}", ha="center", fontsize=6)
    axis.set(yscale="log", ylabel="test force RMSE per component (meV/Å)")
    axis.set_xticks(range(len(elements)), elements)
    axis.legend(title="method (test frames)", alignment="left", title_fontsize=8, frameon=False,
                fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))  # fmt: skip
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
