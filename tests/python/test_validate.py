"""`qdml validate`: crystals, phonons, errors by region, dots in motion, what experiment sees."""
# SPDX-License-Identifier: MIT

from pathlib import Path

import numpy as np
import pytest
import qdml
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from qdml.analyse.surface import find_roles
from qdml.analyse.trajectory import Trajectory
from qdml.errors import ConfigError, DataError
from qdml.validate import (
    crystal,
    dynamics,
    figures,
    motion,
    observables,
    phonons,
    reference,
    report,
    rows,
    targets,
)  # fmt: skip

FAST = Path(__file__).resolve().parents[2] / "potentials" / "cdse" / "cdse-pbe-fast.qdml"
COPPER = bulk("Cu", "fcc", a=3.6, cubic=True)


@pytest.fixture(scope="module")
def copper():
    return crystal.relaxed(COPPER, EMT())


def test_pressures_give_back_their_equation_of_state():
    exact = crystal.EquationOfState(30.0, 0.28, 4.7)
    volume = np.linspace(27.5, 32.5, 9)
    found = crystal.fit_pressures(volume, exact.pressure(volume))
    assert found.volume == pytest.approx(30.0, rel=1e-6)
    assert found.bulk_modulus == pytest.approx(0.28, rel=1e-5)
    assert found.derivative == pytest.approx(4.7, rel=1e-4)
    assert crystal.lattice_constant(found.volume, 8) == pytest.approx(240 ** (1 / 3))


def test_energy_of_the_equation_of_state_is_the_integral_of_its_pressure():
    equation = crystal.EquationOfState(30.0, 0.28, 4.7)
    volume = np.linspace(27.5, 32.5, 11)
    step = 1e-4
    slope = (equation.energy(volume + step) - equation.energy(volume - step)) / (2 * step)
    assert slope == pytest.approx(-equation.pressure(volume), abs=1e-8)
    assert equation.energy(np.array([30.0]))[0] == 0.0


def test_equations_of_state_without_a_zero_are_refused():
    exact = crystal.EquationOfState(30.0, 0.28, 4.7)
    with pytest.raises(DataError, match="4 volumes, there are 3"):
        crystal.fit_pressures(np.arange(3) + 29.0, np.zeros(3))
    volume = np.linspace(31.0, 33.0, 5)
    with pytest.raises(DataError, match="zero pressure"):
        crystal.fit_pressures(volume, exact.pressure(volume))


def test_elastic_constants_agree_with_the_equation_of_state(copper):
    constants = crystal.cubic_averages(crystal.elastic_constants(copper, EMT()))
    changes = np.linspace(-0.03, 0.03, 7)
    volume, energy, pressure = crystal.equation_of_state(copper, EMT(), changes)
    equation = crystal.fit_pressures(volume, pressure)
    modulus = (constants["C11"] + 2 * constants["C12"]) / 3
    assert modulus == pytest.approx(equation.bulk_modulus_gpa, rel=0.02)
    assert energy - energy.min() == pytest.approx(equation.energy(volume), abs=2e-4)
    assert constants["C11"] > constants["C12"] > 0 < constants["C44"]


def test_phonons_of_a_stable_crystal_have_three_acoustic_modes(copper):
    pytest.importorskip("phonopy")
    found = phonons.find_phonons(copper, EMT())
    assert found.zone_centre == pytest.approx(np.zeros(3), abs=1e-3)
    assert len(found.optic) == 0
    assert found.softest > phonons.STABLE
    assert [name for _, name in found.labels][:2] == ["G", "X"]
    wavenumber, density = found.density
    assert np.trapezoid(density, wavenumber) == pytest.approx(3.0, rel=0.02)


class Springs(Calculator):
    """Nearest neighbours tied by springs of stiffness k (eV/A^2) at their distance in the start."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, reach, length, k):
        super().__init__()
        self.reach, self.length, self.k = reach, length, k

    def calculate(self, atoms=None, properties=None, system_changes=None):
        from ase.neighborlist import neighbor_list

        super().calculate(atoms, properties, system_changes or [])
        i, d, vector = neighbor_list("idD", atoms, self.reach)
        forces = np.zeros((len(atoms), 3))
        pull = self.k * (d - self.length) / d
        np.add.at(forces, i, pull[:, None] * vector)
        energy = 0.25 * self.k * ((d - self.length) ** 2).sum()
        self.results = {"energy": energy, "forces": forces}


def test_optic_mode_of_zinc_blende_is_that_of_its_springs():
    pytest.importorskip("phonopy")
    a, k = 6.0, 3.0
    cell = bulk("CdSe", "zincblende", a=a, cubic=True)
    length = a * np.sqrt(3) / 4
    found = phonons.find_phonons(cell, Springs(1.2 * length, length, k))
    reduced = 1 / sum(1 / m for m in cell.get_masses()[:2])
    # mu w^2 = 4 k / 3 for four bonds; eV/A^2/amu = (98.2269 rad/ps)^2
    omega = 98.2269 * np.sqrt(4 * k / 3 / reduced) / (2 * np.pi)
    assert found.optic == pytest.approx(omega * phonons.THZ_TO_WAVENUMBER, rel=1e-3)


def labelled(atoms, energy=0.0, forces=None, stress=None, **info):
    frame = atoms.copy()
    forces = np.zeros((len(atoms), 3)) if forces is None else forces
    extra = {} if stress is None else {"stress": stress}
    frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces, **extra)
    frame.info.update(info)
    return frame


class Zero(Calculator):
    """Energy, forces and stress zero."""

    implemented_properties = ["energy", "forces", "stress"]

    def calculate(self, atoms=None, properties=None, system_changes=None):
        super().calculate(atoms, properties, system_changes or [])
        n = len(self.atoms)
        self.results = {"energy": 0.0, "forces": np.zeros((n, 3)), "stress": np.zeros(6)}


def test_the_equation_of_state_is_found_among_other_frames():
    equation = crystal.EquationOfState(29.0, 0.28, 4.7)
    cell = bulk("CdSe", "zincblende", a=6.2, cubic=True)
    frames = []
    for scale in (0.97, 0.98, 0.99, 1.0, 1.01, 1.02):
        frame = cell.copy()
        frame.set_cell(cell.cell * scale, scale_atoms=True)
        volume = frame.get_volume() / 8
        pressure = equation.pressure(volume)
        frames.append(labelled(frame, 8 * equation.energy(volume), None, -pressure * np.eye(3)))
    sheared = cell.copy()
    sheared.set_cell(cell.cell + np.array([[0, 0.1, 0], [0.1, 0, 0], [0, 0, 0]]), scale_atoms=True)
    slab = labelled(cell, 0.0, None, np.zeros((3, 3)), vacuum_axes="z")
    curve = reference.volume_curve([*frames, labelled(sheared), slab], "CdSe")
    assert len(curve.frames) == 6
    assert curve.equation.volume == pytest.approx(29.0, rel=1e-4)
    assert reference.curve_error(curve, curve) == 0.0
    softer = crystal.EquationOfState(29.0, 0.25, 4.7)
    other = reference.VolumeCurve(
        curve.volume, softer.energy(curve.volume), softer.pressure(curve.volume), frames
    )
    assert 1e-4 < reference.curve_error(curve, other) < 2e-3
    assert reference.volume_curve(frames[:3], "CdSe") is None


def test_held_out_errors_are_told_by_region_and_kind():
    cell = bulk("CdSe", "zincblende", a=6.2, cubic=True)
    crystal_frame = labelled(cell, 0.08, np.full((8, 3), 0.02), split="test", vacuum_axes="none")
    dot = Atoms("CdSeCl", [[0, 0, 0], [2.6, 0, 0], [-2.5, 0, 0]])
    forces = np.array([[0.1, 0, 0], [0.1, 0, 0], [0, 0, 0.3]])
    dot_frame = labelled(dot, 0.03, forces, split="test", vacuum_axes="xyz")
    trained = labelled(cell, 9.0, np.full((8, 3), 9.0), split="train", vacuum_axes="none")
    found = reference.held_out_errors([crystal_frame, dot_frame, trained], Zero())
    assert found.forces["bulk"] == (pytest.approx(0.02), 8)
    assert found.forces["surface"] == (pytest.approx(0.1 / 3), 2)
    assert found.forces["ligand"] == (pytest.approx(0.1), 1)
    assert found.energy == {"bulk": (pytest.approx(0.01), 1), "dot": (pytest.approx(0.01), 1)}
    with pytest.raises(DataError, match="nothing was held out"):
        reference.held_out_errors([trained], Zero())


def test_a_facet_and_a_ligand_no_fit_has_seen_are_told_apart_from_the_dot():
    slab = Atoms("CdSe", [[0, 0, 0], [0, 0, 2.6]], cell=[4.4, 4.4, 20])
    facet = labelled(slab, 0.04, np.full((2, 3), 0.05), split="test", vacuum_axes="z")
    facet.info["held_out"] = "facet"
    dot = labelled(slab, 0.02, np.full((2, 3), 0.01), split="test", vacuum_axes="xyz")
    acid = Atoms("CdCH", [[0, 0, 0], [0, 0, 2.6], [0, 0, 3.7]], cell=[9, 9, 9])
    ligand = labelled(acid, 0.03, np.zeros((3, 3)), split="test", vacuum_axes="xyz")
    ligand.info["held_out"] = "new ligand"
    found = reference.held_out_errors([facet, dot, ligand], Zero())
    assert found.forces["facet"] == (pytest.approx(0.05), 2)
    assert found.forces["surface"] == (pytest.approx(0.01), 2)
    assert found.energy["facet"] == (pytest.approx(0.02), 1)
    assert set(found.energy) == {"facet", "dot", "new ligand"}
    assert set(found.forces) <= set(targets.FORCE_LIMITS) & set(figures.REGION_COLOURS)
    figures.draw_errors(found)
    inorganic = qdml.Calculator(FAST)  # Cd, Se, Cl
    found = reference.held_out_errors([facet, dot, ligand], inorganic)
    assert (found.n_frames, found.foreign) == (2, {"C": 1, "H": 1})
    with pytest.raises(DataError, match="the potential lacks"):
        reference.held_out_errors([ligand], inorganic)


def test_tilted_perovskite_keeps_its_octahedra():
    tilted = crystal.phase_cell("CsPbBr3", "tilted")
    assert len(tilted) == 20
    for lead in np.flatnonzero(tilted.symbols == "Pb"):
        bromine = np.flatnonzero(tilted.symbols == "Br")
        near = np.sort(tilted.get_distances(lead, bromine, mic=True))[:6]
        assert np.ptp(near) < 0.1


def test_phases_within_the_tie_are_not_told_apart():
    atoms = Atoms("Cd")

    def order(first, second):
        return rows._phase_row({"wurtzite": (first, atoms), "zincblende": (second, atoms)}).state

    assert order(0.0, 0.01) == "PASS"
    assert order(0.001, 0.0) == "PASS"
    assert order(0.01, 0.0) == "FAIL"


def test_a_vibration_shows_at_its_wavenumber():
    spacing, wavenumber = 4.0, 200.0
    time = spacing * np.arange(2000)
    velocities = np.zeros((2000, 2, 3))
    velocities[:, 0, 1] = np.cos(2 * np.pi * wavenumber / observables.WAVENUMBER_PER_FS * time)
    groups = {"first": np.array([True, False])}
    found = observables.vibrational_density(velocities, np.ones(2), spacing, groups)
    density = found.density["first"]
    assert found.wavenumber[density.argmax()] == pytest.approx(wavenumber, abs=2.5)
    assert density.sum() * found.wavenumber[1] == pytest.approx(1.0)


def test_strain_is_the_change_of_the_mean_bond():
    cell = bulk("CdSe", "zincblende", a=6.0, cubic=True).repeat(2)
    cell.pbc = False
    bond = 6.0 * np.sqrt(3) / 4
    radius, strain = observables.bond_strain([cell], find_roles({"Cd", "Se"}), bond / 1.01)
    assert len(radius) == len(cell)
    assert np.nanmax(np.abs(strain - 0.01)) < 1e-12


def test_two_atoms_scatter_as_debye_says():
    pytest.importorskip("periodictable")
    pair = Atoms("CdSe", [[0, 0, 0], [2.605, 0, 0]])
    found = observables.debye_scattering([pair])
    f = observables.form_factors(["Cd", "Se"], found.q)
    assert f["Cd"][0] == pytest.approx(48, abs=1.5)  # Q -> 0: the number of electrons
    phase = found.q * 2.605
    expected = 0.5 * (f["Cd"] ** 2 + f["Se"] ** 2 + 2 * f["Cd"] * f["Se"] * np.sin(phase) / phase)
    assert found.intensity == pytest.approx(expected, rel=2e-3)
    assert found.r[found.pdf.argmax()] == pytest.approx(2.605, abs=0.05)


def test_materials_without_acceptance_values_are_refused():
    with pytest.raises(ConfigError, match="covered: CdSe, InP, PbSe, CsPbBr3"):
        targets.find_targets("GaAs")


def test_a_dot_with_carboxylates_gets_their_table(tmp_path, monkeypatch):
    frame = Atoms("COOHCdSe", [[0, 0, 0], [1.1, 0.6, 0], [-1.1, 0.6, 0], [0, -1.1, 0],
                               [0, 2.6, 0], [0, 5.2, 0]])  # fmt: skip
    frames = [frame.copy() for _ in range(4)]
    monkeypatch.setattr(dynamics, "run", lambda *arguments, **options: None)
    monkeypatch.setattr(
        dynamics, "frames_of", lambda folder, name: Trajectory(tmp_path, frames, len(frames))
    )

    def no_log(folder):
        raise DataError("no log")

    monkeypatch.setattr(dynamics, "drift_of", no_log)
    request = report.Request(tmp_path, "CdSe", [], tmp_path, frame, 1.0, 1.0, temperatures=(300,))
    _, sections, numbers = motion.dot_in_motion(request, frame, 6.2)
    assert [name for name, _ in sections] == ["A dot in motion", "Carboxylates"]
    assert "relaxed start" in sections[0][1]
    assert numbers["local_order"]["300 K"]["coordination"]["cation/surface"]["mean"] == 3.0
    assert numbers["binding_modes"]["MD"]["chelating"] == 1.0
    assert numbers["binding_mode_lifetimes_ps"]["chelating"] is None  # never left


def test_the_finished_part_of_a_run_is_followed():
    printed = ["Step Temp\n", "0 600\n", "17 590\n", "Loop time of 1\n", "Step Temp\n", "0 1\n",
               "100 2\n", "\n", "   Step Temp\n", "0 3\n", "200 4\n", "300 4\n"]  # fmt: skip
    parts = []
    assert list(dynamics.follow(printed, 100, 300, parts.append)) == printed
    # the minimisation counts nothing, the two runs have 400 steps
    assert parts == [0.0, 0.25, 0.25, 0.75, 1.0]
