# SPDX-License-Identifier: MIT
"""Write a dot: extended XYZ, LAMMPS data, JSON summary and picture."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from ase.io import write

from qdml.build.dot import DotResult
from qdml.errors import ConfigError

BLOCK = 20_000
"""Atoms formatted at once: larger blocks are not faster."""


def type_order(atoms: Atoms) -> list[str]:
    """Elements in the order of LAMMPS types 1, 2, ...: first appearance, so cation, anion, ligands.

    This is the order for `pair_coeff * * model.qdml ...`.
    """
    return list(dict.fromkeys(atoms.get_chemical_symbols()))


def write_lammps_data(path: Path, atoms: Atoms, title: str) -> None:
    """Write `atom_style atomic`, `units metal` (Å, amu), orthogonal box from the origin."""
    elements = type_order(atoms)
    row = {element: k for k, element in enumerate(elements)}
    kinds = np.array([row[s] for s in atoms.get_chemical_symbols()])
    write_atomic_data(path, title, elements, kinds, atoms.positions, atoms.cell.lengths())


def write_atomic_data(
    path: Path,
    title: str,
    elements: Sequence[str],
    kinds: np.ndarray,
    positions: np.ndarray,
    lengths: np.ndarray,
    decimals: int = 10,
) -> None:
    """Write a LAMMPS data file from arrays: `kinds` [n] index `elements`, `positions` [n, 3] Å.

    Own writer because each mass carries its element as a comment, which readers use to map types,
    and because a million atoms must not take minutes: lines are formatted in blocks.
    """
    head = [
        f"{title}; units metal, atom_style atomic, types {' '.join(elements)}",
        "",
        f"{len(positions)} atoms",
        f"{len(elements)} atom types",
        "",
        *(f"0.0 {x:.10f} {n}lo {n}hi" for x, n in zip(lengths, "xyz", strict=True)),
        "",
        "Masses",
        "",
        *(f"{k} {atomic_masses[atomic_numbers[e]]:.6f} # {e}" for k, e in enumerate(elements, 1)),
        "",
        "Atoms # atomic",
        "",
    ]
    line = f"%d %d %.{decimals}f %.{decimals}f %.{decimals}f\n"
    with path.open("w", encoding="utf-8") as stream:
        stream.write("\n".join(head) + "\n")
        for start in range(0, len(positions), BLOCK):
            stop = min(start + BLOCK, len(positions))
            numbers = zip(
                range(start + 1, stop + 1),
                (kinds[start:stop] + 1).tolist(),
                *positions[start:stop].T.tolist(),
                strict=True,
            )
            values = tuple(itertools.chain.from_iterable(numbers))
            stream.write(line * (stop - start) % values)


def output_paths(output: Path) -> dict[str, Path]:
    """Names of all files that belong to `output` (`dot.extxyz` -> dot.data, dot.json, dot.png).

    Raises: ConfigError for another ending than .extxyz or .xyz, or a missing folder.
    """
    if output.suffix not in {".extxyz", ".xyz"}:
        raise ConfigError(
            f"output {str(output)!r} must end in .extxyz; the LAMMPS data, JSON and picture are "
            "written beside it with the same name"
        )
    if not output.parent.is_dir():
        raise ConfigError(f"output folder {str(output.parent)!r} does not exist; create it first")
    endings = {"data": ".data", "json": ".json", "png": ".png"}
    return {"extxyz": output} | {k: output.with_suffix(e) for k, e in endings.items()}


def write_all(result: DotResult, output: Path, *, picture: bool = True) -> list[Path]:
    """Write extxyz, LAMMPS data, JSON and, unless switched off, the picture; return their paths.

    Raises: ConfigError as `output_paths`.
    """
    paths = output_paths(output)
    if not picture:
        del paths["png"]
    write(paths["extxyz"], result.atoms, format="extxyz")
    write_lammps_data(paths["data"], result.atoms, f"qdml build {result.summary.formula}")
    document = result.summary.as_dict() | {"lammps_types": type_order(result.atoms)}
    text = json.dumps(document, indent=2, default=_plain)
    paths["json"].write_text(text + "\n", encoding="utf-8")
    if picture:
        from qdml.build.picture import draw_dot  # matplotlib is slow to import

        draw_dot(result, paths["png"])
    return list(paths.values())


def _plain(value: object) -> object:
    """NumPy scalars as Python numbers for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
