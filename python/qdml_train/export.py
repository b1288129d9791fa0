# SPDX-License-Identifier: MIT
"""From a finished fit to a `.qdml` file: fold in float64, prove against the engine, then write."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import qdml
from qdml.errors import EngineError
from qdml.modelfile import write_model

from qdml_train.dataset import Dataset
from qdml_train.frames import Frame
from qdml_train.model.architecture import AnyArchitecture
from qdml_train.model.network import Network, shift_of
from qdml_train.predictor import EnginePotential, JaxPotential, engine_available

# Limits of the proof: what two correct programs of the same equations differ by, with margin.
ENERGY_RELATIVE_DOUBLE = 1e-9  # of |E - ΣE0| or 1 eV, whichever is larger
FORCE_DOUBLE = 1e-8  # eV/Å, rounding of float64 sums
FORCE_MIXED = 1e-4  # eV/Å, rounding of float32 kernels

PROOF_FRAMES = 20


def file_tensors(
    parameters: Mapping[str, Any], network: Network, dataset: Dataset
) -> dict[str, np.ndarray]:
    """All tensors of the file in float64; float32 parameters are widened before folding."""
    with jax.enable_x64(True):
        wide = {k: jnp.asarray(np.asarray(v), jnp.float64) for k, v in parameters.items()}
        frozen = {k: jnp.asarray(v, jnp.float64) for k, v in network.frozen.items()}
        tensors = {k: np.array(v) for k, v in network.tensors(wide, frozen).items()}
    tensors["energy.reference"] = np.asarray(dataset.e0.values, float) + shift_of(
        network, parameters
    )
    if dataset.zbl_r_max is not None:
        tensors["zbl.r_max"] = dataset.zbl_r_max
    return tensors


def file_document(
    architecture: AnyArchitecture, dataset: Dataset, training: dict[str, Any], description: str
) -> dict[str, Any]:
    """The JSON document of the file (docs/file-format.md), without the proof."""
    return {
        "tool": f"qdml {qdml.__version__}",
        "architecture": architecture.document(),
        "species": list(architecture.species),
        "level_of_theory": dataset.level_of_theory,
        "training": {
            "data_hash": dataset.hash,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "n_train": len(dataset.train),
            "n_valid": len(dataset.valid),
            "e0": dataset.e0.method,
            "e0_undetermined": dataset.e0.undetermined,
            "avg_neighbors": dataset.avg_neighbors,
            "sources": dataset.sources,
            **training,
        },
        "distances_seen": dataset.distances_seen,
        "proof": None,
        "parent": dataset.start.hash if dataset.start else None,
        "description": description,
    }


def prove(
    document: dict[str, Any], tensors: dict[str, np.ndarray], frames: list[Frame]
) -> dict[str, Any]:
    """Compare JAX (float64) with the engine (double and mixed) on up to 20 frames.

    The engine reads a written file, so writer and reader are part of the proof. Raises EngineError
    when the engine is missing or a difference is beyond its limit.
    """
    chosen = [
        frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, PROOF_FRAMES).astype(int))
    ]
    reference = JaxPotential(document, tensors).predict(chosen)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "proof.qdml"
        write_model(path, document, tensors)
        proof: dict[str, Any] = {"frames": len(chosen)}
        for precision in ("double", "mixed"):
            found = EnginePotential(path, precision).predict(chosen)
            proof[precision] = compare(reference, found, chosen, document, tensors)
    failures = []
    if proof["double"]["energy_relative"] > ENERGY_RELATIVE_DOUBLE:
        failures.append(f"relative energy {proof['double']['energy_relative']:.1e} (double)")
    if proof["double"]["force"] > FORCE_DOUBLE:
        failures.append(f"force {proof['double']['force']:.1e} eV/Å (double)")
    if proof["mixed"]["force"] > FORCE_MIXED:
        failures.append(f"force {proof['mixed']['force']:.1e} eV/Å (mixed)")
    if failures or not all(np.isfinite(list(proof[p].values())).all() for p in ("double", "mixed")):
        raise EngineError(
            f"export proof failed over {len(chosen)} frames: training code and engine differ by "
            f"{', '.join(failures) or 'non-finite numbers'}; limits {ENERGY_RELATIVE_DOUBLE:g} "
            f"relative, {FORCE_DOUBLE:g} and {FORCE_MIXED:g} eV/Å. Nothing was written. Rebuild "
            "the engine from the same source tree as qdml_train"
        )
    return proof


def compare(
    reference: list[Any],
    found: list[Any],
    frames: list[Frame],
    document: dict[str, Any],
    tensors: dict[str, np.ndarray],
) -> dict[str, float]:
    """Largest differences: energy in eV and relative to the energy without E0, force in eV/Å."""
    model = JaxPotential(document, tensors)
    energy = relative = force = 0.0
    for a, b, frame in zip(reference, found, frames, strict=True):
        e0 = float(model.reference[model.species(frame)].sum())
        difference = abs(a.energy - b.energy)
        energy = max(energy, difference)
        relative = max(relative, difference / max(abs(a.energy - e0), 1.0))
        force = max(force, float(np.abs(a.forces - b.forces).max()))
    return {"energy": energy, "energy_relative": relative, "force": force}


def export_model(
    path: Path,
    document: dict[str, Any],
    tensors: dict[str, np.ndarray],
    frames: list[Frame],
    unproven: bool = False,
) -> tuple[str, dict[str, Any] | None]:
    """Write the file and return (content hash, proof); a failing proof refuses to write.

    `unproven` writes without a proof where the engine is not installed, never after a failure.
    """
    if engine_available():
        document = {**document, "proof": prove(document, tensors, frames)}
    elif not unproven:
        raise EngineError(
            f"{path} NOT PROVEN and not written: the native engine is not installed, so the "
            "potential cannot be compared with it. 'pip install .' builds it; --unproven writes "
            "the file without proof"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_model(path, document, tensors), document["proof"]


def proof_line(proof: dict[str, Any] | None) -> str:
    """What the user reads about the proof."""
    if proof is None:
        return "NOT PROVEN: the native engine is not installed"
    double, mixed = proof["double"], proof["mixed"]
    return (
        f"proof over {proof['frames']} frames, JAX fp64 against the engine: double |dE| "
        f"{double['energy']:.1e} eV, |dF| {double['force']:.1e} eV/Å; mixed |dE| "
        f"{mixed['energy']:.1e} eV, |dF| {mixed['force']:.1e} eV/Å"
    )
