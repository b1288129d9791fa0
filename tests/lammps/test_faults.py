# SPDX-License-Identifier: MIT
"""Wrong input ends LAMMPS on all ranks with a message that says what to do, and never hangs."""

from __future__ import annotations

import pytest
from lammps_cases import CASES
from lammps_runner import run, system, write_data

# name -> (keywords of `system`, commands instead of the default pair lines or None, message)
FAULTS = {
    "units": ({"units": "electron"}, None, "units electron are not supported; put 'units metal'"),
    "newton": ({"before": "newton off"}, None, "needs newton pair on: put 'newton on' before"),
    "element": (
        {"elements": "Cd Pb Cl"},
        None,
        "element 'Pb' of atom type 2 is not in {model}; its species are: Cd Se Cl",
    ),
    "too few elements": (
        {"elements": "Cd Se"},
        None,
        "found 2 element name(s), expected 3, one for each atom type",
    ),
    "all NULL": ({"elements": "NULL NULL NULL"}, None, "all atom types are NULL"),
    "missing file": (
        {},
        "pair_style qdml\npair_coeff * * nothere.qdml Cd Se Cl",
        "nothere.qdml",
    ),
    "damaged file": ({}, "pair_style qdml\npair_coeff * * cut.qdml Cd Se Cl", "cut.qdml"),
    "no pair_coeff": ({}, "pair_style qdml", "All pair coeffs are not set"),
    "no elements": (
        {"elements": ""},
        None,
        "must read: pair_coeff * * FILE.qdml ELEMENT_1 ... ELEMENT_3",
    ),
    "keyword": ({}, "pair_style qdml exact", "unknown keyword 'exact'"),
    "no value": ({}, "pair_style qdml precision", "'precision' needs a value, mixed or double"),
    "precision": (
        {},
        "pair_style qdml precision half",
        "precision 'half' is not known; use mixed or double",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_input_is_refused(model, tmp_path, fault):
    keywords, pair, message = FAULTS[fault]
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    (tmp_path / "cut.qdml").write_bytes(model.read_bytes()[:-1000])
    pair = pair and pair.format(model=model)
    done = run(tmp_path, system(model, "a.data", pair=pair, **keywords) + "run 0\n", ranks=2)
    assert done.returncode != 0
    assert "ERROR" in done.stdout
    # LAMMPS breaks no lines, but repeats the command below the message.
    assert message.format(model=model) in done.stdout, done.stdout[-2000:]


def test_centroid_stress_is_refused(model, tmp_path):
    """Half an edge for each atom is no centroid virial; LAMMPS must not pretend to have one."""
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    deck = system(model, "a.data") + (
        "compute c all centroid/stress/atom NULL\ncompute s all reduce sum c_c[1]\n"
        "thermo_style custom step c_s\nrun 0\n"
    )
    done = run(tmp_path, deck)
    assert done.returncode != 0
    assert "centroid/stress/atom" in done.stdout


def test_removed_neighbours_of_bonded_atoms_are_refused(model, tmp_path):
    """Default special_bonds takes bonded neighbours out of the list: error, not wrong energies."""
    data = """bonded

3 atoms
3 atom types
1 bonds
1 bond types
0 20 xlo xhi
0 20 ylo yhi
0 20 zlo zhi

Masses

1 112.4
2 78.97
3 35.45

Atoms # bond

1 1 1 5.0 5.0 5.0
2 1 2 7.5 5.0 5.0
3 1 3 5.0 7.4 5.0

Bonds

1 1 1 2
"""
    (tmp_path / "a.data").write_text(data)
    deck = system(model, "a.data").replace("atom_style atomic", "atom_style bond")
    deck = deck.replace("read_data", "bond_style zero\nread_data") + "bond_coeff 1\n"
    done = run(tmp_path, deck + "run 0\n", ranks=2)
    assert done.returncode != 0
    assert "special_bonds removes 1-2 neighbours" in done.stdout
    kept = run(tmp_path, deck + "special_bonds lj/coul 1.0e-50 1.0e-50 1.0e-50\nrun 0\n")
    assert kept.returncode == 0, kept.stdout[-2000:]
