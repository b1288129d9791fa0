"""Each shipped potential still gives what it gave when it was shipped, and has a card."""
# SPDX-License-Identifier: MIT

import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
import qdml
from qdml.committee import read_members, write_committee
from qdml.modelfile import read_file

POTENTIALS = Path(__file__).resolve().parents[2] / "potentials"
SHIPPED = sorted(POTENTIALS.glob("*/*.qdml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_potential_gives_its_reference_values(path):
    frames = ase.io.read(path.with_suffix(".reference.extxyz"), ":")
    assert len(frames) >= 2
    for precision, energy_limit, force_limit in (("double", 1e-8, 1e-7), ("mixed", 2e-6, 1e-4)):
        calculator = qdml.Calculator(path, precision=precision)
        for frame in frames:
            atoms = frame.copy()
            atoms.calc = calculator
            change = atoms.get_potential_energy() - frame.get_potential_energy()
            assert abs(change) / len(frame) < energy_limit
            assert np.abs(atoms.get_forces() - frame.get_forces()).max() < force_limit


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_card_names_the_file_and_its_hash(path):
    card = (path.parent / "README.md").read_text()
    info = qdml.Calculator(path).engine.info
    assert path.name in card
    assert info["hash"][:12] in card


def test_something_is_shipped():
    assert SHIPPED


@pytest.mark.parametrize(
    "path", [p for p in SHIPPED if p.stem.endswith("-committee")], ids=lambda path: path.stem
)
def test_a_committee_is_the_fast_file_and_others_like_it_with_calibrated_spreads(path):
    members = read_members(path)
    fast = path.with_stem(path.stem.replace("-committee", "-fast"))
    assert members[0].hash == qdml.Calculator(fast).engine.info["hash"]
    assert len(members) >= 3
    assert len({member.hash for member in members}) == len(members)
    factors = read_file(path)[0]["spread_factors"]
    assert all(0.5 < factors[name] < 10 for name in ("energy", "forces"))


def test_the_reference_set_is_of_held_out_frames(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(POTENTIALS / "common"))
    sys.modules.pop("ship", None)
    from ship import held_out_frames, predicted, write_reference

    shipped = POTENTIALS / "pbse" / "pbse-pbe-fast.qdml"
    archive = str(POTENTIALS / "pbse" / "data" / "pbse-pbe.extxyz.xz")
    copy = tmp_path / shipped.name
    copy.write_bytes(shipped.read_bytes())
    frames = held_out_frames(archive)
    write_reference(str(copy), predicted(str(copy), frames))
    written = ase.io.read(copy.with_suffix(".reference.extxyz"), ":")
    held_out = {f.positions.round(6).tobytes() for f in frames}
    assert len({f.info["origin"] for f in written}) == len(written) >= 4
    assert all(f.positions.round(6).tobytes() in held_out for f in written)
    calculator = qdml.Calculator(shipped, precision="double")
    for frame in written:
        atoms = frame.copy()
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(frame.get_potential_energy())


def test_thinner_tables_keep_values_and_slopes_at_their_knots(monkeypatch):
    monkeypatch.syspath_prepend(str(POTENTIALS / "common"))
    sys.modules.pop("ship", None)
    from ship import thinned

    x = np.linspace(0.0, 1.0, 13)[:, None]
    table = np.stack([np.sin(x), np.cos(x) / 12], axis=1)
    document = {"architecture": {"knots": 12}, "proof": {"frames": 3}}
    found, tensors = thinned(document, {"layers.0.radial": table, "other": x}, 3)
    assert found["architecture"]["knots"] == 4
    assert found["proof"] is None
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float32)}
    assert np.array_equal(tensors["layers.0.radial"][:, 0], np.sin(x[::3]).astype(np.float32))
    assert tensors["layers.0.radial"][:, 1] == pytest.approx(np.cos(x[::3]) / 4)
    assert np.array_equal(tensors["other"], x.astype(np.float32))
    with pytest.raises(SystemExit, match="cannot be divided"):
        thinned(document, {}, 5)


def test_a_committee_ships_in_single_precision(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(POTENTIALS / "common"))
    sys.modules.pop("ship", None)
    from ship import main, write_single

    fast = POTENTIALS / "pbse" / "pbse-pbe-fast.qdml"
    double, single = tmp_path / "double.qdml", tmp_path / "single.qdml"
    alone = read_members(fast)
    write_committee(double, alone * 2, None, "two", {"energy": 3.0, "forces": 2.0})
    write_single(str(double), str(single))
    assert single.stat().st_size < 0.6 * double.stat().st_size
    document = read_file(single)[0]
    assert document["description"] == "two"
    assert document["spread_factors"] == {"energy": 3.0, "forces": 2.0}
    for member in read_members(single):
        assert member.hash == alone[0].hash
        assert member.document["proof"] is None
        for name, tensor in member.tensors.items():
            assert np.array_equal(tensor, alone[0].tensors[name].astype(np.float32)), name
    with pytest.raises(SystemExit, match="is a committee"):
        main(str(double), str(tmp_path / "x.qdml"), 5, "unread.xyz")
