# SPDX-License-Identifier: MIT
"""Write a film: LAMMPS data, JSON summary, picture."""

from __future__ import annotations

import json
from pathlib import Path

from qdml.build.output import write_atomic_data
from qdml.errors import ConfigError
from qdml.film.assembly import Film

DECIMALS = 5  # 1e-5 Å; dynamics forgets more, and a million lines stay short


def output_paths(output: Path) -> dict[str, Path]:
    """Names of all files that belong to `output` (`film.data` -> film.json, film.png).

    Raises: ConfigError for another ending than .data, or a missing folder.
    """
    if output.suffix != ".data":
        raise ConfigError(
            f"output {str(output)!r} must end in .data; the JSON and the picture are written "
            "beside it with the same name"
        )
    if not output.parent.is_dir():
        raise ConfigError(f"output folder {str(output.parent)!r} does not exist; create it first")
    return {"data": output, "json": output.with_suffix(".json"), "png": output.with_suffix(".png")}


def write_film(film: Film, output: Path, *, picture: bool = True) -> list[Path]:
    """Write LAMMPS data, JSON and, unless switched off, the picture; return their paths."""
    paths = output_paths(output)
    if not picture:
        del paths["png"]
    title = f"qdml film {film.summary['array']}, {film.summary['n_dots']} x {film.summary['dot']}"
    write_atomic_data(
        paths["data"], title, film.symbols, film.kinds, film.positions, film.box, DECIMALS
    )
    document = film.summary | {"lammps_types": list(film.symbols)}
    paths["json"].write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if picture:
        from qdml.film.picture import draw_film  # matplotlib is slow to import

        draw_film(film, paths["png"])
    return list(paths.values())
