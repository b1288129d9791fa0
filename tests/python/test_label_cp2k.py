"""CP2K: the input holds the agreed settings, and real outputs are read in ASE's units and signs."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.units import Bohr, GPa, Hartree
from qdml.errors import DataError, LabelError
from qdml.label import cp2k
from qdml.label.queue import LabelOptions, label_frames

DATA = Path(__file__).parent / "data"


@pytest.fixture
def water() -> Atoms:
    atoms = molecule("H2O")
    atoms.set_cell(np.diag([9.0, 10.0, 9.0]))
    atoms.pbc = True
    return atoms


def lines_of(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_input_holds_the_level_of_theory(water):
    lines = lines_of(cp2k.write_input(water, cp2k.Cp2kSettings()))
    for expected in (
        "RUN_TYPE ENERGY_FORCE",
        "CUTOFF 300",
        "REL_CUTOFF 40",
        "EPS_DEFAULT 1.0E-10",
        "EPS_SCF 3.0E-06",
        "&XC_FUNCTIONAL PBE",
        "XC_DERIV SPLINE2",
        "METHOD BROYDEN_MIXING",
        "ALPHA 0.4",
        "NBROYDEN 8",
        "POISSON_SOLVER PERIODIC",
        "PERIODIC XYZ",
        "BASIS_SET DZVP-MOLOPT-SR-GTH",
        "POTENTIAL GTH-PBE-q6",
        "POTENTIAL GTH-PBE-q1",
        "SCF_GUESS ATOMIC",
        "MULTIPLICITY 1",
    ):
        assert expected in lines
    text = "\n".join(lines)
    # XC_DERIV is read from the grid section of XC; smoothing of the density stays at its default
    assert "&XC_GRID\nXC_DERIV SPLINE2\n&END XC_GRID\n&END XC" in text
    for absent in ("XC_SMOOTH_RHO", "UKS", "STRESS_TENSOR", "&SMEAR", "&OT", "&KPOINTS"):
        assert absent not in text


def test_input_options_appear_where_asked_for(water):
    text = cp2k.write_input(
        water,
        cp2k.Cp2kSettings(),
        charge=1,
        multiplicity=2,
        stress=True,
        solver="ot",
        restart="start.wfn",
        kpoints=(1, 1, 2),
    )
    lines = lines_of(text)
    for expected in (
        "CHARGE 1",
        "MULTIPLICITY 2",
        "UKS TRUE",
        "STRESS_TENSOR ANALYTICAL",
        "&STRESS_TENSOR ON",
        "MINIMIZER DIIS",
        "SCF_GUESS RESTART",
        "WFN_RESTART_FILE_NAME start.wfn",
        "KPOINT 0.00000000 0.00000000 0.00000000 0.50000000",
        "KPOINT 0.00000000 0.00000000 0.50000000 0.50000000",
    ):
        assert expected in lines
    assert "BROYDEN" not in text


def test_one_point_of_each_pair_k_and_minus_k_stands_for_both():
    assert len(cp2k.reduced_mesh((2, 2, 2))) == 8  # every point is its own opposite
    points = cp2k.reduced_mesh((3, 3, 1))
    assert sum(weight for _, weight in points) == 9
    assert points[0] == ((0, 0, 0), 1)
    assert [weight for _, weight in points[1:]] == [2] * 4
    assert ((1, 2, 0), 2) in points  # 2, 1 left out


def test_input_sections_are_closed(water):
    for solver in ("diagonalization", "ot"):
        open_sections = []
        text = cp2k.write_input(
            water, cp2k.Cp2kSettings(), solver=solver, stress=True, kpoints=(2, 2, 2)
        )
        for line in lines_of(text):
            if line.startswith("&END"):
                assert open_sections.pop() == line.split()[1]
            elif line.startswith("&"):
                open_sections.append(line.split()[0][1:])
        assert open_sections == []


def test_input_positions_survive_to_1e_11(water):
    text = cp2k.write_input(water, cp2k.Cp2kSettings())
    block = text[text.index("&COORD") : text.index("&END COORD")].splitlines()[1:]
    read = np.array([line.split()[1:] for line in block if line.strip()], dtype=float)
    np.testing.assert_allclose(read, water.positions, atol=1e-11)


def test_output_with_stress_is_read_in_ase_units_and_sign():
    result = cp2k.parse_output((DATA / "cp2k_h2_stress.out").read_text(), 2, stress=True)
    assert result.version == "2023.1"
    assert result.scf_steps == 8
    assert result.energy == pytest.approx(-1.158453247348365 * Hartree, rel=1e-14)
    expected = np.array(
        [
            [0.007243670216, -0.000000116298, 0.058577100089],
            [-0.007257707236, -0.000003200153, -0.058581775764],
        ]
    )
    np.testing.assert_allclose(result.forces, expected * Hartree / Bohr, rtol=1e-12)
    # Voigt order xx yy zz yz xz xy
    cp2k_gpa = np.array(
        [
            *(-2.95167634286e-01, -2.41055778747e-01, -2.62924768718e00),
            *(-1.77911858978e-03, -3.19137465530e-01, -1.84816890492e-02),
        ]
    )
    np.testing.assert_allclose(result.stress, -cp2k_gpa * GPa, rtol=1e-12)
    # central differences of the CP2K energy over strains of +-1 % along zz and xz, eV/A^3
    assert result.stress[2] == pytest.approx(0.0164017, rel=2e-3)
    assert result.stress[4] == pytest.approx(0.0019921, rel=2e-3)


def test_unconverged_output_is_refused_although_it_has_energy_and_forces():
    text = (DATA / "cp2k_h2_unconverged.out").read_text()
    assert "Total FORCE_EVAL" in text
    assert "ATOMIC FORCES" in text
    with pytest.raises(LabelError, match="SCF did not converge"):
        cp2k.parse_output(text, 2)


def test_an_ot_run_counts_as_converged_by_its_outer_loop():
    text = (DATA / "cp2k_h2_stress.out").read_text()
    inner = " *** WARNING in qs_scf.F:601 :: SCF run NOT converged ***\n"
    outer = " outer SCF loop converged in   2 iterations or   31 steps\n"
    assert cp2k.parse_output(inner + outer + text, 2).scf_steps == 31
    failed = " outer SCF loop FAILED to converge after   6 iterations or  120 steps\n"
    with pytest.raises(LabelError, match="SCF did not converge"):
        cp2k.parse_output(inner + failed + text, 2)


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ("ENERGY|", "no total energy"),
        ("ATOMIC FORCES", "no forces"),
        ("      2      1      H", "forces of 1 atoms in the output, expected 2"),
        ("STRESS|      z", "no stress tensor"),
    ],
)
def test_a_truncated_output_is_refused_by_what_is_missing(cut, message):
    text = (DATA / "cp2k_h2_stress.out").read_text()
    with pytest.raises(LabelError, match=message):
        cp2k.parse_output(text[: text.index(cut)], 2, stress=True)


def test_the_abort_box_of_cp2k_is_the_reason():
    text = (
        " *******************************************************************************\n"
        " *   ___                                                                       *\n"
        " *  /   \\                                                                      *\n"
        " * [ABORT]                                                                     *\n"
        " *  \\___/      Bad number of electrons and multiplicity                        *\n"
        " *    |                                                                        *\n"
        " *******************************************************************************\n"
    )
    with pytest.raises(LabelError, match="Bad number of electrons and multiplicity"):
        cp2k.parse_output(text, 2)


def test_valence_electrons_and_elements_without_basis():
    assert cp2k.count_electrons(Atoms("CdSeCl")) == 12 + 6 + 7
    assert cp2k.count_electrons(molecule("H2O"), charge=1) == 7
    with pytest.raises(DataError, match=r"no DZVP-MOLOPT-SR-GTH basis or GTH-PBE.* for U"):
        cp2k.count_electrons(Atoms("U"))


@pytest.mark.skipif(shutil.which("cp2k.psmp") is None, reason="CP2K (cp2k.psmp) is not installed")
def test_cp2k_labels_hydrogen_and_warm_starts_the_second_frame(tmp_path):
    frames = [Atoms("H2", [[0, 0, 0], [0, 0, d]], cell=[5, 5, 6], pbc=True) for d in (0.75, 0.80)]
    output = tmp_path / "h2.extxyz"
    summary = label_frames(frames, output, LabelOptions(workers=1))
    assert summary.labelled == 2, summary.failures
    import ase.io

    first, second = ase.io.read(output, ":")
    # the curve is steeper towards 0.80 A: forces pull together and exceed those near the minimum
    assert second.get_forces()[1, 2] < first.get_forces()[1, 2] < 0.5
    slope = -(second.get_potential_energy() - first.get_potential_energy()) / 0.05
    mean = 0.5 * (first.get_forces()[1, 2] + second.get_forces()[1, 2])
    assert slope == pytest.approx(mean, abs=0.05)  # grid noise at 300 Ry
    assert first.get_stress().shape == (6,)
    assert first.info["level_of_theory"].startswith("PBE/DZVP-MOLOPT-SR-GTH/GTH-PBE, CP2K ")
    assert not first.info["warm_started"]
    assert second.info["warm_started"]
    assert second.info["scf_steps"] < first.info["scf_steps"]
