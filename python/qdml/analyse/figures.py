# SPDX-License-Identifier: MIT
"""Figures of the fit: learning curves and parity. One style and one colour per element for all."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib as mpl
import numpy as np
from ase.data import chemical_symbols
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qdml.analyse.curves import Curves
from qdml.analyse.parity import Evaluation

# Okabe-Ito colours, told apart by readers with any common colour-vision deficiency; the extra
# greys and darker tones keep the same differences in lightness.
ELEMENT_COLOURS = {
    "Cd": "#0072B2", "Se": "#D55E00", "Cl": "#009E73", "O": "#CC79A7", "C": "#3B3B3B",
    "H": "#9A9A9A", "In": "#56B4E9", "P": "#E69F00", "Zn": "#6A51A3", "S": "#B59B00",
    "Pb": "#4D4D7F", "Br": "#8C510A", "Cs": "#7FBC41", "N": "#1B9E9E", "I": "#542788",
}  # fmt: skip
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6A51A3", "#3B3B3B")
SPLIT_NAMES = {"train": "training", "valid": "validation", "test": "test"}
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#5b6770",
    "axes.labelcolor": "#1c2126",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "xtick.color": "#5b6770",
    "ytick.color": "#5b6770",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.4,
    "svg.fonttype": "path",
    "svg.hashsalt": "qdml",
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
}
WIDTH = 9.2
"""Inches; every figure is as wide as the page."""


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a drawing function under the style of the report."""

    def inner(*args, **kwargs) -> Figure:
        with mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    inner.__doc__, inner.__name__ = draw.__doc__, draw.__name__
    return inner


def new_figure(n_rows: int, n_columns: int, height: float, **kwargs) -> tuple[Figure, np.ndarray]:
    """A figure of page width with its axes as an [n_rows, n_columns] array."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(n_rows, n_columns, squeeze=False, **kwargs)


def colour(symbol: str) -> str:
    """Colour of an element, the same in every figure."""
    if symbol in ELEMENT_COLOURS:
        return ELEMENT_COLOURS[symbol]
    return CYCLE[chemical_symbols.index(symbol) % len(CYCLE)]


@styled
def draw_learning(curves: Curves, limits: dict[str, float]) -> Figure:
    """Loss, energy and force errors against the epoch; `limits` draws the acceptance line."""
    figure, axes = new_figure(1, 3, 2.9)
    panels = (
        ("loss", "loss", None),
        ("force_rmse_mev_per_angstrom", "force RMSE (meV/Å)", limits["force"]),
        ("energy_rmse_mev_per_atom", "energy RMSE (meV/atom)", limits["energy"]),
    )
    for axis, (measure, label, limit) in zip(axes[0], panels, strict=True):
        for part, tint in (("train", "#9A9A9A"), ("valid", "#0072B2")):
            epoch, value = curves.series(part, measure)
            positive = value > 0
            if positive.any():
                marker = "." if positive.sum() < 40 else None
                axis.plot(epoch[positive], value[positive], color=tint, marker=marker,
                          label=SPLIT_NAMES[part])  # fmt: skip
        if axis.lines:
            axis.set_yscale("log")
            log_ticks(axis)
        else:
            axis.text(0.5, 0.5, "not labelled", transform=axis.transAxes, ha="center")
        if limit is not None:
            axis.axhline(limit, color="#D55E00", linewidth=0.9, linestyle=(0, (5, 3)))
            axis.text(0.99, limit, f"limit {limit:g}", color="#D55E00", ha="right", va="bottom",
                      fontsize=8, transform=axis.get_yaxis_transform())  # fmt: skip
        axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(6, integer=True))
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
    axes[0, 0].legend()
    return figure


def log_ticks(axis: Axes) -> None:
    """Plain numbers on a log axis, with labelled in-between ticks when it spans few decades."""
    low, high = axis.get_ylim()
    if high / low < 100:
        axis.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    axis.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())


@styled
def draw_forces(evaluation: Evaluation, splits: list[str]) -> Figure:
    """Predicted against reference force components, one panel per split, coloured by element."""
    figure, axes = new_figure(1, len(splits), 3.5 if len(splits) > 1 else 4.5)
    for axis, split in zip(axes[0], splits, strict=True):
        numbers, reference, predicted = force_components(evaluation, split)
        # the most numerous elements first, so that rare ones stay visible
        counts = {z: int((numbers == z).sum()) for z in np.unique(numbers)}
        for z in sorted(counts, key=counts.__getitem__, reverse=True):
            mask = numbers == z
            symbol = chemical_symbols[z]
            axis.scatter(reference[mask], predicted[mask], s=4, alpha=0.5, linewidths=0,
                         color=colour(symbol), label=symbol, rasterized=True)  # fmt: skip
        _diagonal(axis, reference, predicted)
        axis.set_title(SPLIT_NAMES[split])
        axis.set_xlabel("DFT force component (eV/Å)")
        if len(numbers):
            legend = axis.legend(markerscale=3, handletextpad=0.1, labelspacing=0.2)
            for handle in legend.legend_handles:
                handle.set_alpha(1)
    axes[0, 0].set_ylabel("predicted (eV/Å)")
    return figure


def force_components(
    evaluation: Evaluation, split: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Atomic number, reference and predicted value (eV/Å) of every component of a split, [n]."""
    chosen = [
        (evaluation.numbers[k], evaluation.forces[k])
        for k, name in enumerate(evaluation.split)
        if name == split and evaluation.forces[k] is not None
    ]
    if not chosen:
        return np.empty(0, dtype=int), np.empty(0), np.empty(0)
    numbers = np.concatenate([np.repeat(z, 3) for z, _ in chosen])
    reference = np.concatenate([both[0].ravel() for _, both in chosen])
    predicted = np.concatenate([both[1].ravel() for _, both in chosen])
    return numbers, reference, predicted


@styled
def draw_energies(evaluation: Evaluation, splits: list[str], offsets: np.ndarray) -> Figure:
    """Predicted against reference energy per atom less `offsets` [n_frames], by origin."""
    figure, axes = new_figure(1, len(splits), 3.5 if len(splits) > 1 else 4.5)
    origins = sorted(set(evaluation.origin))
    split_of, origin_of = np.array(evaluation.split), np.array(evaluation.origin)
    values = evaluation.energies - offsets[:, None]
    for axis, split in zip(axes[0], splits, strict=True):
        here = (split_of == split) & np.isfinite(values[:, 0])
        for k, origin in enumerate(origins):
            mask = here & (origin_of == origin)
            if mask.any():
                axis.scatter(*values[mask].T, s=16, linewidths=0.4, edgecolors="white",
                             color=CYCLE[k % len(CYCLE)], marker="osD^vP"[k // len(CYCLE) % 6],
                             label=origin)  # fmt: skip
        _diagonal(axis, *values[here].T)
        axis.set_title(SPLIT_NAMES[split])
        axis.set_xlabel("DFT energy less reference (eV/atom)")
    axes[0, 0].set_ylabel("predicted (eV/atom)")
    handles = {}
    for axis in axes[0]:
        found, labels = axis.get_legend_handles_labels()
        handles |= dict(zip(labels, found, strict=True))
    names = [name for name in origins if name in handles]
    n_columns = min(len(names), 4)
    figure.set_figheight(figure.get_figheight() + 0.19 * -(-len(names) // n_columns))
    figure.legend([handles[name] for name in names], names, loc="outside lower left",
                  ncols=n_columns, fontsize=8, handletextpad=0.1)  # fmt: skip
    return figure


def _diagonal(axis: Axes, *values: np.ndarray) -> None:
    """Equal limits on both axes and the line of perfect agreement."""
    together = np.concatenate(values) if values and len(values[0]) else np.array([-1.0, 1.0])
    low, high = float(together.min()), float(together.max())
    margin = 0.05 * max(high - low, 1e-3)
    ends = (low - margin, high + margin)
    axis.plot(ends, ends, color="#5b6770", linewidth=0.8, zorder=0)
    axis.set_xlim(*ends)
    axis.set_ylim(*ends)
    axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
    axis.yaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
    axis.set_aspect("equal")
