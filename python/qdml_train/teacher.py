# SPDX-License-Identifier: MIT
"""Labels by a potential instead of by DFT: what a smaller one can learn from a larger one."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import ase.io
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols
from qdml.errors import DataError
from qdml.modelfile import content_hash, read_model

from qdml_train.frames import Frame
from qdml_train.predictor import EnginePotential, JaxPotential, best_potential


@cache
def _teacher(path: Path, _hash: str) -> EnginePotential | JaxPotential:
    return best_potential(path)


def label_frames(frames: list[Frame], path: Path) -> list[Frame]:
    """The same structures with energies, forces and, in cells, stresses of a `.qdml` file.

    Evaluated by the engine in double precision where it is installed, else by JAX. Raises DataError
    for an element the potential does not know.
    """
    document, _ = read_model(path)
    for frame in frames:
        unknown = {chemical_symbols[int(z)] for z in frame.numbers} - set(document["species"])
        if unknown:
            names = ", ".join(sorted(unknown))
            raise DataError(f"{frame.where} has {names}, which {path.name} lacks; no labels")
    level = f"{path.name} {content_hash(path)[:12]} ({document['level_of_theory']})"
    results = _teacher(path, content_hash(path)).predict(frames)
    return [
        replace(
            frame,
            energy=result.energy,
            forces=result.forces,
            stress=result.stress,
            level_of_theory=level,
            free_energy=None,
            provenance=f"labels by {level}",
        )
        for frame, result in zip(frames, results, strict=True)
    ]


def write_labelled(frames: list[Frame], path: Path) -> None:
    """Extended xyz with the labels, origin, split and level of theory of every frame."""
    structures = []
    for frame in frames:
        atoms = frame.atoms()
        labels = {"energy": frame.energy, "forces": frame.forces, "stress": frame.stress}
        labels = {k: v for k, v in labels.items() if v is not None}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        atoms.info["origin"] = frame.origin
        atoms.info["level_of_theory"] = frame.level_of_theory
        for key in ("split", "temperature"):
            if getattr(frame, key) is not None:
                atoms.info[key] = getattr(frame, key)
        structures.append(atoms)
    path.parent.mkdir(parents=True, exist_ok=True)
    ase.io.write(path, structures, format="extxyz")
