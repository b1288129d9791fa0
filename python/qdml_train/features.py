# SPDX-License-Identifier: MIT
"""What a potential sees of an atom: its node scalars, as coordinates for distances of frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from qdml_train.frames import Frame
from qdml_train.model.architecture import Architecture
from qdml_train.model.potential import Graphs, network_energies
from qdml_train.predictor import JaxPotential


@partial(jax.jit, static_argnums=(1, 3))
def _scalars(
    tensors: Mapping[str, jax.Array], architecture: Architecture, graphs: Graphs, _n_graphs: int
) -> tuple[jax.Array]:
    """Node scalars after the last layer, [A, F]: `network_energies` read out by unit vectors.

    The read-out is the only part that differs between the columns, so the network runs once.
    """
    width = architecture.layers[-1].channels_out[0]
    bare = replace(architecture, readout=())
    ones = jnp.ones_like(tensors["energy.scale"])

    def column(weight: jax.Array) -> jax.Array:
        chosen = {**tensors, "readout.0.weight": weight[:, None], "energy.scale": ones}
        return network_energies(chosen, bare, graphs)

    return (jax.vmap(column, out_axes=1)(jnp.eye(width, dtype=ones.dtype)),)


def node_scalars(potential: JaxPotential, frames: list[Frame]) -> list[np.ndarray]:
    """Node scalars of every atom of every frame, per frame [n_atoms, F]; float64."""
    results: dict[int, np.ndarray] = {}
    for members, samples, (values,) in potential.each_batch(frames, _scalars):
        start = 0
        for i, sample in zip(members, samples, strict=True):
            results[i] = values[start : start + sample.n_atoms]
            start += sample.n_atoms
    return [results[i] for i in range(len(frames))]


def frame_features(
    scalars: Sequence[np.ndarray], species: Sequence[np.ndarray], n_species: int
) -> np.ndarray:
    """One vector per frame, [n_frames, 2 F n_species + n_species].

    Mean and standard deviation of the node scalars over the atoms of each species, and the share
    of the species. A species that a frame lacks has zeros.
    """
    rows = []
    for values, kinds in zip(scalars, species, strict=True):
        parts = []
        for k in range(n_species):
            own = values[kinds == k]
            zero = np.zeros(values.shape[1])
            parts += [own.mean(axis=0), own.std(axis=0)] if len(own) else [zero, zero]
        shares = np.bincount(kinds, minlength=n_species) / max(len(kinds), 1)
        rows.append(np.concatenate([*parts, shares]))
    return np.array(rows)


def standardise(features: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets of rows with every column divided by its spread over both; constant ones are 0."""
    both = np.concatenate([features, known]) if len(known) else features
    center, width = both.mean(axis=0), both.std(axis=0)
    scale = np.where(width > 1e-12 * np.maximum(np.abs(center), 1.0), width, np.inf)
    return (features - center) / scale, (known - center) / scale if len(known) else known


def novelty(
    scalars: Sequence[np.ndarray],
    species: Sequence[np.ndarray],
    known: Sequence[np.ndarray],
    known_species: Sequence[np.ndarray],
) -> list[np.ndarray]:
    """Distance of every atom to the nearest training atom of its species, per frame [n_atoms].

    In units of the root mean square distance of training atoms of that species from their mean;
    infinite for a species without training atoms.
    """
    from scipy.spatial import cKDTree

    trained, kinds = np.concatenate(known), np.concatenate(known_species)
    result = [np.full(len(values), np.inf) for values in scalars]
    for k in np.unique(kinds):
        rows = trained[kinds == k]
        spread = float(np.sqrt(((rows - rows.mean(axis=0)) ** 2).sum(axis=1).mean()))
        tree = cKDTree(rows)
        for found, values, own in zip(result, scalars, species, strict=True):
            if (own == k).any():
                found[own == k] = tree.query(values[own == k])[0] / max(spread, 1e-12)
    return result
