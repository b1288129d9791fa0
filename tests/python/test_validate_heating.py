# SPDX-License-Identifier: MIT
"""A crystal heated at zero pressure: tilts of known structures, edges, the run through LAMMPS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from qdml.errors import DataError, EngineError
from qdml.validate import heating, report, rows
from qdml.validate.crystal import perovskite_cell
from qdml.validate.figures_heating import draw_heating, heating_rows

ROOT = Path(__file__).resolve().parents[2]
FAST = ROOT / "potentials" / "cspbbr3" / "cspbbr3-pbe-fast.qdml"
A = 6.0


def boxed(atoms: Atoms) -> Atoms:
    """Copy along the axes of its box, as LAMMPS has it."""
    lengths = atoms.cell.lengths()
    frame = Atoms(atoms.symbols, cell=lengths, pbc=True)
    frame.set_scaled_positions(atoms.get_scaled_positions())
    return frame


def turned(angle: float, about: str) -> Atoms:
    """A 2 x 2 x 2 cubic cell whose halides in the plane follow octahedra turned about z."""
    assert about == "z"
    cubic = perovskite_cell("Cs", "Pb", "Br", A).repeat(2)
    for atom in cubic:
        if atom.symbol != "Br":
            continue
        x, y, z = np.round(atom.position / (A / 2)).astype(int)
        if z % 2 == 0:  # between two Pb along z
            continue
        sign = (-1) ** ((x // 2) + (y // 2))
        step = 0.5 * A * np.tan(angle)
        atom.position += [0, sign * step, 0] if x % 2 == 0 else [-sign * step, 0, 0]
    return cubic


def test_the_cubic_crystal_has_no_tilts() -> None:
    cubic = perovskite_cell("Cs", "Pb", "Br", A).repeat(3)
    assert heating.octahedral_tilts(cubic, "CsPbBr3") == pytest.approx((0, 0), abs=1e-6)
    assert heating.octahedral_tilts(cubic, "CdSe") == (0, 0)


def test_a_turn_about_c_is_seen_as_such() -> None:
    antiphase, in_phase = heating.octahedral_tilts(turned(np.radians(9.0), "z"), "CsPbBr3")
    assert in_phase == pytest.approx(9.0, abs=0.01)
    assert antiphase == pytest.approx(0.0, abs=1e-6)


def test_the_tilted_cell_has_the_tilts_it_was_made_with() -> None:
    cell = boxed(perovskite_cell("Cs", "Pb", "Br", A, tilted=True))
    antiphase, in_phase = heating.octahedral_tilts(cell, "CsPbBr3")
    # 0.12 rad about either axis of the plane and 1.3 times that about c
    assert antiphase == pytest.approx(np.degrees(np.arctan(0.12 * np.sqrt(2))), abs=0.3)
    assert in_phase == pytest.approx(np.degrees(np.arctan(0.12 * 1.3)), abs=0.3)


def test_a_broken_perovskite_is_told() -> None:
    cubic = perovskite_cell("Cs", "Pb", "Br", A).repeat(2)
    halide = int(np.flatnonzero(cubic.symbols == "Br")[0])
    cubic.positions[halide] += 2.9
    with pytest.raises(DataError, match=r"Br number \d+ of the mean structure has \d Pb"):
        heating.octahedral_tilts(cubic, "CsPbBr3")


@pytest.mark.parametrize("material", ["CsPbBr3", "CdSe", "PbSe"])
def test_supercells_are_wide_and_know_their_edges(material: str) -> None:
    cell, spans = heating.start_cell(material)
    lengths = cell.cell.lengths()
    assert (lengths >= heating.LENGTH).all()
    np.testing.assert_allclose(cell.cell.angles(), 90)
    np.testing.assert_allclose(lengths / spans, (lengths / spans)[0], rtol=1e-9)


def test_expansion_is_the_slope_of_the_edge() -> None:
    temperatures = np.array([100.0, 200.0, 300.0])
    edges = 6.0 * (1 + 2e-5 * (temperatures - 200))[:, None] * np.ones(3)
    found = heating.Heating(temperatures, edges, None)
    assert found.expansion == pytest.approx(2e-5, rel=1e-6)
    (row,) = heating_rows("InP", found, 5.0)
    assert (row.value, row.experiment, row.state) == ("20.0 × 10⁻⁶ / K", "4.6", "-")


def test_rows_and_figure_of_a_perovskite() -> None:
    found = heating.Heating(
        np.array([100.0, 500.0]),
        np.array([[6.05, 5.86, 6.0], [6.07, 6.07, 6.08]]),
        np.array([[10.5, 11.0], [0.4, 0.3]]),
    )
    rows = list(heating_rows("CsPbBr3", found, 5.0))
    assert rows[1].value == "6.050 5.860 6.000 Å; 10.5° 11.0°"
    assert "at 500 K" in rows[2].name
    assert len(draw_heating(found).axes) == 2


def test_a_crystal_is_heated_through_lammps(tmp_path: Path) -> None:
    told: list[str] = []
    found = heating.heat(
        "CsPbBr3",
        FAST,
        tmp_path,
        picoseconds=0.12,
        temperatures=(300, 100),
        on_progress=told.append,
    )
    assert found.temperatures.tolist() == [100, 300]
    assert found.edges.shape == (2, 3)
    assert np.abs(found.edges / 6.0 - 1).max() < 0.04
    assert found.tilts is not None
    assert (found.tilts > 2).all()  # still the tilted phase that it started from
    assert len(told) == 2
    assert "left" in told[1]


def test_a_run_that_fails_says_what_lammps_said(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.qdml"
    with pytest.raises(EngineError, match=r"nothing\.qdml"):
        heating.heat("CsPbBr3", missing, tmp_path / "run", picoseconds=0.1, temperatures=(300,))


def test_the_page_shows_the_heated_crystal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "static_rows", lambda *arguments: rows.Static())
    heated = heating.Heating(
        np.array([100.0, 500.0]), np.full((2, 3), 6.0), np.array([[10.5, 11.0], [0.4, 0.3]])
    )
    asked = {}

    def heat(material: str, model: Path, folder: Path, **options: object) -> heating.Heating:
        asked.update(options, material=material)
        return heated

    monkeypatch.setattr(heating, "heat", heat)
    request = report.Request(FAST, "CsPbBr3", [], tmp_path, None, 0.0, heat_picoseconds=7.0)
    found = report.validate(request)
    assert (asked["picoseconds"], asked["material"]) == (7.0, "CsPbBr3")
    assert found.rows[0].name.startswith("linear expansion")
    assert "The crystal heated" in found.page
    assert found.page.count("<figure>") == 1
    assert found.numbers["heating"]["tilts"] == [[10.5, 11.0], [0.4, 0.3]]
    without = report.Request(FAST, "CsPbBr3", [], tmp_path, None, 0.0)
    assert "The crystal heated" not in report.validate(without).page


def test_a_crystal_that_cannot_be_heated_is_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "static_rows", lambda *arguments: rows.Static())

    def heat(*arguments: object, **options: object) -> heating.Heating:
        raise EngineError("ERROR: Lost atoms")

    monkeypatch.setattr(heating, "heat", heat)
    request = report.Request(FAST, "CsPbBr3", [], tmp_path, None, 0.0, heat_picoseconds=7.0)
    found = report.validate(request)
    assert [(row.state, row.value) for row in found.rows] == [("FAIL", "ERROR: Lost atoms")]
