# SPDX-License-Identifier: MIT
"""Picture of a film: every atom while there are few, else a ball for every core."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from matplotlib.colors import to_rgb

from qdml.build.picture import COLORS, OTHER_COLOR, Canvas, view_rotation, write_figure
from qdml.film.assembly import Film

MAX_ATOMS = 30_000
"""More atoms than that are smaller than a pixel or take minutes to draw."""
ATOM_SCALE = 0.9  # of the covalent radius: no bonds are drawn


def draw_film(film: Film, path: Path, pixels: int = 1400) -> None:
    """Render the film and write a PNG of about `pixels` squared."""
    n_atoms = len(film.positions)
    if n_atoms <= MAX_ATOMS:
        # Whole dots, not cut at the faces of the box.
        offset = film.positions - film.places[film.dots]
        edges = np.where(film.summary["periodic"], film.box, np.inf)
        wrap = np.where(np.isfinite(edges), film.box, 0.0)
        points = film.positions - np.round(offset / edges) * wrap
        sizes = np.array([ATOM_SCALE * covalent_radii[atomic_numbers[s]] for s in film.symbols])
        radii = sizes[film.kinds]
        palette = np.array([to_rgb(COLORS.get(s, OTHER_COLOR)) for s in film.symbols])
        colors = palette[film.kinds]
        what = "atoms"
    else:
        points = film.places
        radii = np.full(len(points), film.core_radius)
        colors = np.tile(to_rgb(COLORS.get(film.symbols[0], OTHER_COLOR)), (len(points), 1))
        what = "atoms, cores drawn as balls"
    view = view_rotation()
    turned = (points - film.box / 2) @ view.T
    half = float((np.abs(turned[:, :2]) + radii[:, None]).max()) + 2.0
    z_range = (float((turned[:, 2] - radii).min()), float((turned[:, 2] + radii).max()))
    canvas = Canvas(half, pixels, z_range=z_range)
    for position, radius, color in zip(turned, radii, colors, strict=True):
        canvas.add_sphere(position, radius, color)
    values = film.summary
    box = " x ".join(f"{x / 10:.1f}" for x in film.box)
    write_figure(
        canvas.image(),
        half,
        path,
        f"{values['array']} film of {values['n_dots']} dots",
        f"{n_atoms} {what}, box {box} nm, formal charge {values['formal_charge']}",
        values["composition"],
        is_formula=False,
    )
