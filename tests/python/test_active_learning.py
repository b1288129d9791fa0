# SPDX-License-Identifier: MIT
"""The loop of docs/active-learning.md, command by command, on five atoms with GFN1-xTB labels."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import ase.io
import numpy as np
import pytest
import yaml
from ase import Atoms
from qdml.cli.main import make_app, run_guarded
from qdml.label.queue import LabelOptions, label_frames
from qdml.modelfile import content_hash, read_model
from qdml.sample.dots import relax_gfn1
from qdml.sample.thermal import rattle_thermally
from qdml_train.cli import app
from qdml_train.predictor import engine_available
from typer.testing import CliRunner

PAGE = Path(__file__).resolve().parents[2] / "docs" / "active-learning.md"

SHORTER = (
    ("--steps 5000 --every 50", "--steps 12 --every 3"),
    ("--budget 50", "--budget 2"),
    ("--code cp2k --workers 2", "--code gfn1-xtb --workers 1"),
    ("qdml_train fit run.yaml", "qdml_train fit run.yaml --nve 0.02"),
    ("qdml_train eval", "qdml_train eval --nve 0.02"),
)
"""What the test changes in the commands of the page: lengths, numbers, and the code of labels."""


def commands() -> list[str]:
    """The commands of the page, in order."""
    blocks = re.findall(r"<!-- loop -->\n```\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_the_page_has_all_steps():
    text = "\n".join(commands())
    for step in ("qdml_train fit", "qdml_train eval", "qdml sample md", "qdml_train select",
                 "qdml label", "train.from=round0/a/model.qdml"):  # fmt: skip
        assert step in text
    for before, _ in SHORTER:
        assert before in text


def run(command: str) -> None:
    """One command of the page in this process; asserts that it ends well."""
    for before, after in SHORTER:
        command = command.replace(before, after)
    words = shlex.split(command)
    if words[:3] == ["python", "-m", "qdml_train"]:
        result = CliRunner().invoke(app, words[3:])
        assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception}"
    else:
        assert words[0] == "qdml"
        try:
            run_guarded(make_app(words[1:]), words[1:])
        except SystemExit as stop:
            assert not stop.code, command  # noqa: PT017


@pytest.mark.slow
@pytest.mark.skipif(not engine_available(), reason="native engine not installed")
def test_one_round_of_the_loop(tmp_path, monkeypatch):
    pytest.importorskip("tblite")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    start = relax_gfn1(Atoms("CdSeCdCl2", [[0, 0, 0], [2.6, 0, 0], [3.6, 2.3, 0],
                                           [1.5, 3.8, 0.0], [6.0, 2.2, 0.3]]))  # fmt: skip
    ase.io.write("dot.extxyz", start)
    frames = [rattle_thermally(start, 300.0, rng, softest=1.0) for _ in range(12)]
    for atoms in frames:
        atoms.info.update(origin="cluster", temperature=300.0)
    label_frames(frames, Path("frames.extxyz"), LabelOptions(code="gfn1-xtb", workers=1))
    Path("run.yaml").write_text(
        yaml.safe_dump(
            {
                "data": {"train": "frames.extxyz", "split": "blocks", "valid_fraction": 0.25},
                "model": {
                    "cutoff": 5.0, "l_max": 0, "layers": 1, "channels": [8],
                    "message_channels": 16, "knots": 16, "radial_hidden": [8], "readout": [8],
                },
                "train": {"epochs": 3, "batch_atoms": 40},
            }
        )
    )  # fmt: skip
    for command in commands():
        run(command)
    picked = ase.io.read("round1/picked.extxyz", ":")
    labelled = ase.io.read("round1/labelled.extxyz", ":")
    assert 1 <= len(picked) <= 2
    assert len(labelled) == len(picked)
    for atoms in labelled:
        assert atoms.info["origin"].startswith("select-")
        assert atoms.info["split"] == "train"
        assert np.isfinite(atoms.get_forces()).all()
    for member in "abc":
        base, tuned = (Path(f"round{k}/{member}/model.qdml") for k in (0, 1))
        assert content_hash(base) != content_hash(tuned)
        training = read_model(tuned)[0]["training"]
        assert training["n_train"] > read_model(base)[0]["training"]["n_train"]
        assert (Path(f"round1/{member}") / "report.html").exists()
    assert (Path("round0/committee") / "report.html").exists()
