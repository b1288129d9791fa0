# SPDX-License-Identifier: MIT
"""Wrong input ends LAMMPS on all ranks with a message that says what to do, and never hangs."""

from __future__ import annotations

from pathlib import Path

import pytest
from lammps_cases import CASES
from lammps_runner import run, run_ok, system, write_data
from qdml.lammps import PLUGIN_NAME, plugin_folder

GOLDEN = Path(__file__).resolve().parents[1] / "golden/broken"
FUTURE = max(GOLDEN.glob("format-[1-9]*.qdml"))  # one format more than this version reads
SMALL = CASES["isolated atoms"].atoms


# name -> (keywords of `system`, commands instead of the default pair lines or None, message)
FAULTS = {
    "units": ({"units": "electron"}, None, "units electron are not supported; put 'units metal'"),
    "units lj": ({"units": "lj"}, None, "units lj are not supported; put 'units metal'"),
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
    "no elements": ({"elements": ""}, None, "found 0 element name(s), expected 3"),
    "all NULL": ({"elements": "NULL NULL NULL"}, None, "all atom types are NULL"),
    "missing file": (
        {},
        "pair_style qdml\npair_coeff * * nothere.qdml Cd Se Cl",
        "nothere.qdml",
    ),
    "cut file": ({}, "pair_style qdml\npair_coeff * * cut.qdml Cd Se Cl", "[file_truncated]"),
    "file of a newer format": (
        {},
        "pair_style qdml\npair_coeff * * {future} Cd Se Cl",
        "install a newer qdml [format_from_the_future]",
    ),
    "other file name": (
        {},
        "pair_style qdml\npair_coeff * * model.bin Cd Se Cl",
        "no potential among the arguments; its name must end in .qdml",
    ),
    "committee of other elements": (
        {},
        "pair_style qdml\npair_coeff * * {model} {golden}/good.qdml Cd Se Cl",
        "members of a committee must have the same elements: {model} has Cd Se Cl, "
        "{golden}/good.qdml has Cd Se",
    ),
    "no pair_coeff": ({}, "pair_style qdml", "All pair coeffs are not set"),
    "not all types": (
        {},
        "pair_style hybrid qdml zero 5.0\npair_coeff 1 2 qdml {model} Cd Se Cl",
        "must read: pair_coeff * * FILE.qdml ELEMENT_1 ... ELEMENT_3",
    ),
}

# keywords of pair_style -> message
KEYWORDS = {
    "exact yes": "unknown keyword 'exact', did you mean 'device'? Keywords are precision, "
    "minimize, device, halo, mpi, exchange, memory, members, every, extrapolation",
    "extrapolate off": "unknown keyword 'extrapolate', did you mean 'extrapolation'?",
    "precision": "'precision' needs a value, mixed or double",
    "precision half": "precision 'half' is not known; expected mixed or double",
    "minimize yes": "minimize 'yes' is not known; expected double or mixed",
    "device cuda": "device 'cuda' is called 'device gpu'",
    "device tpu": "device 'tpu' is not known; expected auto, cpu or gpu",
    "halo fp16": "halo 'fp16' is not known; expected fp32 or int16",
    "mpi fast": "mpi 'fast' is not known; expected host or device",
    "exchange wide mpi device": "mpi device needs features on GPUs",
    "halo int16 precision double": "halo int16 and precision double exclude each other",
    "members last": "members 'last' is not known; expected mean or first",
    "every 0": "every '0' is not valid; expected a positive number of steps",
    "every 2.5": "every '2.5' is not valid; expected a positive number of steps",
    "memory -5": "memory '-5' is not valid; expected a positive number of MiB for each rank",
    "memory lots": "memory 'lots' is not valid; expected a positive number of MiB for each rank",
    "extrapolation yes": "extrapolation 'yes' is not known; expected warn, error or off",
}


def refused(folder, deck: str, message: str) -> None:
    """Two ranks end by themselves, not with success, and say `message` once."""
    done = run(folder, deck + "run 0\n", ranks=2)
    assert done.returncode != 0
    # LAMMPS breaks no lines, but repeats the command below the message.
    errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
    assert len(errors) == 1, done.stdout[-2000:]
    assert message in errors[0]


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_input_is_refused(model, tmp_path, fault):
    keywords, pair, message = FAULTS[fault]
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    (tmp_path / "cut.qdml").write_bytes(model.read_bytes()[:-1000])
    names = {"model": model, "golden": GOLDEN, "future": FUTURE}
    pair = pair and pair.format(**names)
    refused(tmp_path, system(model, "a.data", pair=pair, **keywords), message.format(**names))


@pytest.mark.parametrize("words", KEYWORDS)
def test_wrong_keywords_are_refused(model, tmp_path, words):
    write_data(tmp_path / "a.data", SMALL)
    pair = f"pair_style qdml {words}\npair_coeff * * {model} Cd Se Cl"
    refused(tmp_path, system(model, "a.data", pair=pair), KEYWORDS[words])


def test_plugin_of_another_release_is_refused(model, tmp_path, monkeypatch):
    """Objects of C++ are shared with LAMMPS: refused where used, harmless elsewhere."""
    plugin = (plugin_folder() / PLUGIN_NAME).read_bytes()
    release = b"22 Jul 2025"
    assert release in plugin
    (tmp_path / PLUGIN_NAME).write_bytes(plugin.replace(release, b"11 Jan 2011"))
    monkeypatch.setenv("QDML_PLUGIN_PATH", str(tmp_path))
    write_data(tmp_path / "a.data", SMALL)
    message = "qdmlplugin.so was compiled for LAMMPS 11 Jan 2011, this is LAMMPS 22 Jul 2025"
    refused(tmp_path, system(model, "a.data"), message)
    run_ok(tmp_path, system(model, "a.data", pair="pair_style zero 5.0\npair_coeff * *"))


def test_atoms_without_ids_are_refused(model, tmp_path):
    deck = f"""
units metal
atom_modify id no
region box block 0 20 0 20 0 20
create_box 3 box
create_atoms 1 single 5 5 5
mass * 100.0
pair_style qdml
pair_coeff * * {model} Cd Se Cl
"""
    refused(tmp_path, deck, "pair_style qdml needs atom IDs")


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
