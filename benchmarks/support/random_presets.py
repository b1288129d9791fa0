# SPDX-License-Identifier: MIT
"""Presets with random weights as `qdml_steps` has them (steps.cpp), written from Python."""

from __future__ import annotations

from pathlib import Path

from models import random_model  # of the tests

from support.gpu_speed import PRESETS

CUTOFF = 6.9  # Å
KNOTS = 64
READOUT = (16,)


def write_preset(path: Path, name: str) -> Path:
    """Speed depends on the shapes alone; species Cd, Se, Cl, no ZBL."""
    l_max, channels, layers = PRESETS[name]
    return random_model(
        path, l_max=l_max, channels=channels, message_channels=channels, layers=layers,
        cutoff=CUTOFF, knots=KNOTS, readout=READOUT, zbl=False,
    )  # fmt: skip
