"""Slabs, clusters and splits of the reference plans of PbSe, InP and CsPbBr3."""
# SPDX-License-Identifier: MIT

import sys
from collections import Counter
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.neighborlist import neighbor_list
from qdml.build import build_dot
from qdml.build.charges import total_oxidation
from qdml.build.reading import formal_charge
from qdml.errors import StructureError
from qdml.label.frames import is_undersampled
from qdml.sample import clusters, cuboids, facets, ionic_slabs

COMMON = Path(__file__).resolve().parents[2] / "potentials" / "common"
MODULES = ("make_frames", "make_ligand_frames", "pack_frames", "materials")


@pytest.fixture(scope="module")
def plans():
    sys.path.insert(0, str(COMMON))
    for name in MODULES:  # CdSe has a make_frames of its own
        sys.modules.pop(name, None)
    try:
        import make_frames
        import materials

        yield make_frames, materials
    finally:
        sys.path.remove(str(COMMON))
        for name in MODULES:
            sys.modules.pop(name, None)


def boxed(slab):
    box = slab.copy()
    box.center(vacuum=8.0, axis=2)
    return box


def coordination(atoms, symbol, cutoff):
    center = neighbor_list("i", atoms, cutoff)
    counts = np.bincount(center, minlength=len(atoms))
    return sorted(set(counts[atoms.symbols == symbol].tolist()))


def test_bare_rocksalt_slabs_keep_the_bulk_between_their_faces():
    slab = boxed(ionic_slabs.rocksalt_slab("100", 4, a=6.2))
    assert slab.get_chemical_formula() == "Pb16Se16"
    assert coordination(slab, "Pb", 3.2) == coordination(slab, "Se", 3.2) == [5, 6]
    slab = boxed(ionic_slabs.rocksalt_slab("110", 5, a=6.2))
    assert slab.get_chemical_formula() == "Pb10Se10"
    assert coordination(slab, "Pb", 3.2) == [4, 6]
    assert len(np.unique(slab.positions[:, 2].round(3))) == 5


@pytest.mark.parametrize("n_cation_layers", [2, 3, 4])
def test_rocksalt_111_is_neutral_under_a_full_layer_of_halide(n_cation_layers):
    slab = boxed(ionic_slabs.rocksalt_slab_111("Br", n_cation_layers, a=6.2))
    assert total_oxidation(slab.get_chemical_symbols()) == 0
    assert coordination(slab, "Pb", 3.2) == [6]  # the halide sits where the anion would
    assert coordination(slab, "Br", 3.2) == [3]
    faces = np.unique(slab.positions[slab.symbols == "Br", 2].round(3))
    assert len(faces) == 2
    assert faces[0] == slab.positions[:, 2].min().round(3)


@pytest.mark.parametrize(("termination", "n_layers"), [("CsBr", 5), ("PbBr2", 5), ("CsBr", 3)])
def test_perovskite_slabs_end_in_the_layer_asked_for(termination, n_layers):
    slab = boxed(ionic_slabs.perovskite_slab(termination, n_layers, a=6.0))
    assert total_oxidation(slab.get_chemical_symbols()) == 0
    low = slab[slab.positions[:, 2] < slab.positions[:, 2].min() + 0.1]
    assert low.get_chemical_formula(mode="reduce").startswith(
        {"CsBr": "CsBr", "PbBr2": "PbBr2"}[termination][:2]
    )
    assert coordination(slab, "Pb", 3.1) == ([5, 6] if termination == "PbBr2" else [6])


def test_slabs_that_do_not_exist_are_refused():
    with pytest.raises(StructureError, match="facet 210"):
        ionic_slabs.rocksalt_slab("210")
    for termination, n_layers in (("PbBr", 5), ("CsBr", 4)):
        with pytest.raises(StructureError, match="odd number"):
            ionic_slabs.perovskite_slab(termination, n_layers)
    with pytest.raises(StructureError, match="not a perovskite"):
        ionic_slabs.perovskite_slab("CsBr", formula="CsBr")


def test_rare_facets_are_neutral_and_keep_the_bulk_between_their_faces():
    steps = boxed(facets.rocksalt_slab_210(8, a=6.2))
    assert steps.get_chemical_formula() == "Pb16Se16"
    assert coordination(steps, "Pb", 3.2) == coordination(steps, "Se", 3.2) == [4, 5, 6]
    side = boxed(facets.wurtzite_slab_1120(7, "InP", 4.22, 6.89))
    assert side.get_chemical_formula() == "In14P14"
    assert coordination(side, "In", 2.7) == coordination(side, "P", 2.7) == [3, 4]
    assert len(np.unique(side.positions[:, 2].round(3))) == 7


@pytest.mark.parametrize("n_layers", [2, 3, 4])
def test_perovskite_110_ends_in_half_a_layer_of_halide(n_layers):
    slab = boxed(facets.perovskite_slab_110(n_layers, a=6.0))
    assert slab.get_chemical_formula() == Atoms(
        f"CsPbBr3{'CsPbBr3' * (2 * n_layers - 1)}"
    ).symbols.formula.format("hill")
    assert total_oxidation(slab.get_chemical_symbols()) == 0
    # an outer Pb lacks one of its six Br, each Br has one or two Pb
    lead = np.flatnonzero(slab.symbols == "Pb")
    counts = np.bincount(neighbor_list("i", slab, {("Pb", "Br"): 3.1}), minlength=len(slab))
    heights = slab.positions[lead, 2]
    outer = (heights < heights.min() + 0.1) | (heights > heights.max() - 0.1)
    assert counts[lead].tolist() == np.where(outer, 5, 6).tolist()
    assert set(counts[slab.symbols == "Br"].tolist()) == {1, 2}
    with pytest.raises(StructureError, match="at least 2"):
        facets.perovskite_slab_110(1)


@pytest.mark.parametrize(
    ("octahedra", "pairs", "formula"),
    [
        ((1, 1, 1), 0, "Cs4PbBr6"),
        ((2, 1, 1), 0, "Cs7Pb2Br11"),
        ((2, 2, 2), 0, "Cs20Pb8Br36"),
        ((2, 2, 2), 2, "Cs18Pb8Br34"),
        ((3, 3, 3), 0, "Cs54Pb27Br108"),
    ],
)
def test_cuboids_have_whole_octahedra_and_lose_corner_cs_first(octahedra, pairs, formula):
    dot = cuboids.perovskite_cuboid(octahedra, np.random.default_rng(1), pairs_removed=pairs)
    assert dot.symbols.formula.count() == Atoms(formula).symbols.formula.count()
    assert total_oxidation(dot.get_chemical_symbols()) == 0
    bonds = np.bincount(neighbor_list("i", dot, {("Pb", "Br"): 3.1}), minlength=len(dot))
    assert bonds[dot.symbols == "Pb"].sum() == 6 * np.prod(octahedra) - pairs
    assert bonds.max() == 6
    around = np.bincount(neighbor_list("i", dot, {("Cs", "Pb"): 5.3}), minlength=len(dot))
    gone = np.prod(np.add(octahedra, 1)) - np.sum(dot.symbols == "Cs")
    assert np.sum(around[dot.symbols == "Cs"] == 1) == max(0, 8 - gone)
    again = cuboids.perovskite_cuboid(octahedra, np.random.default_rng(1), pairs_removed=pairs)
    assert np.array_equal(dot.positions, again.positions)


def test_cuboids_that_cannot_be_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(StructureError, match="at least one along"):
        cuboids.perovskite_cuboid((2, 0, 1), rng)
    with pytest.raises(StructureError, match="8 Cs and 6 terminal Br"):
        cuboids.perovskite_cuboid((1, 1, 1), rng, pairs_removed=5)


def test_charged_clusters_are_refused():
    with pytest.raises(StructureError, match=r"carries \+1 e"):
        clusters.random_ions(["Pb", "Cl"], np.random.default_rng(0))


@pytest.mark.parametrize("symbols", ["PbPbSeClCl", "InInPClClCl", "CsCsPbBrBrBrBr"])
def test_clusters_of_other_ions_order_themselves(symbols):
    rng = np.random.default_rng(4)
    start = clusters.random_ions(Atoms(symbols).get_chemical_symbols(), rng)
    ordered = clusters.order_ions(start)
    assert clusters.is_sound(ordered)
    for pair, limit in clusters.MIN_DISTANCE.items():
        assert neighbor_list("d", start, {pair: limit - 1e-9}).size == 0


@pytest.mark.parametrize("material", ["PbSe", "InP", "CsPbBr3"])
def test_every_slab_of_a_plan_is_neutral_and_sampled(plans, material):
    make_frames, materials = plans
    plan = materials.PLANS[material]()
    rng = np.random.default_rng(0)
    for name, slab in plan.slabs.items():
        assert total_oxidation(slab.get_chemical_symbols()) == 0, name
        assert not is_undersampled(slab), name
        distances = boxed(slab).get_all_distances(mic=True)
        np.fill_diagonal(distances, np.inf)
        assert distances.min() > 2.2, name
        salted = make_frames.with_salt(slab, plan.units[-1], rng)
        assert total_oxidation(salted.get_chemical_symbols()) == 0
        for unit in plan.units:
            if set(Atoms(unit).symbols) <= set(slab.symbols):
                less = make_frames.without(slab, unit, rng)
                assert less.symbols.formula.count() != slab.symbols.formula.count()
                back = less + Atoms(unit)
                assert back.symbols.formula.count() == slab.symbols.formula.count()
    assert plan.test_dot in plan.dots
    assert plan.held_out_facets
    assert not set(plan.held_out_facets) & set(plan.slabs)
    for name, facet in plan.held_out_facets.items():
        assert total_oxidation(facet.get_chemical_symbols()) == 0, name
        assert make_frames.split_of(plan, name, 0) == "test"


def test_what_is_taken_from_a_slab_lies_together_on_its_upper_face(plans):
    make_frames, materials = plans
    slab = materials.PLANS["InP"]().slabs["slab-100-Cl"]
    less = make_frames.without(slab, "InCl3", np.random.default_rng(2))
    kept = {tuple(p) for p in less.positions.round(6)}
    gone = slab[[i for i, p in enumerate(slab.positions.round(6)) if tuple(p) not in kept]]
    assert sorted(gone.symbols) == ["Cl", "Cl", "Cl", "In"]
    middle = slab.positions[:, 2].mean()
    assert (gone.positions[:, 2] > middle).all()
    indium = int(np.flatnonzero(gone.symbols == "In")[0])
    assert gone.get_distances(indium, range(4), mic=True).max() < 4.5


def test_every_dot_of_a_plan_has_the_formula_of_its_name(plans):
    _, materials = plans
    for material, make in materials.PLANS.items():
        for name, arguments in make().dots.items():
            if "octahedra" in arguments:
                dot = cuboids.perovskite_cuboid(rng=np.random.default_rng(0), **arguments)
            else:
                ligands = {} if material == "CsPbBr3" else {"ligands": "Cl"}
                dot = build_dot(material, **arguments, **ligands).atoms
            assert dot.symbols.formula.count() == Atoms(name).symbols.formula.count()


@pytest.mark.parametrize("material", ["PbSe", "InP", "CsPbBr3"])
def test_halides_of_labelled_dots_give_way_to_carboxylates(plans, material):
    import make_ligand_frames as plan

    first = {f.info["origin"]: f for f in ase.io.read(plan.archive_of(material), ":")[::-1]}
    halide = "Br" if material == "CsPbBr3" else "Cl"
    for name in plan.STARTS[material]:
        start = first[name]
        assert start.info["split"] != "test"
        for ligand, carbons in ((plan.TRAINED, 1), (plan.HELD_OUT, 2)):
            made = plan.exchanged(start, ligand)
            n = np.count_nonzero(made.symbols == "C") // carbons
            assert n >= 1
            assert n == sum(start.symbols == halide) - sum(made.symbols == halide)
            assert formal_charge(made).total == 0, (name, ligand)


def test_tilted_perovskite_keeps_its_octahedra(plans):
    _, materials = plans
    tilted = materials.PLANS["CsPbBr3"]().phases["bulk-tilted"]
    assert tilted.get_chemical_formula() == "Br12Cs4Pb4"
    bonds = neighbor_list("d", tilted, {("Pb", "Br"): 3.4})
    assert len(bonds) == 2 * 6 * 4
    assert np.ptp(bonds) < 0.1
    angles = []
    for bromine in np.flatnonzero(tilted.symbols == "Br"):
        first, second = np.flatnonzero(
            (tilted.symbols == "Pb") & (tilted.get_distances(bromine, range(20), mic=True) < 3.4)
        )
        angles.append(tilted.get_angle(first, bromine, second, mic=True))
    assert max(angles) < 170.0  # every Pb-Br-Pb is bent


def test_held_out_frames_follow_temperature_and_dot(plans):
    make_frames, materials = plans
    plan = materials.PLANS["PbSe"]()
    assert make_frames.split_of(plan, "bulk-600K", 0) == "test"
    assert make_frames.split_of(plan, "dot-Pb13Se6Cl14", 1) == "test"
    assert make_frames.split_of(plan, "bulk-300K", 3) == "valid"
    assert make_frames.split_of(plan, "bulk-300K", 4) == "train"
    assert make_frames.split_of(plan, "dimer-PbSe", 3) == "train"


def test_a_queue_that_ends_early_holds_every_kind(plans):
    make_frames, materials = plans
    plan = materials.PLANS["InP"]()
    made = [(origin, Atoms("In")) for origin in ("bulk-300K", "slab-110", "dimer-InP") * 8]
    frames = make_frames.queue(plan, iter(made))
    assert len(frames) == 24
    assert {f.info["origin"] for f in frames[:3]} == {"bulk-300K", "slab-110", "dimer-InP"}


def test_only_frames_of_the_origins_asked_for_are_made(plans, tmp_path):
    make_frames, _ = plans
    sampler = COMMON.parent / "pbse" / "pbse-pbe-fast.qdml"
    made = tmp_path / "frames.extxyz"
    make_frames.main("PbSe", str(sampler), str(made), "slab-110-less-*", "slab-210")
    frames = ase.io.read(made, ":")
    assert Counter(f.info["origin"] for f in frames) == {"slab-110-less-PbSe": 3, "slab-210": 4}
    for frame in frames:
        is_facet = frame.info["origin"] == "slab-210"
        assert frame.info["split"] == ("test" if is_facet else "train")
        assert frame.info.get("held_out") == ("facet" if is_facet else None)
        assert not is_undersampled(frame)
        assert frame.info["temperature"] in (300, 600, 900)


def test_heated_frames_repeat_with_their_seed_and_get_the_mesh_of_the_material(plans):
    make_frames, materials = plans
    start = Atoms("Ar2", [[0, 0, 0], [1.2, 0, 0]], cell=[8, 8, 8], pbc=True)
    one, two = (
        make_frames.heated(start, LennardJones(sigma=1.0, epsilon=0.5, rc=3.0), "x", 100, 2, 0)
        for _ in range(2)
    )
    assert len(one) == 2
    assert np.array_equal(one[1].positions, two[1].positions)
    plan = materials.PLANS["PbSe"]()
    (frame,) = make_frames.queue(plan, iter([("bulk-300K", one[0])]))
    assert frame.info["kpoints"] == [4, 4, 4]
    assert "kpoints" not in make_frames.queue(plan, iter([("atom", Atoms("Pb"))]))[0].info
