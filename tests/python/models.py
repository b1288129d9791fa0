# SPDX-License-Identifier: MIT
"""Random but well-scaled potentials for tests and benchmarks: every tensor, forces of O(1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qdml.modelfile import tensor_shapes, write_model


def architecture(
    degrees: list[int],
    channels: int,
    message_channels: int,
    cutoff: float,
    knots: int,
    readout: list[int],
    kind: str,
) -> dict:
    """Architecture entry with `channels` node features of each degree; l_out of every layer."""
    stack, l_in = [], 0
    for l_out in degrees:
        stack.append(
            {
                "l_in": l_in,
                "l_out": l_out,
                "channels_in": [channels] * (l_in + 1),
                "channels_out": [channels] * (l_out + 1),
            }
        )
        l_in = l_out
    return {
        "kind": kind,
        "cutoff": cutoff,
        "knots": knots,
        "message_channels": message_channels,
        "layers": stack,
        "readout": readout,
    }


def radial_table(
    rng: np.random.Generator, shape: tuple[int, int, int], cutoff: float
) -> np.ndarray:
    """Smooth random coefficients [K+3, P, C]: five Bessel functions under an envelope."""
    knots = shape[0] - 3
    x = np.abs(np.arange(-1, knots + 2)) / knots
    envelope = np.where(x < 1, (1 - x**2) ** 3, 0.0)
    order = np.arange(1, 6)
    basis = np.sinc(order * x[:, None]) * order * envelope[:, None]  # sin(n pi x) / (pi x)
    table = np.einsum("kn,npc->kpc", basis, rng.normal(size=(5, *shape[1:]))) * 0.5
    table[-3:] = 0
    return table


def random_tensors(rng: np.random.Generator, arch: dict, n_species: int, zbl: bool) -> dict:
    """All tensors; linear maps scaled by the square root of their fan-in."""
    tensors = {}
    for name, shape in tensor_shapes(arch, n_species).items():
        if name.endswith("radial"):
            tensors[name] = radial_table(rng, shape, arch["cutoff"])
        elif name == "energy.reference":
            tensors[name] = rng.uniform(-300, -10, size=shape)
        elif name == "energy.scale":
            tensors[name] = rng.uniform(0.5, 1.0, size=shape)
        elif name == "embedding.weight":
            tensors[name] = rng.normal(size=shape)
        else:
            tensors[name] = rng.normal(size=shape) / np.sqrt(shape[-2])
    if zbl:
        r_max = rng.uniform(1.5, 2.5, size=(n_species, n_species))
        tensors["zbl.r_max"] = np.minimum((r_max + r_max.T) / 2, arch["cutoff"])
    return tensors


def random_model(
    path: str | Path,
    species: tuple[str, ...] = ("Cd", "Se", "Cl"),
    l_max: int = 2,
    channels: int = 32,
    message_channels: int = 32,
    layers: int = 3,
    cutoff: float = 5.0,
    knots: int = 48,
    seed: int = 0,
    zbl: bool = True,
    readout: tuple[int, ...] = (16,),
    degrees: tuple[int, ...] | None = None,
    kind: str = "cartesian-summed",
) -> Path:
    """Write a random potential to `path` and return the path.

    `degrees` (l_out of every layer) replaces `l_max` and `layers`.
    """
    rng = np.random.default_rng(seed)
    degrees = degrees or (l_max,) * (layers - 1) + (0,)
    arch = architecture(
        list(degrees), channels, message_channels, cutoff, knots, list(readout), kind
    )
    metadata = {
        "architecture": arch,
        "species": list(species),
        "level_of_theory": "none: random numbers for tests",
        "description": "random potential for tests",
    }
    write_model(path, metadata, random_tensors(rng, arch, len(species), zbl))
    return Path(path)
