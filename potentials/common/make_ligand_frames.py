"""Write the plan of organic ligands of a material: carboxylates in the place of halides.

Usage: python make_ligand_frames.py PbSe|InP|CsPbBr3 sampler.qdml frames.extxyz
The first labelled frame of a few clusters and dots is the start: formate takes the place of some of
its halides for training, acetate in two of them for the test of a ligand that no fit sees. Small
molecules say what a methyl group is worth, without which no fit can know the energy of acetate.
`sampler.qdml` is a universal potential (`python -m qdml_train import sevennet 7net-l3i5 -o ...`).
"""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import sys
from collections.abc import Iterator

import ase.io
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator
from make_frames import heated, relaxed
from materials import PLANS, Plan
from pack_frames import archive_of
from qdml.build import build_dot, exchange_ligands
from qdml.errors import StructureError
from qdml.sample.dynamics import make_calculator
from qdml.sample.thermal import shaken

MOLECULES = ("HCOOH", "H2O", "CH4", "C2H6", "CH3OH")
TRAINED, HELD_OUT = "formate", "acetate"
STARTS = {  # the first two also with the held-out ligand
    "PbSe": ("mol-3PbSe-3PbCl2", "dot-Pb6SeCl10", "mol-1PbSe-2PbCl2", "dot-Pb10Se2Cl16"),
    "InP": ("mol-4InP-2InCl3", "dot-In9P7Cl6", "mol-2InCl3", "dot-In10P7Cl9"),
    "CsPbBr3": ("mol-2CsBr-2PbBr2", "dot-Cs7Pb2Br11", "mol-3PbBr2", "dot-Cs13Pb4Br21"),
}
FRACTION = 0.25  # of the halides that a cation holds
AMMONIUM = {"CsPbBr3": {"diameter": 9.0, "ligands": "Br:9,methylammonium:0.1"}}
SEEDS = 20
TIMESTEP = 1.0  # fs: hydrogen


def molecule_frames(calculator: Calculator) -> Iterator[tuple[str, Atoms]]:
    """Molecules without a metal, at 300 and 600 K."""
    for name in MOLECULES:
        start = relaxed(molecule(name), calculator)
        for temperature in (300, 600):
            for frame in heated(start, calculator, name, temperature, 1, 0, TIMESTEP):
                yield f"mol-{name}", frame


def exchanged(start: Atoms, ligand: str) -> Atoms:
    """The start with FRACTION of its halides exchanged; the first seed that fits."""
    bare = Atoms(start.numbers, start.positions)
    for seed in range(SEEDS):
        try:
            dot = exchange_ligands(bare, ligand, fraction=FRACTION, seed=seed).atoms
        except StructureError as error:
            fault = error
            continue
        return Atoms(dot.numbers, dot.positions)
    raise fault


def ligand_frames(
    material: str, plan: Plan, calculator: Calculator
) -> Iterator[tuple[str, str, Atoms]]:
    """Origin, ligand and frames of every start; a perovskite also with an ammonium on Cs sites."""
    first = {}
    for frame in reversed(ase.io.read(archive_of(material), ":")):
        first[frame.info["origin"]] = frame
    shells = [(name, TRAINED) for name in STARTS[material]]
    shells += [(name, HELD_OUT) for name in STARTS[material][:2]]
    starts = [
        (f"{name}-{ligand}", ligand, exchanged(first[name], ligand)) for name, ligand in shells
    ]
    if material in AMMONIUM:
        dot = build_dot(material, **AMMONIUM[material]).atoms
        starts.append(("dot-methylammonium", "ammonium", Atoms(dot.numbers, dot.positions)))
    for origin, ligand, start in starts:
        start = relaxed(shaken(start, 3), calculator, 120)
        for temperature in (300, plan.test_temperature):
            for frame in heated(start, calculator, origin, temperature, 2, 0, TIMESTEP):
                yield origin, ligand, frame


def main(material: str, sampler: str, output: str) -> None:
    """Make the frames of one material; every fourth frame of a trained origin validates."""
    plan = PLANS[material]()
    calculator = make_calculator(sampler)
    queue = []
    for origin, frame in molecule_frames(calculator):
        frame.info |= {"origin": origin, "split": "train"}
        queue.append(frame)
    number: dict[str, int] = {}
    for origin, ligand, frame in ligand_frames(material, plan, calculator):
        index = number[origin] = number.get(origin, -1) + 1
        frame.info |= {"origin": origin, "split": "valid" if index == 3 else "train"}
        if ligand == HELD_OUT:
            frame.info |= {"split": "test", "held_out": "ligand"}
        queue.append(frame)
    ase.io.write(output, queue)
    print(f"{output}: {len(queue)} frames of {len({f.info['origin'] for f in queue})} origins")
    print(f"label them: qdml label {output} -o labelled.extxyz --code cp2k --cutoff {plan.cutoff}")


if __name__ == "__main__":
    main(*sys.argv[1:])
