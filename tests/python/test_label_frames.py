"""Identity of a frame, its charge, spin and k-points, and the box made for what has none."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import threading

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from qdml.errors import DataError
from qdml.label.frames import (
    MIN_VACUUM,
    boxed,
    check_spin,
    frame_key,
    image_distance,
    is_undersampled,
    kpoint_mesh,
    suitable_mesh,
)
from qdml.label.queue import LabelOptions, label_frames, make_task
from qdml.sample.cells import zincblende
from qdml.sample.polar_slabs import slab_110, slab_111
from qdml.sample.slabs import slab_100


def test_the_key_is_physics_only(tmp_path):
    atoms = zincblende()
    atoms.positions += np.random.default_rng(0).normal(0, 0.1, atoms.positions.shape)
    key = frame_key(atoms)
    renamed = atoms.copy()
    renamed.info.update(origin="elsewhere", split="test", temperature=300.0)
    assert frame_key(renamed) == key
    ase.io.write(tmp_path / "frame.extxyz", renamed)
    assert frame_key(ase.io.read(tmp_path / "frame.extxyz")) == key


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.positions.__setitem__((3, 1), a.positions[3, 1] + 1e-4),
        lambda a: a.set_cell(a.cell.array * 1.001),
        lambda a: a.set_pbc((True, True, False)),
        lambda a: a.numbers.__setitem__(0, 30),
        lambda a: a.info.update(charge=1),
        lambda a: a.info.update(multiplicity=3),
        lambda a: a.info.update(kpoints=[1, 1, 2]),
    ],
    ids=["position", "cell", "pbc", "element", "charge", "multiplicity", "kpoints"],
)
def test_the_key_changes_with(change):
    atoms = zincblende()
    changed = atoms.copy()
    change(changed)
    assert frame_key(changed) != frame_key(atoms)


@pytest.mark.parametrize("name", ["H2O", "C6H6", "CH3CH2OH"])
def test_a_molecule_without_cell_gets_a_box_with_vacuum(name):
    atoms = molecule(name)
    frame = boxed(atoms)
    assert frame.pbc.all()
    assert frame.info["vacuum_axes"] == "xyz"
    np.testing.assert_array_equal(frame.positions, atoms.positions)
    assert image_distance(frame.positions, frame.cell.array, [0, 1, 2]) >= MIN_VACUUM
    edges = np.ptp(atoms.positions, axis=0) + MIN_VACUUM + 1.5
    assert frame.get_volume() < np.prod(np.maximum(edges, 10.0))


def test_an_octahedral_dot_gets_a_centred_box_of_little_more_than_half_the_volume():
    corners = 6.0 * np.concatenate([np.eye(3), -np.eye(3)])
    frame = boxed(Atoms("H6", corners))
    assert frame.get_volume() < 0.55 * (12.0 + MIN_VACUUM) ** 3
    assert image_distance(corners, frame.cell.array, [0, 1, 2]) >= MIN_VACUUM


def test_image_distance_sees_the_nearest_image_in_an_oblique_cell():
    positions = np.zeros((1, 3))
    cell = np.array([[5.0, 0, 0], [2.5, 5.0, 0], [0, 0, 20.0]])
    assert image_distance(positions, cell, [0, 1, 2]) == pytest.approx(5.0)
    assert image_distance(positions, cell, [2]) == pytest.approx(20.0)
    assert image_distance(positions, cell, []) == np.inf


def test_a_slab_keeps_its_plane_and_gets_vacuum_along_z():
    slab = Atoms("H2", [[0, 0, 0], [0, 0, 3.0]], cell=[4, 5, 0], pbc=(True, True, False))
    frame = boxed(slab)
    np.testing.assert_allclose(frame.cell.lengths(), [4, 5, 11])
    assert frame.info["vacuum_axes"] == "z"
    assert boxed(zincblende()).info["vacuum_axes"] == "-"


def test_a_box_that_is_too_tight_is_refused_and_a_wide_one_kept():
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 1.0]], cell=[9, 9, 8.9])
    with pytest.raises(DataError, match=r"7\.90 A between an atom and a periodic image"):
        boxed(atoms)
    atoms.set_cell([9, 9, 12])
    np.testing.assert_allclose(boxed(atoms).cell.lengths(), [9, 9, 12])


def test_cells_that_make_no_sense_are_refused():
    with pytest.raises(DataError, match="periodic along x but that cell vector is zero"):
        boxed(Atoms("H", pbc=True))
    with pytest.raises(DataError, match="cell vector z is zero but another vacuum direction"):
        boxed(Atoms("H", cell=[10, 10, 0]))
    with pytest.raises(DataError, match="do not span a volume"):
        boxed(Atoms("H", cell=[[5, 0, 0], [5, 0, 0], [0, 0, 5]], pbc=True))


def test_spin():
    assert check_spin(8, None, "f") == 1
    assert check_spin(9, 2, "f") == 2
    with pytest.raises(DataError, match="9 valence electrons need a spin multiplicity"):
        check_spin(9, None, "f")
    with pytest.raises(DataError, match="multiplicity 2 is impossible with 8"):
        check_spin(8, 2, "f")
    with pytest.raises(DataError, match="multiplicity 0 is impossible"):
        check_spin(8, 0, "f")


def test_kpoints():
    cell = zincblende(repeat=1)
    assert kpoint_mesh(cell) == (1, 1, 1)
    cell.info["kpoints"] = np.array([2, 2, 2])
    assert kpoint_mesh(cell) == (2, 2, 2)
    cell.info["kpoints"] = [2, 0, 2]
    with pytest.raises(DataError, match="expected three numbers above 0"):
        kpoint_mesh(cell)
    dot = molecule("H2O")
    dot.info["kpoints"] = [2, 1, 1]
    with pytest.raises(DataError, match="along a direction that is not periodic"):
        kpoint_mesh(dot)


def test_faults_of_a_frame_name_the_frame(tmp_path):
    odd = Atoms("Cl", info={"origin": "atom-Cl"})
    with pytest.raises(DataError, match=r"frame 7 \(atom-Cl\): 7 valence electrons need"):
        make_task(odd, 7, LabelOptions(), tmp_path)
    with pytest.raises(DataError, match=r"frame 2 \(.*\): no DZVP-MOLOPT-SR-GTH basis"):
        make_task(Atoms("U"), 2, LabelOptions(), tmp_path)
    with pytest.raises(DataError, match=r"frame 0 .*: no atoms"):
        make_task(Atoms(), 0, LabelOptions(), tmp_path)


def test_the_mesh_follows_the_distance_between_lattice_planes():
    cell = zincblende(repeat=1)  # 6.2 A
    assert suitable_mesh(cell) == [3, 3, 3]
    assert suitable_mesh(cell, 30.0) == [5, 5, 5]
    assert suitable_mesh(zincblende(repeat=2)) == [2, 2, 2]
    slab = Atoms("Cd", cell=[[8.8, 0, 0], [4.4, 8.8 * np.sqrt(0.75), 0], [0, 0, 0]], pbc=(1, 1, 0))
    assert suitable_mesh(slab) == [3, 3, 1]  # 7.6 A between the lines of the lattice
    assert suitable_mesh(molecule("H2O")) == [1, 1, 1]
    assert is_undersampled(cell)
    cell.info["kpoints"] = [3, 3, 3]
    assert not is_undersampled(cell)


def test_the_queue_counts_frames_with_too_few_kpoints(tmp_path, monkeypatch):
    few, enough = zincblende(repeat=1), zincblende(repeat=1)
    enough.info["kpoints"] = [3, 3, 3]
    stop = threading.Event()
    stop.set()  # count, but compute nothing
    options = LabelOptions(command="true")
    summary = label_frames([few, enough], tmp_path / "out.extxyz", options, stop=stop)
    assert (summary.total, summary.undersampled) == (2, 1)


@pytest.mark.parametrize("slab", [slab_100(), slab_110(), slab_111()], ids=["100", "110", "111"])
def test_slabs_ask_for_the_mesh_they_need(slab):
    assert not is_undersampled(slab)
    assert max(slab.info["kpoints"]) in (2, 3)
    assert slab.info["kpoints"][2] == 1
