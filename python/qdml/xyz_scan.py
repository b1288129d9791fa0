# SPDX-License-Identifier: MIT
"""Count the atom lines of an xyz file: a reader that trusts the header drops atoms silently."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Iterator
from pathlib import Path

from qdml.errors import DataError

OPENERS = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}


def is_xyz(path: Path) -> bool:
    """By name: .xyz or .extxyz, compressed or not."""
    stem = path.name.removesuffix(path.suffix) if path.suffix in OPENERS else path.name
    return stem.endswith((".xyz", ".extxyz"))


def text_lines(path: Path) -> Iterator[str]:
    """Lines of a text file, decompressed by its suffix. Raises DataError when it is none."""
    try:
        with OPENERS.get(path.suffix, open)(path, "rt") as handle:
            yield from handle
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from error


def scan_xyz(path: Path) -> int:
    """Number of frames, each with as many atom lines as its header says.

    Raises DataError naming frame and line for a header that is missing or disagrees with the lines
    that follow, and for an empty file.
    """
    lines = enumerate(text_lines(path), start=1)
    frame, expected = -1, 0
    for number, line in lines:
        if not line.strip():
            continue
        n_atoms = _count(line)
        if n_atoms is None and frame < 0:
            raise DataError(
                f"{path}: line {number} is {line.strip()[:60]!r}, expected the number of atoms: "
                "the file has no xyz header; write the number of atoms and a comment line above "
                "the atoms"
            )
        if n_atoms is None:
            surplus = 1
            for _, text in lines:
                if not text.strip() or _count(text) is not None:
                    break
                surplus += 1
            raise DataError(
                f"frame {frame} of {path}: the header says {expected} atoms, {expected + surplus} "
                f"atom lines follow (from line {number}): a reader would drop {surplus} atoms; "
                "correct the number or remove the lines"
            )
        frame, expected = frame + 1, n_atoms
        next(lines, None)  # comment
        for k in range(n_atoms):
            text = next(lines, (0, ""))[1]
            if len(text.split()) < 4:
                raise DataError(
                    f"frame {frame} of {path}: the header says {n_atoms} atoms (line {number}), "
                    f"only {k} atom lines follow; correct the number or complete the frame"
                )
    if frame < 0:
        raise DataError(f"{path}: empty file, holds no frames; remove it or compute it again")
    return frame + 1


def _count(line: str) -> int | None:
    words = line.split()
    return int(words[0]) if len(words) == 1 and words[0].isdigit() else None
