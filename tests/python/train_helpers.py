# SPDX-License-Identifier: MIT
"""Small potentials and frames for the tests of the training code."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from labelled_frames import cluster as cluster
from labelled_frames import frame as frame
from labelled_frames import labelled as labelled
from labelled_frames import lj_frames as lj_frames
from labelled_frames import write_frames as write_frames
from qdml_train.model.architecture import Architecture
from qdml_train.model.parameters import fold, initial_parameters
from qdml_train.predictor import JaxPotential, Result

SPECIES = ("H", "C", "O")
CUTOFF = 4.0


def small_architecture(l_max: int = 2, layers: int = 3, separated: bool = False) -> Architecture:
    channels = (8, 6, 5, 4)[: l_max + 1]
    return Architecture.build(SPECIES, CUTOFF, l_max, layers, channels, 16, 24, (8,), separated)


def small_tensors(architecture: Architecture, zbl: bool = True, seed: int = 3) -> dict:
    """All tensors of a file in float64, from random parameters; forces of order 1 eV/Å."""
    with jax.enable_x64(True):
        parameters = initial_parameters(architecture, 6, (16,), seed)
        parameters = {k: jnp.asarray(np.asarray(v), jnp.float64) for k, v in parameters.items()}
        tensors = {k: np.array(v) for k, v in fold(parameters, architecture, 9.0).items()}
    tensors["energy.reference"] = np.array([-13.0, -150.0, -430.0])
    tensors["energy.scale"] = np.array([0.8, 1.1, 1.3])
    if zbl:
        tensors["zbl.r_max"] = np.array([[1.0, 1.4, 1.3], [1.4, 1.8, 1.7], [1.3, 1.7, 1.9]])
    return tensors


def small_document(architecture: Architecture) -> dict:
    return {
        "architecture": architecture.document(),
        "species": list(SPECIES),
        "level_of_theory": "test",
    }


def small_potential(
    l_max: int = 2, layers: int = 3, zbl: bool = True, separated: bool = False
) -> JaxPotential:
    architecture = small_architecture(l_max, layers, separated)
    return JaxPotential(small_document(architecture), small_tensors(architecture, zbl))


def predict_one(potential: JaxPotential, atoms: Atoms) -> Result:
    return potential.predict([frame(atoms)])[0]


def crystal(seed: int = 0) -> Atoms:
    """Periodic triclinic cell smaller than the cutoff: atoms see images of themselves."""
    rng = np.random.default_rng(seed)
    cell = np.diag([3.1, 3.4, 3.7]) + rng.uniform(-0.4, 0.4, size=(3, 3))
    scaled = np.array([[0.0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    atoms = Atoms([1, 6, 8, 6], cell=cell, pbc=True, scaled_positions=scaled)
    atoms.positions += rng.normal(scale=0.1, size=(4, 3))
    return atoms
