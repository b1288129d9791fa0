# SPDX-License-Identifier: MIT
"""Structures that come in: counts of atoms that lie, and clusters whose charge hints at a loss."""

import functools
import io
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from qdml.build import build_dot, preset
from qdml.build.neutrality import charge_warnings
from qdml.build.reading import FormalCharge, formal_charge
from qdml.cli.label import read_frames
from qdml.cli.main import make_app, run_guarded
from qdml.errors import DataError
from qdml.sample import cells, molecules, polar_slabs
from rich.console import Console

NAME = Path("frames.extxyz")


@functools.cache
def built(name: str) -> Atoms:
    """A preset dot, or a small one with formates; without cell and what the builder says of it."""
    result = build_dot("CdSe", 12.0, "HCOO") if name == "formates" else build_dot(**preset(name))
    return Atoms(result.atoms.numbers, result.atoms.positions)


def in_vacuum(name: str) -> Atoms:
    """A copy of `built`, to take atoms from."""
    return built(name).copy()


def without(atoms: Atoms, symbol: str, n: int = 1) -> Atoms:
    """Copy without the last `n` atoms of an element."""
    copy = atoms.copy()
    del copy[np.flatnonzero(copy.symbols == symbol)[-n:].tolist()]
    return copy


@pytest.fixture(scope="module")
def inp():
    return in_vacuum("In31P20Cl33")


@pytest.fixture(scope="module")
def cdse():
    return in_vacuum("Cd16Se13Cl6")


def run(capsys, *words):
    """(exit code, standard error as one line) of a command."""
    with pytest.raises(SystemExit) as stop:
        run_guarded(make_app(list(words)), list(words))
    return int(stop.value.code or 0), " ".join(capsys.readouterr().err.split())


COMMANDS = {
    "label": ("label", "{}", "-o", "out.extxyz", "--command", "true"),
    "sample": ("sample", "select", "--from", "{}", "--keep", "1", "-o", "out.extxyz"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            82,
            "the header says 82 atoms, 84 atom lines follow (from line 85): a reader would drop 2",
        ),
        (86, "the header says 86 atoms (line 1), only 84 atom lines follow"),
    ],
)
def test_a_header_that_miscounts_is_refused(
    inp, tmp_path, monkeypatch, capsys, command, said, message
):
    """The published In31P20Cl33 files say 82 and hold 84: most readers drop two Cl silently."""
    monkeypatch.chdir(tmp_path)
    ase.io.write("in31.xyz", inp, format="xyz")
    lines = Path("in31.xyz").read_text().splitlines()
    assert lines[0] == "84"
    Path("in31.xyz").write_text("\n".join([str(said), *lines[1:]]) + "\n")
    code, text = run(capsys, *(word.format("in31.xyz") for word in COMMANDS[command]))
    assert code == 2
    assert f"frame 0 of in31.xyz: {message}" in text
    assert [p.name for p in tmp_path.iterdir()] == ["in31.xyz"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_dot_that_lost_two_atoms_is_told_and_taken(inp, tmp_path, monkeypatch, capsys, command):
    """What such a reader hands on: its electrons are even, so nothing else stops it."""
    monkeypatch.chdir(tmp_path)
    ase.io.write("in31.xyz", [inp, without(inp, "Cl", 2), inp, without(inp, "Cl", 2)])
    code, text = run(capsys, *(word.format("in31.xyz") for word in COMMANDS[command]))
    assert code == (0 if command == "sample" else 1)  # `true` labels nothing
    assert (
        "warning: frame 1 of in31.xyz: Cl31In31P20 has the formal charge +2 (31 In +3, 20 P -3, "
        "31 Cl -1), 0 expected: atoms may be missing; 2 Cl more would balance it; if it is meant "
        "so, say info['charge'] (0 for a neutral calculation); 1 more frame of this composition"
    ) in text
    assert text.count("warning:") == 1
    assert ("out.extxyz: 1 of 4 frames" in text) == (command == "sample")


def test_one_text_per_composition_over_all_files(tmp_path, cdse, inp):
    lost = {"a.extxyz": [cdse, without(cdse, "Cl")], "b.traj": [without(cdse, "Cl")] * 2}
    lost["c.extxyz"] = [without(inp, "P"), without(inp, "In")]
    for name, frames in lost.items():
        ase.io.write(tmp_path / name, frames)
    console = Console(file=io.StringIO(), width=80)
    frames = read_frames([tmp_path / name for name in lost], console)
    assert [len(f) for f in frames] == [35, 34, 34, 34, 83, 83]
    texts = console.file.getvalue().splitlines()
    assert len(texts) == 3
    assert "a.extxyz: Cd16Cl5Se13 has" in texts[0]
    assert "; 2 more frames of this composition" in texts[0]
    assert "frame 0 of" in texts[1]
    assert "c.extxyz: Cl33In31P19 has the formal charge +3" in texts[1]
    assert "frame 1 of" in texts[2]
    assert not any("more frame" in text for text in texts[1:])


CD_FORMATE = [[0, 0, 2], [1.1, 0, 0], [-1.1, 0, 0], [0, 0, -0.6], [0, 0, -1.7]]


@pytest.mark.parametrize(
    ("atoms", "charge", "remedy"),
    [
        (lambda: without(in_vacuum("Cd16Se13Cl6"), "Cl"), 1, "1 Cl more would"),
        (
            lambda: without(in_vacuum("Cd16Se13Cl6"), "Cd"),
            -2,
            "1 Cd more, or 1 Se or 2 Cl less would",
        ),
        (lambda: without(in_vacuum("Cs20Pb8Br36"), "Cs"), -1, "1 Cs more, or 1 Br less would"),
        (lambda: without(in_vacuum("formates"), "H"), 1, "1 CHO2 more would"),
        (lambda: Atoms("CdO2CH", CD_FORMATE), 1, "1 CHO2 more would"),
        (lambda: molecule("CH3"), -1, "1 H more, or 1 CH3 less would"),
    ],
    ids=["cdse-cl", "cdse-cd", "cspbbr3-cs", "formate-h", "cd-formate", "radical"],
)
def test_what_would_balance_it_is_told(atoms, charge, remedy):
    atoms = atoms()
    assert formal_charge(atoms).total == charge
    (text,) = charge_warnings([(NAME, [atoms])])
    assert f"has the formal charge {charge:+d} " in text
    assert remedy in text


def test_a_charge_that_no_ion_divides_is_told_so():
    lost = FormalCharge(1, (("In", 3, 3), ("Se", 4, -2)), np.full(7, -1))
    assert lost.remedy() == "no whole number of its own ions would balance it"
    few = FormalCharge(4, (("Pb", 1, 2), ("In", 1, 3), ("Cl", 1, -1)), np.full(3, -1))
    assert few.remedy() == "4 Cl more would balance it"  # there are no two Pb to leave out
    assert FormalCharge(0, (("Cd", 1, 2), ("Se", 1, -2)), np.full(2, -1)).remedy() == ""
    assert FormalCharge(None, (), np.full(2, -1)).remedy() == ""


def slab_111():
    """A polar slab with one Cl too few: surfaces may carry charge, and the cell is what it is."""
    return without(polar_slabs.slab_111(), "Cl")


def boxed(atoms, cut=False):
    """In a periodic box with 8 Å of vacuum; `cut` by all six faces."""
    atoms = atoms.copy()
    atoms.center(vacuum=4.0)
    atoms.pbc = True
    if cut:
        atoms.positions -= atoms.cell.sum(axis=0) / 2
        atoms.wrap()
    return atoms


def charged(atoms, **info):
    lost = without(atoms, "Cl")
    lost.info.update(info)
    return lost


SILENT = {
    "neutral dot": lambda: in_vacuum("Cd16Se13Cl6"),
    "dot in a box": lambda: boxed(in_vacuum("formates")),
    "dot cut by the faces of its box": lambda: boxed(in_vacuum("formates"), cut=True),
    "declared charge": lambda: charged(in_vacuum("Cd16Se13Cl6"), charge=1),
    "declared neutral": lambda: charged(in_vacuum("Cd16Se13Cl6"), charge=0),
    "bulk": lambda: bulk("CdSe", "zincblende", a=6.2),
    "bulk with a vacancy": lambda: without(cells.zincblende(), "Se"),
    "slab": slab_111,
    "atom": lambda: Atoms("Cl"),
    "dimer": lambda: Atoms("CdCl", [[0, 0, 0], [0, 0, 2.3]]),
    "metal": lambda: Atoms("Cd3", [[0, 0, 0], [0, 0, 2.8], [0, 2.8, 0]]),
    "chalcogen": lambda: Atoms("Se3", [[0, 0, 0], [0, 0, 2.3], [0, 2.3, 0]]),
    "halogen": lambda: Atoms("Br3", [[0, 0, 0], [0, 0, 2.3], [0, 2.3, 0]]),
    "alloy": lambda: Atoms("CdZn2", [[0, 0, 0], [0, 0, 2.8], [0, 2.8, 0]]),
    "anions only": lambda: Atoms("PCl3", [[0, 0, 0], [0, 0, 2], [0, 2, 0], [2, 0, 0]]),
    "unknown element": lambda: Atoms("CdAuCl", [[0, 0, 0], [0, 0, 2.8], [0, 2.5, 0]]),
    "declared radical": lambda: Atoms(molecule("CH3"), info={"multiplicity": 2}),
    "broken molecule": lambda: Atoms("H2O", [[0, 0, 1], [0, 0, 4], [0, 0, 0]]),
    "no numbers": lambda: Atoms("Cd2Cl", [[0, 0, np.nan]] * 3),
    "flat cell": lambda: Atoms("Cd2Cl", np.eye(3), cell=[[5, 0, 0]] * 2 + [[0, 0, 5]], pbc=True),
    "no cell": lambda: Atoms("CdCl2", 2.3 * np.eye(3), pbc=True),
}


@pytest.mark.parametrize("name", SILENT)
def test_nothing_is_told_without_reason(name):
    assert charge_warnings([(NAME, [SILENT[name]()])]) == []


@pytest.mark.parametrize("cut", [False, True])
def test_a_lost_atom_is_told_in_a_periodic_box_too(cut):
    lost = without(boxed(in_vacuum("formates"), cut), "Cd")
    (text,) = charge_warnings([(NAME, [lost])])
    assert "(15 Cd +2, 13 Se -2, 6 CHO2 -1)" in text


def test_what_the_builder_says_of_itself_declares_nothing(cdse):
    """`formal_charge` in info is of the whole dot; the file may have lost atoms since."""
    assert len(charge_warnings([(NAME, [charged(cdse, formal_charge=0)])])) == 1


def test_what_qdml_sample_makes_is_neutral():
    assert charge_warnings([(NAME, [*molecules.catalogue().values()])]) == []


def test_a_file_without_atoms_is_told(tmp_path):
    (tmp_path / "empty.extxyz").write_text("")
    with pytest.raises(DataError, match="empty file, holds no frames"):
        read_frames([tmp_path / "empty.extxyz"], Console(file=io.StringIO()))
