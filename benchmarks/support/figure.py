# SPDX-License-Identifier: MIT
"""Figures of `engine.py`, `nve_drift.py` and `dft_timing.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from support.dft_table import AIM, is_quiet, rounded

COLOURS = {"fast": "#4c9f70", "std": "#2b6cb0", "accurate": "#8b5fbf", "accurate-l3": "#c2557a"}


def label(row: dict[str, Any]) -> str:
    """Short name of a side-by-side row."""
    if row["kind"] == "nequip":
        return f"nequip, {row['mode']}"
    if row["kind"] == "jax":
        return "same model in JAX, jit fp32"
    if row["kind"] == "lammps":
        return f"pair_style qdml, whole LAMMPS step, {row['atoms']} atoms"
    return "libqdml, energy and forces"


def draw(document: dict[str, Any], path: Path) -> None:
    """Write the PNG."""
    rows = [r for r in document["rows"] if "error" not in r]
    side = [r for r in rows if r.get("side_by_side")]
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.6), width_ratios=(1, 1.15))
    left, right = axes
    best = document["best_isa"]
    for model, colour in COLOURS.items():
        points = sorted(
            (r["atoms"], r["us_per_atom_step"])
            for r in rows
            if r["kind"] == "engine" and r["model"] == model and r["isa"] == best
            and r["threads"] == 1 and r["precision"] == "mixed" and not r.get("side_by_side")
        )  # fmt: skip
        if points:
            left.plot(*zip(*points, strict=True), "o-", color=colour, label=model)
    left.set(xscale="log", xlabel="atoms", ylabel="µs per atom and step", ylim=(0, None))
    left.set_title(f"libqdml, one core, {best}, mixed precision", fontsize=10)
    left.grid(alpha=0.3)
    if left.lines:
        left.legend(frameon=False)
    side.sort(key=lambda r: -r["us_per_atom_step"])
    values = [r["us_per_atom_step"] for r in side]
    colours = ["#2b6cb0" if r["kind"] in ("engine", "lammps") else "#b0b0b0" for r in side]
    right.barh(range(len(side)), values, color=colours)
    right.set_yticks(range(len(side)), [label(r) for r in side], fontsize=9)
    for i, (r, value) in enumerate(zip(side, values, strict=True)):
        ratio = f"{r['speedup']:.3g}x" if "speedup" in r else ""
        number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        right.text(value * 1.1, i, f"{number} µs  {ratio}", va="center", fontsize=9)
    if side:
        right.set(xscale="log", xlim=(min(values) / 3, max(values) * 12))
    right.set_xlabel("µs per atom and step, one core, l_max 2, 64 channels, 3 layers")
    right.set_title(f"x: against {document.get('baseline', 'nothing')}", fontsize=10)
    quiet = "" if document["machine"]["quiet"] else "NOT QUIET, no result: "
    figure.suptitle(f"{quiet}{document['machine']['processor']}", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_drifts(rows: list[dict[str, Any]], limit: float, path: Path) -> None:
    """Write the PNG of `nve_drift.py`: total energy per atom over time, a panel per potential."""
    models = list(dict.fromkeys(r["model"] for r in rows))
    figure, axes = plt.subplots(
        1, len(models), figsize=(6 * len(models), 3.8), squeeze=False, sharey=True
    )
    for axis, model in zip(axes[0], models, strict=True):
        mine = [r for r in rows if r["model"] == model]
        for row, colour in zip(mine, ("#2b6cb0", "#d55e00", "#4c9f70", "#8b5fbf"), strict=False):
            time, energy = row["curve"]["time_ps"], row["curve"]["energy_ev_per_atom"]
            drift, error = 1e6 * row["drift_ev_per_atom_ps"], 1e6 * row["standard_error"]
            axis.plot(
                time, [1e6 * (e - energy[0]) for e in energy], color=colour, linewidth=0.8,
                label=f"{row['precision']}: {drift:+.2g} ± {error:.1g} µeV/atom/ps",
            )  # fmt: skip
        end = max(r["length_ps"] for r in mine)
        axis.fill_between(
            [0, end], [0, -1e6 * limit * end], [0, 1e6 * limit * end], color="#9a9a9a", alpha=0.2,
            linewidth=0, label=f"limit ±{1e6 * limit:g} µeV/atom/ps",
        )  # fmt: skip
        row = mine[0]
        axis.set_title(
            f"{model}: {row['formula']}, {row['mean_temperature_k']:.0f} K, "
            f"steps of {row['timestep_fs']:g} fs", fontsize=10,
        )  # fmt: skip
        axis.set_xlabel("time (ps)")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=9, loc="lower left")
    axes[0, 0].set_ylabel("total energy per atom, less the first (µeV)")
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


DFT_COLOUR = "#b0563b"
POTENTIAL_COLOURS = ("#4c9f70", "#2b6cb0", "#8b5fbf", "#c2557a")


def draw_dft_timing(document: dict[str, Any], path: Path) -> None:
    """Write the PNG of `dft_timing.py`: time per MD step against atoms, a panel per material."""
    materials = document["materials"]
    columns = min(2, len(materials))
    lines = -(-len(materials) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(6 * columns, 4.6 * lines), squeeze=False, sharey=True
    )
    for axis in axes.flat[len(materials) :]:
        axis.set_visible(False)
    for axis, (name, entry) in zip(axes.flat, materials.items(), strict=False):
        draw_material(axis, name, entry)
    for axis in axes[:, 0]:
        axis.set_ylabel("seconds per MD step, one core")
    quiet = "" if is_quiet(document) else "NOT QUIET, no result: "
    found = {e["qdml_machine"]["processor"] for e in materials.values()}
    figure.suptitle(f"{quiet}One MD step on one core, {', '.join(sorted(found))}", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_material(axis: Any, name: str, entry: dict[str, Any]) -> None:
    """DFT filled where measured, open and dashed where by the law; a line per potential."""
    rows, law = entry["rows"], entry["law"]
    dots = {r["dot"]: r for r in rows if r["dft"]}.values()
    by_law = sorted({r["dft"] for r in dots} - {"measured"})
    for is_measured, face in ((True, DFT_COLOUR), (False, "none")):
        points = [
            (r["atoms"], r["dft_seconds"]) for r in dots if (r["dft"] == "measured") == is_measured
        ]
        if points:
            axis.plot(
                *zip(*points, strict=True), "o", color=DFT_COLOUR, markerfacecolor=face,
                label="DFT (CP2K), measured" if is_measured else f"DFT, {' or '.join(by_law)}",
            )  # fmt: skip
    if law:
        n = np.geomspace(*sorted(r["atoms"] for r in rows)[:: len(rows) - 1], 50)
        axis.plot(
            n, law["a"] * n ** law["b"], "--", color=DFT_COLOUR, linewidth=1,
            label=f"power law, exponent {law['b']:.2f}, of {law['n_sizes']} sizes",
        )  # fmt: skip
        axis.plot(
            n, law["a"] * n ** law["b"] / AIM, ":", color="#777777", linewidth=1,
            label=f"DFT / {AIM:,.0f}",
        )  # fmt: skip
    for model, colour in zip(entry["models"], POTENTIAL_COLOURS, strict=False):
        mine = [r for r in rows if r["model"] == model["file"] and r["qdml_seconds"]]
        measured = [r for r in mine if r["dft"] == "measured"]
        label = model["file"].removesuffix(".qdml")
        if measured:
            last = max(measured, key=lambda r: r["atoms"])
            label += f": DFT is {rounded(last['ratio'])} times slower at {last['atoms']} atoms"
        axis.plot(
            [r["atoms"] for r in mine], [r["qdml_seconds"] for r in mine], "s-", color=colour,
            markersize=5, linewidth=1, label=label,
        )  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel="atoms")
    ticks = sorted({r["atoms"] for r in rows})
    axis.set_xticks(ticks, [str(t) for t in ticks], fontsize=8)
    axis.set_xticks([], minor=True)
    axis.grid(alpha=0.3)
    axis.set_title(f"{name}: {entry['level_of_theory']}", fontsize=8)
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(0.0, 0.56))
