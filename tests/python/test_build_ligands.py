# SPDX-License-Identifier: MIT
"""Ligands with chains: shapes, binding modes, whole shells without clashes, exchange, SMILES."""

import sys
import warnings
from collections import Counter
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.data import atomic_numbers
from qdml.build import build_dot, exchange_ligands, preset
from qdml.build.distances import close_pairs
from qdml.build.ligand_shapes import NAMED
from qdml.build.ligands import LIGANDS, find_ligand, parse_ligands
from qdml.build.reading import formal_charge
from qdml.errors import ConfigError, DataError, StructureError

ROOT = Path(__file__).resolve().parents[2]


def dihedral(p, a, b, c, d):
    """Torsion in degrees of four rows of p [n, 3]."""
    u, v, w = p[b] - p[a], p[c] - p[b], p[d] - p[c]
    m, n = np.cross(u, v), np.cross(v, w)
    return np.degrees(np.arctan2(np.cross(m, n) @ v / np.linalg.norm(v), m @ n))


def carbon_path(ligand):
    """Rows of the carbons from the head to the end of the chain."""
    carbons = [k for k, s in enumerate(ligand.symbols) if s == "C"]
    return carbons  # they are added in this order


def clashes(atoms):
    return close_pairs(atoms.get_chemical_symbols(), atoms.positions, atoms.arrays["ligand_index"])


@pytest.mark.parametrize(
    ("name", "formula", "charge", "n_donors"),
    [
        ("acetate", {"C": 2, "H": 3, "O": 2}, -1, 2),
        ("oleate", {"C": 18, "H": 33, "O": 2}, -1, 2),
        ("CH3NH2", {"C": 1, "H": 5, "N": 1}, 0, 1),
        ("butylamine", {"C": 4, "H": 11, "N": 1}, 0, 1),
        ("oleylamine", {"C": 18, "H": 37, "N": 1}, 0, 1),
        ("oleylammonium", {"C": 18, "H": 38, "N": 1}, 1, 1),
        ("octylthiolate", {"C": 8, "H": 17, "S": 1}, -1, 1),
        ("octylphosphonate", {"C": 8, "H": 18, "O": 3, "P": 1}, -1, 2),
    ],
)
def test_named_ligands_have_their_formula(name, formula, charge, n_donors):
    ligand = find_ligand(name)
    assert Counter(ligand.symbols) == formula
    assert (ligand.charge, ligand.n_donors) == (charge, n_donors)


@pytest.mark.parametrize("name", NAMED)
def test_every_named_ligand_is_a_closed_shell_molecule_without_strain(name):
    ligand = find_ligand(name)
    n_electrons = sum(atomic_numbers[s] for s in ligand.symbols) - ligand.charge
    assert n_electrons % 2 == 0
    assert len(ligand.bonds) == len(ligand.symbols) - 1  # a tree: one molecule without rings
    bonded = np.zeros((len(ligand.symbols),) * 2, dtype=bool)
    for i, j in ligand.bonds:
        bonded[i, j] = bonded[j, i] = True
    for shape in (ligand.positions, *ligand.conformers):
        p = np.array(shape)
        distance = np.linalg.norm(p[:, None] - p[None], axis=-1)
        np.fill_diagonal(distance, 9.0)
        assert 0.95 < distance[bonded].min() <= distance[bonded].max() < 1.85
        # Geminal hydrogens of NH2 lie 1.64 Å apart, nothing else is nearer.
        assert distance[~bonded].min() > 1.6


def test_oleate_has_a_cis_double_bond_and_stearate_a_straight_chain():
    oleate = find_ligand("oleate")
    c = carbon_path(oleate)
    for shape in (oleate.positions, *oleate.conformers):
        p = np.array(shape)
        assert np.linalg.norm(p[c[8]] - p[c[9]]) == pytest.approx(1.34)
        assert dihedral(p, *c[7:11]) == pytest.approx(0.0, abs=1e-6)
    assert [oleate.symbols.count("H"), len(oleate.conformers)] == [33, 3]
    stearate = find_ligand("stearate")
    p, c = np.array(stearate.positions), carbon_path(stearate)
    for k in range(1, 14):
        assert abs(dihedral(p, *c[k : k + 4])) == pytest.approx(180.0, abs=1e-6)


@pytest.fixture(scope="module")
def oleate_dot():
    """A 4 nm dot under a full oleate shell, 6839 atoms."""
    return build_dot("CdSe", 40.0, "oleate", center="anion")


def test_oleate_shell_of_a_4_nm_dot_has_no_clash(oleate_dot):
    atoms, summary = oleate_dot.atoms, oleate_dot.summary
    assert summary.composition["C"] == 18 * summary.ligands["oleate"] > 1500
    assert 2 * (summary.composition["Cd"] - summary.composition["Se"]) == summary.ligands["oleate"]
    assert clashes(atoms) == []
    assert formal_charge(atoms).total == 0


def test_oleates_of_the_4_nm_dot_keep_their_shape_and_point_out(oleate_dot):
    atoms = oleate_dot.atoms
    index, ligand = atoms.arrays["ligand_index"], find_ligand("oleate")
    center = atoms.positions[index < 0].mean(axis=0)
    radius_core = np.linalg.norm(atoms.positions[index < 0] - center, axis=1).max()
    c = carbon_path(ligand)
    bonds = np.array(ligand.bonds)
    ideal = np.array(ligand.positions)
    lengths = np.linalg.norm(ideal[bonds[:, 0]] - ideal[bonds[:, 1]], axis=1)
    tails = []
    for k in range(index.max() + 1):
        p = atoms.positions[index == k]
        found = np.linalg.norm(p[bonds[:, 0]] - p[bonds[:, 1]], axis=1)
        assert np.abs(found - lengths).max() < 0.1
        assert abs(dihedral(p, *c[7:11])) < 40  # cis: trans would be 180
        tails.append(np.linalg.norm(p[c[17]] - center))
    # Every tail ends outside of the core, most of them 8 Å or more away from its surface.
    assert min(tails) > radius_core
    assert np.median(tails) > radius_core + 8.0


@pytest.mark.parametrize(
    ("material", "diameter", "ligands"),
    [
        ("CdSe", 19.0, "acetate,butylamine:0.5"),
        ("CdSe", 19.0, "butylthiolate:1,octylphosphonate:1"),
        ("InP", 16.0, "octanoate"),
        ("PbSe", 16.0, "oleate"),
        ("CsPbBr3", 22.3, "oleate:1,Br:3,oleylammonium:0.4"),
    ],
)
def test_shells_of_chains_are_neutral_without_clashes(material, diameter, ligands):
    atoms = build_dot(material, diameter, ligands).atoms
    assert clashes(atoms) == []
    assert formal_charge(atoms).total == 0


def donor_cations(atoms, k, cutoff=2.9):
    """Sorted lists of cadmium rows that each O of ligand k binds."""
    symbols = np.array(atoms.get_chemical_symbols())
    cd = np.flatnonzero(symbols == "Cd")
    oxygens = np.flatnonzero((atoms.arrays["ligand_index"] == k) & (symbols == "O"))
    return [
        set(cd[np.linalg.norm(atoms.positions[cd] - atoms.positions[o], axis=1) < cutoff].tolist())
        for o in oxygens
    ]


@pytest.mark.parametrize("mode", ["bridging", "chelating", "tilted"])
def test_binding_modes(mode):
    atoms = build_dot(**preset("Cd16Se13Cl6"), ligands=f"HCOO@{mode}").atoms
    for k in range(6):
        first, second = donor_cations(atoms, k)
        if mode == "bridging":
            assert len(first) == len(second) == 1
            assert first != second
        elif mode == "chelating":
            assert len(first) == 1
            assert first == second
        else:
            assert sorted((len(first), len(second))) == [1, 2]
            assert len(first & second) == 1


def test_ammonium_takes_the_places_of_cesium():
    bare = build_dot("CsPbBr3", 22.3).summary
    summary = build_dot("CsPbBr3", 22.3, "CH3NH3:0.5").summary
    n = summary.ligands["methylammonium"]
    assert n == round(0.5 * (bare.composition["Cs"] - 8))  # eight Cs lie inside
    assert summary.composition["Cs"] == bare.composition["Cs"] - n
    assert summary.composition["Br"] == bare.composition["Br"]
    assert sum(step["charge"] for step in summary.charge_account) == 0


def test_same_seed_same_shell():
    first, again = (build_dot("CdSe", 16.0, "octanoate", seed=2).atoms for _ in range(2))
    assert np.array_equal(first.positions, again.positions)


def test_exchange_keeps_the_core_and_the_charge():
    old = build_dot("CdSe", 19.0, "Cl", center="anion")
    new = exchange_ligands(old.atoms, "oleate:1,Br:1", fraction=0.5)
    assert new.summary.ligands == {"Cl": 13, "Br": 6, "oleate": 7}
    assert formal_charge(new.atoms).total == 0
    assert clashes(new.atoms) == []
    n = 68 + 55
    shift = new.atoms.positions[:n] - old.atoms.positions[:n]
    assert shift - shift[0] == pytest.approx(0.0, abs=1e-9)
    assert new.summary.coordination["Cd"] == old.summary.coordination["Cd"]
    back = exchange_ligands(new.atoms, "Cl")
    assert back.summary.formula == "Cd68Se55Cl26"


def test_exchange_of_a_perovskite_touches_terminal_halides_only():
    new = exchange_ligands(build_dot("CsPbBr3", 14.9).atoms, "HCOO", fraction=0.5)
    assert new.summary.formula == "Cs20Pb8Br24(HCOO)12"


def relative(atoms):
    """Positions from the mean of all Pb."""
    return atoms.positions - atoms.positions[atoms.symbols == "Pb"].mean(axis=0)


def test_exchange_on_a_relaxed_perovskite_leaves_bromides_between_cesium():
    # of a hot DFT frame: Cs nearer than in the crystal, and Br too far from Pb for a bond
    archive = ROOT / "potentials/cspbbr3/data/cspbbr3-pbe.extxyz.xz"
    frames = ase.io.read(archive, ":")
    old = next(f for f in frames if f.info["origin"] == "dot-Cs7Pb2Br11")
    bare = Atoms(old.numbers, old.positions)
    distances = bare.get_all_distances()
    free = (bare.symbols == "Br") & (distances[:, bare.symbols == "Pb"].min(axis=1) > 3.4)
    assert free.any()
    new = exchange_ligands(bare, "HCOO", fraction=0.25)
    assert new.summary.ligands["HCOO"] + np.count_nonzero(new.atoms.symbols == "Br") == 11
    kept = relative(new.atoms)[new.atoms.symbols == "Br"]
    gaps = np.linalg.norm(kept[:, None] - relative(bare)[free], axis=2).min(axis=0)
    assert gaps == pytest.approx(0.0, abs=1e-9)
    assert formal_charge(new.atoms).total == 0


def test_exchange_on_a_cluster_of_salt():
    salt = Atoms(
        "PbCl2PbCl2",
        [[0, 0, 0], [1.8, 1.8, 0], [1.8, -1.8, 0], [3.6, 0, 0], [5.4, 1.8, 0], [-1.8, 1.8, 0]],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        new = exchange_ligands(salt, "HCOO", fraction=0.25)
    assert new.atoms.get_chemical_formula() == "CHCl3O2Pb2"
    with pytest.raises(DataError, match="Br2Cs2: none of Cd, Ga, Hg, In, Pb, Sn, Zn in it"):
        exchange_ligands(Atoms("Cs2Br2", 3.4 * np.eye(4, 3)), "HCOO")


@pytest.mark.parametrize(
    ("ligands", "options", "error", "message"),
    [
        ("NH3,Cl", {}, ConfigError, "NH3 is not an anion"),
        ("HCOO", {"fraction": 0.0}, ConfigError, "above 0 and at most 1"),
        ("HCOO", {"fraction": 1.5}, ConfigError, "above 0 and at most 1"),
    ],
)
def test_bad_exchanges_are_told(ligands, options, error, message):
    atoms = build_dot("CdSe", 12.0).atoms
    with pytest.raises(error, match=message):
        exchange_ligands(atoms, ligands, **options)


def test_exchange_refuses_a_charged_dot():
    atoms = build_dot("CdSe", 12.0).atoms
    with pytest.raises(DataError, match=r"formal charge \+1, 0 expected"):
        exchange_ligands(atoms[:-1], "HCOO")
    with pytest.raises(DataError, match="no anionic ligand"):
        exchange_ligands(build_dot("CdSe", 12.0).atoms[[0, 16]], "HCOO")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("CdSe", 16.0, "butylammonium,Cl"), ConfigError, "takes the place of Cs"),
        (("CdSe", 16.0, "oleylamine"), ConfigError, "hold no anion"),
        (("CdSe", 16.0, "oleat"), ConfigError, "did you mean 'oleate'"),
        (("CdSe", 16.0, "Cl@tilted"), ConfigError, "ligands with two donors"),
        (("CdSe", 16.0, "HCOO@chelate"), ConfigError, "did you mean 'chelating'"),
        (("CsPbBr3", 16.0, "CH3NH3:1.5"), ConfigError, "a fraction between 0 and 1"),
    ],
)
def test_bad_ligands_are_told(arguments, error, message):
    with pytest.raises(error, match=message):
        build_dot(*arguments)


def test_a_shell_that_cannot_fit_is_told():
    with pytest.raises(StructureError, match="ligands do not fit"):
        build_dot("InP", 14.0, "octadecylphosphonate", center="cation", shape="tetrahedron")


def test_smiles_without_rdkit_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    find_ligand.cache_clear()
    with pytest.raises(ConfigError, match=r"needs RDKit; install it with: pip install 'qdml.smil"):
        find_ligand("smiles(CC(=[O:1])[O-:1])")


@pytest.fixture
def rdkit():
    return pytest.importorskip("rdkit", reason="RDKit is not installed (extra smiles)")


@pytest.mark.usefixtures("rdkit")
def test_smiles_ligands_bind_by_their_anchors():
    ligand = find_ligand("smiles(c1ccccc1C(=[O:1])[O-:1])")
    assert Counter(ligand.symbols) == {"C": 7, "H": 5, "O": 2}
    assert (ligand.charge, ligand.n_donors, ligand.symbols[:2]) == (-1, 2, ("O", "O"))
    p = np.array(ligand.positions)
    assert p[:2, 1:] == pytest.approx(0.0, abs=1e-9)
    assert p[0, 0] == pytest.approx(-p[1, 0])
    assert p[2:, 2].mean() > 1.0
    result = build_dot("CdSe", 16.0, "smiles(c1ccccc1C(=[O:1])[O-:1]):2,Cl:1,smiles(CC[NH2:1]):0.2")
    assert clashes(result.atoms) == []
    assert formal_charge(result.atoms).total == 0
    assert {"Cl", "CC[NH2]"} < set(result.summary.ligands)


@pytest.mark.usefixtures("rdkit")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CC(=O)[O-]", "marks 0 anchor atoms"),
        ("[O:1]=C([O-:1])C([O-:1])=O", "marks 3 anchor atoms"),
        ("CC(=O", "cannot read this SMILES"),
        ("C[N:1]C", "lacks hydrogens or a charge"),
        ("[O-:1]CC[O-:1]", "found charge -2"),
    ],
)
def test_bad_smiles_are_told(text, message):
    with pytest.raises(ConfigError, match=message):
        find_ligand(f"smiles({text})")


def test_smiles_and_names_share_one_list():
    parts = parse_ligands("Cl:3,HCOO@tilted:2 NH3:0.5")
    assert [(x.name, x.mode, n) for x, n in parts] == [
        ("Cl", None, 3.0),
        ("HCOO", "tilted", 2.0),
        ("NH3", None, 0.5),
    ]
    assert not set(LIGANDS) & set(NAMED)
