# SPDX-License-Identifier: MIT
"""Figures of the LAMMPS run: energy drift, distances, coordination, cost."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qdml.analyse.drift import Drift
from qdml.analyse.figures import colour, new_figure, styled
from qdml.analyse.rdf import Distances

SOURCES = {
    "MD": {"color": "#0072B2", "linewidth": 1.6},
    "DFT dots": {"color": "#D55E00", "linewidth": 1.2},
    "DFT slabs": {"color": "#009E73", "linewidth": 1.1},
    "DFT bulk": {"color": "#7A7A7A", "linewidth": 1.1},
}
"""Line of each source of distances, the same in every panel."""


@styled
def draw_drift(drift: Drift, limit: float, label: str = "LAMMPS") -> Figure:
    """Total energy per atom with its line, and temperature, over time."""
    has_temperature = drift.temperature is not None
    figure, axes = new_figure(1, 2 if has_temperature else 1, 2.9)
    axis, t = axes[0, 0], drift.time_ps
    axis.plot(t, 1e6 * drift.energy, color="#0072B2", linewidth=0.8, label=label)
    line = drift.intercept + drift.slope * t
    axis.plot(
        t,
        1e6 * line,
        color="#D55E00",
        linewidth=1.6,
        label=f"fit: {_short(1e6 * drift.slope)} ± {_short(1e6 * drift.slope_error)} µeV/ps",
    )
    band = line[0] + np.array([-limit, limit])[:, None] * (t - t[0])
    axis.fill_between(t, *(1e6 * band), color="#9A9A9A", alpha=0.2, linewidth=0,
                      label=f"limit ±{1e6 * limit:g} µeV/ps")  # fmt: skip
    axis.set_xlabel("time (ps)")
    axis.set_ylabel("total energy per atom,\nless the first (µeV)")
    axis.legend(loc="best")
    if has_temperature:
        axes[0, 1].plot(t, drift.temperature, color="#3B3B3B", linewidth=0.8)
        axes[0, 1].set_xlabel("time (ps)")
        axes[0, 1].set_ylabel("temperature (K)")
    return figure


def _short(value: float) -> str:
    """Two significant digits without an exponent."""
    return f"{float(f'{value:.2g}'):,g}".replace("-", "−")


@styled
def draw_distances(
    sources: dict[str, Distances], pairs: list[tuple[str, str]], columns: list[tuple[str, str]]
) -> Figure:
    """n(r) and running coordination of each pair.

    One row per (central, neighbour) pair; one column per (title, region): the central atom's
    region. Solid: n(r), left scale. Dotted: running number of neighbours, right scale.
    """
    figure, axes = new_figure(
        len(pairs), len(columns), 1.9 * len(pairs) + 0.7, sharex=True, sharey="row"
    )
    for row, (a, b) in enumerate(pairs):
        for column, (title, region) in enumerate(columns):
            axis = axes[row, column]
            _draw_pair(axis, sources, a, b, region, with_label=column == len(columns) - 1)
            axis.set_title(f"{a} → {b}, {title}")
            if column == 0:
                axis.set_ylabel("n(r) (1/Å)")
            if row == len(pairs) - 1:
                axis.set_xlabel("distance (Å)")
    handles = [mpl.lines.Line2D([], [], label=name, **SOURCES[name]) for name in sources]
    handles.append(
        mpl.lines.Line2D([], [], color="#5b6770", linestyle=":", label="neighbours within r")
    )
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
    return figure


def _draw_pair(
    axis: Axes,
    sources: dict[str, Distances],
    a: str,
    b: str,
    region: str,
    with_label: bool,
) -> None:
    count = axis.twinx()
    count.spines["right"].set_visible(True)
    drawn, top = False, 1.0
    for name, found in sources.items():
        if not found.n_centers.get((a, region)):
            continue
        drawn = True
        running = found.running(a, region, b)
        axis.plot(found.r, found.smooth_density(a, region, b), **SOURCES[name])
        count.plot(found.r, running, color=SOURCES[name]["color"], linewidth=0.9, linestyle=":")
        top = max(top, float(running[found.r <= 6.0][-1]))
    if not drawn:
        axis.text(0.5, 0.5, "no such atoms", transform=axis.transAxes, ha="center", color="#5b6770")
    r_max = next(iter(sources.values())).r_max
    axis.set_xlim(1.5 if b not in ("H", "C") else 0.8, r_max)
    axis.set_ylim(bottom=0)
    count.set_ylim(0, 1.15 * top)
    count.tick_params(labelsize=8)
    if with_label:
        count.set_ylabel("neighbours", color="#5b6770")


@styled
def draw_coordination(
    shares: dict[str, dict[str, np.ndarray]], time_ps: np.ndarray, over_time: dict[str, np.ndarray]
) -> Figure:
    """Coordination numbers of the lattice elements.

    shares: symbol -> source -> share of coordination 0 .. 12 [13]. over_time: symbol -> shares
    [n_frames, 13] along the MD trajectory at time_ps [n_frames].
    """
    symbols = list(shares)
    figure, axes = new_figure(2, len(symbols), 4.8)
    for k, symbol in enumerate(symbols):
        draw_shares(axes[0, k], shares[symbol], {s: line["color"] for s, line in SOURCES.items()})
        axes[0, k].set_xlabel(f"bonded neighbours of {symbol} (lattice and ligands)")
        axes[0, k].set_title(symbol)
        axes[0, k].legend()
        _bands(axes[1, k], symbol, time_ps, over_time[symbol])
    axes[0, 0].set_ylabel("share of atoms")
    axes[1, 0].set_ylabel("share of atoms (MD)")
    return figure


def draw_shares(axis: Axes, shares: dict[str, np.ndarray], colours: dict[str, str]) -> None:
    """Bars of the share of each coordination number 0 .. 12, [13] per source; empty ends cut."""
    together = np.sum(list(shares.values()), axis=0)
    used = np.flatnonzero(together > 1e-3)
    low, high = (int(used[0]), int(used[-1])) if len(used) else (0, 4)
    low, high = max(low - 1, 0), high + 1
    width = 0.8 / max(len(shares), 2)
    for k, (source, share) in enumerate(shares.items()):
        x = np.arange(low, high + 1) + (k - (len(shares) - 1) / 2) * width
        axis.bar(x, share[low : high + 1], width * 0.92, color=colours[source], label=source)
    axis.set_xticks(range(low, high + 1))
    axis.set_ylim(0, 1.05)


def _bands(axis: Axes, symbol: str, time_ps: np.ndarray, shares: np.ndarray) -> None:
    used = np.flatnonzero(shares.any(axis=0))
    tints = mpl.colormaps["Blues"](np.linspace(0.25, 0.9, max(len(used), 2)))
    if len(time_ps) > 1:
        axis.stackplot(time_ps, shares[:, used].T, colors=tints, labels=[str(c) for c in used],
                       edgecolor="white", linewidth=0.4)  # fmt: skip
        axis.set_xlim(time_ps[0], time_ps[-1])
        legend = axis.legend(
            title="neighbours", loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True
        )
        legend.get_title().set_fontsize(8)
    else:
        reason = "one frame only" if len(time_ps) else "no trajectory"
        axis.text(0.5, 0.5, reason, transform=axis.transAxes, ha="center")
    axis.set_ylim(0, 1)
    axis.set_xlabel("time (ps)")
    axis.set_title(f"{symbol} along the run")


@styled
def draw_cost(dft: list[dict[str, Any]], md: dict[str, Any] | None) -> Figure:
    """Core seconds of DFT single points and of the MD step against the number of atoms."""
    figure, axes = new_figure(1, 1, 3.2)
    axis = axes[0, 0]
    if dft:
        n = np.array([row["n_atoms"] for row in dft])
        seconds = np.array([row["median_core_seconds"] for row in dft])
        spread = np.array([[row["min_core_seconds"], row["max_core_seconds"]] for row in dft]).T
        axis.errorbar(
            n,
            seconds,
            yerr=np.abs(spread - seconds),
            fmt="o",
            color="#D55E00",
            markersize=5,
            elinewidth=0.8,
            label="DFT single point (median, range)",
        )
    if md is not None:
        axis.plot(
            md["n_atoms"],
            md["core_seconds_per_step"],
            "s",
            color=colour("Cd"),
            markersize=7,
            label="qdml, one MD step in LAMMPS",
        )
    axis.set_xscale("log")
    axis.set_yscale("log")
    sizes = [row["n_atoms"] for row in [*dft, *([md] if md else [])]]
    axis.set_xlim(min(sizes) / 2, max(sizes) * 2)
    axis.set_xlabel("atoms")
    axis.set_ylabel("core seconds")
    axis.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    axis.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure
