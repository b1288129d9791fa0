"""Add labelled frames to cdse-pbe.extxyz.xz and renew the table of the README beside it.

Usage: python pack_frames.py labelled.extxyz ...
Frames already there stay, whatever the plans say today: a label once paid for is kept.
"""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import io
import lzma
import sys
from collections import defaultdict
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from qdml.label.frames import is_undersampled

HERE = Path(__file__).resolve().parent
ARCHIVE = HERE / "cdse-pbe.extxyz.xz"
SPLITS = ("train", "valid", "test")


def is_sampled(frame: Atoms) -> bool:
    """Whether the k-points suffice: slabs first labelled at Gamma lay 0.1 eV/atom too high."""
    structure = frame.copy()
    structure.pbc = [axis not in frame.info["vacuum_axes"] for axis in "xyz"]
    return not is_undersampled(structure)


def merged(paths: list[str]) -> list[Atoms]:
    """The shipped frames and those of `paths`, each once, sorted by origin."""
    frames = {}
    for path in [ARCHIVE, *paths]:
        for frame in ase.io.read(path, ":"):
            if is_sampled(frame):
                frames.setdefault(frame.info["frame_key"], frame)
    return sorted(frames.values(), key=lambda frame: frame.info["origin"])


def table(frames: list[Atoms]) -> str:
    """Markdown table of counts and cost per origin."""
    rows = defaultdict(list)
    for frame in frames:
        rows[frame.info["origin"]].append(frame)
    lines = [
        "| origin | atoms | train | valid | test | CPU s a frame | SCF steps | rms force (eV/Å) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for origin, members in rows.items():
        counts = [sum(f.info["split"] == split for f in members) for split in SPLITS]
        sizes = sorted({len(f) for f in members})
        size = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]}-{sizes[-1]}"
        seconds = np.mean([f.info["label_seconds"] for f in members])
        steps = np.mean([f.info["scf_steps"] for f in members])
        rms = np.sqrt(np.mean(np.concatenate([f.get_forces().ravel() for f in members]) ** 2))
        lines.append(
            f"| {origin} | {size} | {' | '.join(str(n or '-') for n in counts)} | {seconds:.0f} | "
            f"{steps:.0f} | {rms:.2f} |"
        )
    counts = [sum(f.info["split"] == split for f in frames) for split in SPLITS]
    total = sum(f.info["label_seconds"] for f in frames)
    lines.append(
        f"| **{len(frames)} frames** | {sum(map(len, frames))} | "
        f"{' | '.join(f'**{n}**' for n in counts)} | {total / 60:.0f} min in all | | |"
    )
    return "\n".join(lines)


def main(paths: list[str]) -> None:
    """Write the compressed frames and put the table between the markers of the README."""
    frames = merged(paths)
    text = io.StringIO()
    ase.io.write(text, frames, format="extxyz")
    temporary = ARCHIVE.with_suffix(".tmp")
    temporary.write_bytes(lzma.compress(text.getvalue().encode(), preset=9))
    temporary.replace(ARCHIVE)
    readme = HERE / "README.md"
    before, _, rest = readme.read_text().partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- end of table -->\n")
    marked = f"<!-- table -->\n{table(frames)}\n<!-- end of table -->\n"
    readme.write_text(before + marked + after)
    print(f"{ARCHIVE.name}: {len(frames)} frames, {ARCHIVE.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main(sys.argv[1:])
