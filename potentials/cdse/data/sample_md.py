"""Third plan: relaxed and hot surfaces from molecular dynamics with a universal potential.

Usage: python sample_md.py candidates.extxyz frames.extxyz
Needs the PyPI package `sevenn` (PyTorch); SevenNet-0 gives geometries only, never a label. A run
that is stopped goes on with the next trajectory.
"""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import sys
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.optimize import FIRE
from plan_surfaces import DOTS
from qdml.build import build_dot
from qdml.sample import clusters, polar_slabs, slabs
from qdml.sample.dynamics import sample_md
from qdml.sample.thermal import shaken

HELD_OUT = (4, 6)
"""(CdSe)4(CdCl2)6 is the composition of the held-out dot Cd10Se4Cl12: no isomer of it trains."""

CLUSTERS = (
    (2, 3), (3, 2), (3, 3), (4, 3), (4, 4), (1, 5), (2, 5), (3, 5), (5, 2), (5, 4), (6, 2), (3, 6),
)  # fmt: skip
TIMESTEP, FRICTION, STEPS = 2.5, 0.03, 60  # fs, 1/fs, steps between frames
PER_SLAB = 8  # frames of one kind of slab, spread over its trajectories


@dataclass(frozen=True)
class Start:
    """A structure to relax and heat: frames per temperature (K)."""

    origin: str
    atoms: Atoms
    temperatures: tuple[int, ...]
    n_frames: int = 1


def slab_starts() -> Iterator[Start]:
    """(100), (110), (111); (100) without one CdCl2, with moved Cl; CdCl2 on (100) and (110)."""
    chloride = slabs.slab_100("Cl", n_cation_layers=3)
    plain = (
        ("slab-100-Cl", chloride),
        ("slab-111-Cl", polar_slabs.slab_111()),
        ("slab-110", polar_slabs.slab_110()),
    )
    for seed, (name, slab) in enumerate(plain):
        yield Start(name, shaken(slab, seed), (300, 600, 900), 2)
    yield Start("slab-100-Cl-vacancy", shaken(without_unit(chloride), 9), (300, 600), 2)
    for seed in range(3):
        yield Start("slab-100-Cl", shaken(chloride, seed, 0.35), (400, 800))
    rng = np.random.default_rng(5)
    for name, base in (
        ("slab-110", polar_slabs.slab_110(n_layers=3)),
        ("slab-100-Cl", slabs.slab_100("Cl", n_cation_layers=2)),
    ):
        for seed in range(2):
            yield Start(f"{name}-CdCl2", shaken(with_unit(base, rng), seed), (300, 600))


def dot_starts() -> Iterator[Start]:
    """The small dots of the second plan and Cd16Se13Cl6."""
    for name, arguments in (*DOTS, ("Cd16Se13Cl6", {"diameter": 11.0, "center": "anion"})):
        dot = build_dot("CdSe", ligands="Cl", **arguments).atoms
        yield Start(f"dot-{name}", Atoms(dot.get_chemical_symbols(), dot.positions), (300, 600))


def cluster_starts() -> Iterator[Start]:
    """Two random ionic clusters of each composition."""
    for m, n in CLUSTERS:
        rng = np.random.default_rng([m, n, 79])
        for _ in range(2):
            cluster = clusters.order_ions(clusters.random_cluster(m, n, rng))
            yield Start(f"mol-CdSe{m}-CdCl2-{n}", cluster, (300, 600))


def without_unit(slab: Atoms) -> Atoms:
    """Copy of a chloride slab without one CdCl2 of its upper face: what ligand loss leaves."""
    frame = slab.copy()
    metals = [a.index for a in frame if a.symbol == "Cd"]
    metal = max(metals, key=lambda i: frame.positions[i, 2])
    top = frame.positions[:, 2].max()
    ligands = [a.index for a in frame if a.symbol == "Cl" and a.position[2] > top - 0.5]
    ligands.sort(key=lambda i: frame.get_distance(i, metal, mic=True))
    del frame[[metal, *ligands[:2]]]
    return frame


def with_unit(slab: Atoms, rng: np.random.Generator) -> Atoms:
    """Copy of a slab with a bent CdCl2 at a random place on its upper face."""
    x, y = rng.random(2) @ slab.cell.array[:2, :2]
    z = slab.positions[:, 2].max()
    unit = Atoms("CdCl2", [[x, y, z + 2.4], [x + 2.2, y, z + 3.0], [x - 2.2, y, z + 3.0]])
    return slab + unit


def trajectory(start: Start, number: int, calculator: Calculator) -> Iterator[Atoms]:
    """Relax a little, then Langevin dynamics at each temperature; frames are not labelled."""
    relaxed = start.atoms.copy()
    relaxed.calc = calculator
    FIRE(relaxed, logfile=None, maxstep=0.1).run(fmax=0.15, steps=40)
    for temperature in start.temperatures:
        frames = sample_md(
            relaxed,
            calculator,
            temperature=temperature,
            n_steps=STEPS * start.n_frames,
            every=STEPS,
            timestep=TIMESTEP,
            friction=FRICTION,
            seed=[zlib.crc32(f"{start.origin} {number}".encode()), temperature],
        )
        for frame in frames:
            frame.positions = frame.positions.round(6)
            frame.info.update(
                origin=f"{start.origin}-md",
                trajectory=f"{start.origin}-{number}-{temperature}K",
            )
            if "kpoints" in start.atoms.info:
                frame.info["kpoints"] = start.atoms.info["kpoints"]
            yield frame


def chosen(candidates: list[Atoms]) -> list[Atoms]:
    """Sound frames in the order of the queue; the last trajectory of an origin validates."""
    by_origin: dict[str, list[Atoms]] = defaultdict(list)
    for frame in candidates:
        origin = frame.info["origin"]
        if not origin.startswith("mol-") or clusters.is_sound(frame):
            by_origin[origin].append(frame)
    due = []
    for origin, frames in by_origin.items():
        trajectories = sorted({f.info["trajectory"] for f in frames})
        for frame in frames:
            last = len(trajectories) > 2 and frame.info["trajectory"] == trajectories[-1]
            frame.info["split"] = "valid" if last else "train"
        n_kept = min(len(frames), PER_SLAB) if origin.startswith("slab-") else len(frames)
        kept = [frames[int((i + 0.5) * len(frames) / n_kept)] for i in range(n_kept)]
        due += [((i + 0.5) / n_kept, origin, frame) for i, frame in enumerate(kept)]
    return [frame for *_, frame in sorted(due, key=lambda entry: entry[:2])]


def main(candidates: str, frames: str) -> None:
    """Run what is missing of the candidates, then choose."""
    from sevenn.calculator import SevenNetCalculator

    assert HELD_OUT not in CLUSTERS
    calculator = SevenNetCalculator("7net-0", device="cpu")
    path = Path(candidates)
    found = ase.io.read(path, ":") if path.exists() else []
    done = {frame.info["trajectory"] for frame in found}
    starts = [*slab_starts(), *dot_starts(), *cluster_starts()]
    for number, start in enumerate(starts):
        if f"{start.origin}-{number}-{start.temperatures[-1]}K" in done:
            continue
        made = list(trajectory(start, number, calculator))
        ase.io.write(path, made, append=True)
        found += made
        print(f"{number + 1}/{len(starts)} {start.origin}: {len(made)} frames", flush=True)
    queue = chosen(found)
    ase.io.write(frames, queue)
    print(f"{frames}: {len(queue)} of {len(found)} frames")


if __name__ == "__main__":
    main(*sys.argv[1:3])
