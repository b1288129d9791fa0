# SPDX-License-Identifier: MIT
"""Coordination, regions and n(r) on a zinc-blende cluster counted by hand; the dump reader."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from qdml.analyse.frames import frame_kind
from qdml.analyse.rdf import collect, overlap
from qdml.analyse.surface import bond_length, coordination, find_pairs, find_roles
from qdml.analyse.trajectory import read_trajectory
from qdml.errors import DataError

DUMP = Path(__file__).parent / "data" / "lammps-logs" / "small.lammpstrj"
A = 6.2  # lattice constant, Å
BOND = A * np.sqrt(3) / 4


def zinc_blende_cluster():
    """One Se, its 4 Cd, and their 12 other neighbours: 11 Se and one Cl. 17 atoms.

    By hand: Cd 4-coordinate, three of them by Se only (core), one by 3 Se and the Cl (surface);
    the central Se has 4 Cd (core), each of the 11 outer Se has one (surface).
    """
    cadmium = A / 4 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    outer = [
        A / 2 * np.array(v)
        for v in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (0, -1, -1), (1, 0, -1), (1, -1, 0),
                  (0, 1, -1), (-1, 0, -1), (-1, 1, 0), (0, -1, 1), (-1, 0, 1), (-1, -1, 0)]
    ]  # fmt: skip
    return Atoms("SeCd4ClSe11", positions=[[0, 0, 0], *cadmium, *outer])


def test_regions_by_hand():
    atoms = zinc_blende_cluster()
    roles = find_roles(set(atoms.symbols))
    assert (roles.cations, roles.anions, roles.ligands) == (("Cd",), ("Se",), ("Cl",))
    found = coordination(atoms, find_pairs(atoms, 8.0), roles)
    assert found.lattice.tolist() == [4, 3, 4, 4, 4, 0] + [1] * 11
    assert found.ligand.tolist() == [0, 1, 0, 0, 0, 0] + [0] * 11
    assert found.region.tolist() == [0, 1, 0, 0, 0, 2] + [1] * 11


def test_only_donor_atoms_of_a_ligand_count_as_bound():
    """Formate chelates Cd of Cd-Se: its C lies at 2.74 Å, within the 2.86 Å of a Cd-C bond."""
    oxygen = np.array([[1.1, 0.0, 2.05], [-1.1, 0.0, 2.05]])
    atoms = Atoms(
        "CdSeO2CH", [[0, 0, 0], [0, 0, -2.65], *oxygen, [0, 0, 2.74], [0, 0, 3.85]]
    )  # fmt: skip
    roles = find_roles(set(atoms.symbols))
    assert bond_length("Cd", "C") > 2.74
    assert (roles.ligands, roles.donors) == (("C", "H", "O"), ("O",))
    found = coordination(atoms, find_pairs(atoms, roles.reach), roles)
    assert found.ligand.tolist() == [2, 0, 0, 0, 0, 0]
    assert "Cd-C " not in roles.definition
    assert "Cd-O " in roles.definition


def test_definition_is_stated_with_its_lengths():
    roles = find_roles({"Cd", "Se", "Cl"})
    assert "at least 4 Se neighbours" in roles.definition
    assert f"Cd-Cl {bond_length('Cd', 'Cl'):.2f}" in roles.definition
    assert find_roles({"Pb", "Se"}).full == 6
    assert find_roles({"Pb", "Br"}) is None
    perovskite = find_roles({"Cs", "Pb", "Br", "O", "C", "H"})
    assert (perovskite.full, perovskite.full_anion, perovskite.cage) == (6, 2, ("Cs",))
    assert perovskite.ligands == ("C", "H", "O")
    assert "Br with at least 2 Pb neighbours" in perovskite.definition
    assert "Cs with at least 8 Pb within 6.8 Å" in perovskite.definition
    # a chalcogenide decides: Cs on a PbSe dot under Br is a ligand
    assert find_roles({"Cs", "Pb", "Se", "Br"}).ligands == ("Br", "Cs")


def perovskite_cube(n: int, a: float = 5.95) -> Atoms:
    """Cube of n x n x n cells with CsBr faces: n^3 Pb, (n + 1)^3 Cs, 3 n^2 (n + 1) Br."""
    cells = np.array(list(np.ndindex(n, n, n)), float)
    corners = np.array(list(np.ndindex(n + 1, n + 1, n + 1)), float) - 0.5
    bromine = np.unique(np.vstack([cells + sign * 0.5 * np.eye(3)[k]
                                   for k in range(3) for sign in (1, -1)]), axis=0)  # fmt: skip
    symbols = ["Pb"] * len(cells) + ["Cs"] * len(corners) + ["Br"] * len(bromine)
    return Atoms(symbols, a * np.vstack([cells, corners, bromine]))


def test_core_of_a_perovskite_cube():
    n = 3
    atoms = perovskite_cube(n)
    roles = find_roles(set(atoms.symbols))
    region = coordination(atoms, find_pairs(atoms, roles.reach), roles).region
    core = {s: int((region[atoms.symbols == s] == 0).sum()) for s in ("Pb", "Cs", "Br")}
    # every Pb has its six Br; Cs of the inner corners; Br between two Pb
    assert core == {"Pb": n**3, "Cs": (n - 1) ** 3, "Br": 3 * n * n * (n - 1)}
    assert not (region == 2).any()


def test_perovskite_crystal_is_all_core_and_a_bound_oxygen_makes_surface():
    cell = Atoms("PbCsBr3", [[0, 0, 0], [0.5] * 3, [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    cell.set_cell([1, 1, 1])
    cell.set_cell([5.95] * 3, scale_atoms=True)
    cell.pbc = True
    crystal = cell.repeat(2)
    roles = find_roles(set(crystal.symbols) | {"O"})
    assert not coordination(crystal, find_pairs(crystal, roles.reach), roles).region.any()
    crystal += Atoms("O", [crystal.positions[1] + [2.9, 0, 0]])
    region = coordination(crystal, find_pairs(crystal, roles.reach), roles).region
    assert region[1] == 1
    assert region[-1] == 2


def test_neighbours_per_atom_by_hand():
    atoms = zinc_blende_cluster()
    found = collect([atoms, atoms], find_roles(set(atoms.symbols)))
    inside = np.searchsorted(found.r, bond_length("Cd", "Se"))
    second = np.searchsorted(found.r, 4.6)
    assert found.running("Cd", "core", "Se")[inside] == pytest.approx(4)
    assert found.running("Cd", "surface", "Se")[inside] == pytest.approx(3)
    assert found.running("Cd", "surface", "Cl")[inside] == pytest.approx(1)
    assert found.running("Se", "core", "Cd")[inside] == pytest.approx(4)
    assert found.running("Se", "surface", "Cd")[inside] == pytest.approx(1)
    assert found.running("Se", "core", "Se")[second] == pytest.approx(11)
    assert found.n_centers[("Cd", "core")] == 6
    assert found.shell("Cd", "core", "Se")["mean"] == pytest.approx(BOND)
    assert found.shell("Cd", "core", "Se")["sd"] == pytest.approx(0, abs=1e-6)
    assert found.shortest["Cd-Se"] == pytest.approx(BOND)
    assert found.shortest["Se-Se"] == pytest.approx(A / np.sqrt(2))
    smooth = found.smooth_density("Cd", "core", "Se")
    assert np.sum(smooth[: inside + 10]) * found.bin_width == pytest.approx(4, rel=1e-3)
    assert smooth.max() < found.density("Cd", "core", "Se").max()
    shares = found.coordination_shares("Se")
    assert shares[1] == pytest.approx(11 / 12)
    assert shares[4] == pytest.approx(1 / 12)


def test_integral_is_the_coordination_number_in_a_tiny_periodic_cell():
    """A 2-atom cell is smaller than r_max: every image counts."""
    atoms = bulk("CdSe", "zincblende", a=A)
    found = collect([atoms], find_roles({"Cd", "Se"}))
    area = np.sum(found.density("Cd", "core", "Se")) * found.bin_width
    # shells of zinc blende within 8 Å (a = 6.2): 4 at 2.68, 12 at 5.14, 12 at 6.76, 16 at 8.05
    assert area == pytest.approx(4 + 12 + 12)
    second = np.searchsorted(found.r, 5.0)
    assert found.running("Cd", "core", "Cd")[second] == pytest.approx(12)
    assert found.n_centers == {("Cd", "core"): 1, ("Se", "core"): 1}


def test_overlap_of_distributions():
    one = np.array([0, 2.0, 2.0, 0])
    assert overlap(one, 5 * one) == pytest.approx(1)
    assert overlap(one, np.array([0, 0, 1.0, 1.0])) == pytest.approx(0.5)
    assert overlap(one, 0 * one) is None


def test_kinds_of_frames():
    crystal = bulk("CdSe", "zincblende", a=A, cubic=True)
    slab = crystal.copy()
    slab.cell[2, 2] += 10
    dot = zinc_blende_cluster()
    dot.center(vacuum=5)
    dot.pbc = True
    assert [frame_kind(x) for x in (crystal, slab, dot, dot[:3])] == [
        "bulk", "slab", "dot", "molecule",
    ]  # fmt: skip
    complex_ = Atoms("Cd4SeCl6", positions=dot.positions[:11])  # one anion is no lattice
    assert frame_kind(complex_) == "molecule"
    dot.info["vacuum_axes"] = "z"
    assert frame_kind(dot) == "slab"


def test_dump_with_species_skip_and_stride():
    trajectory = read_trajectory(DUMP, species=["Ar"])
    assert trajectory.steps.tolist() == [20, 30, 40, 50, 60]
    first = trajectory.frames[0]
    assert first.get_chemical_formula() == "Ar32"
    assert first.positions[0] == pytest.approx([0.225792, 0.096179, 0.250635])
    assert first.pbc.all()
    kept = read_trajectory(DUMP, species=["Ar"], skip=1, stride=2)
    assert kept.steps.tolist() == [30, 50]
    assert kept.n_seen == 5


def test_cut_last_frame_is_left_out(tmp_path):
    path = tmp_path / "cut.lammpstrj"
    path.write_text(DUMP.read_text()[:-30])
    trajectory = read_trajectory(path, species=["Ar"])
    assert trajectory.cut
    assert trajectory.steps.tolist() == [20, 30, 40, 50]


def damaged_dumps():
    text = DUMP.read_text()
    lines = text.splitlines(keepends=True)
    yield "no-element", text, None, "no 'element' column"
    yield "not-a-dump", "hello\n" + text, ["Ar"], "not a LAMMPS text dump"
    yield "hole", "".join(lines[:12] + lines[13:]), ["Ar"], "frame 0 is damaged"
    yield "word", text.replace("0.225792", "o.225792"), ["Ar"], "frame 0 cannot be read"
    yield "nan", text.replace("0.225792", "nan"), ["Ar"], "not finite"
    yield "type", text.replace("\n1 1 ", "\n1 2 "), ["Ar"], "beyond the 1 symbols"
    yield "symbol", text, ["Xx"], "not a chemical symbol"
    yield "empty", "", ["Ar"], "no frame left"


@pytest.mark.parametrize(
    ("text", "species", "message"),
    [pytest.param(*case[1:], id=case[0]) for case in damaged_dumps()],
)
def test_damaged_dumps(tmp_path, text, species, message):
    path = tmp_path / "bad.lammpstrj"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_trajectory(path, species=species)


def test_lost_atoms_are_named(tmp_path):
    other = DUMP.read_text().split("ITEM: TIMESTEP\n")[1].splitlines(keepends=True)
    other[2] = "31\n"
    path = tmp_path / "joined.lammpstrj"
    path.write_text(DUMP.read_text() + "ITEM: TIMESTEP\n" + "".join(other[:-1]))
    with pytest.raises(DataError, match="has 31 atoms"):
        read_trajectory(path, species=["Ar"])
