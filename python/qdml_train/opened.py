# SPDX-License-Identifier: MIT
"""The potentials named on a command line: files of one, or one file of several members."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from qdml.committee import Member, read_members
from qdml.modelfile import content_hash, read_file, spread_factors, write_model

from qdml_train.frames import Frame
from qdml_train.predictor import EnginePotential, JaxPotential, best_potential, engine_available
from qdml_train.spread import UNSCALED, Combined, combine


@dataclass(frozen=True)
class Opened:
    """Potentials that are evaluated together, in the order they were named.

    document: of the (first) file; of a committee's file what it says of the whole. members: what
    each is called and its hash (None for a member that never had a file), in evaluation.json.
    first: document and tensors of the first potential. spread_factors: of a committee's file
    alone; members put together from several files have none.
    """

    document: dict[str, Any]
    members: list[dict[str, Any]]
    potentials: list[JaxPotential | EnginePotential]
    first: tuple[dict[str, Any], dict[str, np.ndarray]]
    spread_factors: Mapping[str, float]

    def predict(self, frames: list[Frame]) -> list[Combined]:
        """Mean and spread of every frame; the spread is None of a single potential."""
        results = [potential.predict(frames) for potential in self.potentials]
        return [combine(of_frame, self.spread_factors) for of_frame in zip(*results, strict=True)]


def open_potentials(paths: Sequence[Path]) -> Opened:
    """Open files, each with one potential or several; ModelFileError of one that is refused."""
    document = read_file(paths[0])[0]
    members, potentials, first = [], [], None
    for path in paths:
        found = read_members(path)
        first = first or (found[0].document, found[0].tensors)
        if len(found) == 1:
            members.append({"model": Path(path).name, "model_hash": content_hash(path)})
            potentials.append(best_potential(path))
            continue
        for k, member in enumerate(found, 1):
            members.append({"model": f"{Path(path).name} {k}", "model_hash": member.hash})
            potentials.append(member_potential(member))
    factors = spread_factors(document) if len(paths) == 1 else UNSCALED
    return Opened(document, members, potentials, first, factors)


def member_potential(member: Member) -> JaxPotential | EnginePotential:
    """A member of a committee's file on its own: by the engine where it is installed, else JAX."""
    if not engine_available():
        return JaxPotential(member.document, member.tensors)
    with tempfile.TemporaryDirectory(prefix="qdml-member-") as folder:
        path = Path(folder) / "member.qdml"
        write_model(path, member.document, member.tensors)
        return best_potential(path)
