# SPDX-License-Identifier: MIT
"""Frames against each other and against their charge: near copies across parts, lost atoms."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from labelled_frames import cluster
from qdml.build import build_dot
from qdml_train.doctor.likeness import check_formal_charge, check_near_copies
from qdml_train.frames import Frame, frame_from_atoms


def parted(atoms: Atoms, part: str, index: int = 0) -> Frame:
    found = frame_from_atoms(atoms, "md.extxyz", index)
    found.part = part
    return found


def moved(atoms: Atoms, size: float, seed: int) -> Atoms:
    copy = atoms.copy()
    copy.positions += np.random.default_rng(seed).normal(scale=size, size=copy.positions.shape)
    return copy


@pytest.mark.parametrize(
    "start", [build_dot("CdSe", 12.0).atoms, bulk("CdSe", "zincblende", a=6.2)]
)
def test_neighbouring_steps_in_two_parts_are_near_copies(start):
    """Steps of one trajectory, also turned or wrapped, are found; independent ones are not."""
    start = Atoms(start.numbers, start.positions, cell=start.cell, pbc=start.pbc)
    if start.pbc.any():
        start = start.repeat(2)
    near = moved(start, 0.005, 1)
    if start.pbc.any():
        near.positions += 1.3
        near.wrap()
    else:
        near.rotate(40, (1, 2, 3))
    far = moved(start, 0.12, 2)
    frames = [parted(start, "train"), parted(near, "test", 1), parted(far, "test", 2)]
    (found,) = check_near_copies(frames)
    assert found.level == "WARN"
    assert found.frames == (("md.extxyz", 1),)
    assert "the first frame 1 of md.extxyz (test) of frame 0" in found.message
    for frame in frames:  # within one part there is nothing to leak
        frame.part = "train"
    assert check_near_copies(frames)[0].level == "PASS"


def test_a_cluster_that_lost_an_atom_is_charged():
    dot = build_dot("CdSe", 14.0, "HCOO").atoms
    dot = Atoms(dot.numbers, dot.positions)
    assert check_formal_charge([parted(dot, "")])[0].level == "PASS"
    lost = dot.copy()
    del lost[next(a.index for a in lost if a.symbol == "Se")]
    (found,) = check_formal_charge([parted(dot, ""), parted(lost, "", 1)])
    assert found.level == "WARN"
    assert "+2 (1)" in found.message
    assert found.frames == (("md.extxyz", 1),)
    lost.info["charge"] = 2  # meant so
    assert check_formal_charge([parted(lost, "")])[0].level == "PASS"


def test_charge_is_counted_across_the_faces_of_a_box():
    """A dot in a periodic box, cut by its faces: formates must be put together first."""
    dot = build_dot("CdSe", 14.0, "HCOO").atoms
    dot = Atoms(dot.numbers, dot.positions)
    dot.center(vacuum=6.0)
    dot.pbc = True
    dot.positions -= dot.cell.sum(axis=0) / 2
    dot.wrap()
    (found,) = check_formal_charge([parted(dot, "")])
    assert (found.level, found.message) == (
        "PASS",
        "1 clusters of known ions are as charged as they say",
    )


def test_what_has_no_oxidation_numbers_is_not_judged():
    frames = [parted(Atoms("CdCl", [[0, 0, 0], [0, 0, 2.3]]), ""), parted(cluster(), "")]
    assert check_formal_charge(frames)[0].message.startswith("0 clusters")
