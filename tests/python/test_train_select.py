# SPDX-License-Identifier: MIT
"""`select`: who is uncertain, who is rejected, how they are spread out, and what is written."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import ase.io
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from labelled_frames import cluster, frame
from models import random_model
from qdml.build import build_dot, preset
from qdml.build.reading import formal_charge
from qdml.committee import read_members, write_committee
from qdml.errors import DataError
from qdml.label.frames import boxed
from qdml.sample.thermal import rattle_thermally
from qdml_train.cli import app
from qdml_train.features import frame_features, node_scalars, novelty, standardise
from qdml_train.predictor import Result
from qdml_train.select import Request, read_candidates, select_frames, write_selection
from qdml_train.spread import combine
from qdml_train.uncertainty import Limits, by_committee, by_distance, by_novelty, reject
from rich.console import Console
from train_helpers import small_potential
from typer.testing import CliRunner


def silent() -> Console:
    return Console(file=io.StringIO(), width=200)


# -- features -----------------------------------------------------------------------------------


def test_node_scalars_are_what_the_read_out_reads():
    """The read-out of the file applied to them gives the energies of the potential."""
    potential = small_potential(zbl=False)
    frames = [frame(cluster(9)), frame(cluster(5, seed=1))]
    scalars = node_scalars(potential, frames)
    width = potential.architecture.layers[-1].channels_out[0]
    assert [s.shape for s in scalars] == [(9, width), (5, width)]
    with jax.enable_x64(True):
        for values, result, f in zip(scalars, potential.predict(frames), frames, strict=True):
            x = jnp.asarray(values)
            for k in range(len(potential.architecture.readout) + 1):
                x = x @ jnp.asarray(potential.tensors[f"readout.{k}.weight"])
                if k < len(potential.architecture.readout):
                    x = jax.nn.silu(x)
            kinds = potential.species(f)
            energy = (np.asarray(x)[:, 0] * potential.tensors["energy.scale"][kinds]).sum()
            assert energy + potential.reference[kinds].sum() == pytest.approx(result.energy, 1e-12)


def test_frame_features_by_hand():
    scalars = [np.array([[1.0, 10.0], [3.0, 10.0], [5.0, 20.0]])]
    kinds = [np.array([0, 0, 1])]
    (row,) = frame_features(scalars, kinds, 3)
    np.testing.assert_allclose(row[:4], [2, 10, 1, 0])  # mean and deviation of the first species
    np.testing.assert_allclose(row[4:8], [5, 20, 0, 0])
    np.testing.assert_allclose(row[8:12], 0)  # a species the frame lacks
    np.testing.assert_allclose(row[12:], [2 / 3, 1 / 3, 0])
    a, b = standardise(np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[5.0, 5.0]]))
    np.testing.assert_allclose(np.concatenate([a, b]).std(axis=0), [1, 0])


def test_novelty_is_the_distance_within_the_species():
    known = [np.array([[0.0], [2.0], [100.0]])]
    kinds = [np.array([0, 0, 1])]
    (found,) = novelty([np.array([[5.0], [5.0], [5.0]])], [np.array([0, 1, 2])], known, kinds)
    assert found[0] == pytest.approx(3.0)  # spread of species 0 is 1
    assert found[1] > 1e6  # one training atom: any distance is far
    assert np.isinf(found[2])  # a species without training atoms


# -- judgement ----------------------------------------------------------------------------------


def two_members(energy=0.0, force=0.0, everywhere=False, n=10):
    """Results whose spreads are `energy` per atom and `force` on one atom, or on all."""
    shift = np.zeros((n, 3))
    shift[slice(None) if everywhere else 3, 0] = force
    return combine([Result(n * energy, shift, None), Result(-n * energy, -shift, None)])


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (two_members(energy=0.9e-3), False),
        (two_members(energy=1.1e-3), True),
        (two_members(force=0.149), False),
        (two_members(force=0.151), True),
        (two_members(force=0.074, everywhere=True), False),
        (two_members(force=0.076, everywhere=True), True),
    ],
)
def test_each_threshold_alone_makes_a_frame_uncertain(found, expected):
    """Published thresholds: 1 meV/atom, mean 0.075 and largest 0.15 eV/Å."""
    frames = [frame(Atoms("H10", np.arange(30.0).reshape(10, 3)))]
    (candidate,) = by_committee(frames, [found], Limits())
    assert candidate.uncertain is expected
    if np.ptp(found.force_spread) > 0.1:
        assert candidate.atom == 3


def test_novelty_threshold_is_that_of_the_training_atoms():
    frames = [frame(Atoms("H", [[0, 0, 0]])) for _ in range(2)]
    kinds = [[np.array([0])] * 2, [np.array([0])] * 3]
    known = [np.array([[0.0]]), np.array([[1.0]]), np.array([[2.0]])]
    inside, outside = by_novelty(
        frames, [np.array([[1.5]]), np.array([[9.0]])], known, kinds, Limits()
    )
    assert inside.threshold == outside.threshold > 0
    assert (inside.uncertain, outside.uncertain) == (False, True)


def test_distances_shorter_than_seen_are_uncertain():
    seen = {"Cd-Se": 2.5, "Se-Se": 3.5}
    near = frame(Atoms("CdSe2", [[0, 0, 0], [0, 0, 2.4], [0, 3.6, 0]]))
    far = frame(Atoms("CdSe2", [[0, 0, 0], [0, 0, 2.6], [0, 3.6, 0]]))
    first, second = by_distance([near, far], seen)
    assert first.uncertainty == pytest.approx(2.5 / 2.4)
    assert (first.uncertain, second.uncertain) == (True, False)
    (unknown,) = by_distance([near], {})
    assert unknown.uncertain is False


def test_frames_that_are_no_structures_are_rejected():
    seen = {"Cd-Se": 2.5}
    atoms = Atoms("CdSe", [[0, 0, 0], [0, 0, 2.6]])
    squeezed = Atoms("CdSe", [[0, 0, 0], [0, 0, 1.99]])  # 0.8 of 2.5 is 2.0
    large = np.array([[0, 0, 15.1], [0, 0, -15.1]])
    broken = np.array([[0, 0, np.nan], [0, 0, 1.0]])
    frames = [frame(atoms), frame(squeezed), frame(atoms), frame(atoms)]
    results = [np.zeros((2, 3)), np.zeros((2, 3)), large, broken]
    combined = [combine([Result(0.0, f, None)]) for f in results]

    def reasons(known, limits=None):
        candidates = by_distance(frames, seen)
        reject(candidates, combined, known, seen, limits or Limits())
        return [c.rejected for c in candidates]

    found = reasons([])
    assert found[0] == ""
    assert found[1] == "a distance below 0.8 of the shortest trained on"
    assert found[2] == "a force beyond 15 eV/Å"
    assert found[3] == "energy or forces not finite"
    known = frame(atoms)
    known.forces = np.array([[0, 0, 12.0], [0, 0, -12.0]])  # 1.5 x 12 = 18
    assert reasons([known])[2] == ""
    known.forces = known.forces / 2
    assert reasons([known])[2] == "a force beyond 9 eV/Å"


def test_members_that_agree_on_nothing_have_seen_the_end_of_a_run():
    frames = [frame(Atoms("H10", np.arange(30.0).reshape(10, 3)))] * 2
    combined = [two_members(force=1.4), two_members(force=1.6)]
    candidates = by_committee(frames, combined, Limits())
    reject(candidates, combined, [], {}, Limits())
    assert [c.rejected for c in candidates] == ["", "a spread beyond 1.5 eV/Å"]


# -- from end to end ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, list[Path], Path, Path]:
    """Three random potentials, a dump of a dot of 147 atoms, and small clusters as extxyz."""
    folder = tmp_path_factory.mktemp("select")
    models = [folder / f"{k}.qdml" for k in range(3)]
    for seed, path in enumerate(models):
        random_model(path, l_max=1, layers=2, channels=8, message_channels=16, seed=seed)
    rng = np.random.default_rng(0)
    dot = build_dot("CdSe", 19.0).atoms
    dot = Atoms(dot.numbers, dot.positions)
    lines = []
    for step in range(4):
        moved = rattle_thermally(dot, 300.0, rng)
        lines += ["ITEM: TIMESTEP", str(100 * step), "ITEM: NUMBER OF ATOMS", str(len(dot)),
                  "ITEM: BOX BOUNDS pp pp pp", *["-40 40"] * 3,
                  "ITEM: ATOMS id type element x y z"]  # fmt: skip
        lines += [
            f"{i + 1} 1 {s} {x:.6f} {y:.6f} {z:.6f}"
            for i, (s, (x, y, z)) in enumerate(zip(moved.symbols, moved.positions, strict=True))
        ]
    dump = folder / "md.lammpstrj"
    dump.write_text("\n".join(lines) + "\n")
    start = build_dot(**preset("Cd16Se13Cl6")).atoms
    start = Atoms(start.numbers, start.positions)
    small = [rattle_thermally(start, 300.0, rng) for _ in range(6)]
    ase.io.write(folder / "small.extxyz", small)
    return folder, models, dump, folder / "small.extxyz"


def test_select_writes_what_label_takes(run):
    folder, models, dump, small = run
    names = [x for m in models for x in ("--model", str(m))]
    output = folder / "picked.extxyz"
    arguments = [str(dump), str(small), *names, "--budget", "6", "--largest-force", "1e6",
                 "--hopeless-spread", "1e6", "--max-atoms", "50", "-o", str(output)]  # fmt: skip
    result = CliRunner().invoke(app, ["select", *arguments])
    assert result.exit_code == 0, result.output
    picked = ase.io.read(output, ":")
    assert len(picked) == 6
    assert "6 frames for qdml label" in result.output
    assert {a.info["parent_file"] for a in picked} == {"md.lammpstrj", "small.extxyz"}
    for atoms in picked:
        assert len(atoms) <= 50
        assert formal_charge(atoms).total == 0
        assert atoms.info["split"] == "train"
        assert atoms.info["origin"] in ("select-md", "select-small")
        assert atoms.info["max_force_spread"] == atoms.info["uncertainty"]
        assert not atoms.pbc.any()  # the box of the dump was empty space
        boxed(atoms)
        if atoms.info["parent_file"] == "md.lammpstrj":
            assert atoms.info["charge"] == 0
            row = atoms.info["uncertain_atom"]
            assert atoms.arrays["parent_index"][row] == atoms.info["parent_atom"]
    again = CliRunner().invoke(app, ["select", *arguments[:-1], str(folder / "again.extxyz")])
    assert again.exit_code == 0
    assert (folder / "again.extxyz").read_text() == output.read_text()


def test_the_most_uncertain_frame_comes_first_and_sources_share(run):
    _, models, dump, small = run
    frames = read_candidates([dump, small])
    assert [f.index for f in frames] == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5]
    limits = Limits(largest_force=1e6, hopeless_spread=1e6)
    request = Request(models, budget=4, max_atoms=200, limits=limits)
    found = select_frames(frames, request)
    assert found.measure == "committee"
    assert found.features == "node scalars"
    most = max(c.uncertainty for c in found.candidates)
    assert found.picked[0].info["uncertainty"] == most
    one = select_frames(frames, replace(request, per_source=1))
    assert sorted(a.info["parent_file"] for a in one.picked) == ["md.lammpstrj", "small.extxyz"]
    assert one.counts["picked"] == 2


def test_a_committee_file_selects_as_its_members_do(run, tmp_path):
    _, models, dump, _ = run
    frames = read_candidates([dump])
    together = tmp_path / "together.qdml"
    write_committee(together, [m for path in models for m in read_members(path)])
    limits = Limits(largest_force=1e6, hopeless_spread=1e6)
    apart = select_frames(frames, Request(models, budget=2, max_atoms=200, limits=limits))
    whole = select_frames(frames, Request([together], budget=2, max_atoms=200, limits=limits))
    assert whole.measure == "committee"
    for one, other in zip(apart.candidates, whole.candidates, strict=True):
        assert other.uncertainty == pytest.approx(one.uncertainty, rel=1e-9)
    assert [a.info["parent_frame"] for a in whole.picked] == [
        a.info["parent_frame"] for a in apart.picked
    ]


def test_a_dot_stays_a_dot_where_its_box_is_nearly_full(run, tmp_path):
    """Atoms of a hot dot leave gaps too small to be seen; `vacuum_axes` says what the box is."""
    _, models, _, small = run
    dot = ase.io.read(small)
    tight = Atoms(dot.numbers, dot.positions, cell=np.ptp(dot.positions, axis=0) + 3.5, pbc=True)
    tight.center()
    for axes in ("xyz", None):
        tight.info = {} if axes is None else {"vacuum_axes": axes}
        path = tmp_path / "tight.extxyz"
        ase.io.write(path, [tight])
        limits = Limits(largest_force=1e6, hopeless_spread=1e6)
        request = Request(models, budget=1, limits=limits)
        (picked,) = select_frames(read_candidates([path]), request).picked
        assert picked.pbc.any() == (axes is None)
        assert ("kpoints" in picked.info) == (axes is None)


def test_candidates_of_a_dump_keep_their_numbers(run):
    _, _, dump, _ = run
    frames = read_candidates([dump], stride=2)
    assert [f.index for f in frames] == [0, 2]
    assert frames[0].origin == "md"
    with pytest.raises(DataError, match="no such file"):
        read_candidates([dump.with_name("absent.extxyz")])


def test_one_potential_with_its_training_data(run):
    """Frames like the training frames are certain; others are found by their node scalars."""
    _, models, dump, small = run
    known = read_candidates([small])
    limits = Limits(largest_force=1e6, hopeless_spread=1e6)
    request = Request(models[:1], known=known, max_atoms=200, limits=limits)
    for f in known:
        f.forces = None
    same = select_frames(known, request)
    assert same.measure == "distance of node scalars to the training data"
    assert same.counts["uncertain"] == 0
    other = select_frames(read_candidates([dump]), request)
    assert other.counts["uncertain"] == 4
    assert other.picked[0].info["feature_distance"] > other.picked[0].info["uncertainty_threshold"]


def test_nothing_uncertain_writes_nothing(run):
    folder, models, _, small = run
    loose = Limits(1e9, 1e9, 1e9, largest_force=1e9)
    found = select_frames(read_candidates([small]), Request(models, limits=loose))
    output = folder / "nothing.extxyz"
    with pytest.raises(DataError, match="no sound frame is uncertain"):
        write_selection(found, output, silent())
    assert not output.exists()
    with pytest.raises(DataError, match="no frames to choose from"):
        select_frames([], Request(models))


def test_a_dot_that_cannot_be_cut_is_named(run):
    _, models, dump, _ = run
    request = Request(
        models, max_atoms=20, cap="I", limits=Limits(largest_force=1e6, hopeless_spread=1e6)
    )
    found = select_frames(read_candidates([dump]), request)
    assert found.picked == []
    assert len(found.not_carved) == 4
    assert all("which the potential does not know" in t or "no neutral cluster" in t
               for t in found.not_carved)  # fmt: skip
    assert any("capped with I" in text for text in found.not_carved)
