# SPDX-License-Identifier: MIT
"""Elastic constants and zone-centre modes from few labelled cells of the perfect crystal."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import GPa
from qdml import Calculator
from qdml.sample.cells import scaled_volume, strain_mode
from qdml.validate.reference import VolumeCurve, volume_curve
from qdml.validate.rows import Static, cell_rows
from qdml.validate.statics import StaticCells, find_static_cells, sublattices

pytest.importorskip("phonopy")

ROOT = Path(__file__).resolve().parents[2]

SHIFT = 0.02


def pairs(epsilon: float = 0.4) -> LennardJones:
    """A pair potential under which rock salt of 5.6 A is bound; central forces alone."""
    return LennardJones(sigma=2.5, epsilon=epsilon, rc=8.0, smooth=True)


def labelled(frames: list[Atoms], calculator: LennardJones) -> list[Atoms]:
    """Copies with energy, forces and stress, as a label queue leaves them."""
    found = []
    for frame in frames:
        atoms = frame.copy()
        atoms.calc = calculator
        results = {
            "energy": atoms.get_potential_energy(),
            "forces": atoms.get_forces(),
            "stress": atoms.get_stress(),
        }
        atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info["vacuum_axes"] = "-"
        found.append(atoms)
    return found


def perovskite(a: float = 6.0) -> Atoms:
    """Cubic ABX3."""
    places = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Atoms("CsPbBr3", scaled_positions=places, cell=[a] * 3, pbc=True)


def shifted(cell: Atoms, atoms: np.ndarray, axis: int = 0, by: float = SHIFT) -> Atoms:
    """Copy with one sublattice moved."""
    frame = cell.copy()
    frame.positions[atoms, axis] += by
    return frame


def cells_of(cell: Atoms) -> list[Atoms]:
    """An equation of state, three strains and a shift of each sublattice."""
    frames = [scaled_volume(cell, change) for change in (-0.06, -0.03, 0.0, 0.03, 0.06)]
    frames += [strain_mode(cell, *s) for s in (("xx", 0.005), ("xx", -0.005), ("yz", 0.005))]
    return frames + [shifted(cell, atoms) for atoms in sublattices(cell)]


def find(cell: Atoms, calculator: LennardJones) -> tuple[StaticCells, list[Atoms], VolumeCurve]:
    """What is found among the labelled cells of a crystal and a few others."""
    rng = np.random.default_rng(3)
    hot = cell.copy()
    hot.positions += rng.normal(0.0, 0.05, hot.positions.shape)
    hot_strained = strain_mode(cell, "xx", 0.01)
    hot_strained.positions += rng.normal(0.0, 0.02, hot.positions.shape)
    frames = labelled([*cells_of(cell), hot, hot_strained, cell.repeat((2, 1, 1))], calculator)
    curve = volume_curve(frames, cell.get_chemical_formula())
    assert curve is not None
    return find_static_cells(frames, curve), frames, curve


@pytest.fixture(name="salt")
def fixture_salt() -> Atoms:
    """Rock salt near the minimum of the pair potential."""
    return bulk("PbSe", "rocksalt", a=5.35, cubic=True)


def test_cells_are_told_by_their_geometry(salt: Atoms) -> None:
    cells, frames, curve = find(salt, pairs())
    assert [id(f) for f in cells.strained] == [id(f) for f in frames[5:8]]
    assert [id(f) for f in cells.shifted] == [id(f) for f in frames[8:10]]
    edge = (curve.equation.volume * 8) ** (1 / 3)
    expected = [1.005 * 5.35 / edge - 1, 5.35 / edge - 1, 5.35 / edge - 1, 0, 0, 0]
    np.testing.assert_allclose(cells.strains[0], expected, atol=1e-6)
    assert cells.strains[2][3] == pytest.approx(2 * 0.005 * 5.35 / edge, rel=1e-4)
    np.testing.assert_allclose(np.ptp(cells.shifts[0], axis=0), [SHIFT, 0, 0], atol=1e-8)


def test_frames_written_with_wrapped_positions_are_found_too(salt: Atoms) -> None:
    frames = labelled(cells_of(salt), pairs())
    curve = volume_curve(frames, "PbSe")
    assert curve is not None
    for frame in frames:
        frame.positions -= 1e-9  # atoms at the origin go to the far side of the cell
        frame.wrap(eps=0)
    assert len(find_static_cells(frames, curve).shifted) == 2


def test_elastic_constants_are_the_second_derivatives(salt: Atoms) -> None:
    cells, _, curve = find(salt, pairs())
    found = cells.elastic(np.array([f.get_stress() for f in cells.strained]))
    assert found is not None
    rest = scaled_volume(salt, curve.equation.volume * 8 / salt.get_volume() - 1)
    for name, mode, component in (("C11", "xx", 0), ("C12", "xx", 1), ("C44", "yz", 3)):
        size = 1e-4
        stress = [
            labelled([strain_mode(rest, mode, s)], pairs())[0].get_stress()[component]
            for s in (size, -size)
        ]
        doubled = 2 if name == "C44" else 1
        expected = (stress[0] - stress[1]) / (2 * size * doubled) / GPa
        assert found[name] == pytest.approx(expected, rel=0.03), name
    # Cauchy's relation: central forces, every ion at a centre of inversion, no pressure
    assert found["C12"] == pytest.approx(found["C44"], rel=0.03)


def test_too_few_strains_give_no_constants(salt: Atoms) -> None:
    frames = labelled(cells_of(salt), pairs())
    curve = volume_curve(frames, "PbSe")
    assert curve is not None
    without_shear = find_static_cells(frames[:7], curve)
    assert without_shear.elastic(np.array([f.get_stress() for f in without_shear.strained])) is None
    nothing = find_static_cells(frames[:5], curve)
    assert nothing.elastic(np.zeros((0, 6))) is None
    assert nothing.modes([]) is None


@pytest.mark.parametrize(
    "crystal", [bulk("PbSe", "rocksalt", a=5.35, cubic=True), perovskite(5.2)], ids=["AB", "ABX3"]
)
def test_modes_are_those_of_the_whole_hessian(crystal: Atoms) -> None:
    cells, _, _ = find(crystal, pairs())
    found = cells.modes([f.get_forces() for f in cells.shifted])
    assert found is not None
    members = sublattices(crystal)
    # Hessian at the zone centre along x by central differences of every sublattice
    n = len(members)
    hessian = np.zeros((n, n))
    for column, atoms in enumerate(members):
        forces = [
            labelled([shifted(crystal, atoms, by=by)], pairs())[0].get_forces()[:, 0]
            for by in (1e-4, -1e-4)
        ]
        slope = -(forces[0] - forces[1]) / 2e-4
        hessian[:, column] = [slope[m].mean() for m in members]
    masses = np.array([crystal.get_masses()[m[0]] for m in members])
    squares = np.linalg.eigvals(hessian / np.sqrt(np.outer(masses, masses))).real
    squares = np.sort(np.delete(squares, np.abs(squares).argmin()))
    # sqrt(eV / (A^2 amu)) is 521.4709 cm-1
    expected = np.sign(squares) * np.sqrt(np.abs(squares)) * 521.4709
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=1.0)
    assert len(found) == n - 1


def test_one_shift_is_enough_for_two_sublattices(salt: Atoms) -> None:
    frames = labelled(cells_of(salt), pairs())
    curve = volume_curve(frames, "PbSe")
    assert curve is not None
    both, one = find_static_cells(frames, curve), find_static_cells(frames[:9], curve)
    assert len(one.shifted) == 1
    few = one.modes([f.get_forces() for f in one.shifted])
    all_of_them = both.modes([f.get_forces() for f in both.shifted])
    assert few is not None
    assert all_of_them is not None
    np.testing.assert_allclose(few, all_of_them, rtol=1e-6)
    perovskites = labelled(cells_of(perovskite(5.2)), pairs())
    curve = volume_curve(perovskites, "CsPbBr3")
    assert curve is not None
    cells = find_static_cells(perovskites[:11], curve)  # three of five sublattices
    assert cells.modes([f.get_forces() for f in cells.shifted]) is None


def test_translations_tell_sublattices(salt: Atoms) -> None:
    assert [len(m) for m in sublattices(salt)] == [4, 4]
    assert [len(m) for m in sublattices(perovskite())] == [1] * 5
    assert {s for m in sublattices(salt)[:1] for s in salt.symbols[m]} in ({"Pb"}, {"Se"})


# C11, C12, C44 in GPa with clamped ions, and transverse optic modes in cm-1, as DFT has them
OF_DFT = {
    "CdSe": ((58.1, 40.2, 38.0), (164,)),
    "InP": ((88.5, 46.5, 61.1), (288,)),
    "PbSe": ((116.0, 13.2, 18.3), (28,)),
    "CsPbBr3": ((45.0, 6.6, 4.5), (-12, 6, 33, 77)),
}


@pytest.mark.parametrize("material", OF_DFT)
def test_shipped_cells_give_the_constants_of_dft(material: str) -> None:
    name = material.lower()
    folder = ROOT / "potentials" / name
    frames = [
        *ase.io.read(folder / "data" / f"{name}-pbe.extxyz.xz", ":"),
        *ase.io.read(folder / "data" / f"{name}-pbe-static.extxyz", ":"),
    ]
    curve = volume_curve(frames, material)
    assert curve is not None
    cells = find_static_cells(frames, curve)
    own = cells.elastic(np.array([f.get_stress() for f in cells.strained]))
    modes = cells.modes([f.get_forces() for f in cells.shifted])
    assert own is not None
    constants, wavenumbers = OF_DFT[material]
    np.testing.assert_allclose(list(own.values()), constants, atol=0.06)
    np.testing.assert_allclose(modes, wavenumbers, atol=0.51)
    calculator = Calculator(folder / f"{name}-pbe-fast.qdml", precision="double")
    found = Static(curve=curve)
    rows = list(cell_rows(found, cells, calculator))
    assert [row.state for row in rows[:3]] == ["PASS"] * 3
    assert len(rows) == 4
    assert rows[3].own == " ".join(f"{v:.0f}" for v in modes)
