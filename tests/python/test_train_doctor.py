# SPDX-License-Identifier: MIT
"""The data doctor: every fault planted here is found, and the message names the frame."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from labelled_frames import labelled, lj_frames, relabel, trajectory
from qdml.errors import CheckError
from qdml_train.checks import read_checked, run_checks, stop_on_failure
from qdml_train.doctor.finding import Finding
from qdml_train.doctor.structures import fragments
from qdml_train.doctor.work import aligned, make_pair
from qdml_train.frames import frame_from_atoms
from qdml_train.report_checks import findings_json, findings_text
from qdml_train.source import Source
from qdml_train.sources import read_frames, read_source

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = ROOT.parent / "shared" / "data"


def doctor(frames: list[Atoms], file: str = "f") -> list[Finding]:
    return run_checks([frame_from_atoms(a, file, k) for k, a in enumerate(frames)])


def of(findings: list[Finding], check: str) -> Finding:
    """The worst finding of a check."""
    order = ("FAIL", "WARN", "PASS")
    return min((f for f in findings if f.check == check), key=lambda f: order.index(f.level))


# -- sound data -----------------------------------------------------------------------------------


def test_sound_data_passes():
    found = doctor(trajectory())
    assert [f for f in found if f.level == "FAIL"] == []
    assert of(found, "work").level == "PASS"
    assert "12 frames" in of(found, "labels").message


def test_rattled_sets_and_turned_clusters_can_be_tested():
    """Work is found between copies of one structure, whatever their order and orientation."""
    rng = np.random.default_rng(0)
    start = lj_frames(2)[1]
    frames = []
    for _ in range(12):
        atoms = start.copy()
        atoms.positions += rng.normal(scale=0.06, size=atoms.positions.shape)
        atoms.rotate(rng.uniform(0, 360), rng.normal(size=3))
        atoms.positions += rng.normal(scale=5.0, size=3)
        frames.append(labelled(atoms, level_of_theory="LJ"))
    work = of(doctor(frames), "work")
    assert work.level == "PASS"
    assert "11 pairs" in work.message
    wrong = of(doctor([relabel(a, force_factor=1 / 51.42) for a in frames]), "work")
    assert wrong.level == "FAIL"


def test_wrapped_atoms_do_not_count_as_moved():
    a, b = lj_frames(1)[0], lj_frames(1)[0]
    b.positions[3] += b.cell[0] + [0.05, 0.0, 0.0]
    pair = make_pair(frame_from_atoms(a, "f", 0), frame_from_atoms(b, "f", 1))
    assert pair.step == pytest.approx(0.05)


def test_alignment_removes_a_rotation():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(6, 3))
    atoms = Atoms("H6", x)
    atoms.rotate(70, (1, 2, 3))
    turn, step = aligned(x, atoms.positions + 1.0)
    assert np.abs(step).max() < 1e-12
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


# -- units and signs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("energy_factor", "force_factor", "message"),
    [
        (1.0, units.Bohr / units.Hartree, "forces in Hartree/Bohr"),
        (1.0, units.Bohr / units.Rydberg, "forces in Ry/Bohr"),
        (1.0, units.mol / units.kcal, "forces in kcal/mol/Å"),
        (1.0, units.mol / units.kJ, "forces in kJ/mol/Å"),
        (1 / units.Hartree, 1.0, "energies in Hartree"),
        (1 / units.Rydberg, 1.0, "energies in Ry"),
        (units.mol / units.kcal, 1.0, "energies in kcal/mol"),
        (units.mol / units.kJ, 1.0, "energies in kJ/mol"),
        (1 / units.Hartree, units.Bohr / units.Hartree, "atomic units"),
        (1.0, -1.0, "gradients instead of forces"),
        (1 / units.Hartree, -1.0, "gradients instead of forces (change their sign) and energies"),
    ],
)
def test_wrong_units_and_signs_are_named(energy_factor, force_factor, message):
    work = of(doctor([relabel(a, energy_factor, force_factor) for a in trajectory()]), "work")
    assert work.level == "FAIL"
    assert message in work.fix
    assert "frame 1 of f" in work.message


def test_frames_far_apart_are_no_failure():
    """Stiff pairs rattled by 0.1 Å: the trapezoid rule is off, units and signs are right."""
    work = of(doctor(lj_frames(20)), "work")
    assert work.level == "WARN"
    assert "too far apart" in work.fix


def test_one_wrong_energy_in_a_trajectory_is_named():
    frames = trajectory(14)
    relabel(frames[6], energy=frames[6].get_potential_energy() + 2.0)
    work = of(doctor(frames), "work")
    assert work.level == "WARN"
    assert work.frames == (("f", 6),)
    assert "frame 6 of f" in work.message


def test_forces_of_other_frames_do_not_belong():
    frames = trajectory(14, step=0.01)
    forces = [a.get_forces() for a in frames]
    rng = np.random.default_rng(1)
    for a, f in zip(frames, forces, strict=True):
        relabel(a, forces=f[rng.permutation(len(f))])
    found = doctor(frames)
    assert of(found, "work").level in ("WARN", "FAIL")
    assert of(found, "net torque").level == "FAIL"


def strained(stress_factor: float = 1.0) -> list[Atoms]:
    """An equation of state of Lennard-Jones rock salt."""
    frames = []
    for scale in np.linspace(0.97, 1.03, 9):
        atoms = bulk("NaCl", "rocksalt", a=4.8 * scale, cubic=True)
        atoms.symbols[:] = ["Ar", "Ne"] * 4
        frames.append(labelled(atoms, level_of_theory="LJ"))
        relabel(frames[-1], stress=frames[-1].calc.results["stress"] * stress_factor)
    return frames


def test_equation_of_state_confirms_the_stress():
    stress = of(doctor(strained()), "stress")
    assert stress.level == "PASS"
    assert "pairs" in stress.message


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (-1.0, "stress_sign: compression"),
        (1 / units.GPa, "(stress: GPa)"),
        (10 / units.GPa, "(stress: kB)"),
        (-10 / units.GPa, "stress_sign: compression) and stresses in kB"),
    ],
)
def test_wrong_stresses_are_named(factor, message):
    stress = of(doctor(strained(factor)), "stress")
    assert stress.level == "FAIL"
    assert message in stress.fix
    assert "of f" in stress.message


def test_stress_without_strained_pairs_is_judged_by_its_size():
    frames = [a for a in lj_frames(4) if a.pbc.all()]
    relabel(frames[1], stress=np.full(6, 30.0))
    stress = of(doctor(frames), "stress")
    assert (stress.level, stress.frames) == ("WARN", (("f", 1),))


# -- one fault each -------------------------------------------------------------------------------


def planted(kind: str) -> list[Atoms]:
    frames = lj_frames(8)
    if kind == "nan":
        forces = frames[3].get_forces().copy()
        forces[0, 0] = np.nan
        relabel(frames[3], forces=forces)
    elif kind == "no forces":
        frames[2].calc = SinglePointCalculator(frames[2], energy=0.0)
    elif kind == "wrong key":
        frames[2].arrays["F_dft"] = frames[2].get_forces()
        frames[2].calc = SinglePointCalculator(frames[2], energy=0.0)
    elif kind == "no energy":
        frames[2].calc = SinglePointCalculator(frames[2], forces=frames[2].get_forces())
    elif kind in ("duplicate", "leak"):
        frames[5] = frames[3].copy()
        frames[5].calc = frames[3].calc
        if kind == "leak":
            for k, a in enumerate(frames):
                a.info["split"] = "test" if k == 5 else "train"
    elif kind == "close":
        frames[1].positions[0] = frames[1].positions[1] + [0.0, 0.0, 0.3]
        relabel(frames[1], forces=np.zeros((len(frames[1]), 3)))
    elif kind == "net force":
        relabel(frames[1], forces=frames[1].get_forces() + np.array([0.5, 0, 0]))
    elif kind == "net torque":
        turned = frames[1].copy()
        turned.rotate(25, "z")
        relabel(frames[1], forces=frames[1].get_forces() + 0.05 * (turned.positions * [1, -1, 0]))
    elif kind == "large force":
        forces = frames[1].get_forces().copy()
        forces[0, 0] += 30
        forces[1, 0] -= 30
        relabel(frames[1], forces=forces)
    elif kind == "huge forces":
        for a in frames:
            relabel(a, force_factor=40.0)
    elif kind == "zero forces":
        for a in frames:
            relabel(a, force_factor=0.0)
    elif kind == "one zero":
        frames[4].calc.results["forces"] = np.zeros((8, 3))
    elif kind == "frozen":
        for a in frames:
            relabel(a, forces=np.where(np.arange(len(a))[:, None] < 2, 0.0, a.get_forces()))
    elif kind == "levels":
        frames[4].info["level_of_theory"] = "HF"
    elif kind == "outlier":
        for k, a in enumerate(frames):  # one composition
            a.calc.results["energy"] = -10.0 + 0.01 * k
            if k % 2:
                a.calc.results["energy"] -= 2.0
        frames += [a for a in lj_frames(8, seed=5) if a.pbc.all()]
        for a in frames[8:]:
            a.calc.results["energy"] = -10.02
        frames[4].calc.results["energy"] += 20.0
    elif kind == "two methods":
        frames[4].calc.results["energy"] -= 8 * 200.0
    elif kind == "half split":
        frames[0].info["split"] = "train"
    elif kind == "unseen":
        for k, a in enumerate(frames):
            a.info["split"] = "test" if k == 5 else "train"
        frames[5].symbols[0] = "Kr"
    elif kind == "float32":
        for a in frames:
            a.positions += 5.0
        frames[3].positions = frames[3].positions.astype(np.float32).astype(float)
    elif kind == "printed float32":
        frames[3].positions = np.round((frames[3].positions + 5.0).astype(np.float32), 8)
    elif kind == "few decimals":
        frames[3].positions = np.round(frames[3].positions, 2)
    elif kind == "float32 energies":
        for a in frames:
            a.calc.results["energy"] = float(np.float32(a.get_potential_energy() - 1.1e6))
    elif kind == "fragment":
        rng = np.random.default_rng(3)
        water = Atoms("OH2", [(0, 0, 0), (0, 0.76, 0.59), (0, -0.76, 0.59)])
        frames = [water.copy() for _ in range(6)]
        frames[4].positions[1, 1] += 2.0
        for a in frames:
            a.positions += rng.normal(scale=0.02, size=(3, 3))
            labelled(a)
    elif kind == "free energy":
        frames[3].calc.results["free_energy"] = frames[3].get_potential_energy() - 0.1
    elif kind == "bohr":
        for a in frames:
            a.positions /= units.Bohr
            a.set_cell(a.cell / units.Bohr)
    elif kind == "cluster stress":
        frames[1].calc.results["stress"] = np.ones(6)
    elif kind == "no stress":
        frames = strained(0.0)
    return frames


@pytest.mark.parametrize(
    ("kind", "check", "level", "message"),
    [
        ("nan", "finite", "FAIL", "frame 3 of f"),
        ("no forces", "labels", "FAIL", "No forces in: frame 2"),
        ("wrong key", "labels", "FAIL", "found F_dft"),
        ("no energy", "labels", "FAIL", "No energy in: frame 2"),
        ("duplicate", "duplicates", "WARN", "frame 3 of f and frame 5"),
        ("leak", "duplicates", "FAIL", "the split leaks"),
        ("close", "distances", "FAIL", "frame 1 of f"),
        ("bohr", "distances", "WARN", "units: {length: Bohr}"),
        ("net force", "net force", "WARN", "frame 1 of f"),
        ("net torque", "net torque", "WARN", "frame 1 of f"),
        ("large force", "forces", "WARN", "frame 1 of f"),
        ("huge forces", "forces", "WARN", "kcal/mol"),
        ("zero forces", "forces", "FAIL", "all forces are zero"),
        ("one zero", "forces", "WARN", "exactly zero while others"),
        ("frozen", "frozen atoms", "FAIL", "atoms [0, 1]"),
        ("levels", "level of theory", "FAIL", "'HF' in: frame 4 of f"),
        ("outlier", "energies", "WARN", "frame 4 of f"),
        ("two methods", "energies", "FAIL", "frame 4 of f"),
        ("half split", "split", "FAIL", "frame 1 of f"),
        ("unseen", "elements", "FAIL", "Kr is in no training frame but in test frames: frame 5"),
        ("float32", "precision", "WARN", "frame 3 of f"),
        ("printed float32", "precision", "WARN", "frame 3 of f"),
        ("few decimals", "precision", "WARN", "frame 3 of f"),
        ("float32 energies", "precision", "FAIL", "meV/atom"),
        ("fragment", "fragments", "WARN", "frame 4 of f"),
        ("free energy", "free energy", "WARN", "frame 3 of f"),
        ("cluster stress", "stress", "WARN", "frame 1 of f"),
        ("no stress", "stress", "FAIL", "all stresses are zero"),
    ],
)
def test_planted_faults_are_found(kind, check, level, message):
    found = of(doctor(planted(kind)), check)
    assert found.level == level
    assert message in found.text
    assert found.fix
    assert found.frames


@pytest.mark.parametrize(
    "check", ["precision", "fragments", "frozen atoms", "energies", "forces", "distances"]
)
def test_checks_stay_quiet_on_sound_frames(check):
    assert of(doctor(lj_frames(8)), check).level == "PASS"


def test_labels_that_the_loss_does_not_use_may_be_missing():
    frames = [frame_from_atoms(a, "f", k) for k, a in enumerate(planted("no energy"))]
    assert of(run_checks(frames, needs=("forces",)), "labels").level == "PASS"
    frames = [frame_from_atoms(a, "f", k) for k, a in enumerate(planted("no forces"))]
    assert of(run_checks(frames, needs=("energy",)), "labels").level == "PASS"


def test_undetermined_references_are_named():
    frames = [a for k, a in enumerate(lj_frames(8)) if k % 2 == 0]  # one stoichiometry
    e0 = of(doctor(frames), "E0")
    assert e0.level == "WARN"
    assert "Ne" in e0.message


def test_fragments_are_counted_across_the_cell():
    water = Atoms("OH2", [(0.1, 0, 0), (0.1, 0.76, 0.59), (0.1, -0.76, 0.59)], cell=[8] * 3, pbc=1)
    assert fragments(frame_from_atoms(water, "f", 0)) == ["H2O"]
    water.positions[1] += 8.0
    assert fragments(frame_from_atoms(water, "f", 0)) == ["H2O"]
    water.positions[1] += 3.0
    assert fragments(frame_from_atoms(water, "f", 0)) == ["HO", "H"]


# -- what happens with findings -------------------------------------------------------------------


def test_failures_stop_and_can_be_accepted_by_name():
    found = doctor(planted("levels"))
    with pytest.raises(
        CheckError, match=r"data\.accept.*\nFAIL level of theory: .*frame 4"
    ) as error:
        stop_on_failure(found)
    assert error.value.exit_code == 4
    stop_on_failure(found, ["level of theory"])
    with pytest.raises(CheckError):
        stop_on_failure(found, ["work"])


def test_reports_name_frames_for_people_and_programs():
    import json

    found = doctor(planted("levels"))
    text = findings_text(found)
    assert "FAIL level of theory" in text
    assert text.rstrip().endswith("1 failed")
    entry = next(f for f in json.loads(findings_json(found)) if f["level"] == "FAIL")
    assert entry["frames"] == [{"file": "f", "index": 4}]
    assert entry["fix"]


def test_files_that_cannot_be_read_are_findings(tmp_path):
    path = tmp_path / "empty.xyz"
    path.write_text("")
    frames, found = read_checked([Source(file=path)])
    assert frames == []
    assert [f.level for f in found] == ["FAIL"]
    assert "empty file" in found[0].message


# -- real data ------------------------------------------------------------------------------------


def test_reference_set_passes_without_failure():
    frames = read_frames(ROOT / "potentials" / "cdse" / "data" / "cdse-pbe.extxyz.xz")
    found = run_checks(frames)
    assert [f.text for f in found if f.level == "FAIL"] == []
    stress = of(found, "stress")
    assert stress.level == "PASS", stress.message
    assert "pairs" in stress.message, "the equation of state must have tested the sign"


@pytest.mark.skipif(not (OUTSIDE / "acac").is_dir(), reason="acac data set not there")
def test_acetylacetone_passes_without_failure():
    frames = read_frames(OUTSIDE / "acac" / "train_300K.xyz.xz")[:150]
    frames += read_frames(OUTSIDE / "acac" / "isolated_atoms.xyz.xz")
    found = run_checks(frames)
    assert [f.text for f in found if f.level == "FAIL"] == []
    assert of(found, "E0").message.startswith("isolated atoms")


@pytest.mark.skipif(not (OUTSIDE / "mlearn_si").is_dir(), reason="mlearn Si data set not there")
def test_silicon_passes_and_its_virial_unit_is_recognised(tmp_path):
    """pymatgen's JSON, with VASP stresses in kB: wrong as they are, right when declared."""
    import json

    import ase.io

    with lzma.open(OUTSIDE / "mlearn_si" / "Si_training.json.xz", "rt") as handle:
        entries = json.load(handle)
    frames = []
    for entry in entries:
        sites = entry["structure"]["sites"]
        atoms = Atoms(
            [s["species"][0]["element"] for s in sites],
            [s["xyz"] for s in sites],
            cell=entry["structure"]["lattice"]["matrix"],
            pbc=True,
        )
        xx, yy, zz, xy, yz, zx = entry["outputs"]["virial_stress"]
        atoms.calc = SinglePointCalculator(
            atoms, energy=entry["outputs"]["energy"], forces=np.array(entry["outputs"]["forces"])
        )
        atoms.info.update(sigma_kb=[xx, yy, zz, yz, zx, xy], group=entry["group"])
        frames.append(atoms)
    path = tmp_path / "si.extxyz"
    ase.io.write(path, frames, format="extxyz")
    sign = {"stress": "kB", "stress_sign": "compression"}
    found = run_checks(read_source(Source(file=path, keys={"stress": "sigma_kb"}, units=sign)))
    assert [f.text for f in found if f.level == "FAIL"] == []
    assert "pairs" in of(found, "stress").message
    wrong = read_source(Source(file=path, keys={"stress": "sigma_kb"}, units={"stress": "kB"}))
    assert of(run_checks(wrong), "stress").level == "FAIL"
