"""The runs of `qdml validate` through LAMMPS, and the page they end in."""
# SPDX-License-Identifier: MIT

import json

import numpy as np
import pytest
from ase import Atoms
from qdml.analyse.report import write_report
from qdml.errors import ConfigError, EngineError
from qdml.validate import dynamics, report, rows

DOT = Atoms(
    "Cd4SeCl6",
    positions=[
        [1.5, 1.5, 1.5], [1.5, -1.5, -1.5], [-1.5, 1.5, -1.5], [-1.5, -1.5, 1.5], [0, 0, 0],
        [3.3, 0, 0], [-3.3, 0, 0], [0, 3.3, 0], [0, -3.3, 0], [0, 0, 3.3], [0, 0, -3.3],
    ],
)  # fmt: skip


def known_static(*arguments):
    return rows.Static([rows.Row("lattice constant", "6.2 Å")], numbers={"lattice": 6.2})


def test_a_dot_runs_at_constant_temperature_and_energy(tmp_path, monkeypatch, model):
    monkeypatch.setattr(rows, "static_rows", known_static)
    request = report.Request(model, "CdSe", [], tmp_path / "run", DOT, 0.4, 0.2, temperatures=(30,))
    found = report.validate(request)
    states = {row.name: row.state for row in found.rows}
    assert states["lattice constant"] == "-"
    assert states["NVE drift, 0.2 ps, 11 atoms"] in ("PASS", "FAIL")
    assert len(found.rows) == 5
    # the dot is neutral and the minimum of the deck is where the run is compared with
    assert states["Cd4Cl6Se at 30 K: bonds broken, made between first and last 20%"] == "-"
    (relaxed,) = dynamics.frames_of(tmp_path / "run", dynamics.RELAXED).frames
    assert relaxed.get_chemical_symbols() == DOT.get_chemical_symbols()
    frames = dynamics.frames_of(tmp_path / "run", "nvt-30").frames
    assert len(frames) == dynamics.FRAMES + 1
    assert frames[0].get_chemical_symbols() == DOT.get_chemical_symbols()
    velocities = dynamics.frames_of(tmp_path / "run", "nve").frames
    assert np.abs(velocities[0].get_velocities()).max() > 0
    numbers = write_report(found, tmp_path / "page.html")
    assert json.loads(numbers.read_text())["rows"][0]["name"] == "lattice constant"
    page = (tmp_path / "page.html").read_text()
    assert page.count("<figure>") >= 6
    assert "relaxed start" in page
    assert "Debye" in page


def test_two_ranks_run_the_same_dot(tmp_path, model):
    for ranks in (1, 2):
        dynamics.run(
            DOT, model, tmp_path / str(ranks), "nve", temperature=30, picoseconds=0.05, ranks=ranks
        )
    one, two = (dynamics.frames_of(tmp_path / str(r), "nve").frames[0] for r in (1, 2))
    assert len(one) == len(two) == len(DOT)


def test_a_run_that_fails_is_a_row_and_foreign_elements_are_refused(tmp_path, monkeypatch, model):
    monkeypatch.setattr(rows, "static_rows", known_static)

    def broken(*arguments, **options):
        raise EngineError("ERROR: Lost atoms")

    monkeypatch.setattr(dynamics, "run", broken)
    request = report.Request(model, "CdSe", [], tmp_path, DOT, 0.1, 0.1, (300,))
    found = report.validate(request)
    assert [(r.state, r.value) for r in found.rows[1:]] == [("FAIL", "ERROR: Lost atoms")] * 2
    with pytest.raises(ConfigError, match=r"no In, P in the potential"):
        report.validate(report.Request(model, "InP", [], tmp_path, None, 0.0))
