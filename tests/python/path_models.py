# SPDX-License-Identifier: MIT
"""Random but well-scaled `clebsch-gordan` potentials: every kind of path, forces of O(1)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from qdml.modelfile import tensor_shapes, write_model
from qdml.paths import KIND, parse_irreps


def all_paths(message: str, out: str, l_edge: int, natural: bool) -> list[list]:
    """Every path that triangle rule and parity allow, with harmonics up to `l_edge`."""
    paths = []
    for b in parse_irreps(out):
        for a in parse_irreps(message):
            for degree in range(abs(a.degree - b.degree), min(l_edge, a.degree + b.degree) + 1):
                if a.parity * (-1 if natural and degree % 2 else 1) == b.parity:
                    paths.append([a.name, degree, b.name])
    return paths


def architecture(
    features: list[str],
    messages: list[str] | None = None,
    l_edge: int = 2,
    natural: bool = True,
    self_connection: str = "species",
    gate: str = "silu",
    cutoff: float = 4.0,
    knots: int = 200,
    readout: tuple[int, ...] = (),
) -> dict:
    """Architecture entry; `features` are the irreps before, between and after the layers."""
    layers = []
    for t, (before, after) in enumerate(pairwise(features)):
        message = messages[t] if messages else before
        layers.append(
            {
                "irreps_in": before,
                "irreps_message": message,
                "irreps_out": after,
                "paths": all_paths(message, after, l_edge, natural),
                "self_connection": self_connection,
                "activation": {"even": "silu", "odd": "tanh", "gate": gate},
            }
        )
    return {
        "kind": KIND,
        "cutoff": cutoff,
        "knots": knots,
        "edge_parity": "natural" if natural else "even",
        "layers": layers,
        "readout": list(readout),
    }


def radial_table(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Values and derivatives times spacing of sums of cos(n π x) (1 - x²)³ at the knots."""
    knots, functions = shape[0] - 1, shape[2]
    x = np.arange(knots + 1)[:, None, None] / knots
    n = np.arange(5)[:, None]
    amplitude = 0.5 * rng.normal(size=(5, functions))
    cos, sin = np.cos(np.pi * n * x), np.sin(np.pi * n * x)
    envelope, slope = (1 - x**2) ** 3, -6 * x * (1 - x**2) ** 2
    value = (amplitude * cos * envelope).sum(axis=1)
    derivative = (amplitude * (cos * slope - np.pi * n * sin * envelope)).sum(axis=1)
    table = np.stack([value, derivative / knots], axis=1)
    table[-1] = 0
    return table


def random_tensors(rng: np.random.Generator, arch: dict, n_species: int, zbl: bool) -> dict:
    """All tensors; linear maps scaled by their fan-in, sums over neighbours by their number."""
    tensors = {}
    for name, shape in tensor_shapes(arch, n_species).items():
        if name.endswith("radial"):
            tensors[name] = radial_table(rng, shape)
        elif name == "energy.reference":
            tensors[name] = rng.uniform(-300, -10, size=shape)
        elif name == "energy.scale":
            tensors[name] = rng.uniform(0.5, 1.0, size=shape)
        elif name == "embedding.weight":
            tensors[name] = rng.normal(size=shape)
        else:
            tensors[name] = rng.normal(size=shape) / np.sqrt(shape[-2])
    if zbl:
        tensors["zbl.r_max"] = np.full((n_species, n_species), 1.8)
    return tensors


def random_path_model(
    path: str | Path, arch: dict, seed: int = 0, zbl: bool = False, species=("Cd", "Se", "Cl")
) -> tuple[Path, dict, dict]:
    """Write a random potential; returns (path, architecture, tensors)."""
    rng = np.random.default_rng(seed)
    tensors = random_tensors(rng, arch, len(species), zbl)
    metadata = {
        "architecture": arch,
        "species": list(species),
        "level_of_theory": "none: random numbers for tests",
    }
    write_model(path, metadata, tensors)
    return Path(path), arch, tensors


# Small models that cover what the format can express, by name.
CASES: dict[str, dict] = {
    "one layer": {"features": ["16x0e", "8x0e"], "l_edge": 0, "self_connection": "none"},
    "natural l 1": {"features": ["16x0e", "16x0e+8x1o", "16x0e"], "l_edge": 1},
    "both parities l 2": {
        "features": [
            "12x0e",
            "20x0e+9x1o+6x2e",
            "16x0e+8x1o+5x1e+4x2e+3x2o",
            "17x0e+3x0o+8x1o+5x1e+4x2e+3x2o",
            "16x0e",
        ],
        "messages": [
            "16x0e",
            "8x0e+8x1o+8x2e",
            "8x0e+18x1o+4x1e+4x2e+4x2o",
            "8x0e+4x0o+8x1o+4x1e+4x2e+4x2o",
        ],
        "gate": "tanh",
        "readout": (8,),
    },
    "SO(3) l 2": {
        "features": ["16x0e", "16x0e+8x1e+4x2e", "16x0e+8x1e+4x2e", "16x0e"],
        "natural": False,
        "self_connection": "linear",
    },
    "SO(3) l 3": {
        "features": ["16x0e", "8x0e+6x1e+4x2e+3x3e", "8x0e+6x1e+4x2e+3x3e", "8x0e"],
        "l_edge": 3,
        "natural": False,
        "self_connection": "linear",
    },
}
