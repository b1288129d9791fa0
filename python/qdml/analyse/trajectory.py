# SPDX-License-Identifier: MIT
"""Read a LAMMPS `dump custom` text trajectory frame by frame, with a stride and a skip."""

from __future__ import annotations

import gzip
import io
import lzma
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.io.lammpsrun import read_lammps_dump_text

from qdml.errors import DataError

HEAD_LINES = 9
"""Lines of a dump frame before its atoms (TIMESTEP, NUMBER OF ATOMS, BOX BOUNDS, ATOMS)."""


@dataclass
class Trajectory:
    """The frames that were kept, with `info['timestep']` the LAMMPS step.

    n_seen: whole frames in the file; cut: True when the last frame was incomplete and left out.
    """

    path: Path
    frames: list[Atoms] = field(default_factory=list)
    n_seen: int = 0
    cut: bool = False

    @property
    def steps(self) -> np.ndarray:
        """LAMMPS step of each kept frame, [n_frames]."""
        return np.array([frame.info["timestep"] for frame in self.frames])


def read_trajectory(
    path: str | Path, *, stride: int = 1, skip: int = 0, species: list[str] | None = None
) -> Trajectory:
    """Read every `stride`-th frame from frame `skip` on.

    `species`: symbols of LAMMPS types 1, 2, ... for dumps without an `element` column. Positions
    in A (LAMMPS units metal or real). Raises DataError for damage other than a cut last frame.
    """
    trajectory = Trajectory(Path(path))
    for symbol in species or []:
        if symbol not in atomic_numbers:
            raise DataError(f"--species: '{symbol}' is not a chemical symbol")
    last_numbers: np.ndarray | None = None
    for index, block in enumerate(_blocks(trajectory)):
        trajectory.n_seen = index + 1
        if index < skip or (index - skip) % stride:
            continue
        atoms = _parse(trajectory.path, index, block, species)
        if last_numbers is not None and len(atoms) != len(last_numbers):
            raise DataError(
                f"{path}: frame {index} has {len(atoms)} atoms, the frames before "
                f"{len(last_numbers)}: atoms were lost or files joined"
            )
        last_numbers = atoms.numbers
        trajectory.frames.append(atoms)
    if not trajectory.frames:
        raise DataError(
            f"{path}: no frame left: {trajectory.n_seen} whole frames in the file, the first "
            f"{skip} are skipped; lower --skip or let the run write more"
        )
    return trajectory


def _blocks(trajectory: Trajectory) -> Iterator[list[str]]:
    """Lines of each whole frame."""
    path = trajectory.path
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    try:
        with opener(path, "rt") as handle:
            block: list[str] = []
            index = 0
            for line in handle:
                if line.startswith("ITEM: TIMESTEP") and block:
                    if not _is_whole(block):
                        raise DataError(
                            f"{path}: frame {index} is damaged: {len(block)} lines, "
                            f"{_expected(block)} expected; remove the frame"
                        )
                    yield block
                    block, index = [], index + 1
                block.append(line)
                if len(block) == 1 and not line.startswith("ITEM: "):
                    raise DataError(
                        f"{path}: not a LAMMPS text dump: expected 'ITEM: TIMESTEP', found "
                        f"{line.strip()[:40]!r}; write it with 'dump custom'"
                    )
            if block and _is_whole(block):
                yield block
            else:
                trajectory.cut = bool(block)
    except OSError as error:
        raise DataError(f"{path}: cannot read the trajectory ({error})") from error
    except (UnicodeDecodeError, EOFError, lzma.LZMAError) as error:
        raise DataError(f"{path}: not a LAMMPS text dump ({error})") from error


def _expected(block: list[str]) -> str:
    """Number of lines a frame should have, as text ('?' where its head is unreadable)."""
    for k, line in enumerate(block[:HEAD_LINES]):
        if line.startswith("ITEM: NUMBER OF ATOMS") and k + 1 < len(block):
            try:
                head = next(i for i, text in enumerate(block) if text.startswith("ITEM: ATOMS"))
                return str(head + 1 + int(block[k + 1]))
            except (ValueError, StopIteration):
                return "?"
    return "?"


def _is_whole(block: list[str]) -> bool:
    return _expected(block) == str(len(block)) and block[-1].endswith("\n")


def _parse(path: Path, index: int, block: list[str], species: list[str] | None) -> Atoms:
    """One block of lines as atoms, sorted by id."""
    columns = next(line for line in block if line.startswith("ITEM: ATOMS")).split()[2:]
    if "element" not in columns and species is None:
        raise DataError(
            f"{path}: no 'element' column; say which element each LAMMPS type is, for example "
            "--species Cd,Se,Cl, or write it with 'dump_modify ID element Cd Se Cl'"
        )
    if not {"x", "xs", "xu", "xsu"} & set(columns):
        raise DataError(f"{path}: no positions among the columns {' '.join(columns)}")
    if "element" not in columns and "type" not in columns:
        raise DataError(f"{path}: neither 'element' nor 'type' among the columns")
    try:
        atoms = read_lammps_dump_text(
            io.StringIO("".join(block)), index=0, specorder=species, units="metal"
        )
    except IndexError as error:
        raise DataError(
            f"{path}: frame {index} has a LAMMPS type beyond the {len(species or [])} symbols of "
            "--species"
        ) from error
    except (ValueError, KeyError) as error:
        raise DataError(f"{path}: frame {index} cannot be read ({error})") from error
    if not np.isfinite(atoms.positions).all():
        raise DataError(f"{path}: frame {index} holds positions that are not finite: it blew up")
    return atoms
