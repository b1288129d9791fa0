# SPDX-License-Identifier: MIT
"""The film deck on a tiny film: all of its stages run and write what they promise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from qdml.build import build_dot, preset
from qdml.film import build_film
from qdml.film.output import write_film
from test_command import EXAMPLES, qdml


@pytest.mark.parametrize("plane", [1, 0])
def test_film_deck(model: Path, tmp_path: Path, plane: int) -> None:
    """Slab: the box changes along x and y together, not along z. Periodic film: all three."""
    dot = build_dot(**preset("Cd16Se13Cl6")).atoms
    array, vacuum = ("square", 8.0) if plane else ("fcc", None)
    film = build_film(dot, array, repeat=(1, 1, 1), orientation="random", vacuum=vacuum)
    write_film(film, tmp_path / "film.data", picture=False)
    # A random potential: few and short steps are enough to see every command work.
    variables = {"model": model, "relax": 3, "equilibrate": 10, "steps": 20, "every": 10}
    variables |= {"timestep": 0.0005, "plane": plane, "temperature": 50}
    words = [w for name, value in variables.items() for w in ("-var", name, str(value))]
    done = qdml("lmp", "-n", "1", "--", "-in", str(EXAMPLES / "in.film"), *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-2500:]
    frames = read(tmp_path / "film.lammpstrj", index=":")
    assert len(frames) == 3  # steps 10, 20, 30
    assert len(frames[0]) == len(film.positions)
    assert np.isfinite(frames[-1].positions).all()
    start, end = film.box, frames[-1].cell.lengths()
    assert end[0] != pytest.approx(start[0], abs=1e-9)
    assert end[0] / start[0] == pytest.approx(end[1] / start[1]) if plane else True
    assert (end[2] == pytest.approx(start[2], abs=1e-6)) == bool(plane)
    for name in ("film-area.dat", "film-rdf.dat", "film-msd.dat", "film-final.data"):
        assert (tmp_path / name).stat().st_size > 0, name
