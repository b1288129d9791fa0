# SPDX-License-Identifier: MIT
"""Whole potentials applied to frames: the JAX model in float64, and the native engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import atomic_numbers
from qdml.errors import DataError, EngineError
from qdml.modelfile import read_model

from qdml_train.frames import Frame
from qdml_train.model.architecture import read_architecture
from qdml_train.model.potential import Graphs, predict
from qdml_train.neighbors import build_neighbors
from qdml_train.packing import Sample, Shape, assemble, first_fit, make_buckets

BATCH_ATOMS = 256
BATCH_FRAMES = 16


@dataclass
class Result:
    """Predicted labels of one frame, E0 included; float64."""

    energy: float  # eV
    forces: np.ndarray  # [n, 3] eV/Å
    stress: np.ndarray | None  # [6] eV/Å³, xx yy zz yz xz xy; None without a periodic cell


class JaxPotential:
    """A potential given by the tensors of its file, evaluated by JAX in float64."""

    name = "jax float64"

    def __init__(self, document: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        self.architecture = read_architecture(document)
        self.reference = np.asarray(tensors["energy.reference"], dtype=float)
        self.tensors = {k: np.asarray(v, dtype=float) for k, v in tensors.items()}
        self._predict: Callable[..., Any] = jax.jit(predict, static_argnums=(1, 3))

    @classmethod
    def from_file(cls, path: str | Path) -> JaxPotential:
        return cls(*read_model(path))

    def species(self, frame: Frame) -> np.ndarray:
        """Model species of the atoms. Raises DataError for an element the potential lacks."""
        numbers = {atomic_numbers[s]: k for k, s in enumerate(self.architecture.species)}
        unknown = sorted({int(z) for z in frame.numbers} - set(numbers))
        if unknown:
            raise DataError(
                f"{frame.where} has atomic numbers {unknown}, the potential knows "
                f"{', '.join(self.architecture.species)}"
            )
        return np.array([numbers[int(z)] for z in frame.numbers], dtype=np.int32)

    def predict(self, frames: list[Frame]) -> list[Result]:
        """Energies, forces and stresses of any frames, in batches of few shapes."""
        results: dict[int, Result] = {}
        for members, samples, out in self.each_batch(frames, self._predict):
            energy, forces, virial = out
            start = 0
            for g, (i, sample) in enumerate(zip(members, samples, strict=True)):
                n = sample.n_atoms
                e0 = float(self.reference[sample.species].sum())
                results[i] = Result(
                    float(energy[g]) + e0,
                    forces[start : start + n],
                    voigt(virial[g], frames[i].volume),
                )
                start += n
        return [results[i] for i in range(len(frames))]

    def each_batch(
        self, frames: list[Frame], function: Callable[..., Any]
    ) -> list[tuple[list[int], list[Sample], list[np.ndarray]]]:
        """Numbers of the frames, their samples and what `function` made of each batch.

        `function(tensors, architecture, graphs, n_graphs)` returns arrays; those over atoms hold
        the atoms of the frames one after the other, then padding.
        """
        samples = [
            Sample(self.species(f), build_neighbors(f, self.architecture.cutoff), None, None, None)
            for f in frames
        ]
        found = []
        with jax.enable_x64(True):
            tensors = {k: jnp.asarray(v) for k, v in self.tensors.items()}
            for bucket in make_buckets(samples, BATCH_ATOMS, BATCH_FRAMES) if samples else []:
                shape = common_shape(bucket.shape)
                for members in first_fit(np.array(bucket.members), samples, shape):
                    chosen = [samples[i] for i in members]
                    graphs, _ = assemble(chosen, shape, self.architecture.cutoff, np.float64)
                    graphs = Graphs(*(jnp.asarray(x) for x in graphs))
                    out = function(tensors, self.architecture, graphs, shape.graphs)
                    found.append(([int(i) for i in members], chosen, [np.asarray(x) for x in out]))
        return found


def common_shape(shape: Shape) -> Shape:
    """Round up to few distinct shapes, since each is compiled once (seconds)."""
    rows = next((n for n in (32, 64, 128, 256) if n >= shape.atoms), -(-shape.atoms // 128) * 128)
    return Shape(rows, -(-shape.slots // 16) * 16, shape.graphs)


def voigt(virial: np.ndarray, volume: float) -> np.ndarray | None:
    """Stress in ASE's order from V σ; None for volume 0 (no periodic cell)."""
    if volume <= 0:
        return None
    s = virial / volume
    return np.array([s[0, 0], s[1, 1], s[2, 2], s[1, 2], s[0, 2], s[0, 1]])


class EnginePotential:
    """A `.qdml` file evaluated by the native engine. Raises EngineError when it is not built."""

    def __init__(self, path: str | Path, precision: str = "double") -> None:
        self.name = f"engine {precision}"
        self._calculator = _calculator_class()(str(path), precision=precision)

    def predict(self, frames: list[Frame]) -> list[Result]:
        """As `JaxPotential.predict`."""
        results = []
        for frame in frames:
            atoms = frame.atoms()
            atoms.calc = self._calculator
            results.append(
                Result(
                    float(atoms.get_potential_energy()),
                    np.array(atoms.get_forces()),
                    np.array(atoms.get_stress()) if frame.volume > 0 else None,
                )
            )
        return results


def _calculator_class() -> Any:
    """`qdml.Calculator`, imported only here: fitting works without the native module."""
    try:
        import qdml._native
        from qdml import Calculator
    except ImportError as error:
        raise EngineError(
            f"the native engine is not installed ({error}); 'pip install .' in the source tree "
            "builds it"
        ) from error
    del qdml
    return Calculator


def engine_available() -> bool:
    """Whether the native engine can be imported."""
    try:
        _calculator_class()
    except EngineError:
        return False
    return True


def best_potential(path: str | Path) -> JaxPotential | EnginePotential:
    """The engine where it is installed, else JAX."""
    if engine_available():
        return EnginePotential(path, "double")
    return JaxPotential.from_file(path)
