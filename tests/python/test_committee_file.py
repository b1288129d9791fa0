# SPDX-License-Identifier: MIT
"""Committee files: packing, what may differ, the engine, the calculator and the commands."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import models
import numpy as np
import pytest
from ase.build import bulk
from qdml import Calculator
from qdml.cli.main import main
from qdml.committee import Member, read_members, write_committee
from qdml.engine import Engine
from qdml.errors import DataError, ModelFileError
from qdml.modelfile import content_hash, read_file, read_model, write_model

SPECIES = ("Cd", "Se", "Cl")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("members")
    paths = [
        models.random_model(
            folder / f"{seed}.qdml", SPECIES, channels=8, message_channels=16, seed=seed
        )
        for seed in (1, 2, 3)
    ]
    for k, path in enumerate(paths):
        document, tensors = read_model(path)
        seen = {"Cd-Se": 2.3 + 0.1 * k} | ({"Cd-Cd": 2.9} if k == 1 else {})
        training = {"force_rmse_mev_per_angstrom": 20.0 + k}
        write_model(path, document | {"distances_seen": seen, "training": training}, tensors)
    return paths


@pytest.fixture(scope="module")
def packed(files) -> Path:
    path = files[0].parent / "committee.qdml"
    write_committee(path, [read_members(f)[0] for f in files], description="three seeds")
    return path


def structure():
    atoms = bulk("CdSe", "zincblende", a=6.05, cubic=True).repeat((2, 1, 1))
    atoms.numbers[3] = 17
    atoms.positions += np.random.default_rng(4).normal(scale=0.1, size=(len(atoms), 3))
    return atoms


def test_members_come_back_as_they_were(files, packed):
    members = read_members(packed)
    assert [m.hash for m in members] == [content_hash(f) for f in files]
    for member, path in zip(members, files, strict=True):
        document, tensors = read_model(path)
        assert member.document == document
        assert member.tensors.keys() == tensors.keys()
        for name, array in tensors.items():
            np.testing.assert_array_equal(member.tensors[name], array)
    assert [m.hash for m in read_members(files[0])] == [content_hash(files[0])]
    document, tensors = read_file(packed)
    assert document["format"] == 3
    assert document["distances_seen"] == {"Cd-Se": 2.5, "Cd-Cd": 2.9}
    assert tensors["energy.scale"].shape == (3, 3)


def test_a_member_can_be_written_alone_again(packed, files, tmp_path):
    member = read_members(packed)[1]
    write_model(tmp_path / "alone.qdml", member.document, member.tensors)
    document, _ = read_model(tmp_path / "alone.qdml")
    assert document["format"] == read_model(files[1])[0]["format"]
    assert "members" not in document


def test_programs_for_one_potential_refuse_a_committee(packed):
    with pytest.raises(ModelFileError, match=r"holds 3 members where one .*several_members"):
        read_model(packed)


@pytest.mark.parametrize("precision", ["mixed", "double"])
def test_engine_gives_each_member_and_the_averages(files, packed, precision):
    atoms = structure()
    engine = Engine(packed, precision)
    assert engine.n_members == 3
    species = engine.species_of(atoms.get_chemical_symbols())
    system = (atoms.positions, species, atoms.cell.array, atoms.pbc)
    found = engine.compute(*system, per_atom=True)
    alone = [Engine(f, precision).compute(*system, per_atom=True) for f in files]
    np.testing.assert_array_equal(found.member_energies, [a.energy for a in alone])
    np.testing.assert_array_equal(found.member_forces, [a.forces for a in alone])
    for name in ("energy", "forces", "virial", "energies", "virials"):
        wanted = sum(getattr(a, name) for a in alone) / 3
        np.testing.assert_allclose(getattr(found, name), wanted, rtol=1e-12, atol=1e-12)
    assert alone[0].member_forces is None
    assert alone[0].forces_spread is None
    assert alone[0].energy_spread is None
    assert Engine(files[0]).n_members == 1


def test_calculator_has_the_spread(files, packed):
    atoms = structure()
    atoms.calc = Calculator(packed, precision="double")
    forces = []
    for path in files:
        one = structure()
        one.calc = Calculator(path, precision="double")
        forces.append(one.get_forces())
        assert "forces_spread" not in one.calc.results
    np.testing.assert_allclose(atoms.get_forces(), np.mean(forces, axis=0), rtol=0, atol=1e-12)
    spread = np.sqrt(((forces - np.mean(forces, axis=0)) ** 2).sum(axis=2).mean(axis=0))
    np.testing.assert_allclose(atoms.calc.results["forces_spread"], spread, rtol=0, atol=1e-12)
    assert spread.min() > 0.01
    assert atoms.calc.results["energy_spread"] > 0


def test_spread_factors_scale_every_spread_and_nothing_else(files, packed, tmp_path):
    path = tmp_path / "calibrated.qdml"
    write_committee(path, read_members(packed), spread_factors={"energy": 3.0, "forces": 2.0})
    found = {}
    for name, file in (("raw", packed), ("scaled", path)):
        atoms = structure()
        atoms.calc = Calculator(file, precision="double")
        found[name] = atoms.get_forces(), dict(atoms.calc.results)
    np.testing.assert_array_equal(found["raw"][0], found["scaled"][0])
    raw, scaled = found["raw"][1], found["scaled"][1]
    assert raw["energy"] == scaled["energy"]
    assert scaled["energy_spread"] == pytest.approx(3 * raw["energy_spread"], rel=1e-14)
    np.testing.assert_allclose(scaled["forces_spread"], 2 * raw["forces_spread"], rtol=1e-14)
    # a member on its own has no spread, and no trace of the factors
    assert read_members(path)[0].document == read_model(files[0])[0]


def test_the_command_takes_the_factors_from_an_evaluation(files, tmp_path, capsys, monkeypatch):
    rng = np.random.default_rng(2)
    spread = rng.uniform(0.1, 0.2, 60)
    error = 4 * spread[:, None] / np.sqrt(3) * rng.choice([-1.0, 1.0], (60, 3))
    frame = {
        "split": "valid", "origin": "bulk", "n_atoms": 60, "numbers": [48] * 60,
        "energy": {"reference": 1.0, "predicted": 1.0, "spread": 0.1},
        "forces": {"reference": np.zeros((60, 3)).tolist(), "predicted": error.tolist(),
                   "spread": spread.tolist()},
    }  # fmt: skip
    document = {
        "format": 1, "model": "committee", "model_hash": "0", "backend": "engine",
        "level_of_theory": "", "units": {"energy": "eV", "length": "angstrom"}, "frames": [frame],
        "members": [{"model": f.name, "model_hash": content_hash(f)} for f in files],
        "spread_factors": {"energy": 1.0, "forces": 0.5},
    }  # fmt: skip
    evaluation = tmp_path / "evaluation.json"
    evaluation.write_text(json.dumps(document))
    output = tmp_path / "out.qdml"
    words = ["committee", *map(str, files), "-o", str(output), "--calibrate", str(evaluation)]
    assert run(words, monkeypatch) == 0
    # errors are 4 spreads that had been halved already; one frame is too few for the energy
    factors = read_file(output)[0]["spread_factors"]
    assert factors == pytest.approx({"energy": 4.0, "forces": 2.0})
    assert "multiplied by 4 (energy) and 2 (forces)" in capsys.readouterr().out
    document["members"] = document["members"][:2]
    evaluation.write_text(json.dumps(document))
    assert run(words, monkeypatch) != 0
    assert "no evaluation of these members" in capsys.readouterr().err


def change(member: Member, tensors=None, **document) -> Member:
    return Member(member.document | document, tensors or member.tensors)


def test_what_may_not_differ_is_named(files, tmp_path):
    a, b, _ = (read_members(f)[0] for f in files)
    without = {k: v for k, v in b.tensors.items() if k != "zbl.r_max"}
    cutoff = b.document["architecture"] | {"cutoff": 4.5}
    layers = json.loads(json.dumps(b.document["architecture"]))
    layers["layers"][1]["channels_in"][0] = 9
    for other, message in (
        (change(b, architecture=cutoff), r"architecture\.cutoff is 5\.0 in a and 4\.5 in b"),
        (
            change(b, architecture=layers),
            r"architecture\.layers\.1\.channels_in\.0 is 8 in a and 9",
        ),
        (change(b, species=["Se", "Cd", "Cl"]), r"species\.0 is 'Cd' in a and 'Se' in b"),
        (change(b, species=["Cd", "Se"]), r"species is \['Cd', 'Se', 'Cl'\] in a"),
        (change(b, level_of_theory="PBE"), r"level_of_theory is .* in a and 'PBE' in b"),
        (change(b, without), r"a has a ZBL term, b has none"),
    ):
        with pytest.raises(DataError, match=message):
            write_committee(tmp_path / "x.qdml", (a, other), ("a", "b"))
    with pytest.raises(DataError, match="b has a ZBL term, a has none"):
        write_committee(tmp_path / "x.qdml", (change(b, without), a), ("a", "b"))
    with pytest.raises(DataError, match="2 to 64 potentials, found 1"):
        write_committee(tmp_path / "x.qdml", [a])
    assert not (tmp_path / "x.qdml").exists()


def test_single_precision_is_kept_when_all_have_it(files, tmp_path):
    members = [read_members(f)[0] for f in files]
    single = [
        Member(m.document, {k: v.astype(np.float32) for k, v in m.tensors.items()}) for m in members
    ]
    write_committee(tmp_path / "s.qdml", single)
    write_committee(tmp_path / "d.qdml", [single[0], members[1]])
    assert read_file(tmp_path / "s.qdml")[1]["energy.scale"].dtype == np.float32
    assert read_file(tmp_path / "d.qdml")[1]["energy.scale"].dtype == np.float64


def run(arguments: list[str], monkeypatch) -> int:
    """The command `qdml`; its exit code."""
    monkeypatch.setattr(sys, "argv", ["qdml", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


def test_commands(files, packed, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    output = tmp_path / "all.qdml"
    fourth = models.random_model(
        tmp_path / "4.qdml", SPECIES, channels=8, message_channels=16, seed=4
    )
    words = ["committee", str(packed), str(fourth), "-o", str(output)]
    assert run(words, monkeypatch) == 0
    assert "4 members" in capsys.readouterr().out
    assert [m.hash for m in read_members(output)] == [content_hash(f) for f in (*files, fourth)]
    assert run(["info", str(packed)], monkeypatch) == 0
    told = capsys.readouterr().out
    for word in ("member 3", content_hash(files[2])[:20], "force RMSE, meV/Å 22.00", "three seeds"):
        assert word in told
    assert run(["info", "--json", str(packed)], monkeypatch) == 0
    assert len(json.loads(capsys.readouterr().out)["members"]) == 3
    other = models.random_model(tmp_path / "wide.qdml", SPECIES, channels=16, message_channels=16)
    assert (
        run(["committee", str(files[0]), str(other), "-o", str(tmp_path / "no.qdml")], monkeypatch)
        != 0
    )
    assert "channels_in.0 is 8 in" in capsys.readouterr().err
    assert not (tmp_path / "no.qdml").exists()


def test_the_same_potential_twice_is_no_committee(files, packed, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    words = ["committee", str(packed), str(files[1]), "-o", str(tmp_path / "no.qdml")]
    assert run(words, monkeypatch) != 0
    assert f"{files[1]} and {packed} (member 2) are the same" in capsys.readouterr().err
    assert not (tmp_path / "no.qdml").exists()
