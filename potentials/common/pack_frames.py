"""Add labelled frames to the archive of a material and renew the table of the README beside it.

Usage: python pack_frames.py CdSe|InP|PbSe|CsPbBr3 labelled.extxyz ...
Frames already there stay, whatever the plans say today, unless their k-points are too few: a label
once paid for is kept.
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
from materials import PLANS, STRAIN_MARGIN
from qdml.label.frames import SAMPLED_LENGTH, kpoint_mesh, suitable_mesh

POTENTIALS = Path(__file__).resolve().parents[1]
SPLITS = ("train", "valid", "test")


def archive_of(material: str) -> Path:
    """Where the frames of a material are kept."""
    name = material.lower()
    return POTENTIALS / name / "data" / f"{name}-pbe.extxyz.xz"


def sampled_length(material: str) -> float:
    """Least cell vector times k-points (A) of strained cells of a material."""
    plan = PLANS.get(material)
    return SAMPLED_LENGTH if plan is None else plan().sampled_length * STRAIN_MARGIN


def is_sampled(frame: Atoms, length: float) -> bool:
    """Whether the k-points of a labelled frame suffice along what is not vacuum."""
    structure = frame.copy()
    structure.pbc = [axis not in frame.info["vacuum_axes"] for axis in "xyz"]
    needed = suitable_mesh(structure, length)
    return all(n >= m for n, m in zip(kpoint_mesh(structure), needed, strict=True))


def merged(material: str, paths: list[str]) -> list[Atoms]:
    """The shipped frames and those of `paths`, each once, sorted by origin."""
    frames = {}
    archive = archive_of(material)
    length = sampled_length(material)
    for path in [*([archive] if archive.exists() else []), *paths]:
        for frame in ase.io.read(path, ":"):
            if frame.info.pop("material", material) == material and is_sampled(frame, length):
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


def main(material: str, paths: list[str]) -> None:
    """Write the compressed frames and put the table between the markers of the README."""
    archive = archive_of(material)
    frames = merged(material, paths)
    text = io.StringIO()
    ase.io.write(text, frames, format="extxyz")
    temporary = archive.with_suffix(".tmp")
    temporary.write_bytes(lzma.compress(text.getvalue().encode(), preset=9))
    temporary.replace(archive)
    readme = archive.parent / "README.md"
    before, _, rest = readme.read_text().partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- end of table -->\n")
    marked = f"<!-- table -->\n{table(frames)}\n<!-- end of table -->\n"
    readme.write_text(before + marked + after)
    print(f"{archive.name}: {len(frames)} frames, {archive.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
