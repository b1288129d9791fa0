# SPDX-License-Identifier: MIT
"""The table of features in docs/training.md: every claim names tests, and the tests exist.

And the few features that no other file of tests shows.
"""

from __future__ import annotations

import ast
import io
import json
import re
from pathlib import Path

import pytest
from labelled_frames import lj_frames, write_frames
from qdml_train.config import parse_config
from qdml_train.dataset import load_dataset
from qdml_train.loop import Fit
from qdml_train.monitor import Monitor
from rich.console import Console

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "training.md"
COLUMNS = ["feature", "qdml", "mlip", "nequix", "MACE", "NequIP", "apax", "metatrain", "DeePMD",
           "shown by"]  # fmt: skip


def rows(text: str) -> list[dict[str, str]]:
    """The rows of the table whose head is COLUMNS."""
    lines = text.splitlines()
    start = lines.index("| " + " | ".join(COLUMNS) + " |")
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append(
            dict(zip(COLUMNS, [c.strip() for c in line.strip("|").split("|")], strict=True))
        )
    return found


def faults(table: list[dict[str, str]]) -> list[str]:
    """What is wrong with a table: unknown values, claims without a test, tests not there."""
    found = []
    for row in table:
        name, claim = row["feature"], row["qdml"]
        for column in COLUMNS[1:-1]:
            if row[column] not in ("Y", "p", "N"):
                found.append(f"{name}: {column} is {row[column]!r}, expected Y, p or N")
        tests = re.findall(r"`([^`]+)`", row["shown by"])
        if claim in ("Y", "p") and not tests:
            found.append(f"{name}: {claim} without a test")
        if claim == "N" and tests:
            found.append(f"{name}: N with a test")
        found += [f"{name}: no test {t}" for t in tests if not is_test(t)]
    return found


def is_test(node: str) -> bool:
    """Whether a file of tests/ has a test function of this name."""
    path, _, name = node.partition("::")
    file = ROOT / path
    if not path.startswith("tests/") or not file.is_file():
        return False
    functions = (x for x in ast.parse(file.read_text()).body if isinstance(x, ast.FunctionDef))
    return name.startswith("test_") and name in {f.name for f in functions}


def test_every_claim_of_the_table_names_tests_that_exist():
    table = rows(PAGE.read_text())
    assert len(table) > 30
    assert len({row["feature"] for row in table}) == len(table)
    assert faults(table) == []


def test_a_claim_without_a_test_is_found():
    row = dict.fromkeys(COLUMNS, "N") | {"feature": "x", "shown by": "-"}
    here = "`tests/python/test_feature_matrix.py::test_a_claim_without_a_test_is_found`"
    assert faults([row]) == []
    assert faults([row | {"qdml": "Y", "shown by": here}]) == []
    assert faults([row | {"qdml": "Y"}]) == ["x: Y without a test"]
    assert faults([row | {"qdml": "p"}]) == ["x: p without a test"]
    assert faults([row | {"shown by": here}]) == ["x: N with a test"]
    assert faults([row | {"MACE": "yes"}]) == ["x: MACE is 'yes', expected Y, p or N"]
    here = "tests/python/test_feature_matrix.py"
    absents = (f"{here}::test_gone", f"{here}::rows", "tests/python/absent.py::test_x", "README.md")
    for absent in absents:
        found = faults([row | {"qdml": "Y", "shown by": f"`{absent}`"}])
        assert found == [f"x: no test {absent}"]


# -- features that no other file shows ------------------------------------------------------------


@pytest.mark.parametrize(("left", "text"), [(None, "left ?"), (130.0, "left 2 m 10 s")])
def test_progress_tells_the_time_left(left, text):
    """Outside a terminal: one plain line, and no second one at once."""
    console = Console(file=io.StringIO(), width=200)
    with Monitor(console) as monitor:
        monitor.update(3, 0.25, 45.0, left)
        monitor.update(3, 0.26, 46.0, left)
    output = console.file.getvalue()
    assert output.count("epoch 3") == 1
    assert "25 %  45 s" in output
    assert text in output


def test_a_fit_without_gain_stops_early(tmp_path):
    """Weights that do not move gain nothing after the first validation."""
    data = write_frames(tmp_path / "lj.extxyz", lj_frames(6))
    content = {
        "data": {"train": str(data), "valid_fraction": 0.34},
        "model": {"cutoff": 4.0, "l_max": 0, "layers": 1, "channels": [8], "message_channels": 16,
                  "knots": 16, "radial_hidden": [8], "readout": [8]},
        "train": {"epochs": 50, "patience": 2, "learning_rate": 1e-30, "ema": 0.0,
                  "batch_atoms": 32},
        "output": str(tmp_path / "fit"),
    }  # fmt: skip
    config = parse_config(content)
    assert Fit(config, load_dataset(config), Console(file=io.StringIO())).run() == "patience"
    lines = [json.loads(x) for x in (tmp_path / "fit" / "metrics.jsonl").read_text().splitlines()]
    assert [x["epoch"] for x in lines if x["kind"] == "epoch"] == [1, 2, 3]
    assert lines[-1]["reason"] == "patience"
