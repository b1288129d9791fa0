# SPDX-License-Identifier: MIT
"""`curve`: the same fit on parts of the training frames, and what more frames would buy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from qdml.analyse import figures, html
from qdml.errors import ConfigError
from rich.console import Console

from qdml_train.config import dump_config, load_config
from qdml_train.workflow import run_fit

ERRORS = {
    "force_rmse_mev_per_angstrom": "force RMSE, meV/Å",
    "energy_mae_mev_per_atom": "energy MAE, meV/atom",
}
"""Errors of the curve, as `summary` of evaluation.json calls them, and their names."""


@dataclass(frozen=True)
class Point:
    """One fit: the part of the training frames, their number, and the errors by part and origin."""

    part: float
    n_frames: int
    errors: dict[str, dict[str, float | None]]


def run_curve(
    path: Path, parts: Sequence[float], overrides: list[str], console: Console
) -> list[Point]:
    """Fit every part into OUTPUT/PERCENT; a stopped curve goes on where it was.

    Every fit has the time of the configuration or, with `train.epochs`, about the steps of the
    whole. Raises ConfigError for parts outside of 0 to 1 or a configuration with a part of its own.
    """
    if len(set(parts)) < 2 or not all(0 < part <= 1 for part in parts):
        raise ConfigError(f"--parts {list(parts)}: at least two percentages above 0, at most 100")
    config = load_config(path, overrides)
    if config.data.train_fraction != 1.0:
        raise ConfigError("data.train_fraction is what the curve varies; take it out")
    points = []
    for number, part in enumerate(sorted(set(parts)), 1):
        percent = f"{100 * part:g}"
        folder = config.output / percent
        console.rule(f"{percent} % of the training frames, fit {number} of {len(set(parts))}")
        more = [f"data.train_fraction={part}", f"output={folder}"]
        if config.train.epochs is not None:
            more.append(f"train.epochs={round(config.train.epochs / part)}")
        if not _is_done(folder, dump_config(load_config(path, [*overrides, *more]))):
            run_fit(path, [*overrides, *more], True, False, console, 0.0)
        points.append(point_of(json.loads((folder / "evaluation.json").read_text()), part))
        write_curve(points, config.output)
    console.print(f"report: {config.output / 'curve.html'}", highlight=False, soft_wrap=True)
    return points


def _is_done(folder: Path, config: str) -> bool:
    """Whether the folder holds the evaluation of a fit of exactly this configuration."""
    known = folder / "config.yaml"
    is_same = known.exists() and known.read_text().endswith(config)
    return is_same and (folder / "evaluation.json").exists()


def point_of(evaluation: dict[str, Any], part: float) -> Point:
    """The errors of the held-out frames: all of them, and every origin."""
    summary = evaluation["summary"]
    held_out = "test" if "test" in summary["by_split"] else "valid"
    rows = {"all held-out frames": summary["by_split"].get(held_out, {})}
    rows |= {
        name.removeprefix(f"{held_out}/"): row
        for name, row in summary["by_origin"].items()
        if name.startswith(f"{held_out}/")
    }
    n_frames = summary["by_split"]["train"]["n_frames"]
    errors = {name: {key: row.get(key) for key in ERRORS} for name, row in rows.items()}
    return Point(part, n_frames, errors)


def exponent(n_frames: Sequence[int], errors: Sequence[float]) -> float | None:
    """b of error = a n^-b by least squares of the logarithms; None for fewer than two numbers."""
    if len(set(n_frames)) < 2 or min(errors) <= 0:
        return None
    return float(-np.polyfit(np.log(n_frames), np.log(errors), 1)[0])


def write_curve(points: list[Point], folder: Path) -> None:
    """`curve.json` and, of two points or more, `curve.html` with figure and table."""
    exponents = {}
    for name in points[0].errors:
        for key in ERRORS:
            known = [(p.n_frames, p.errors.get(name, {}).get(key)) for p in points]
            known = [(n, e) for n, e in known if e is not None]
            numbers, errors = zip(*known, strict=True) if known else ((), ())
            exponents.setdefault(name, {})[key] = exponent(numbers, errors)
    document = {
        "points": [{"part": p.part, "n_frames": p.n_frames, "errors": p.errors} for p in points],
        "exponents": exponents,
    }
    (folder / "curve.json").write_text(json.dumps(document, indent=1) + "\n")
    if len(points) < 2:
        return
    head = ["held-out frames", *(f"{p.n_frames} frames" for p in points), "twice the frames"]
    sections = []
    for key, label in ERRORS.items():
        rows = [
            [name, *(p.errors.get(name, {}).get(key) for p in points), gain(exponents[name][key])]
            for name in points[0].errors
        ]
        sections.append((label, html.figure(draw(points, key), label) + html.table(head, rows)))
    summary = html.paragraph(
        "The same fit on parts of its training frames. Parts are nested and spread over every "
        "origin. The last column is what the power law through the points promises of twice the "
        "frames; held-out frames are the same for all."
    )
    page = html.page(f"Learning curve {folder.name}", summary, sections, "")
    (folder / "curve.html").write_text(page, encoding="utf-8")


def gain(b: float | None) -> str | None:
    """Change of the error with twice the frames, such as '-18 %'."""
    return None if b is None else f"{100 * (2.0**-b - 1):+.0f} %"


@figures.styled
def draw(points: list[Point], key: str) -> Figure:
    """One error against the number of training frames, both axes logarithmic."""
    figure, axes = figures.new_figure(1, 1, 3.6)
    axis = axes[0, 0]
    for k, name in enumerate(points[0].errors):
        known = [(p.n_frames, e) for p in points if (e := p.errors.get(name, {}).get(key))]
        if known:
            whole = k == 0
            axis.plot(
                *zip(*known, strict=True), "o-", label=name, lw=2.2 if whole else 1.0,
                color="#1c2126" if whole else figures.CYCLE[(k - 1) % len(figures.CYCLE)],
            )  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel="training frames", ylabel=ERRORS[key])
    numbers = [p.n_frames for p in points]
    axis.set_xticks(numbers, [str(n) for n in numbers])
    axis.minorticks_off()
    figures.log_ticks(axis)
    axis.grid(alpha=0.3)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
