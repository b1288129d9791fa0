# SPDX-License-Identifier: MIT
"""Fits so small that they take seconds: one layer, one batch shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from labelled_frames import lj_frames, write_frames
from qdml_train.config import Config, parse_config
from qdml_train.dataset import load_dataset
from qdml_train.loop import Fit
from rich.console import Console

TINY = {
    "cutoff": 4.0,
    "l_max": 0,
    "layers": 1,
    "channels": [8],
    "message_channels": 16,
    "radial_hidden": [8],
    "readout": [8],
}


def cluster_file(folder: Path, n: int = 8) -> Path:
    """n clusters of 7 atoms, which share one batch shape."""
    return write_frames(folder / "clusters.extxyz", lj_frames(2 * n)[1::2])


def tiny_config(
    data: Any, folder: Path, model: dict | None = None, section: dict | None = None, **train: Any
) -> Config:
    """`data` is a file or a list of sources, `section` further keys of `data`."""
    sources = data if isinstance(data, list) else str(data)
    return parse_config(
        {
            "data": {"train": sources, "split": "none", **(section or {})},
            "model": TINY if model is None else model,
            "train": {"epochs": 60, "batch_atoms": 16, "validate_every": 60, **train},
            "output": str(folder / "fit"),
        }
    )


def tiny_fit(
    data: Any, folder: Path, model: dict | None = None, section: dict | None = None, **train: Any
) -> Fit:
    config = tiny_config(data, folder, model, section, **train)
    return Fit(config, load_dataset(config), Console(quiet=True))


def metrics(folder: Path, kind: str = "epoch") -> list[dict]:
    lines = (folder / "fit" / "metrics.jsonl").read_text().splitlines()
    return [x for x in map(json.loads, lines) if x["kind"] == kind]
