"""Write frames.extxyz, the CdSe frames that cdse-pbe.extxyz.xz labels; every draw has its seed.

Usage: python make_frames.py frames.extxyz ../shared/data/qd_models/qd_models_library.tar.xz
"""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import io
import sys
import tarfile
import zlib
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import molecule
from qdml.sample import cells, dots, molecules, slabs
from qdml.sample.dots import GFN1_TO_PBE
from qdml.sample.thermal import rattle_thermally


def seeded(origin: str, index: int) -> np.random.Generator:
    """A generator for one frame: the same frame comes out whatever else is in the plan."""
    return np.random.default_rng([zlib.crc32(origin.encode()), index])


def tagged(atoms: Atoms, origin: str, index: int, split: str | None = None) -> Atoms:
    """Set origin and split; every fourth frame of a training origin validates."""
    atoms.info["origin"] = origin
    atoms.info["split"] = split or ("valid" if index % 4 == 3 else "train")
    return atoms


def bulk_frames() -> dict[str, list[Atoms]]:
    """Zinc-blende (64 atoms) and wurtzite (72 atoms); everything at 600 K is held out."""
    zb = cells.zincblende()
    zb.info["kpoints"] = [2, 2, 2]
    plan: dict[str, list[Atoms]] = {}
    plan["bulk-zb-eos"] = [
        tagged(cells.scaled_volume(zb, change), "bulk-zb-eos", 0) for change in (0.0, 0.04, -0.04)
    ]
    origin = "bulk-zb-strained"
    plan[origin] = []
    modes = [("xx", 0.02), ("xy", 0.02), ("yy", -0.02), ("yz", -0.02), ("zz", 0.02), ("xz", 0.02)]
    for index, (mode, size) in enumerate(modes[:4]):
        frame = cells.strain_mode(zb, mode, size)
        if index >= 2:  # the first two are the perfect crystal, for elastic constants
            frame = rattle_thermally(frame, 50.0, seeded(origin, index))
        plan[origin].append(tagged(frame, origin, index))
    for temperature, n_frames in ((150, 3), (300, 6), (600, 5), (900, 5)):
        origin = f"bulk-zb-rattled-{temperature}K"
        plan[origin] = []
        for index in range(n_frames):
            rng = seeded(origin, index)
            frame = cells.randomly_strained(zb, 0.01 + 0.02 * rng.random(), rng)
            # thermal expansion is far below the random strain; the PBE lattice is kept
            frame = rattle_thermally(frame, temperature, rng)
            split = "test" if temperature == 600 else None
            plan[origin].append(tagged(frame, origin, index, split))
    origin = "bulk-wz-rattled-300K"
    plan[origin] = [
        tagged(rattle_thermally(cells.wurtzite(), 300.0, seeded(origin, i)), origin, 0)
        for i in range(1)
    ]
    return plan


def small_cell_frames() -> dict[str, list[Atoms]]:
    """Equation of state, strains and strained rattles in 8-atom cells with 3x3x3 k-points.

    They cost a tenth of the 64-atom cell; near the perfect crystal that would add nothing.
    """
    unit = cells.zincblende(repeat=1)
    unit.info["kpoints"] = [3, 3, 3]
    plan: dict[str, list[Atoms]] = {}
    origin = "bulk-zb8-eos"
    changes = (0.0, 0.08, -0.08, 0.04, -0.04, 0.02, -0.02, 0.06, -0.06)
    plan[origin] = [
        tagged(cells.scaled_volume(unit, change), origin, i) for i, change in enumerate(changes)
    ]
    origin = "bulk-zb8-strained"
    plan[origin] = [
        tagged(
            rattle_thermally(cells.strain_mode(unit, mode, size), 50.0, seeded(origin, 2 * i + j)),
            origin,
            2 * i + j,
        )
        for i, mode in enumerate(cells.STRAIN_MODES)
        for j, size in enumerate((0.02, -0.02))
    ]
    for temperature, n_frames in ((150, 4), (300, 8), (600, 8), (900, 8)):
        origin = f"bulk-zb8-rattled-{temperature}K"
        plan[origin] = []
        for index in range(n_frames):
            rng = seeded(origin, index)
            frame = cells.randomly_strained(unit, 0.03, rng)
            frame = rattle_thermally(frame, temperature, rng)
            split = "test" if temperature == 600 else None
            plan[origin].append(tagged(frame, origin, index, split))
    return plan


def slab_frames() -> dict[str, list[Atoms]]:
    """(100) with Cl and with formate, one X per surface Cd."""
    plan: dict[str, list[Atoms]] = {}
    for name, slab, counts in (
        ("100-Cl", slabs.slab_100("Cl", n_cation_layers=3), ((300, 4), (600, 4))),
        ("100-formate", slabs.slab_100("HCOO", n_cation_layers=3), ((300, 3), (600, 1))),
    ):
        for temperature, n_frames in counts:
            origin = f"slab-{name}-{temperature}K"
            plan[origin] = [
                tagged(rattle_thermally(slab, temperature, seeded(origin, i)), origin, i)
                for i in range(n_frames)
            ]
    return plan


HLE17_TO_PBE = 1.021
"""PBE over HLE17 bond length of Cd-Se in dots of one size (2.677/2.623 A, 149 atoms)."""


def chloride_dot(archive: Path) -> Atoms:
    """Cd16Se13Cl6 from the library of quantum dot models (MIT), scaled to PBE bond lengths."""
    name = "docs/II-VI/CdSe/HLE17/12ang/geo_opt/Cd16Se13Cl6_HLE17_12ang_opt.xyz"
    with tarfile.open(archive) as tar:
        member = tar.extractfile(name)
        assert member is not None
        dot = ase.io.read(io.StringIO(member.read().decode().strip()), format="xyz")
    dot.set_pbc(False)
    dot.set_cell(None)
    dot.positions = (dot.positions - dot.positions.mean(axis=0)) * HLE17_TO_PBE
    dot.info.clear()
    return dot


def dot_frames(archive: Path) -> dict[str, list[Atoms]]:
    """The chloride and the formate dot; the supertetrahedron Cd10Se4Cl12 is held out."""
    chloride = chloride_dot(archive)
    formate = dots.relax_gfn1(dots.exchange_chloride(chloride), fixed=["Cd", "Se"])
    tetrahedron = dots.relax_gfn1(dots.supertetrahedron())
    tetrahedron.positions = np.round(tetrahedron.positions * GFN1_TO_PBE, 3)
    plan: dict[str, list[Atoms]] = {}
    for name, dot, counts, split in (
        ("Cd16Se13Cl6", chloride, ((300, 8), (600, 4)), None),
        ("Cd16Se13-formate6", formate, ((300, 3), (600, 2)), None),
        ("Cd10Se4Cl12", tetrahedron, ((300, 4), (600, 3)), "test"),
    ):
        assert dots.formal_charge(dot) == 0
        for temperature, n_frames in counts:
            origin = f"dot-{name}-{temperature}K"
            plan[origin] = [
                tagged(rattle_thermally(dot, temperature, seeded(origin, i)), origin, i, split)
                for i in range(n_frames)
            ]
    return plan


def molecule_frames() -> dict[str, list[Atoms]]:
    """Ligands, salts, small clusters and pairs of ligands, rattled; torsions of formic acid."""
    plan: dict[str, list[Atoms]] = {}

    def rattled(name: str, start: Atoms, temperatures: tuple[int, ...]) -> None:
        origin = f"mol-{name}"
        plan[origin] = [
            tagged(rattle_thermally(start, t, seeded(origin, i), softest=1.0), origin, i)
            for i, t in enumerate(temperatures)
        ]

    acid = dots.relax_gfn1(molecules.formic_acid())
    rattled("HCOOH", acid, (300, 600, 900))
    rattled("HCOOH-dimer", dots.relax_gfn1(molecules.formic_dimer()), (300, 600))
    plan["mol-HCOOH-torsion"] = [
        tagged(molecules.formic_acid(angle), "mol-HCOOH-torsion", i)
        for i, angle in enumerate((45.0, 90.0, 135.0, 180.0))
    ]
    for name in ("H2O", "HCl", "CO2"):
        rattled(name, dots.relax_gfn1(molecule(name)), (300, 900))
    for name in molecules.INORGANIC:
        scale = GFN1_TO_PBE if name.startswith("Cd") and "Se" in name else 1.0
        start = dots.relax_gfn1(molecules.inorganic(name))
        start.positions = np.round(start.positions * scale, 3)
        rattled(name, start, (300, 600, 900) if "HCOO" in name else (300, 600))
    for name, ligand in (("Cd4SeCl6", "Cl"), ("Cd4Se-formate6", "HCOO")):
        start = dots.relax_gfn1(molecules.adamantane_cluster(ligand))
        start.positions = np.round(start.positions * (GFN1_TO_PBE if ligand == "Cl" else 1.0), 3)
        rattled(name, start, (300, 600, 300, 600) if ligand == "Cl" else (300, 600))
    origin = "mol-contact"
    salt = dots.relax_gfn1(molecules.inorganic("CdCl2"))
    selane = dots.relax_gfn1(molecules.inorganic("H2Se"))
    contacts = [
        (acid, acid, 3.0, 2, 40.0), (acid, acid, 4.0, 0, 90.0), (salt, acid, 2.6, 0, 0.0),
        (selane, acid, 3.0, 1, 0.0), (salt, salt, 3.2, 0, 60.0), (acid, acid, 5.0, 2, 0.0),
    ]  # fmt: skip
    plan[origin] = []
    for i, (one, two, gap, axis, angle) in enumerate(contacts):
        frame = molecules.pair(one, two, gap, axis, angle)
        frame = rattle_thermally(frame, 300, seeded(origin, i), softest=1.0)
        plan[origin].append(tagged(frame, origin, i))
    return plan


def dimer_frames() -> dict[str, list[Atoms]]:
    """Isolated atoms and short-range walls of element pairs whose spin stays the same."""
    plan: dict[str, list[Atoms]] = {"atom": []}
    for symbol, multiplicity in molecules.ATOMS.items():
        atom = Atoms(symbol, [[0.0, 0.0, 0.0]])
        atom.info["multiplicity"] = multiplicity
        plan["atom"].append(tagged(atom, "atom", 0))
    for (first, second), (distance, multiplicity) in molecules.DIMERS.items():
        origin = f"dimer-{first}{second}"
        plan[origin] = [
            tagged(molecules.dimer(first, second, distance * f, multiplicity), origin, 0)
            for f in (0.7, 0.85, 1.1)
        ]
    return plan


def interleave(plans: list[dict[str, list[Atoms]]]) -> list[Atoms]:
    """One queue in which every origin gets its first frames early.

    Frame i of an origin of n frames is due at (i + 1/2)/n of the queue, so that a run that ends
    early leaves a balanced set; molecules, dimers and 8-atom cells, seconds each, are due early.
    """
    due = []
    for number, (origin, frames) in enumerate(
        (origin, frames) for plan in plans for origin, frames in plan.items()
    ):
        haste = 0.25 if origin.startswith(("mol-", "dimer-", "atom", "bulk-zb8")) else 1.0
        due += [(haste * (i + 0.5) / len(frames), number, frame) for i, frame in enumerate(frames)]
    return [frame for *_, frame in sorted(due, key=lambda entry: entry[:2])]


def main(output: str, archive: str) -> None:
    """Write the whole plan."""
    plans = [
        bulk_frames(),
        small_cell_frames(),
        slab_frames(),
        dot_frames(Path(archive)),
        molecule_frames(),
        dimer_frames(),
    ]
    queue = interleave(plans)
    ase.io.write(output, queue)
    print(f"{output}: {len(queue)} frames of {sum(map(len, plans))} origins")


if __name__ == "__main__":
    main(*sys.argv[1:3])
