# SPDX-License-Identifier: MIT
"""Sources of frames: formats, keys, units, weights, header faults, and how they are divided."""

from __future__ import annotations

import lzma
import shutil
import tarfile
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from labelled_frames import cluster, labelled, lj_frames, trajectory, write_frames
from qdml.errors import ConfigError, DataError
from qdml.xyz_scan import scan_xyz
from qdml_train.checks import run_checks
from qdml_train.config import dump_config, parse_config
from qdml_train.frames import data_hash
from qdml_train.source import Source, Units
from qdml_train.sources import read_frames, read_source, read_sources
from qdml_train.split import split_frames

CP2K = Path(__file__).parent / "data" / "cp2k"
OUTSIDE = Path(__file__).resolve().parents[3] / "shared" / "data"
VASP = Path(ase.__file__).parent / "test" / "testdata" / "vasp"


# -- units ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "energy", "length"),
    [
        ("eV", 1.0, 1.0),
        ("Hartree", 27.211386, 1.0),
        ("ha", 27.211386, 1.0),
        ("Ry", 13.605693, 1.0),
        ("kcal/mol", 0.0433641, 1.0),
        ("kJ/mol", 0.01036427, 1.0),
    ],
)
def test_units_of_energy(name, energy, length):
    factors = Units(energy=name).factors
    assert factors["energy"] == pytest.approx(energy, rel=1e-6)
    assert factors["force"] == pytest.approx(energy / length, rel=1e-6)


def test_units_of_length_force_and_stress():
    atomic = Units(energy="Hartree", length="bohr").factors
    assert atomic["length"] == pytest.approx(0.529177, rel=1e-6)
    assert atomic["force"] == pytest.approx(51.42207, rel=1e-6)
    assert atomic["stress"] == pytest.approx(29421.02 / 160.21766, rel=1e-5)
    assert Units(stress="GPa").factors["stress"] == pytest.approx(1 / 160.21766, rel=1e-6)
    kbar = Units(stress="kbar", stress_sign="compression").factors["stress"]
    assert kbar == pytest.approx(-0.1 / 160.21766, rel=1e-6)
    assert Units(force="eV/A").force_name == "eV/Å"
    assert Units(stress="eV/angstrom^3").stress_name == "eV/Å³"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"units": {"energy": "Hartre"}}, "unknown unit 'Hartre'; did you mean 'Hartree'"),
        ({"units": {"length": "furlong"}}, "unknown unit 'furlong'; known: Å, Bohr"),
        ({"units": {"force": "Hartree"}}, "unknown unit 'Hartree'.*Hartree/Bohr"),
        ({"units": "si"}, "unknown units 'si'; known: eV, cp2k"),
        ({"unit": "cp2k"}, r"unknown key 'data.train.0.unit'; did you mean 'data.train.0.units'"),
        ({"units": {"enrgy": "eV"}}, r"did you mean 'data.train.0.units.energy'"),
        ({"pos": "a-pos-1.xyz"}, "either 'file' or 'pos'"),
        ({"frc": "a-frc-1.xyz"}, "'frc' belongs to 'pos'"),
        ({"cell": [1.0, 2.0]}, "3 lengths, or 3 vectors"),
        ({"index": "4"}, "a Python slice"),
        ({"weights": {"energy": -1}}, "data.train.0.weights.energy = -1"),
    ],
)
def test_faults_of_a_source_are_named(source, message):
    content = {"data": {"train": [{"file": "x.xyz", **source}]}, "train": {"epochs": 1}}
    with pytest.raises(ConfigError, match=message):
        parse_config(content)


def test_short_and_long_form_survive_a_round_trip():
    import yaml

    long = {"file": "b.db", "units": "atomic", "weights": 0.5, "keys": {"forces": "F"}}
    content = {"data": {"train": ["a.xyz", long]}, "train": {"epochs": 1}}
    config = parse_config(content)
    first, second = config.data.train
    assert str(first) == "a.xyz"
    assert second.weights.forces == 0.5
    text = dump_config(config)
    assert "- a.xyz" in text
    assert parse_config(yaml.safe_load(text)) == config
    single = parse_config({**content, "data": {"train": long}})
    assert single.data.train == [second]


# -- formats --------------------------------------------------------------------------------------


def same_labels(found, frames, atol=1e-7):
    for a, b in zip(found, frames, strict=True):
        assert a.energy == pytest.approx(b.get_potential_energy(), rel=1e-7, abs=1e-7)
        np.testing.assert_allclose(a.forces, b.get_forces(), atol=atol)
        np.testing.assert_allclose(a.positions, b.positions, atol=2e-8)
        assert a.pbc.all() == b.pbc.all()


@pytest.mark.parametrize("suffix", ["db", "json", "extxyz", "traj"])
def test_clusters_and_cells_from_every_container(suffix, tmp_path):
    frames = lj_frames(4)
    path = tmp_path / f"f.{suffix}"
    if suffix in ("db", "json"):
        with ase.db.connect(path) as database:
            for atoms in frames:
                database.write(atoms, origin=atoms.info["origin"], split="train")
    else:
        ase.io.write(path, frames)
    found = read_frames(path)
    same_labels(found, frames)
    assert [f.origin for f in found] == ["bulk", "cluster"] * 2
    np.testing.assert_allclose(found[0].stress, frames[0].get_stress(), atol=1e-8)


def test_arrays_of_a_database_can_be_labels(tmp_path):
    atoms = cluster()
    path = tmp_path / "f.db"
    with ase.db.connect(path) as database:
        database.write(atoms, e_dft=-3.0, data={"f_dft": np.ones((len(atoms), 3))})
    found = read_source(Source(file=path, keys={"energy": "e_dft", "forces": "f_dft"}))
    assert found[0].energy == -3.0
    assert found[0].forces.sum() == 3 * len(atoms)


def test_damaged_databases_are_named(tmp_path):
    path = tmp_path / "f.json"
    path.write_text("[1, 2")
    with pytest.raises(DataError, match=r"f\.json: cannot be read as an ASE database"):
        read_frames(path)


def test_own_keys_and_units(tmp_path):
    frames = lj_frames(2)
    for atoms in frames:
        atoms.info["E"] = atoms.get_potential_energy() / units.Hartree
        atoms.arrays["F"] = atoms.get_forces() * units.Bohr / units.Hartree
        if atoms.pbc.all():
            atoms.info["W"] = -atoms.get_stress(voigt=False) * atoms.get_volume() / units.Hartree
        atoms.calc = None
    path = write_frames(tmp_path / "f.extxyz", frames)
    for atoms, reference in zip(frames, lj_frames(2), strict=True):
        atoms.calc = reference.calc
    keys = {"energy": "E", "forces": "F", "virial": "W"}
    source = Source(file=path, keys=keys, units={"energy": "Hartree", "force": "Hartree/Bohr"})
    with pytest.raises(DataError, match=r"frame 0 of f.extxyz and 1 more.*Found: E, F, W"):
        read_frames(path)
    found = read_source(source)
    # the file has 8 decimals of Hartree/Bohr
    same_labels(found, frames, atol=5e-7)
    np.testing.assert_allclose(found[0].stress, frames[0].get_stress(), atol=1e-8)
    assert "energy Hartree x 27.2113" in found[0].provenance
    assert "forces Hartree/Bohr x 51.42" in found[0].provenance


def test_a_virial_needs_a_cell(tmp_path):
    atoms = labelled(cluster())
    atoms.info["W"] = np.eye(3)
    path = write_frames(tmp_path / "f.extxyz", [atoms])
    with pytest.raises(DataError, match=r"frame 0 of f.extxyz has a virial but no periodic cell"):
        read_source(Source(file=path, keys={"virial": "W"}))


def test_two_different_labels_are_not_chosen_between(tmp_path):
    atoms = labelled(cluster())
    atoms.info["REF_energy"] = -1.0
    path = write_frames(tmp_path / "f.extxyz", [atoms])
    with pytest.raises(DataError, match="two different labels 'energy' and 'REF_energy'"):
        read_frames(path)
    assert read_source(Source(file=path, keys={"energy": "REF_energy"}))[0].energy == -1.0


def test_missing_forces_name_what_is_there(tmp_path):
    atoms = labelled(cluster())
    atoms.arrays["frc"] = atoms.get_forces()
    atoms.calc = None
    path = write_frames(tmp_path / "f.extxyz", [atoms])
    with pytest.raises(DataError, match=r"Found: frc; if one of these is it, say keys: \{forces"):
        read_frames(path)


def test_single_atoms_need_no_forces(tmp_path):
    atoms = Atoms("Cd")
    atoms.calc = SinglePointCalculator(atoms, energy=-1283.0)
    found = read_frames(write_frames(tmp_path / "f.extxyz", [atoms]))
    np.testing.assert_array_equal(found[0].forces, np.zeros((1, 3)))


def test_weights_level_origin_and_index_of_a_source(tmp_path):
    frames = lj_frames(6)
    for atoms in frames:
        del atoms.info["level_of_theory"]
    path = write_frames(tmp_path / "f.extxyz", frames)
    source = Source(
        file=path, index="1::2", level_of_theory="PBE", origin="dots", weights={"energy": 0}
    )
    found = read_source(source)
    assert [f.index for f in found] == [1, 3, 5]
    assert {f.level_of_theory for f in found} == {"PBE"}
    assert {f.origin for f in found} == {"dots"}
    assert found[0].weights == (0.0, 1.0, 1.0)
    plain = read_source(Source(file=path, index="1::2"))
    assert data_hash(found) != data_hash(plain), "weights belong to the identity of the data"
    with pytest.raises(DataError, match=r"no frames \(of 6, index '9:'\)"):
        read_source(Source(file=path, index="9:"))


def test_patterns_and_equal_names(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_frames(tmp_path / folder / "f.extxyz", lj_frames(2))
    found = read_source(Source(file=tmp_path / "*" / "f.extxyz"))
    assert [f.file for f in found] == ["a/f.extxyz"] * 2 + ["b/f.extxyz"] * 2
    with pytest.raises(DataError, match="no file fits this pattern"):
        read_source(Source(file=tmp_path / "*.none"))
    with pytest.raises(DataError, match="a folder; name the files in it"):
        read_frames(tmp_path / "a")


# -- CP2K -----------------------------------------------------------------------------------------


def test_cp2k_pair_is_read_in_ev():
    """A run of CP2K 2023.1; the first energy and force by hand."""
    found = read_source(Source(pos=CP2K / "hcl-pos-1.xyz"))
    assert len(found) == 7
    assert found[0].energy == pytest.approx(-15.5277637360 * 27.211386246, rel=1e-7)
    assert found[0].forces[0, 2] == pytest.approx(0.0259716395 * 51.422067, rel=1e-7)
    assert found[0].positions[1].tolist() == [2.6, 2.7, 3.9]
    assert not found[0].pbc.any()
    assert found[3].info["time"] == pytest.approx(1.5)
    assert "energy Hartree x 27.21" in found[0].provenance
    plain = read_frames(CP2K / "hcl-pos-1.xyz")
    assert plain[2].energy == found[2].energy, "the name alone is enough"


def test_cp2k_cell_from_file_and_from_numbers():
    by_file = read_source(Source(pos=CP2K / "hcl-pos-1.xyz", cell=CP2K / "hcl-1.cell"))
    by_numbers = read_source(Source(pos=CP2K / "hcl-pos-1.xyz", cell=[5.0, 5.2, 5.4]))
    np.testing.assert_array_equal(by_file[6].cell, np.diag([5.0, 5.2, 5.4]))
    np.testing.assert_array_equal(by_file[6].cell, by_numbers[6].cell)
    assert by_file[0].pbc.all()


def test_cp2k_trajectory_passes_the_work_test_and_undeclared_units_fail(tmp_path):
    good = run_checks(read_source(Source(pos=CP2K / "hcl-pos-1.xyz", level_of_theory="PBE")))
    work = next(f for f in good if f.check == "work")
    assert work.level == "PASS"
    assert "6 pairs" in work.message
    bad = run_checks(read_source(Source(pos=CP2K / "hcl-pos-1.xyz", units="eV")))
    work = next(f for f in bad if f.check == "work")
    assert work.level == "FAIL"
    assert "units: cp2k" in work.fix


def edited_pair(tmp_path, name, *edits):
    for part in ("pos", "frc"):
        shutil.copy(CP2K / f"hcl-{part}-1.xyz", tmp_path)
    path = tmp_path / f"hcl-{name}-1.xyz"
    text = path.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    return tmp_path / "hcl-pos-1.xyz"


def test_cp2k_frames_are_matched_by_step(tmp_path):
    """Forces of every second step only; a step repeated by a restart counts once, the last one."""
    pos = edited_pair(tmp_path, "pos")
    frc = tmp_path / "hcl-frc-1.xyz"
    frames = frc.read_text().splitlines()
    frc.write_text("\n".join(line for k in (0, 2, 4) for line in frames[4 * k : 4 * k + 4]) + "\n")
    assert [f.index for f in read_frames(pos)] == [0, 2, 4]
    first = pos.read_text().splitlines()[:4]
    first[2] = first[2].replace("2.5000000000", "2.6000000000", 1)
    pos.write_text(pos.read_text() + "\n".join(first) + "\n")
    again = read_frames(pos)
    assert [f.index for f in again] == [2, 4, 7]
    assert again[2].positions[0, 0] == 2.6


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("frc", "-15.5277637360", "-15.6277637360", r"frame 0 .*says -15.6.*two runs"),
        ("frc", " Cl ", " Br ", r"frame 0 of hcl-pos-1.xyz .*or another order"),
        ("frc", " i =        0,", " step 0", "not CP2K's"),
        ("frc", "0.0013299178", "0.00*********", "not three numbers per atom"),
    ],
)
def test_cp2k_files_that_do_not_belong_together(tmp_path, name, old, new, message):
    pos = edited_pair(tmp_path, name, (old, new))
    with pytest.raises(DataError, match=message):
        read_frames(pos)


def test_cp2k_without_forces_or_common_steps(tmp_path):
    pos = edited_pair(tmp_path, "pos")
    frc = tmp_path / "hcl-frc-1.xyz"
    frc.write_text(frc.read_text().replace("i =        ", "i =       9"))
    with pytest.raises(DataError, match=r"share no step: positions have 0\.\.6, forces 90\.\.96"):
        read_frames(pos)
    frc.unlink()
    with pytest.raises(DataError, match=r"hcl-frc-1.xyz are not beside it"):
        read_frames(pos)


def test_cp2k_output_of_a_single_point():
    """The same structure as step 0 of the trajectory, in the printed output."""
    (found,) = read_frames(CP2K / "hcl.out")
    (step, *_) = read_frames(CP2K / "hcl-pos-1.xyz")
    assert found.energy == pytest.approx(step.energy, abs=1e-6)
    np.testing.assert_allclose(found.forces, step.forces, atol=2e-3)
    np.testing.assert_array_equal(found.positions, step.positions)
    np.testing.assert_array_equal(found.cell, np.diag([5.0, 5.2, 5.4]))
    # printed +1.035 GPa under compression: negative in ASE's sign
    assert found.stress[0] == pytest.approx(-1.03511502317 / 160.21766, rel=1e-6)
    assert "Hartree" in found.provenance


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ATOMIC COORDINATES IN ANGSTROM", "COORDINATES", "no coordinates in Å.*PRINT_LEVEL"),
        ("CELL| Vector", "CELL| vector", "no cell vectors"),
        ("ATOMIC FORCES in [a.u.]", "FORCES", "no forces in the output"),
        ("*** SCF run converged", "SCF run NOT converged", "SCF did not converge"),
    ],
)
def test_cp2k_outputs_that_lack_something(tmp_path, old, new, message):
    path = tmp_path / "hcl.out"
    path.write_text((CP2K / "hcl.out").read_text().replace(old, new))
    with pytest.raises(DataError, match=message):
        read_frames(path)


def test_cp2k_outputs_of_several_steps_are_refused(tmp_path):
    path = tmp_path / "md.out"
    path.write_text(2 * (CP2K / "hcl.out").read_text())
    with pytest.raises(DataError, match=r"several steps.*NAME-pos-1.xyz"):
        read_frames(path)


# -- VASP -----------------------------------------------------------------------------------------


@pytest.mark.skipif(not VASP.is_dir(), reason="ASE came without its VASP example files")
def test_vasp_outcar_and_xml():
    """Files of ASE's own tests: 'in kB -4.29429 ...' is tension in ASE's sign, forces belong to
    the free energy TOTEN."""
    (outcar,) = read_frames(VASP / "OUTCAR_example_1")
    assert outcar.energy == pytest.approx(-68.22868532)
    assert outcar.stress[0] == pytest.approx(4.29429e-1 / 160.21766, rel=1e-6)
    assert outcar.stress[3] == pytest.approx(0.94049e-1 / 160.21766, rel=1e-4)  # YZ
    assert "free energies" in outcar.provenance
    (xml,) = read_source(Source(file=VASP / "vasprun_pstress.xml", format="vasp-xml"))
    assert xml.energy == pytest.approx(-20.246959373)
    extrapolated = Source(file=VASP / "OUTCAR_example_1", keys={"energy": "energy"})
    assert read_source(extrapolated)[0].energy == pytest.approx(-68.23102426)


# -- headers of xyz files -------------------------------------------------------------------------

WATER = "O 0 0 0\nH 0 0 1\nH 0 1 0\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"2\nc\n{WATER}", r"frame 0 of .*header says 2 atoms, 3 atom lines follow"),
        (f"3\nc\n{WATER}1\nc\n{WATER}", r"frame 1 of .*says 1 atoms, 3 atom lines.*drop 2 atoms"),
        (f"4\nc\n{WATER}", "frame 0 of .*says 4 atoms .line 1., only 3 atom lines"),
        (f"4\nc\n{WATER}3\nc\n{WATER}", "frame 0 of .*only 3 atom lines"),
        (WATER, "line 1 is 'O 0 0 0'.*no xyz header"),
        ("", "empty file"),
    ],
)
def test_headers_that_disagree_are_refused(text, message, tmp_path):
    path = tmp_path / "f.xyz"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        scan_xyz(path)
    with pytest.raises(DataError, match=message):
        read_frames(path, need_labels=False)


def test_sound_headers_are_counted(tmp_path):
    path = tmp_path / "f.xyz.xz"
    with lzma.open(path, "wt") as handle:
        handle.write(f"3\nc\n{WATER}" * 3 + "\n\n")
    assert scan_xyz(path) == 3
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match="cannot be read as text"):
        scan_xyz(path)


@pytest.mark.skipif(not (OUTSIDE / "qd_models").is_dir(), reason="dot library not there")
def test_library_file_with_82_in_its_header_and_84_lines(tmp_path):
    name = "docs/III-V/InP/HLE17/18ang/start/In31P20Cl33_HLE17_18ang_start.xyz"
    with tarfile.open(OUTSIDE / "qd_models" / "qd_models_library.tar.xz") as archive:
        path = tmp_path / "dot.xyz"
        path.write_bytes(archive.extractfile(name).read())
    with pytest.raises(DataError, match="header says 82 atoms, 84 atom lines follow"):
        read_frames(path, need_labels=False)


# -- dividing -------------------------------------------------------------------------------------


def parts(tmp_path, files, **section):
    paths = [str(write_frames(tmp_path / name, frames)) for name, frames in files.items()]
    config = parse_config({"data": {"train": paths, **section}, "train": {"epochs": 1}})
    *found, messages = split_frames(config.data)
    return [[(f.file, f.index) for f in part] for part in found], messages


def test_blocks_hold_out_the_end_of_every_file(tmp_path):
    files = {"a.xyz": trajectory(10, seed=1), "b.xyz": trajectory(10, seed=2)}
    (train, valid, test), _ = parts(
        tmp_path, files, split="blocks", valid_fraction=0.1, test_fraction=0.2
    )
    assert valid == [("a.xyz", 7), ("b.xyz", 7)]
    assert test == [(name, k) for name in ("a.xyz", "b.xyz") for k in (8, 9)]
    assert len(train) == 14


def test_whole_files_are_held_out(tmp_path):
    files = {f"{c}.xyz": trajectory(4, seed=k) for k, c in enumerate("abcde")}
    (train, valid, test), _ = parts(
        tmp_path, files, split="files", valid_fraction=0.2, test_fraction=0.3
    )
    assert {name for name, _ in test} == {"d.xyz", "e.xyz"} or {n for n, _ in test} == {"e.xyz"}
    assert len({name for name, _ in valid}) == 1
    assert not {n for n, _ in train} & {n for n, _ in (*valid, *test)}
    with pytest.raises(DataError, match="1 groups by file, not enough"):
        parts(tmp_path, {"a.xyz": trajectory(4)}, split="files")


def test_the_largest_structures_are_held_out(tmp_path):
    frames = [labelled(cluster(n, seed=k)) for k, n in enumerate([5, 9, 7, 9, 5, 7, 6, 5, 5, 5])]
    (train, valid, test), _ = parts(tmp_path, {"a.xyz": frames}, split="size", valid_fraction=0.2)
    assert [k for _, k in test] == [1, 3]
    assert len(valid) == 1
    assert len(train) == 7


def test_groups_by_info(tmp_path):
    frames = trajectory(8)
    for k, atoms in enumerate(frames):
        atoms.info["ligand"] = ["acetate", "oleate"][k % 2]
    (train, valid, _), _ = parts(tmp_path, {"a.xyz": frames}, split="groups", group="ligand")
    assert [k for _, k in valid] == [1, 3, 5, 7]
    assert [k for _, k in train] == [0, 2, 4, 6]
    with pytest.raises(ConfigError, match=r"needs data\.group"):
        parts(tmp_path, {"a.xyz": frames}, split="groups")
    with pytest.raises(DataError, match=r"frame 0 of a.xyz has no info 'core'"):
        parts(tmp_path, {"a.xyz": frames}, split="groups", group="core")


def test_random_frames_only_by_name_and_with_a_warning(tmp_path):
    files = {"a.xyz": trajectory(20)}
    (train, valid, test), messages = parts(
        tmp_path, files, split="random", valid_fraction=0.2, test_fraction=0.1
    )
    assert sorted(train + valid + test) == [("a.xyz", k) for k in range(20)]
    assert (len(valid), len(test)) == (4, 2)
    assert any("prefer blocks" in m for m in messages)
    again, _ = parts(tmp_path, files, split="random", valid_fraction=0.2, test_fraction=0.1)
    assert again == [train, valid, test]
    other, _ = parts(
        tmp_path, files, split="random", valid_fraction=0.2, test_fraction=0.1, split_seed=2
    )
    assert other[1] != valid


def test_frames_know_their_part(tmp_path):
    path = write_frames(tmp_path / "a.xyz", trajectory(10))
    config = parse_config({"data": {"train": str(path)}, "train": {"epochs": 1}})
    train, valid, _, _ = split_frames(config.data)
    assert {f.role for f in train} == {"train"}
    assert {f.role for f in valid} == {"valid"}


def test_several_sources_keep_their_order(tmp_path):
    a = write_frames(tmp_path / "a.extxyz", lj_frames(2))
    found = read_sources([Source(file=a), Source(pos=CP2K / "hcl-pos-1.xyz", index=":1")])
    assert [f.file for f in found] == ["a.extxyz", "a.extxyz", "hcl-pos-1.xyz"]
