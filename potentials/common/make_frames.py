"""Write the reference plan of a material: frames for `qdml label`, cheap ones and all kinds early.

Usage: python make_frames.py PbSe|InP|CsPbBr3 sampler.qdml frames.extxyz [ORIGIN ...]
Only frames of these origins (`slab-*-less-*`, in quotes) are written, or all.
`sampler.qdml` is a universal potential (SevenNet-0 by `python -m qdml_train import sevennet 7net-0
-o sampler.qdml`); it gives geometries only, never a label. Dynamics is not the same to the last
digit on other machines, so a plan made again holds other frames of the same kinds.
"""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import sys
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from materials import PLANS, STRAIN_MARGIN, Plan
from qdml.build import build_dot
from qdml.errors import QdmlError
from qdml.label.frames import suitable_mesh
from qdml.sample import cells, clusters, molecules
from qdml.sample.cuboids import perovskite_cuboid
from qdml.sample.dynamics import make_calculator, sample_md
from qdml.sample.thermal import rattle_thermally, shaken

TIMESTEP, FRICTION, STEPS = 2.5, 0.03, 60  # fs, 1/fs, steps between frames: decorrelated
WALLS = (0.7, 0.85, 1.1)
CLUSTERS_EACH = 2
Wanted = Callable[[str], bool]


def seed_of(name: str, number: int = 0) -> list[int]:
    """Seed of one draw: the same whatever else is in the plan."""
    return [zlib.crc32(name.encode()), number]


def relaxed(
    atoms: Atoms, calculator: Calculator, steps: int = 60, with_cell: bool = False
) -> Atoms:
    """Copy relaxed by the sampler; info stays."""
    frame = atoms.copy()
    frame.calc = calculator
    target = FrechetCellFilter(frame) if with_cell else frame
    FIRE(target, logfile=None, maxstep=0.1).run(fmax=0.05, steps=steps)
    frame.calc = None
    return frame


def heated(
    start: Atoms,
    calculator: Calculator,
    name: str,
    temperature: int,
    n_frames: int,
    number: int,
    timestep: float = TIMESTEP,
) -> list[Atoms]:
    """Frames of a short Langevin run, equally far apart whatever the time step (fs)."""
    every = round(STEPS * TIMESTEP / timestep)
    found = sample_md(
        start,
        calculator,
        temperature=temperature,
        n_steps=every * n_frames,
        every=every,
        timestep=timestep,
        friction=FRICTION,
        seed=[*seed_of(name, number), temperature],
    )
    for frame in found:
        frame.positions = frame.positions.round(6)
    return found


def bulk_frames(plan: Plan, calculator: Calculator, wanted: Wanted) -> Iterator[tuple[str, Atoms]]:
    """Equation of state, strains and hot strained cells; other phases; a few large cells."""
    for change in (0.0, 0.08, -0.08, 0.04, -0.04, 0.02, -0.02, 0.06, -0.06):
        yield "bulk-eos", cells.scaled_volume(plan.cell, change)
    for index, mode in enumerate(cells.STRAIN_MODES):
        for sign in (0.02, -0.02):
            rng = np.random.default_rng(seed_of("bulk-strained", 2 * index + (sign < 0)))
            yield (
                "bulk-strained",
                rattle_thermally(cells.strain_mode(plan.cell, mode, sign), 50.0, rng),
            )
    hot = {"bulk": plan.cell if len(plan.cell) >= 8 else plan.cell.repeat((2, 1, 1))}
    hot |= {
        name: relaxed(phase, calculator, 200, with_cell=True)
        for name, phase in plan.phases.items()
        if any(wanted(f"{name}-{temperature}K") for temperature in plan.temperatures)
    }
    for name, phase in hot.items():
        runs = 4 if name == "bulk" else 2
        for temperature in plan.temperatures:
            origin = f"{name}-{temperature}K"
            for run in range(runs if wanted(origin) else 0):
                rng = np.random.default_rng(seed_of(origin, run))
                start = cells.randomly_strained(phase, 0.025, rng)
                for frame in heated(start, calculator, origin, temperature, 2, run):
                    yield origin, frame
    for temperature in plan.temperatures[1:]:
        origin = f"bulk-large-{temperature}K"
        if not wanted(origin):
            continue
        rng = np.random.default_rng(seed_of(origin))
        start = cells.randomly_strained(plan.supercell, 0.015, rng)
        for frame in heated(start, calculator, origin, temperature, 2, 0):
            yield origin, frame


def slab_frames(plan: Plan, calculator: Calculator, wanted: Wanted) -> Iterator[tuple[str, Atoms]]:
    """Each slab relaxed and heated: as it is, with a unit of the salt more, with a unit less.

    What is missing leaves corners and edges like those of dots in half the time a dot takes.
    """
    hottest = plan.temperatures[-1]
    for number, (name, slab) in enumerate(plan.slabs.items()):
        if wanted(name):
            start = relaxed(shaken(slab, number), calculator)
            for temperature in (300, plan.test_temperature, hottest):
                for frame in heated(start, calculator, name, temperature, 2, 0):
                    yield name, frame
        changed = {f"{name}-salt": with_salt} | {
            f"{name}-less-{unit}": without
            for unit in plan.units
            if set(Atoms(unit).symbols) <= set(slab.symbols)
        }
        for origin, change in changed.items():
            if not wanted(origin):
                continue
            unit = plan.units[-1] if change is with_salt else origin.rpartition("-")[2]
            start = change(slab, unit, np.random.default_rng(seed_of(origin)))
            start = relaxed(start, calculator)
            for frame in heated(start, calculator, origin, 300, 1, 0):
                yield origin, frame
            for frame in heated(start, calculator, origin, hottest, 2, 0):
                yield origin, frame


def facet_frames(plan: Plan, calculator: Calculator, wanted: Wanted) -> Iterator[tuple[str, Atoms]]:
    """The facets no fit sees, relaxed and heated."""
    for number, (name, slab) in enumerate(plan.held_out_facets.items()):
        if not wanted(name):
            continue
        start = relaxed(shaken(slab, number), calculator)
        for temperature in (300, plan.test_temperature):
            for frame in heated(start, calculator, name, temperature, 2, 0):
                frame.info["held_out"] = "facet"
                yield name, frame


def without(slab: Atoms, unit: str, rng: np.random.Generator) -> Atoms:
    """Copy of a slab without one formula unit: a cation of its upper face, and nearest anions."""
    cation, *anions = Atoms(unit).get_chemical_symbols()
    heights = np.where(slab.symbols == cation, slab.positions[:, 2], -np.inf)
    gone = [rng.choice(np.flatnonzero(heights > heights.max() - 0.5))]
    box = slab.copy()
    box.center(vacuum=10.0, axis=2)  # so that the nearest is not behind the other face
    for anion in anions:
        distances = np.min([box.get_distances(i, range(len(box)), mic=True) for i in gone], axis=0)
        distances[[i for i in range(len(box)) if i in gone or box.symbols[i] != anion]] = np.inf
        gone.append(distances.argmin())
    frame = slab.copy()
    del frame[gone]
    return frame


def with_salt(slab: Atoms, salt: str, rng: np.random.Generator) -> Atoms:
    """Copy of a slab with one unit of a salt, flat, at a random place over its upper face."""
    unit = Atoms(salt)
    n_anions = len(unit) - 1
    frame = slab.copy()
    x, y = rng.random(2) @ slab.cell.array[:2, :2]
    z = slab.positions[:, 2].max() + 2.9
    places = [[x, y, z]]
    for k in range(n_anions):
        angle = 2 * np.pi * (k + rng.random() * 0.2) / max(n_anions, 2)
        places.append([x + 2.5 * np.cos(angle), y + 2.5 * np.sin(angle), z + 0.7])
    frame += Atoms(unit.get_chemical_symbols(), places)
    return frame


def dot_frames(
    plan: Plan, calculator: Calculator, wanted: Wanted, material: str
) -> Iterator[tuple[str, Atoms]]:
    """Dots of `qdml build`, relaxed and heated; more frames of the held-out one's neighbours."""
    ligands = {} if material == "CsPbBr3" else {"ligands": "Cl"}
    for name, arguments in plan.dots.items():
        if not wanted(f"dot-{name}"):
            continue
        if "octahedra" in arguments:
            dot = perovskite_cuboid(rng=np.random.default_rng(seed_of(name)), **arguments)
        else:
            dot = build_dot(material, **arguments, **ligands).atoms
        bare = Atoms(dot.get_chemical_symbols(), dot.positions)
        start = relaxed(shaken(bare, 3), calculator, 80)
        for temperature in (300, plan.test_temperature):
            for frame in heated(start, calculator, name, temperature, 2, 0):
                yield f"dot-{name}", frame


def cluster_frames(
    plan: Plan, calculator: Calculator, wanted: Wanted
) -> Iterator[tuple[str, Atoms]]:
    """Random neutral clusters (semiconductor)m(salt)n: ordered as ions, relaxed, heated."""
    for m, n in plan.clusters:
        counts = [(unit, k) for unit, k in zip(plan.units, (m, n), strict=True) if k]
        symbols = [s for unit, k in counts for s in Atoms(unit).get_chemical_symbols() * k]
        origin = "mol" + "".join(f"-{k}{unit}" for unit, k in counts)
        if not wanted(origin):
            continue
        rng = np.random.default_rng(seed_of(origin))
        made = 0
        for attempt in range(10 * CLUSTERS_EACH):
            start = relaxed(clusters.order_ions(clusters.random_ions(symbols, rng)), calculator, 80)
            if not clusters.is_sound(start):
                continue
            temperature = (300, 600)[made % 2]
            try:
                frames = heated(start, calculator, origin, temperature, 2, attempt)
            except QdmlError:  # too hot for the sampler; another draw
                continue
            for frame in frames:
                if clusters.is_sound(frame):
                    yield origin, frame
            made += 1
            if made == CLUSTERS_EACH:
                break


def atom_frames(plan: Plan) -> Iterator[tuple[str, Atoms]]:
    """Isolated atoms and the walls of element pairs."""
    for symbol, multiplicity in plan.atoms.items():
        atom = Atoms(symbol, [[0.0, 0.0, 0.0]])
        atom.info["multiplicity"] = multiplicity
        yield "atom", atom
    for (first, second), (distance, multiplicity) in plan.dimers.items():
        for factor in WALLS:
            frame = molecules.dimer(first, second, distance * factor, multiplicity)
            yield f"dimer-{first}{second}", frame


def split_of(plan: Plan, origin: str, index: int) -> str:
    """Test: bulk at one temperature, one dot, one facet; valid: every fourth of other origins."""
    held_out = (f"-{plan.test_temperature}K", f"dot-{plan.test_dot}", *plan.held_out_facets)
    if origin.endswith(held_out):
        return "test"
    alone = origin.startswith(("atom", "dimer"))
    return "valid" if index % 4 == 3 and not alone else "train"


def queue(plan: Plan, made: Iterator[tuple[str, Atoms]]) -> list[Atoms]:
    """Frame i of an origin of n is due at (i + 1/2)/n, so a run that ends early is balanced."""
    by_origin: dict[str, list[Atoms]] = defaultdict(list)
    for origin, frame in made:
        frame.info["origin"] = origin
        frame.info.pop("kpoints", None)
        if frame.pbc.any():
            frame.info["kpoints"] = suitable_mesh(frame, plan.sampled_length * STRAIN_MARGIN)
        frame.info["split"] = split_of(plan, origin, len(by_origin[origin]))
        by_origin[origin].append(frame)
    due = []
    for number, (origin, frames) in enumerate(by_origin.items()):
        large = max(len(f) for f in frames) > 60 or origin == f"dot-{plan.test_dot}"
        for i, frame in enumerate(frames):
            due.append(((i + 0.5) / len(frames) + 0.3 * large, number, i, frame))
    return [frame for *_, frame in sorted(due, key=lambda entry: entry[:3])]


def main(material: str, sampler: str, output: str, *patterns: str) -> None:
    """Make the frames of one material, all or those whose origin matches a pattern."""
    plan = PLANS[material]()
    calculator = make_calculator(sampler)

    def wanted(origin: str) -> bool:
        return not patterns or any(fnmatchcase(origin, pattern) for pattern in patterns)

    def everything() -> Iterator[tuple[str, Atoms]]:
        yield from atom_frames(plan)
        yield from bulk_frames(plan, calculator, wanted)
        yield from slab_frames(plan, calculator, wanted)
        yield from facet_frames(plan, calculator, wanted)
        yield from dot_frames(plan, calculator, wanted, material)
        yield from cluster_frames(plan, calculator, wanted)

    frames = queue(plan, ((origin, f) for origin, f in everything() if wanted(origin)))
    ase.io.write(output, frames)
    print(f"{output}: {len(frames)} frames of {len({f.info['origin'] for f in frames})} origins")
    print(f"label them: qdml label {output} -o labelled.extxyz --code cp2k --cutoff {plan.cutoff}")


if __name__ == "__main__":
    main(*sys.argv[1:])
