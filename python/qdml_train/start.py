# SPDX-License-Identifier: MIT
"""A `.qdml` file as the start of a fit: its tensors for the elements of the new data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from qdml.errors import ConfigError
from qdml.modelfile import content_hash, read_model

from qdml_train.model import prior
from qdml_train.model.architecture import AnyArchitecture, read_architecture

NOBLE = (0, 2, 10, 18, 36, 54, 86, 118)


@dataclass
class Start:
    """Architecture and tensors of a file, its species replaced by those of a fit."""

    name: str  # of the file
    hash: str
    level_of_theory: str
    architecture: AnyArchitecture
    tensors: dict[str, np.ndarray]  # all of the file, float64
    known: tuple[bool, ...]  # per species: whether the file had it
    donors: dict[str, str]  # new element -> element of the file whose weights it starts with
    left_out: tuple[str, ...]  # elements of the file that the data lack


def read_start(path: Path, species: tuple[str, ...]) -> Start:
    """The start of a fit of these species.

    An element that the file lacks gets the weights of the most similar one it has (same group of
    the periodic table, nearest period) and E0 = 0; elements that the data lack are left out, since
    training would change what the file says about them without anything to learn from.
    """
    document, stored = read_model(path)
    old = document["species"]
    donors = {s: nearest_element(s, old) for s in species if s not in old}
    rows = np.array([old.index(donors.get(s, s)) for s in species])
    tensors = {k: _for_species(k, np.asarray(v, float), rows) for k, v in stored.items()}
    known = tuple(s in old for s in species)
    tensors["energy.reference"] = np.where(known, tensors["energy.reference"], 0.0)
    architecture = replace(read_architecture(document), species=species)
    if "zbl.r_max" in tensors:
        both = np.outer(known, known)
        usual = prior.default_r_max(species, architecture.cutoff)
        tensors["zbl.r_max"] = np.where(both, tensors["zbl.r_max"], usual)
    return Start(
        name=path.name,
        hash=content_hash(path),
        level_of_theory=document["level_of_theory"],
        architecture=architecture,
        tensors=tensors,
        known=known,
        donors=donors,
        left_out=tuple(s for s in old if s not in species),
    )


def _for_species(name: str, tensor: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of the chosen species, where a tensor has an axis of species."""
    if name == "zbl.r_max":
        return tensor[np.ix_(rows, rows)]
    per_species = name.startswith("energy.") or name == "embedding.weight"
    if per_species or (".self_connection." in name and tensor.ndim == 3):
        return tensor[rows]
    return tensor


def nearest_element(symbol: str, candidates: list[str]) -> str:
    """The candidate of the same group and nearest period, else of the nearest group."""

    def distance(other: str) -> tuple[int, int, int]:
        (group, period), (a, b) = (place(atomic_numbers[s]) for s in (symbol, other))
        return abs(group - a), abs(period - b), atomic_numbers[other]

    return min(candidates, key=distance)


def place(number: int) -> tuple[int, int]:
    """Group (1..18; 3 for lanthanides and actinides) and period of an element."""
    period = next(p for p in range(1, 8) if number <= NOBLE[p])
    position, length = number - NOBLE[period - 1], NOBLE[period] - NOBLE[period - 1]
    if number == 2:
        return 18, 1
    if position <= 2:
        return position, period
    return max(3, position - length + 18), period


def start_messages(start: Start, head_only: bool) -> list[str]:
    """What the user reads about the start."""
    what = "read-out, scales and E0" if head_only else "all weights"
    messages = [
        f"training {what} of {start.name} ({start.hash[:12]}, {start.level_of_theory or '?'})"
    ]
    for new, donor in start.donors.items():
        messages.append(f"new element {new}: starts with the weights of {donor}, E0 from the data")
    if start.left_out:
        names = ", ".join(start.left_out[:8]) + (" ..." if len(start.left_out) > 8 else "")
        messages.append(
            f"{len(start.left_out)} elements of {start.name} are not in the data and are left out "
            f"({names})"
        )
    return messages


def model_keys(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Values of the `model` keys that the file decides.

    Raises ConfigError when the configuration gives one of them another value.
    """
    document, tensors = read_model(path)
    found = document["architecture"]
    keys: dict[str, Any] = {"cutoff": found["cutoff"], "zbl": "zbl.r_max" in tensors}
    if "message_channels" in found:
        widths = [x["channels_out"] for x in found["layers"]]
        keys |= {
            "preset": None,
            "message_channels": found["message_channels"],
            "knots": found["knots"],
            "readout": found["readout"],
            "layers": len(widths),
            "l_max": max(x["l_out"] for x in found["layers"]),
            "channels": max(widths, key=len),
        }
    for key, value in keys.items():
        if key in given and given[key] != value:
            raise ConfigError(
                f"model.{key} = {given[key]!r}, but train.from: {path} has {value!r}; remove the "
                "key, the file decides"
            )
    return keys
