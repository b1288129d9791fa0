# SPDX-License-Identifier: MIT
"""Structures and random potentials to measure with; speed does not depend on the weights."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/python"))
import models  # random potentials of the tests

LATTICE = 6.05  # Å, zinc-blende CdSe
RATTLE = 0.15  # Å, standard deviation of every coordinate
CUTOFF = 6.9  # Å: 46 neighbours in the perfect lattice, the shells up to 6.59 Å
SPECIES = ("Cd", "Se")

# name -> l_max, channels (node features of every degree and messages), layers: the presets
MODELS = {
    "fast": (1, 64, 3),
    "std": (2, 64, 3),
    "accurate": (2, 64, 4),
    "accurate-l3": (3, 64, 4),
}
# atoms -> cubic cells of eight atoms along x, y, z
SIZES = {
    96: (2, 2, 3),
    216: (3, 3, 3),
    1000: (5, 5, 5),
    4000: (5, 10, 10),
    16000: (10, 10, 20),
}


def crystal(n_atoms: int) -> Atoms:
    """Rattled periodic zinc-blende CdSe of one of the sizes above."""
    atoms = bulk("CdSe", "zincblende", a=LATTICE, cubic=True) * SIZES[n_atoms]
    atoms.rattle(RATTLE, seed=1)
    return atoms


def model_species(atoms: Atoms) -> np.ndarray:
    """Index in SPECIES of every atom, int32."""
    return (atoms.numbers == 34).astype(np.int32)


def write_random_model(name: str, folder: Path) -> Path | None:
    """A random potential of a preset in `folder`; None when this qdml cannot have it yet."""
    l_max, channels, layers = MODELS[name]
    path = folder / f"{name}.qdml"
    try:
        models.random_model(
            path, species=SPECIES, l_max=l_max, channels=channels, message_channels=channels,
            layers=layers, cutoff=CUTOFF, knots=64,
        )  # fmt: skip
    except (IndexError, ValueError):
        return None  # l_max beyond the format
    return path
