"""Cells, slabs, dots and molecules: right atoms, right bonds, neutral; thermal displacements."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from ase.units import kB
from qdml.errors import StructureError
from qdml.label.cp2k import count_electrons
from qdml.label.frames import boxed, check_spin
from qdml.sample import cells, clusters, dots, molecules, polar_slabs, slabs
from qdml.sample.thermal import bond_hessian, rattle_thermally


def coordination(atoms: Atoms, symbol: str, cutoff: float = 2.9) -> Counter:
    """How many atoms of an element have how many neighbours within `cutoff` A."""
    center = neighbor_list("i", atoms, cutoff)
    numbers = np.bincount(center, minlength=len(atoms))
    return Counter(int(numbers[a.index]) for a in atoms if a.symbol == symbol)


def test_bulk_cells_have_four_neighbours_at_the_bond_length():
    for cell in (cells.zincblende(), cells.wurtzite()):
        distances = neighbor_list("d", cell, 3.2)
        assert len(distances) == 4 * len(cell)
        assert distances.mean() == pytest.approx(2.687, abs=0.01)


def test_volume_and_strain_do_what_they_say():
    cell = cells.zincblende()
    volume = cell.get_volume()
    assert cells.scaled_volume(cell, -0.08).get_volume() == pytest.approx(0.92 * volume)
    sheared = cells.strain_mode(cell, "xz", 0.02)
    strain = np.linalg.solve(cell.cell.array, sheared.cell.array) - np.eye(3)
    expected = np.zeros((3, 3))
    expected[0, 2] = expected[2, 0] = 0.02
    np.testing.assert_allclose(strain, expected, atol=1e-12)
    np.testing.assert_allclose(
        sheared.get_scaled_positions(), cell.get_scaled_positions(), atol=1e-12
    )
    random = cells.randomly_strained(cell, 0.02, np.random.default_rng(0))
    strain = np.linalg.solve(cell.cell.array, random.cell.array) - np.eye(3)
    np.testing.assert_allclose(strain, strain.T, atol=1e-12)
    assert 0.005 < np.abs(strain).mean() < 0.04


def test_chloride_slab_follows_the_counting_rule():
    slab = boxed(slabs.slab_100("Cl"))
    assert slab.get_chemical_formula() == "Cd16Cl8Se12"
    assert dots.formal_charge(slab) == 0
    # one X per surface Cd (four per face), and nobody is left with a dangling bond
    assert coordination(slab, "Cd") == {4: 16}
    assert coordination(slab, "Se") == {4: 12}
    assert coordination(slab, "Cl") == {2: 8}


def test_formate_slab_is_neutral_and_binds_through_oxygen():
    slab = boxed(slabs.slab_100("HCOO", n_cation_layers=3))
    assert slab.get_chemical_formula() == "C8H8Cd12O16Se8"
    assert dots.formal_charge(slab) == 0
    cd_o = neighbor_list("d", slab, {("Cd", "O"): 2.6})
    assert len(cd_o) == 2 * 16  # every O on one Cd
    assert neighbor_list("d", slab, {("H", "H"): 10.0}).min() > 2.5
    with pytest.raises(StructureError, match="ligand 'Br'"):
        slabs.slab_100("Br")


def test_supertetrahedron():
    dot = dots.supertetrahedron()
    assert dot.get_chemical_formula() == "Cd10Cl12Se4"
    assert dots.formal_charge(dot) == 0
    assert coordination(dot, "Cl") == {2: 12}
    assert coordination(dot, "Se") == {3: 4}
    assert coordination(dot, "Cd") == {3: 4, 4: 6}
    center = dot.positions[:10].mean(axis=0)
    radii = np.linalg.norm(dot.positions[:10] - center, axis=1)
    assert Counter(np.round(radii, 3)).most_common(1)[0][1] == 6  # T symmetry: 4 corners, 6 edges


@pytest.mark.parametrize("ligand", ["Cl", "HCOO"])
def test_adamantane_cluster(ligand):
    cluster = molecules.adamantane_cluster(ligand)
    assert dots.formal_charge(cluster) == 0
    assert coordination(cluster, "Se") == {4: 1}
    assert coordination(cluster, "Cd", 2.75) == {4: 4}


def test_formate_replaces_bridging_chloride_one_for_one():
    chloride = molecules.adamantane_cluster("Cl")
    formate = dots.exchange_chloride(chloride)
    counts = Counter(formate.get_chemical_symbols())
    assert counts == {"Cd": 4, "Se": 1, "C": 6, "H": 6, "O": 12}
    assert dots.formal_charge(formate) == 0
    assert neighbor_list("d", formate, {("C", "O"): 1.5}).mean() == pytest.approx(1.27)
    # outward: every H is farther from the centre than its Cl was
    centre = chloride.positions.mean(axis=0)
    hydrogen = formate.positions[formate.numbers == 1]
    assert np.linalg.norm(hydrogen - centre, axis=1).min() > 4.0
    terminal = molecules.inorganic("CdCl2")
    with pytest.raises(StructureError, match="Cl 1 has 1 Cd within 3 A"):
        dots.exchange_chloride(terminal)


def test_formal_charge_refuses_what_it_does_not_know():
    assert dots.formal_charge(Atoms("CdCl")) == 1
    with pytest.raises(StructureError, match="no oxidation number known for Na"):
        dots.formal_charge(Atoms("NaCl"))


def test_molecules_have_possible_spins_and_sound_distances():
    for name, atoms in molecules.catalogue().items():
        assert check_spin(count_electrons(atoms), None, name) == 1
        assert neighbor_list("d", atoms, 3.0).min() > 0.7, name
    for symbol, multiplicity in molecules.ATOMS.items():
        assert check_spin(count_electrons(Atoms(symbol)), multiplicity, symbol) == multiplicity
    for (first, second), (_, multiplicity) in molecules.DIMERS.items():
        n_electrons = count_electrons(Atoms([first, second]))
        assert check_spin(n_electrons, multiplicity, first + second) == multiplicity


def test_formic_acid_turns_only_its_acid_hydrogen():
    flat, turned = molecules.formic_acid(), molecules.formic_acid(90.0)
    moved = np.linalg.norm(turned.positions - flat.positions, axis=1) > 1e-6
    assert moved.sum() == 1
    assert turned.get_chemical_symbols()[int(np.flatnonzero(moved)[0])] == "H"
    assert len(neighbor_list("d", turned, 1.2)) == len(neighbor_list("d", flat, 1.2)) == 4


def test_formic_dimer_has_two_hydrogen_bonds():
    dimer = molecules.formic_dimer(1.7)
    o_h = np.sort(neighbor_list("d", dimer, {("O", "H"): 1.9}))
    assert len(o_h) == 2 * 4  # two O-H bonds and two hydrogen bonds, each seen from both ends
    np.testing.assert_allclose(o_h[4:], 1.7, atol=1e-6)


def test_pair_leaves_the_gap():
    acid = molecules.formic_acid()
    both = molecules.pair(acid, acid, 4.0, axis=2, angle=40.0)
    z = both.positions[:, 2]
    assert z[len(acid) :].min() - z[: len(acid)].max() == pytest.approx(4.0)


def test_network_hessian_is_symmetric_and_blind_to_translation():
    hessian = bond_hessian(cells.zincblende(repeat=1))
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
    np.testing.assert_allclose(hessian.reshape(24, 8, 3).sum(axis=1), 0.0, atol=1e-12)
    assert np.linalg.eigvalsh(hessian).min() > -1e-10


def test_network_gives_the_optic_mode_it_was_fitted_to():
    # one zinc-blende cell: the highest zone-centre mode moves the sublattices against each other
    cell = Atoms(
        "CdSe",
        scaled_positions=[[0, 0, 0], [0.25] * 3],
        cell=0.5 * 6.205 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]),
        pbc=True,
    )
    mass = np.repeat(cell.get_masses(), 3)
    dynamical = bond_hessian(cell) / np.sqrt(np.outer(mass, mass))
    # sqrt(eV/(A^2 amu)) = 98.2269 rad/ps; over 2 pi c in cm/ps = 521.47 cm-1
    wavenumber = 521.47 * np.sqrt(np.linalg.eigvalsh(dynamical)[-1])
    assert wavenumber == pytest.approx(165.0, rel=0.02)


def test_displacements_have_the_harmonic_energy_of_the_temperature():
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])
    rng = np.random.default_rng(0)
    lengths = [rattle_thermally(atoms, 10.0, rng).get_distance(0, 1) for _ in range(1500)]
    # one mode along the bond: k <u^2> = k_B T, k = 35 eV/A^2; at 10 K the transverse modes, which
    # enter in second order, do not show; the variance of 1500 draws is known to 4 %
    assert np.var(lengths) == pytest.approx(kB * 10.0 / 35.0, rel=0.12)


def test_bond_spread_in_the_crystal_grows_with_the_root_of_temperature():
    cell = cells.zincblende()
    spread = []
    for temperature in (150.0, 600.0):
        rng = np.random.default_rng(0)
        frames = [rattle_thermally(cell, temperature, rng) for _ in range(4)]
        spread.append(np.concatenate([neighbor_list("d", f, 3.4) for f in frames]).std())
        assert frames[0].info["temperature"] == temperature
    assert spread[1] / spread[0] == pytest.approx(2.0, rel=0.05)
    assert spread[0] == pytest.approx(0.063, abs=0.006)  # 0.09 A at 300 K


def test_thermal_draws_do_not_depend_on_how_degenerate_modes_are_turned(monkeypatch):
    cell = cells.zincblende(repeat=1)
    frame = rattle_thermally(cell, 300.0, np.random.default_rng(5))
    exact = np.linalg.eigh

    def turned(matrix):
        stiffness, modes = exact(matrix)
        rng = np.random.default_rng(1)
        for value in np.unique(stiffness.round(6)):
            (same,) = np.nonzero(np.abs(stiffness - value) < 1e-5)
            rotation, _ = np.linalg.qr(rng.normal(size=(len(same), len(same))))
            modes[:, same] = modes[:, same] @ rotation
        return stiffness, modes

    monkeypatch.setattr(np.linalg, "eigh", turned)
    again = rattle_thermally(cell, 300.0, np.random.default_rng(5))
    np.testing.assert_array_equal(frame.positions, again.positions)


def test_nonpolar_slab_has_one_dangling_bond_per_surface_atom():
    slab = boxed(polar_slabs.slab_110())
    assert dots.formal_charge(slab) == 0
    assert coordination(slab, "Cd") == {3: 8, 4: 8}
    assert coordination(slab, "Se") == {3: 8, 4: 8}
    bonds = neighbor_list("d", slab, 2.9)
    assert bonds.min() == pytest.approx(bonds.max()) == pytest.approx(np.sqrt(3) / 4 * 6.205)


def test_polar_slab_is_neutral_by_chloride_above_and_a_vacancy_below():
    slab = boxed(polar_slabs.slab_111())
    assert slab.get_chemical_formula() == "Cd12Cl2Se11"
    assert dots.formal_charge(slab) == 0
    # three Cd around the vacancy lost a neighbour; two Cd of the upper face hold both Cl
    assert coordination(slab, "Cd") == {3: 3, 4: 7, 5: 2}
    assert coordination(slab, "Cl") == {3: 2}
    assert neighbor_list("d", slab, {("Cl", "Se"): 3.0}).size == 0


def test_random_clusters_are_neutral_and_keep_their_distances():
    rng = np.random.default_rng(3)
    for m, n in ((0, 3), (2, 2), (4, 4)):
        cluster = clusters.random_cluster(m, n, rng)
        assert dots.formal_charge(cluster) == 0
        assert len(cluster) == 2 * m + 3 * n
        for pair, limit in clusters.MIN_DISTANCE.items():
            assert neighbor_list("d", cluster, {pair: limit - 1e-9}).size == 0


def test_ordered_ions_sit_between_ions_of_the_other_sign():
    rng = np.random.default_rng(2)
    cluster = clusters.order_ions(clusters.random_cluster(3, 3, rng))
    assert clusters.is_sound(cluster)
    assert neighbor_list("d", cluster, {("Cd", "Se"): 5.0}).min() == pytest.approx(2.8, abs=0.2)
    for like in (("Se", "Se"), ("Cl", "Se"), ("Cl", "Cl"), ("Cd", "Cd")):
        assert neighbor_list("d", cluster, {like: 3.4}).size == 0
    # an energy minimum: no small displacement of one pair's distance pays (forces vanish)
    pair = clusters.order_ions(Atoms("CdSe", [[0, 0, 0], [0, 0, 3.5]]))
    assert pair.get_distance(0, 1) == pytest.approx(clusters.ION_DISTANCE["Cd", "Se"], abs=1e-3)


@pytest.mark.parametrize(
    ("positions", "symbols", "sound"),
    [
        ([[0, 0, 0], [2.6, 0, 0], [5.2, 0, 0]], "CdSeCd", True),
        ([[0, 0, 0], [2.6, 0, 0], [9.0, 0, 0]], "CdSeCd", False),  # in two pieces
        ([[0, 0, 0], [2.6, 0, 0], [4.9, 0, 0]], "CdSeSe", False),  # Se-Se bond
        ([[0, 0, 0], [2.6, 0, 0], [2.6, 2.5, 0]], "CdSeCd", True),
    ],
)
def test_only_whole_clusters_without_bonds_between_like_ions_are_sound(positions, symbols, sound):
    assert clusters.is_sound(Atoms(symbols, positions)) is sound


def test_relaxed_clusters_are_sound():
    pytest.importorskip("tblite")
    found = clusters.relaxed_clusters(1, 1, 2, np.random.default_rng(0))
    assert len(found) == 2
    assert all(clusters.is_sound(cluster) for cluster in found)
