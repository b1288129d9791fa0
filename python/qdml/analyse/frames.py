# SPDX-License-Identifier: MIT
"""Reference frames: read them, count them, sort them into bulk, slab, dot and molecule."""

from __future__ import annotations

import lzma
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.io.formats import UnknownFileTypeError

from qdml.analyse.surface import ANIONS, CATIONS
from qdml.errors import DataError

VACUUM_GAP = 6.0
"""Å; an empty gap this wide along an axis is vacuum (longer than any second neighbour)."""

MIN_ANIONS = 4
"""Fewer lattice anions than this are a molecule or a complex such as Cd4SeCl6, not a dot."""

KINDS = ("bulk", "slab", "dot", "molecule")


@dataclass
class Reference:
    """Labelled frames of one or several files, with the kind of each."""

    paths: list[Path] = field(default_factory=list)
    frames: list[Atoms] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[Atoms]:
        """The frames of one kind."""
        return [f for f, k in zip(self.frames, self.kinds, strict=True) if k == kind]


def read_reference(paths: list[Path]) -> Reference:
    """Read extxyz files (also .xz, .gz). Raises DataError for files that hold no frames."""
    reference = Reference(paths=list(paths))
    for path in paths:
        try:
            frames = ase.io.read(path, index=":", format=_format(path))
        except OSError as error:
            raise DataError(f"{path}: cannot read the reference frames ({error})") from error
        except (
            ValueError,
            KeyError,
            IndexError,
            EOFError,
            lzma.LZMAError,
            StopIteration,
            SyntaxError,
            RuntimeError,
            UnknownFileTypeError,
        ) as error:
            raise DataError(f"{path}: not a readable extxyz file ({error})") from error
        if not frames:
            raise DataError(f"{path}: holds no frames")
        reference.frames += frames
        reference.kinds += [frame_kind(atoms) for atoms in frames]
    return reference


def _format(path: Path) -> str | None:
    """extxyz for .xyz/.extxyz with or without compression, else what ASE finds out."""
    name = path.name.removesuffix(".xz").removesuffix(".gz").removesuffix(".bz2")
    return "extxyz" if name.endswith("xyz") else None


def frame_kind(atoms: Atoms) -> str:
    """One of KINDS: by info `vacuum_axes`, else by the directions that hold an empty gap."""
    axes = atoms.info.get("vacuum_axes")
    n_open = len(str(axes).strip("-")) if axes is not None else _n_open_directions(atoms)
    if n_open == 0:
        return "bulk"
    if n_open < 3:
        return "slab"
    n_anions = sum(symbol in ANIONS for symbol in atoms.symbols)
    is_dot = n_anions >= MIN_ANIONS and set(atoms.symbols) & CATIONS
    return "dot" if is_dot else "molecule"


def _n_open_directions(atoms: Atoms) -> int:
    count = 0
    cell = atoms.cell.complete()  # a vacuum direction may have no vector: a volume all the same
    for axis in range(3):
        if not atoms.pbc[axis] or not atoms.cell[axis].any():
            count += 1
            continue
        scaled = np.sort(atoms.get_scaled_positions()[:, axis])
        gaps = np.diff(np.append(scaled, scaled[0] + 1.0))
        height = cell.volume / cell.areas()[axis]
        count += bool(gaps.max() * height > VACUUM_GAP)
    return count


def temperature(atoms: Atoms) -> float | None:
    """info `temperature` in K, None where it is not given."""
    value = atoms.info.get("temperature")
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def near_temperature(frames: list[Atoms], target: float | None, width: float) -> list[Atoms]:
    """Frames whose temperature is within `width` K of the target."""
    if target is None:
        return []
    return [f for f in frames if (t := temperature(f)) is not None and abs(t - target) <= width]


def describe(reference: Reference) -> dict[str, Any]:
    """Counts by origin, split, kind, element and level of theory, and the label time.

    `rows`: one dictionary per (origin, split); label times in s, None where not recorded.
    """
    groups: dict[tuple[str, str], list[Atoms]] = {}
    for atoms in reference.frames:
        key = str(atoms.info.get("origin", "unknown")), str(atoms.info.get("split", "not given"))
        groups.setdefault(key, []).append(atoms)
    rows = [_row(origin, split, frames) for (origin, split), frames in sorted(groups.items())]
    elements = Counter(symbol for atoms in reference.frames for symbol in atoms.symbols)
    levels = Counter(str(f.info.get("level_of_theory", "not recorded")) for f in reference.frames)
    seconds = label_seconds(reference.frames)
    return {
        "files": [path.name for path in reference.paths],
        "n_frames": len(reference.frames),
        "n_atoms": sum(len(atoms) for atoms in reference.frames),
        "elements": dict(sorted(elements.items())),
        "kinds": {kind: reference.kinds.count(kind) for kind in KINDS},
        "level_of_theory": dict(levels.most_common()),
        "label_seconds_total": float(seconds.sum()) if len(seconds) else None,
        "n_with_label_seconds": len(seconds),
        "rows": rows,
    }


def label_seconds(frames: list[Atoms]) -> np.ndarray:
    """Times in s of the frames that record one."""
    return np.array([float(f.info["label_seconds"]) for f in frames if "label_seconds" in f.info])


def _row(origin: str, split: str, frames: list[Atoms]) -> dict[str, Any]:
    seconds = label_seconds(frames)
    known = [t for t in map(temperature, frames) if t is not None]
    sizes = [len(f) for f in frames]
    return {
        "origin": origin,
        "split": split,
        "kind": "/".join(sorted({frame_kind(f) for f in frames})),
        "n_frames": len(frames),
        "n_atoms": [min(sizes), max(sizes)],
        "elements": sorted({s for f in frames for s in f.symbols}),
        "temperatures": sorted(set(known)),
        "median_label_seconds": float(np.median(seconds)) if len(seconds) else None,
    }
