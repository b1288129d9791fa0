# SPDX-License-Identifier: MIT
"""Reading, dividing and reducing data; the configuration."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from qdml.errors import ConfigError, DataError
from qdml_train.config import dump_config, load_config, parse_config
from qdml_train.dataset import load_dataset, repulsion
from qdml_train.frames import frame_from_atoms
from qdml_train.neighbors import build_neighbors
from qdml_train.packing import (
    MAX_SHAPES,
    Sample,
    epoch_batches,
    make_buckets,
    shared_buckets,
)
from qdml_train.sources import read_frames
from qdml_train.split import block_split, split_frames
from qdml_train.statistics import reference_energies, species_of
from train_helpers import cluster, frame, lj_frames, write_frames

MINIMAL = {"data": {"train": "x.extxyz"}, "train": {"epochs": 3}}


# -- configuration ------------------------------------------------------------------------------


def changed(section: str, **values: object) -> dict:
    content = {k: dict(v) for k, v in MINIMAL.items()}
    content.setdefault(section, {}).update(values)
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed("train", learning_rat=0.1), "train.learning_rat.*train.learning_rate"),
        (changed("data", cutoff=5.0), "data.cutoff.*model.cutoff"),
        ({**MINIMAL, "modell": {}}, "modell.*did you mean 'model'"),
        (changed("model", cutoff=-1.0), "model.cutoff = -1.0"),
        (changed("model", message_channels=20), "model.message_channels = 20.*multiple of 16"),
        (changed("model", channels=[32], l_max=1), "model.channels has 1 numbers, l_max 1 needs 2"),
        ({"data": {"train": "x"}}, "train.time_budget .* or train.epochs"),
        ({"train": {"epochs": 1}}, "key 'data' is missing"),
        (changed("train", time_budget="soon"), "train.time_budget = 'soon'"),
    ],
)
def test_config_faults_name_key_and_remedy(content, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(content)


def test_overrides_and_round_trip(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("data: {train: a.extxyz}\ntrain: {time_budget: 6m}\n")
    config = load_config(path, ["train.learning_rate=0.002", "data.train=b.extxyz", "output=o"])
    assert config.train.time_budget == 360.0
    assert config.train.learning_rate == 0.002
    assert [str(p) for p in config.data.train] == ["b.extxyz"]
    path.write_text(dump_config(config))
    assert load_config(path) == config
    with pytest.raises(ConfigError, match=r"section\.key=value"):
        load_config(path, ["nonsense"])
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "absent.yaml")
    path.write_text("data: [unclosed")
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        load_config(path)


def test_every_key_is_documented():
    from pathlib import Path

    from qdml_train.config import Config, section_of

    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text()

    def keys(section, prefix=""):
        for name, field in section.model_fields.items():
            inner = section_of(field.annotation)
            name = field.alias or name
            if inner is None:
                yield prefix + name
            elif prefix == "data.":
                # the three lists of sources share one description
                yield prefix + name
                yield from keys(inner, "source.")
            else:
                yield from keys(inner, f"{prefix}{name}.")

    found = sorted(set(keys(Config)))
    assert "source.units.energy" in found
    assert "train.huber" in found
    for key in found:
        assert f"`{key}`" in text, f"docs/training.md does not mention `{key}`"


# -- frames and splits --------------------------------------------------------------------------


def test_labels_survive_the_file(tmp_path):
    frames = lj_frames(2)
    found = read_frames(write_frames(tmp_path / "f.extxyz", frames))
    for a, b in zip(frames, found, strict=True):
        assert b.energy == pytest.approx(a.get_potential_energy(), abs=1e-7)
        np.testing.assert_allclose(b.forces, a.get_forces(), atol=1e-7)
        assert b.origin == a.info["origin"]
    np.testing.assert_allclose(found[0].stress, frames[0].get_stress(), atol=1e-8)
    assert found[1].stress is None


def test_frames_without_labels_are_refused(tmp_path):
    atoms = cluster()
    atoms.info["E_tot"] = 1.0
    path = write_frames(tmp_path / "f.extxyz", [atoms])
    with pytest.raises(DataError, match=r"frame 0 of f.extxyz has no forces.*E_tot"):
        read_frames(path)
    with pytest.raises(DataError, match="no such file"):
        read_frames(tmp_path / "absent.extxyz")


def test_split_by_info_origin_temperature_and_blocks(tmp_path):
    frames = lj_frames(10)
    for k, atoms in enumerate(frames):
        atoms.info["split"] = "test" if k == 3 else "valid" if k == 4 else "train"
        atoms.info["temperature"] = 300.0 if k < 6 else 600.0
    path = write_frames(tmp_path / "f.extxyz", frames)

    def split(**section):
        config = parse_config({"data": {"train": path, **section}, "train": {"epochs": 1}})
        return [[f.index for f in part] for part in split_frames(config.data)[:3]]

    assert split() == [[0, 1, 2, 5, 6, 7, 8, 9], [4], [3]]
    assert split(split="origins", test_origins=["cluster"], valid_fraction=0.2)[2] == [
        1,
        3,
        5,
        7,
        9,
    ]
    assert split(split="origins", test_temperatures=[600.0])[2] == [6, 7, 8, 9]
    train, valid, test = split(split="blocks", valid_fraction=0.2, test_fraction=0.2)
    assert sorted(train + valid + test) == list(range(10))
    assert test == [8, 9]  # the end of each of the two origins
    with pytest.raises(ConfigError, match="no frame has origin 'dot'"):
        split(split="origins", test_origins=["dot"])


def test_small_origins_share_a_fraction():
    frames = [frame(cluster(), k) for k in range(10)]
    for k, f in enumerate(frames):
        f.origin = str(k)
    train, valid, _ = block_split(frames, 0.2, 0.0)
    assert len(valid) == 2
    assert len(train) == 8


def dataset(tmp_path, frames, **section):
    path = write_frames(tmp_path / "f.extxyz", frames)
    return load_dataset(
        parse_config(
            {
                "data": {"train": path, "split": "none", **section},
                "train": {"epochs": 1},
                "model": {"cutoff": 4.0},
            }
        )
    )


def test_weights_follow_the_pattern_of_the_origin(tmp_path):
    frames = lj_frames(4)
    found = dataset(tmp_path, frames, origin_weights={"clus*": 0.25})
    weights = [s.force_weight for s in found.samples["train"]]
    assert weights == [1.0, 0.25, 1.0, 0.25]
    assert [s.energy_weight for s in found.samples["train"]] == weights


def test_large_forces_unseen_elements_and_mixed_levels(tmp_path):
    frames = lj_frames(6)
    limit = max(np.linalg.norm(a.get_forces(), axis=1).max() for a in frames) - 1e-6
    found = dataset(tmp_path, frames, max_force=limit)
    assert len(found.train) == 5
    assert any("left out 1 training frames" in m for m in found.messages)
    assert len(found.valid) == 5, "validating on the training frames means those that are left"
    frames[0].info["level_of_theory"] = "HF"
    with pytest.raises(DataError, match="mix levels of theory"):
        dataset(tmp_path, frames)
    frames[0].info["level_of_theory"] = "LJ"
    frames[1].symbols[0] = "Kr"
    test_only = write_frames(tmp_path / "t.extxyz", [frames[1]])
    with pytest.raises(DataError, match="Kr, which no training frame has"):
        dataset(tmp_path, [frames[0], frames[2]], test=str(test_only))


def test_force_only_data_is_accepted(tmp_path):
    frames = lj_frames(4)
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, forces=atoms.get_forces())
    with pytest.raises(DataError, match=r"no energy.*data.use_energy: false"):
        dataset(tmp_path, frames)
    found = dataset(tmp_path, frames, use_energy=False)
    assert not found.e0.values.any()
    assert all(s.energy is None and s.forces is not None for s in found.samples["train"])


# -- reference energies -------------------------------------------------------------------------


def compound(formula: str, energy: float):
    atoms = Atoms(formula, positions=3.0 * np.arange(3 * len(Atoms(formula))).reshape(-1, 3))
    forces = np.zeros((len(atoms), 3))
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    return frame_from_atoms(atoms, "test", 0)


def test_least_squares_finds_e0_and_names_what_is_undetermined():
    e0 = {"O": -432.1, "Cd": -1283.123456, "Se": -255.9}
    frames = [
        compound(f, sum(e0[s] for s in Atoms(f).get_chemical_symbols()))
        for f in ("CdSe", "Cd2Se", "CdSe2O", "CdO2")
    ]
    species = species_of(frames)
    found = reference_energies(frames, species, "fit")
    np.testing.assert_allclose(found.values, [e0[s] for s in species], rtol=1e-12)
    assert found.undetermined == []
    stoichiometric = [compound("CdSe", -1.0), compound("Cd2Se2", -2.0)]
    found = reference_energies(stoichiometric, ("Se", "Cd"), "fit")
    assert len(found.undetermined) == 1
    assert "Cd" in found.undetermined[0]
    assert "Se" in found.undetermined[0]
    assert found.values.sum() == pytest.approx(-1.0)


def test_least_squares_follows_the_weights():
    frames = [compound("Cd", -1.0), compound("Cd2", -4.0), compound("Cd3", -9.0)]
    found = reference_energies(frames, ("Cd",), "fit", lambda f: 1.0 if f.n_atoms == 3 else 1e-9)
    assert found.values[0] == pytest.approx(-3.0, abs=1e-6)


def test_isolated_atoms_and_given_numbers():
    frames = [compound("Cd", -10.0), compound("Se", -20.0), compound("CdSe", -33.0)]
    np.testing.assert_array_equal(
        reference_energies(frames, ("Se", "Cd"), "auto").values, [-20, -10]
    )
    given = reference_energies(frames, ("Se", "Cd"), {"Cd": 1, "Se": 2})
    np.testing.assert_array_equal(given.values, [2.0, 1.0])
    with pytest.raises(DataError, match="no value for Se"):
        reference_energies(frames, ("Se", "Cd"), {"Cd": 1})
    with pytest.raises(DataError, match="no single-atom frame with an energy of Se"):
        reference_energies(frames[:1], ("Se", "Cd"), "isolated")


def test_repulsion_of_the_labels_is_that_of_the_model():
    """The ZBL part taken off the labels (numpy sums) equals what the potential adds."""
    from train_helpers import predict_one, small_potential

    atoms = cluster(spacing=1.1)
    with_zbl, without = (small_potential(0, 1, zbl) for zbl in (True, False))
    numbers, table = np.array([1, 6, 8]), with_zbl.tensors["zbl.r_max"]
    species = np.searchsorted(numbers, atoms.numbers)
    energy, forces, _ = repulsion(species, numbers, build_neighbors(frame(atoms), 4.0), table)
    a, b = predict_one(with_zbl, atoms), predict_one(without, atoms)
    assert energy > 1.0
    assert energy == pytest.approx(a.energy - b.energy, rel=1e-9)
    np.testing.assert_allclose(forces, a.forces - b.forces, atol=1e-9)


# -- packing ------------------------------------------------------------------------------------


def test_packing_keeps_every_frame_and_few_shapes():
    rng = np.random.default_rng(0)
    samples = []
    for k in range(60):
        atoms = cluster(int(rng.integers(2, 27)), seed=k, spacing=rng.uniform(1.2, 2.4))
        edges = build_neighbors(frame(atoms), 4.0)
        samples.append(Sample(np.zeros(len(atoms), np.int32), edges, None, None, None))
    buckets = make_buckets(samples, 64, 8)
    assert 1 <= len(buckets) <= MAX_SHAPES
    batches = epoch_batches(buckets, samples, seed=1, epoch=4)
    assert sorted(i for _, members in batches for i in members) == list(range(60))
    for shape, members in batches:
        assert sum(samples[i].n_atoms for i in members) <= shape.atoms
        assert max(samples[i].neighbors.n_slots for i in members) <= shape.slots
        assert len(members) <= shape.graphs
    train, valid = shared_buckets(samples[:40], samples[40:], 64, 8)
    assert {b.shape for b in (*train, *valid)} == {b.shape for b in buckets}
    assert sorted(i for b in train for i in b.members) == list(range(40))
    assert sorted(i for b in valid for i in b.members) == list(range(20))
    again = epoch_batches(buckets, samples, seed=1, epoch=4)
    assert [m for _, m in again] == [m for _, m in batches]
    assert [m for _, m in epoch_batches(buckets, samples, 1, 5)] != [m for _, m in batches]


def test_frames_with_other_elements_are_left_out(tmp_path):
    frames = lj_frames(6)
    elements = sorted(set(frames[0].get_chemical_symbols()))
    frames[1].symbols[0], frames[4].symbols[0] = "Kr", "Xe"
    found = dataset(tmp_path, frames, elements=elements)
    assert set(found.species) == set(elements)
    assert len(found.train) == 4
    assert any("left out 2 training frames" in text for text in found.messages)
    assert len(dataset(tmp_path, frames, elements=[*elements, "Kr"]).train) == 5
    with pytest.raises(DataError, match="no training frame is made of"):
        dataset(tmp_path, frames, elements=["Xe", "Kr"])


@pytest.mark.parametrize("elements", [["Cq"], []])
def test_elements_must_be_elements(tmp_path, elements):
    with pytest.raises(ConfigError, match=r"data\.elements"):
        dataset(tmp_path, lj_frames(4), elements=elements)
