"""Make a shipped potential of a fitted one: thinner radial tables, and the reference set beside it.

Usage: python ship.py fitted.qdml SHIPPED.qdml THINNING archive.extxyz.xz
       python ship.py SHIPPED.qdml archive.extxyz.xz    the reference set alone
THINNING is 1 (the file as it is) or a divisor of the number of knots, for files of kind
clebsch-gordan, whose tables are most of the file; all numbers then become fp32, in which they were
fitted. So do those of a committee (THINNING 1), for half the bytes. Prints the largest changes
that it makes on held-out frames; writes SHIPPED.reference.extxyz, what the shipped file gives for
five frames, which a test recomputes.
"""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from qdml import Calculator
from qdml.committee import Member, read_members, write_committee
from qdml.modelfile import content_hash, n_members, read_file, read_model, write_model

N_REFERENCE = 5


def thinned(
    document: dict[str, Any], tensors: dict[str, np.ndarray], step: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Document and tensors in fp32 with every `step`-th knot of the radial tables.

    A table [K + 1, 2, n] holds values and derivatives times the spacing at the knots.
    """
    knots = document["architecture"]["knots"]
    if knots % step:
        raise SystemExit(f"{knots} knots cannot be divided by {step}")
    fewer = dict(tensors)
    for name in (n for n in tensors if n.endswith(".radial")):
        table = tensors[name][::step].copy()
        table[:, 1] *= step
        fewer[name] = table
    architecture = {**document["architecture"], "knots": knots // step}
    return in_single({**document, "architecture": architecture}, fewer)


def in_single(
    document: dict[str, Any], tensors: dict[str, np.ndarray]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """All numbers in fp32, and no proof: that of the fit was over the numbers before."""
    single = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
    return {**document, "proof": None}, single


def write_single(committee: str, shipped: str) -> None:
    """Write a committee with all its numbers in fp32; members keep the hash they came with."""
    document, _ = read_file(committee)
    members = [
        Member(*in_single(member.document, member.tensors), member.hash)
        for member in read_members(committee)
    ]
    factors = document.get("spread_factors")
    write_committee(shipped, members, None, document["description"], factors)


def evaluated(frame: Atoms, calculator: Calculator) -> Atoms:
    """The frame with the energy and forces of a potential, and its origin."""
    atoms = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)
    atoms.calc = calculator
    labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    atoms.calc = SinglePointCalculator(atoms, **labels)
    atoms.info["origin"] = frame.info["origin"]
    return atoms


def main(fitted: str, shipped: str, step: int, archive: str) -> None:
    """Write the file and its reference set."""
    if n_members(read_file(fitted)[0]) > 1:
        if step > 1:
            raise SystemExit(f"{fitted} is a committee: ship its members thinned, then pack those")
        write_single(fitted, shipped)
    else:
        write_alone(fitted, shipped, step)
    report(fitted, shipped, archive)


def write_alone(fitted: str, shipped: str, step: int) -> None:
    """Write one potential with thinner tables."""
    document, tensors = read_model(fitted)
    if step > 1:
        document, tensors = thinned(document, tensors, step)
        note = f"; radial tables thinned from {step * document['architecture']['knots']} knots"
        document["description"] += note
        document["training"] = {**document["training"], "thinned_from": content_hash(fitted)}
    for key in ("format", "tool"):
        document.pop(key, None)
    write_model(shipped, document, tensors)


def report(fitted: str, shipped: str, archive: str) -> None:
    """Print what shipping has changed on held-out frames, and write the reference set."""
    held_out = held_out_frames(archive)
    before, after = (predicted(path, held_out) for path in (fitted, shipped))
    pairs = list(zip(before, after, strict=True))
    forces = max(np.abs(a.get_forces() - b.get_forces()).max() for a, b in pairs)
    energies = max(
        abs(a.get_potential_energy() - b.get_potential_energy()) / len(a) for a, b in pairs
    )
    changes = f"{1000 * forces:.2f} meV/A, {1000 * energies:.3f} meV/atom"
    print(f"{shipped}: changes of at most {changes}")
    write_reference(shipped, after)


def held_out_frames(archive: str) -> list[Atoms]:
    """The test frames of an archive."""
    return [f for f in ase.io.read(archive, ":") if f.info["split"] == "test"]


def predicted(potential: str, frames: list[Atoms]) -> list[Atoms]:
    """Frames with the energies and forces of a potential."""
    calculator = Calculator(potential, precision="double")
    return [evaluated(frame, calculator) for frame in frames]


def write_reference(shipped: str, frames: list[Atoms]) -> None:
    """Write SHIPPED.reference.extxyz: the last of the predicted frames of each origin."""
    by_origin = {f.info["origin"]: f for f in frames}
    chosen = list(by_origin.values())[:N_REFERENCE]
    ase.io.write(Path(shipped).with_suffix(".reference.extxyz"), chosen)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        write_reference(sys.argv[1], predicted(sys.argv[1], held_out_frames(sys.argv[2])))
    else:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
