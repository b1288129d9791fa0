# SPDX-License-Identifier: MIT
"""Screened nuclear repulsion (Ziegler, Biersack, Littmark 1985), smoothly ended at r_max."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import atomic_numbers, covalent_radii

COULOMB = 14.399645478425668
"""e²/(4π ε0) in eV Å."""

PHI = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))

REACH = 0.75
"""r_max in units of the sum of covalent radii: inside every bond, so that the well is untouched."""


def default_r_max(species: tuple[str, ...], cutoff: float) -> np.ndarray:
    """Symmetric table [S, S] of the distances (Å) where the repulsion ends."""
    radii = np.array([covalent_radii[atomic_numbers[s]] for s in species])
    return np.minimum(REACH * (radii[:, None] + radii[None, :]), cutoff)


def pair_energy(
    r: jax.Array, z_center: jax.Array, z_neighbor: jax.Array, r_max: jax.Array
) -> jax.Array:
    """zbl(r) of docs/conventions.md in eV; r in Å, > 0; arrays of one shape. 0 for r >= r_max."""
    a = 0.46850 / (z_center**0.23 + z_neighbor**0.23)
    phi = sum(weight * jnp.exp(-rate * r / a) for weight, rate in PHI)
    # r_max 0 means no repulsion for the pair
    x = jnp.where(r_max > 0.0, r / jnp.where(r_max > 0.0, r_max, 1.0), 2.0)
    fade = jnp.where(x < 1.0, 1.0 - x**6 * (28.0 - x * (48.0 - 21.0 * x)), 0.0)
    return COULOMB * z_center * z_neighbor / r * phi * fade
