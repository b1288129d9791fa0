# SPDX-License-Identifier: MIT
"""Figure of the engine's benchmark: time against size, and the side-by-side rows as bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

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
