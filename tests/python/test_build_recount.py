# SPDX-License-Identifier: MIT
"""The charge of what is written is counted from its atoms: an atom lost on the way is told."""

import importlib
import json

import numpy as np
import pytest
from qdml.build import build_dot, exchange_ligands, preset
from qdml.build.account import Account
from qdml.build.reading import formal_charge
from qdml.cli.main import make_app, run_guarded
from qdml.errors import StructureError
from qdml.film import assembly, build_film

FORMATE = ("CdSe", 12.0, "HCOO")  # Cd16 Se13 (HCOO)6: O O C H of the last ligand end the file


@pytest.fixture(scope="module")
def dot():
    return build_dot(*FORMATE).atoms


def lose(monkeypatch, where, index):
    """Let the last step of a builder leave out atom `index` of what it returns."""
    module = importlib.import_module(f"qdml.build.{where}")
    original = module._assemble

    def faulty(*arguments):
        atoms, other = original(*arguments)
        del atoms[index]
        return atoms, other

    monkeypatch.setattr(module, "_assemble", faulty)


@pytest.mark.parametrize(
    ("index", "found"),
    [
        (0, r"formal charge -2 .*\(15 Cd \+2, 13 Se -2, 6 CHO2 -1\)"),
        (16, r"formal charge \+2 .*\(16 Cd \+2, 12 Se -2, 6 CHO2 -1\)"),
        # Without its H the last formate is carbon dioxide.
        (-1, r"formal charge \+1 .*\(16 Cd \+2, 13 Se -2, 5 CHO2 -1, 1 CO2 \+0\)"),
    ],
    ids=["cation", "anion", "hydrogen"],
)
def test_a_dot_that_lost_an_atom_is_not_returned(monkeypatch, index, found):
    lose(monkeypatch, "dot", index)
    with pytest.raises(StructureError, match=found) as fault:
        build_dot(*FORMATE)
    for words in (", 0 expected", "\\+6 core Cd16Se13", "-6 6 HCOO added", "report the command"):
        assert fault.match(words)


def test_an_account_that_forgets_a_step_is_told(monkeypatch):
    monkeypatch.setattr(Account, "remove", lambda *_: None)
    with pytest.raises(StructureError, match=r"formal charge 0 .* \+6 expected"):
        build_dot("CdSe", 24.0, center="cation", remove_cations=3)


def test_the_command_writes_nothing_then(monkeypatch, tmp_path, capsys):
    lose(monkeypatch, "dot", -1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    words = ["build", "CdSe", "--diameter", "12"]
    with pytest.raises(SystemExit) as stop:
        run_guarded(make_app(words), words)
    assert stop.value.code == 2
    assert "formal charge +1 counted from the atoms" in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [FORMATE, ("CsPbBr3", 14.9, "Br:1,HCOO:1,butylammonium:0.4")])
def test_the_charge_in_file_and_summary_is_that_of_the_atoms(arguments):
    result = build_dot(*arguments)
    charge = formal_charge(result.atoms).total
    assert charge == result.summary.formal_charge == result.atoms.info["formal_charge"] == 0
    assert result.summary.parameters["formal_charge"] == charge


@pytest.mark.parametrize(
    ("material", "diameter", "ligands", "formula", "charge"),
    [
        # Closed-shell rules alone take an anion with N for an ammonium, an amino alcohol for RO-.
        ("CdSe", 12.0, "Cl:1,smiles(c1cc[n-:1]c1):1", "C4H4N", -1),
        ("CsPbBr3", 14.9, "Br,smiles(OCC[NH3+:1]):0.3", "C2H8NO", 1),
        # Sulfur that touches only the phosphorus of its ligand is none of the lattice of CdS.
        ("CdS", 12.0, "smiles(CP(=[S:1])(C)[S-:1])", "C2H6PS2", -1),
    ],
)
def test_ligands_count_with_the_charge_they_were_given(
    material, diameter, ligands, formula, charge
):
    pytest.importorskip("rdkit", reason="ligands from SMILES need RDKit")
    result = build_dot(material, diameter, ligands)
    assert result.summary.formal_charge == 0
    parts = formal_charge(result.atoms, {formula: charge}).parts
    assert charge in [q for name, _, q in parts if name == formula]


@pytest.mark.parametrize(("index", "found"), [(0, "-2"), (-1, r"\+1")])
def test_an_exchange_that_loses_an_atom_is_told(monkeypatch, dot, index, found):
    lose(monkeypatch, "exchange", index)
    message = rf"formal charge {found} counted from the atoms .*less 3 anions, -3 3 Cl added"
    with pytest.raises(StructureError, match=message):
        exchange_ligands(dot, "Cl", fraction=0.5)


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ([29, 30, 31, 32], r"Cd16Se13O10C5H5, has the formal charge \+1, .*\(4 such dots\)"),
        ([0], r"Cd15Se13O12C6H6, has the formal charge -2, .*\(4 such dots\)"),
        # The C of one formate and the H of another: the sum of the elements would not show it.
        ([31, 36], r"dot 0 holds 3 of the 4 atoms of a CHO2, .*\(4 such dots\)"),
    ],
)
def test_a_film_that_removes_charged_or_torn_units_is_told(monkeypatch, dot, gone, message):
    monkeypatch.setattr("qdml.film.assembly.rows_to_remove", lambda *_: np.array(gone))
    with pytest.raises(StructureError, match=message):
        build_film(dot, "fcc", repeat=(1, 1, 1), remove=0.3)


def test_a_film_names_the_dot_that_lost_an_atom(monkeypatch, dot):
    def faulty(*arguments):
        keep = original(*arguments)
        keep[2, 20] = False
        return keep

    original = assembly._kept
    monkeypatch.setattr(assembly, "_kept", faulty)
    message = r"film of 4 dots .*dot 2, Cd16Se12O12C6H6, has the formal charge \+2, .*\(1 such dots"
    with pytest.raises(StructureError, match=message):
        build_film(dot, "fcc", repeat=(1, 1, 1))


def test_a_film_counts_bare_dots_and_single_atoms():
    bare = build_dot(**preset("Cs20Pb8Br36")).atoms
    assert build_film(bare, "fcc", repeat=(1, 1, 1), remove=0.3).summary["formal_charge"] == 0
    neutral = bare[[]]
    neutral.extend(type(bare)("CdSe", [[0, 0, 0], [0, 0, 2.6]]))
    assert build_film(neutral, "fcc", repeat=(1, 1, 1)).summary["formal_charge"] == 0


def test_the_file_of_a_film_says_what_was_counted(monkeypatch, dot, tmp_path, capsys):
    monkeypatch.setattr("qdml.film.assembly.recount", lambda *_: 7)
    dot.write(tmp_path / "dot.extxyz")
    words = ["film", str(tmp_path / "dot.extxyz"), "--repeat", "1", "1", "1", "--no-picture"]
    words += ["-o", str(tmp_path / "film.data")]
    with pytest.raises(SystemExit):
        run_guarded(make_app(words), words)
    assert json.loads((tmp_path / "film.json").read_text())["formal_charge"] == 7
    line = next(x for x in capsys.readouterr().out.splitlines() if "formal charge" in x)
    assert "7" in line
