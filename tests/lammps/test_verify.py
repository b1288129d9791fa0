# SPDX-License-Identifier: MIT
"""`qdml verify`: passes with a good installation, and its rows can fail."""

from __future__ import annotations

import numpy as np
import pytest
import typer
from qdml.cli import verify as command
from qdml.modelfile import read_model
from qdml.verify import checks
from qdml.verify.checks import Row, compare
from qdml.verify.decks import DECKS, DeckFailed, Decks
from qdml.verify.structures import verification_structures, write_structures
from test_command import qdml


def test_a_good_installation_passes(tmp_path):
    done = qdml("verify", "--short", "--folder", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith(("PASS", "FAIL"))]
    assert len(rows) == 19
    assert sum("8 ranks" in row for row in rows) == 4
    assert all(row.startswith("PASS") for row in rows)
    assert done.stdout.splitlines()[-1] == "all checks passed"
    # zeros would agree with zeros
    decks = Decks(tmp_path, DECKS / "random.qdml", ["Cd", "Se", "Cl"])
    for name in ("mixed-brick-1", "dot-tiled-8", "dot-wide-8"):
        point = decks.point(name)
        assert np.abs(point.forces).max() > 0.1
        assert np.abs(point.virial).max() > 1e4


def test_single_atoms_of_a_path_file_are_not_at_their_references(path_file, tmp_path):
    """Their self-connections add to E0, which is no fault of an installation."""
    document, tensors = read_model(path_file)
    species = document["species"]
    structures = verification_structures(species, document["architecture"]["cutoff"])
    write_structures(tmp_path, structures, species)
    rows = list(checks.single_rank(Decks(tmp_path, path_file, species)))
    assert all(row.passed for row in rows), rows
    reference = tensors["energy.reference"].sum()
    assert abs(checks.reference_energy(path_file) - reference) > 0.01  # eV
    assert checks.reference_energy(DECKS / "random.qdml") == pytest.approx(
        read_model(DECKS / "random.qdml")[1]["energy.reference"].sum(), rel=1e-14
    )


def test_a_failed_row_gives_exit_code_1(monkeypatch, capsys):
    rows = [Row("good", "0", "1", True), Row("bad", "2", "1", False)]
    monkeypatch.setattr(command, "run_checks", lambda *arguments: iter(rows))
    with pytest.raises(typer.Exit) as left:
        command.verify(model=None, short=True, folder=None)
    assert left.value.exit_code == 1
    printed = capsys.readouterr().out
    assert "FAIL  bad" in printed
    assert "1 of the checks failed" in printed


def test_a_deck_that_stops_is_a_failed_row(monkeypatch, tmp_path):
    def stop(self, name, commands, ranks=1):
        raise DeckFailed(f"in.{name}: ERROR of {ranks}")

    monkeypatch.setattr(Decks, "run", stop)
    rows = list(checks.verify(DECKS / "random.qdml", tmp_path, short=True))
    assert len(rows) == 7
    assert not any(row.passed for row in rows)
    assert "in.points8: ERROR of 8" in [row.found for row in rows]


def test_differences_are_relative_and_shapes_must_agree():
    force = np.array([[0.0, 20.0, 0.0]])
    assert compare("x", "forces", (force + 1e-4, force)).passed
    assert not compare("x", "forces", (force + 1e-3, force)).passed
    assert not compare("x", "forces", (force, force), (1.0, 1.1)).passed
    assert not compare("x", "forces", (force[:0], force)).passed
    assert not compare("x", "forces", (force * np.nan, force)).passed


def test_a_lammps_error_is_reported(tmp_path):
    decks = Decks(tmp_path, DECKS / "random.qdml", ["Cd", "Se", "Cl"])
    with pytest.raises(DeckFailed, match="ERROR: Unknown command: nonsense"):
        decks.run("wrong", "nonsense\n")
