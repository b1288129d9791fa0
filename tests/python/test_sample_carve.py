# SPDX-License-Identifier: MIT
"""Clusters cut out of dots: neutral, connected, without clashes, everything else as it was."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from qdml.analyse.surface import bond_length, bonded_labels
from qdml.build import build_dot
from qdml.build.distances import close_pairs
from qdml.build.reading import formal_charge, molecules_of
from qdml.errors import StructureError
from qdml.label.frames import boxed, charge_and_multiplicity
from qdml.sample.carve import carve
from qdml.sample.select import farthest_points

MAX_ATOMS = 60


@pytest.fixture(scope="module")
def dots() -> dict[str, Atoms]:
    return {
        "CdSe, Cl": build_dot("CdSe", 22.0).atoms,
        "CdSe, HCOO": build_dot("CdSe", 22.0, "HCOO").atoms,
        "InP, Cl": build_dot("InP", 20.0).atoms,
        "PbSe, Cl": build_dot("PbSe", 20.0).atoms,
        "CsPbBr3": build_dot("CsPbBr3", 24.0).atoms,
    }


@pytest.mark.parametrize("name", ["CdSe, Cl", "CdSe, HCOO", "InP, Cl", "PbSe, Cl", "CsPbBr3"])
@pytest.mark.parametrize("place", ["inside", "outside"])
def test_cluster_is_neutral_and_true_to_its_parent(dots, name, place):
    dot = dots[name]
    away = np.linalg.norm(dot.positions - dot.positions.mean(axis=0), axis=1)
    center = int(away.argmin() if place == "inside" else away.argmax())
    found = carve(dot, center, MAX_ATOMS)
    cluster, kept = found.atoms, found.parent >= 0
    assert MAX_ATOMS // 2 < len(cluster) <= MAX_ATOMS
    assert formal_charge(cluster).total == 0  # counted by the reader, not by the cutter
    assert found.parent[found.center] == center
    assert found.n_caps == (~kept).sum()
    assert len(set(found.parent[kept])) == kept.sum()
    assert (cluster.numbers[kept] == dot.numbers[found.parent[kept]]).all()
    moved = cluster.positions[kept] - dot.positions[found.parent[kept]]
    np.testing.assert_allclose(moved, moved[0] * np.ones((len(moved), 1)), atol=1e-9)
    assert set(cluster.symbols[~kept]) <= {"Cl"}
    assert cluster.info["charge"] == 0
    np.testing.assert_array_equal(cluster.arrays["parent_index"], found.parent)
    symbols = cluster.get_chemical_symbols()
    assert close_pairs(symbols, cluster.positions, molecules_of(cluster)) == []
    if name != "CsPbBr3":  # Cs is not bonded by covalent radii
        assert bonded_labels(cluster).max() == 0
    charge_and_multiplicity(boxed(cluster))  # what `qdml label` does first


def test_the_first_shell_of_an_inner_atom_is_complete(dots):
    dot = dots["CdSe, Cl"]
    away = np.linalg.norm(dot.positions - dot.positions.mean(axis=0), axis=1)
    for symbol in ("Cd", "Se"):
        rows = np.flatnonzero(dot.symbols == symbol)
        center = int(rows[away[rows].argmin()])
        found = carve(dot, center, MAX_ATOMS)
        limit = bond_length("Cd", "Se")
        ends = [
            (np.linalg.norm(a.positions - a.positions[c], axis=1) < limit).sum()
            for a, c in ((dot, center), (found.atoms, found.center))
        ]
        assert ends == [5, 5]  # itself and four neighbours


def test_ligands_stay_whole(dots):
    dot = dots["CdSe, HCOO"]
    center = int(np.linalg.norm(dot.positions - dot.positions.mean(axis=0), axis=1).argmax())
    found = carve(dot, center, MAX_ATOMS)
    parent = molecules_of(dot)
    members = {parent[i] for i in found.parent if i >= 0 and parent[i] >= 0}
    assert members
    for number in members:
        assert set(np.flatnonzero(parent == number)) <= set(found.parent)


def test_caps_are_the_halide_of_the_dot_or_the_one_asked_for():
    dot = build_dot("CdSe", 22.0, "Br").atoms
    center = int(np.linalg.norm(dot.positions - dot.positions.mean(axis=0), axis=1).argmin())
    assert set(carve(dot, center, MAX_ATOMS).atoms.symbols) == {"Cd", "Se", "Br"}
    found = carve(dot, center, MAX_ATOMS, cap="I")
    caps = found.parent < 0
    assert set(found.atoms.symbols[caps]) == {"I"}
    assert formal_charge(found.atoms).total == 0


def test_a_crystal_is_unwrapped_about_the_center():
    """An atom at the edge of the cell gets the cluster an atom in its middle gets: whole."""
    cell = bulk("CdSe", "zincblende", a=6.2, cubic=True).repeat(3)
    found = carve(cell, 0, 50)  # at the corner
    kept = np.flatnonzero(found.parent >= 0)
    vectors = cell.get_distances(0, found.parent[kept], mic=True, vector=True)
    moved = found.atoms.positions[kept] - found.atoms.positions[found.center]
    np.testing.assert_allclose(moved, vectors, atol=1e-9)
    assert formal_charge(found.atoms).total == 0
    assert not found.atoms.pbc.any()
    bonded = found.atoms.get_all_distances()[found.center] < bond_length("Cd", "Se")
    assert bonded.sum() == 5  # itself and four Se


def test_what_cannot_be_cut_is_refused(dots):
    with pytest.raises(StructureError, match="has no lattice of cations and anions to cut"):
        carve(molecule("C6H6"), 0, 8)
    with pytest.raises(StructureError, match="cap 'O' is not a halide"):
        carve(dots["CdSe, Cl"], 0, MAX_ATOMS, cap="O")
    with pytest.raises(StructureError, match="no neutral cluster of at most 2 atoms around atom"):
        carve(dots["PbSe, Cl"], 0, 2)


def test_farthest_points_know_what_is_chosen_already():
    line = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]])
    assert farthest_points(line, 2, known=np.array([[4.0]])) == [0, 2]
    assert farthest_points(line, 1, first=2, known=np.array([[4.0]])) == [2]


def test_farthest_points_keep_to_the_share_of_a_group():
    line = np.array([[0.0], [1.0], [2.0], [3.0], [10.0]])
    groups = ["a", "a", "a", "a", "b"]
    assert farthest_points(line, 3, first=4, group=groups, per_group=1) == [4, 0]
    assert farthest_points(line, 3, first=4, group=groups, per_group=2) == [4, 0, 3]
