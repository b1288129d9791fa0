"""Structures for a student: short runs by its teacher from reference frames and from larger dots.

Usage: python make_student_frames.py MATERIAL archive.extxyz.xz teacher.qdml frames.extxyz
Only training frames of the archive are starts. The label of every frame is left to
`labels: teacher.qdml` in the configuration of the fit, so the file holds structures alone.
"""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from make_frames import FRICTION, TIMESTEP, relaxed, seed_of
from qdml import Calculator as Teacher
from qdml.build import build_dot
from qdml.errors import QdmlError
from qdml.sample import cells
from qdml.sample.dynamics import sample_md
from qdml.sample.thermal import shaken

STEPS = 40  # between frames: 100 fs
PER_START = 4
STARTS_EACH = 8  # of one origin
TEMPERATURES = (150, 300, 500, 800)
STRAIN = 0.03  # width of the random strain of periodic starts
DIAMETERS = (11.0, 13.0, 16.0, 19.0)  # A, of dots beyond the reach of DFT labels
PER_DOT = 12
LIGAND = {"CsPbBr3": None}  # what caps the dots, where it is not chloride
ALONE = ("atom", "dimer")


def starts(archive: str) -> dict[str, list[Atoms]]:
    """Training frames of each origin, at most STARTS_EACH and spread over it."""
    by_origin: dict[str, list[Atoms]] = defaultdict(list)
    for frame in ase.io.read(archive, ":"):
        if frame.info["split"] == "train" and not frame.info["origin"].startswith(ALONE):
            by_origin[frame.info["origin"]].append(frame)
    return {
        name: [frames[i] for i in np.linspace(0, len(frames) - 1, STARTS_EACH).astype(int)]
        if len(frames) > STARTS_EACH
        else frames
        for name, frames in by_origin.items()
    }


def bare(frame: Atoms) -> Atoms:
    """Atoms, positions and cell alone."""
    return Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)


def reference_frames(archive: str, calculator: Calculator) -> Iterator[Atoms]:
    """Frames of runs from the reference frames; cells strained at random first."""
    by_origin = starts(archive)
    for done, (origin, frames) in enumerate(by_origin.items()):
        print(f"{done} of {len(by_origin)} origins", end="\r", flush=True)
        for number, start in enumerate(frames):
            temperature = TEMPERATURES[number % len(TEMPERATURES)]
            rng = np.random.default_rng(seed_of(origin, number))
            atoms = bare(start)
            if atoms.pbc.all():
                atoms = cells.randomly_strained(atoms, STRAIN, rng)
            yield from heated(atoms, calculator, origin, temperature, PER_START, number)


def dot_frames(material: str, calculator: Calculator) -> Iterator[Atoms]:
    """Relaxed and heated dots larger than any reference dot."""
    ligand = LIGAND.get(material, "Cl")
    for diameter in DIAMETERS:
        dot = build_dot(material, diameter=diameter, **({"ligands": ligand} if ligand else {}))
        start = relaxed(shaken(bare(dot.atoms), 3), calculator, 80)
        for temperature in TEMPERATURES[:3]:
            origin = f"dot-{dot.atoms.symbols}"
            yield from heated(start, calculator, origin, temperature, PER_DOT, int(diameter))


def heated(
    start: Atoms, calculator: Calculator, origin: str, temperature: int, n_frames: int, number: int
) -> list[Atoms]:
    """Frames of one run; none where the teacher cannot hold the start together."""
    try:
        frames = sample_md(
            start, calculator, temperature=temperature, n_steps=STEPS * n_frames, every=STEPS,
            timestep=TIMESTEP, friction=FRICTION, seed=[*seed_of(origin, number), temperature],
        )  # fmt: skip
    except QdmlError as error:
        print(f"{origin}, start {number}, {temperature} K left out: {error}")
        return []
    for frame in frames:
        frame.info.update(origin=f"teacher-{origin}", split="train")
        frame.positions = frame.positions.round(6)
    return frames


def main(material: str, archive: str, teacher: str, output: str) -> None:
    """Make all structures of one material."""
    calculator = Teacher(teacher, precision="mixed")
    frames = list(reference_frames(archive, calculator))
    print(f"{len(frames)} frames from reference frames")
    frames += dot_frames(material, calculator)
    ase.io.write(output, frames)
    print(f"{output}: {len(frames)} frames, {sum(map(len, frames))} atoms")


if __name__ == "__main__":
    main(*sys.argv[1:5])
