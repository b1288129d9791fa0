# SPDX-License-Identifier: MIT
"""Learning curves: nested parts of every origin, equal steps, errors and their power law."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import yaml
from labelled_frames import lj_frames, write_frames
from qdml.errors import ConfigError
from qdml_train import curve
from qdml_train.cli import app
from qdml_train.curve import Point, exponent, gain, point_of, run_curve
from qdml_train.frames import frame_from_atoms
from qdml_train.predictor import engine_available
from qdml_train.split import part_of_each
from rich.console import Console
from tiny_fits import TINY
from typer.testing import CliRunner


def test_parts_lie_within_each_other_and_are_spread():
    frames = [frame_from_atoms(atoms, "a.extxyz", k) for k, atoms in enumerate(lj_frames(11))]
    for k, frame in enumerate(frames):
        frame.origin = "a" if k < 8 else "b" if k < 10 else "c"
    quarter, half, whole = (part_of_each(frames, part) for part in (0.25, 0.5, 1.0))
    assert list(map(id, whole)) == list(map(id, frames))
    assert set(map(id, quarter)) < set(map(id, half)) < set(map(id, whole))
    # 2 of the 8, far from each other; one of every smaller origin
    assert [f.index for f in quarter] == [0, 4, 8, 10]
    assert [f.index for f in half] == [0, 2, 4, 6, 8, 10]


@pytest.fixture
def config(tmp_path):
    frames = lj_frames(24)[1::2]
    for k, atoms in enumerate(frames):
        atoms.info.update(origin="clusters", split="test" if k % 3 == 2 else "train")
    data = write_frames(tmp_path / "frames.extxyz", frames)
    path = tmp_path / "run.yaml"
    content = {
        "data": {"train": str(data), "split": "info"}, "model": TINY,
        "train": {"epochs": 2, "batch_atoms": 16, "validate_every": 2},
        "output": str(tmp_path / "curve"),
    }  # fmt: skip
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.skipif(not engine_available(), reason="fits are exported with their proof")
def test_a_curve_of_two_fits(config, monkeypatch):
    folder = config.parent / "curve"
    result = CliRunner().invoke(app, ["curve", str(config), "--parts", "50,100"])
    assert result.exit_code == 0, result.output
    document = json.loads((folder / "curve.json").read_text())
    assert [p["n_frames"] for p in document["points"]] == [4, 8]
    for part, epochs in (("50", 4), ("100", 2)):
        fit = yaml.safe_load((folder / part / "config.yaml").read_text())
        assert fit["train"]["epochs"] == epochs
        found = json.loads((folder / part / "evaluation.json").read_text())
        assert found["summary"]["by_split"]["test"]["n_frames"] == 4
    assert set(document["points"][0]["errors"]) == {"all held-out frames", "clusters"}
    page = (folder / "curve.html").read_text()
    assert page.count("<img") == 2
    assert "twice the frames" in page
    # nothing is fitted again
    monkeypatch.setattr(curve, "run_fit", None)
    assert len(run_curve(config, [0.5, 1.0], [], Console(file=io.StringIO()))) == 2
    # but for another configuration everything is
    with pytest.raises(TypeError, match="not callable"):
        run_curve(config, [0.5, 1.0], ["train.seed=7"], Console(file=io.StringIO()))


def test_parts_that_make_no_curve_are_refused(config):
    for parts in ([0.5], [0.5, 0.5], [0.0, 1.0], [0.5, 1.2]):
        with pytest.raises(ConfigError, match="at least two percentages above 0, at most 100"):
            run_curve(config, parts, [], Console())
    with pytest.raises(ConfigError, match="what the curve varies"):
        run_curve(config, [0.5, 1.0], ["data.train_fraction=0.5"], Console())
    result = CliRunner().invoke(app, ["curve", str(config), "--parts", "half"])
    assert "expected percentages" in str(result.exception)


def test_the_power_law_and_what_it_promises():
    n = np.array([10, 20, 40])
    assert exponent(n, 5.0 * n**-0.5) == pytest.approx(0.5)
    assert exponent([10], [1.0]) is None
    assert exponent([], []) is None
    assert gain(1.0) == "-50 %"
    assert gain(None) is None


def test_without_test_frames_the_validation_counts():
    row = {"n_frames": 3, "force_rmse_mev_per_angstrom": 20.0, "energy_mae_mev_per_atom": None}
    summary = {
        "by_split": {"train": row | {"n_frames": 9}, "valid": row},
        "by_origin": {"train/a": row, "valid/a": row},
    }
    found = point_of({"summary": summary}, 0.5)
    expected = {"force_rmse_mev_per_angstrom": 20.0, "energy_mae_mev_per_atom": None}
    assert found == Point(0.5, 9, {"all held-out frames": expected, "a": expected})
