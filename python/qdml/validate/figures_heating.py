# SPDX-License-Identifier: MIT
"""Rows and figure of a crystal heated at zero pressure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from qdml.analyse.figures import new_figure, styled
from qdml.validate import targets
from qdml.validate.heating import Heating
from qdml.validate.rows import Row

COLOURS = ("#0072B2", "#009E73", "#D55E00")


def heating_rows(material: str, heating: Heating, picoseconds: float) -> Iterator[Row]:
    """Expansion, and for a perovskite its edges and tilts where the run began and ended."""
    target = targets.find_targets(material)
    first, last = heating.temperatures[[0, -1]]
    length = f"{picoseconds:g} ps each"
    yield Row(
        f"linear expansion, {first:g} to {last:g} K, {length}",
        f"{1e6 * heating.expansion:.1f} × 10⁻⁶ / K",
        experiment=target.expansion or "–",
    )
    if heating.tilts is not None:
        for index in (0, -1):
            a, b, c = heating.edges[index]
            antiphase, in_phase = heating.tilts[index]
            yield Row(
                f"pseudocubic edges; tilts a⁻, c⁺ at {heating.temperatures[index]:g} K",
                f"{a:.3f} {b:.3f} {c:.3f} Å; {antiphase:.1f}° {in_phase:.1f}°",
                experiment=target.transitions or "–",
            )


@styled
def draw_heating(heating: Heating) -> Figure:
    """Edges over temperature, and tilts beside them."""
    with_tilts = heating.tilts is not None
    figure, axes = new_figure(1, 2 if with_tilts else 1, 3.0)
    names = ("a/√2", "b/√2", "c/2") if with_tilts else ("a", "b", "c")
    for edge, name, colour in zip(heating.edges.T, names, COLOURS, strict=True):
        axes[0, 0].plot(heating.temperatures, edge, "o-", color=colour, label=name, markersize=4)
    axes[0, 0].set_ylabel("mean edge (Å)")
    axes[0, 0].legend()
    if heating.tilts is not None:
        for tilt, name, colour in zip(
            heating.tilts.T, ("in antiphase, about the plane's axes", "in phase, about c"),
            COLOURS[::2], strict=True,
        ):  # fmt: skip
            axes[0, 1].plot(heating.temperatures, tilt, "o-", color=colour, label=name,
                            markersize=4)  # fmt: skip
        axes[0, 1].set_ylabel("tilt of the mean octahedra (°)")
        axes[0, 1].set_ylim(0, max(1.0, 1.15 * float(np.max(heating.tilts))))
        axes[0, 1].legend()
    for axis in axes[0]:
        axis.set_xlabel("temperature (K)")
    return figure
