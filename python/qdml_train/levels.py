# SPDX-License-Identifier: MIT
"""Reference energies of every level of theory in the data, and energies moved onto one scale.

Sources with their own `e0` (replayed frames, labels of a teacher, another functional) measure their
energies from other atoms than the rest. Their E0 is found here, and their energies are moved to
the scale of `data.e0`; what a least-squares fit of E0 cannot tell from the network is left to
training (`Network.shifted`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols
from qdml.errors import ConfigError, DataError
from qdml.modelfile import write_model

from qdml_train.frames import Frame
from qdml_train.start import Start
from qdml_train.statistics import (
    ReferenceEnergies,
    count_species,
    least_squares,
    reference_energies,
)

Weight = Callable[[Frame], float]


@dataclass
class Level:
    """One scale of energies."""

    name: str  # of the source; empty for the scale of data.e0
    e0: ReferenceEnergies
    trained: bool  # whether training moves it


def level_names(frames: list[Frame]) -> list[str]:
    """Names of the sources with an E0 of their own, after the empty name of all others."""
    return ["", *dict.fromkeys(f.level for f in frames if f.level)]


def find_levels(
    train: list[Frame],
    held_out: list[Frame],
    species: tuple[str, ...],
    method: str | dict[str, float],
    weight: Weight,
    start: Start | None,
) -> list[Level]:
    """E0 of all levels, from the training frames. Raises ConfigError, DataError for one without."""
    frames = [*train, *held_out]
    groups = {name: [f for f in train if f.level == name] for name in level_names(frames)}
    main = groups.pop("")
    offsets = start_energies(start, train) if start else {}
    zero = np.zeros(len(species))
    has_isolated = method == "auto" and {
        chemical_symbols[int(f.numbers[0])] for f in main if f.n_atoms == 1
    } >= set(species)
    if start is None or isinstance(method, dict) or method == "isolated" or has_isolated:
        e0 = base_references(start, species) if method == "base" else None
        e0 = e0 or reference_energies(main, species, method, weight)
        levels = [Level("", e0, False)]
    elif method == "base":
        levels = [Level("", base_references(start, species), False)]
    else:
        e0 = _residual_fit(main, species, start.tensors["energy.reference"], offsets, weight)
        levels = [Level("", e0, bool(main))]
    for name, group in groups.items():
        own = [f for f in frames if f.level == name]
        given = own[0].e0
        if isinstance(given, dict):
            present = {chemical_symbols[int(z)] for f in own for z in np.unique(f.numbers)}
            filled = {s: given.get(s, 0.0) for s in species if s in given or s not in present}
            level = Level(name, reference_energies(own, species, filled), False)
        elif given == "base":
            level = Level(name, base_references(start, species), False)
        elif not group:
            raise DataError(
                f"{own[0].where}: e0: fit, but no training frame comes from {name}; give numbers"
            )
        else:
            about = levels[0].e0.values if main else zero
            level = Level(name, _residual_fit(group, species, about, offsets, weight), True)
        levels.append(level)
    return levels


def base_references(start: Start | None, species: tuple[str, ...]) -> ReferenceEnergies:
    """E0 of the file named by train.from."""
    if start is None:
        raise ConfigError("e0: base is that of train.from, which is not given")
    missing = [s for s, known in zip(species, start.known, strict=True) if not known]
    if missing:
        raise ConfigError(
            f"e0: base, but {start.name} has no {', '.join(missing)}; set e0: fit or numbers"
        )
    return ReferenceEnergies(start.tensors["energy.reference"], f"of {start.name}")


def _residual_fit(
    frames: list[Frame],
    species: tuple[str, ...],
    about: np.ndarray,
    offsets: dict[int, float],
    weight: Weight,
) -> ReferenceEnergies:
    """Least squares of what E0 `about` and the start leave over, as small a change as will do."""
    used = [f for f in frames if f.energy is not None and f.n_atoms > 1]
    if not used:
        return ReferenceEnergies(about, "that of the start (no energies)")
    counts = count_species(used, species)
    left = [
        replace(f, energy=f.energy - float(row @ about) - offsets.get(id(f), 0.0))
        for f, row in zip(used, counts, strict=True)
    ]
    found = least_squares(left, species, np.array([weight(f) for f in used]))
    return replace(found, values=about + found.values, method="least squares of what is left")


def start_energies(start: Start, frames: list[Frame]) -> dict[int, float]:
    """Energy without E0 (eV) that the start gives every frame with a label, by id of the frame."""
    from qdml_train.predictor import best_potential

    used = [f for f in frames if f.energy is not None and f.n_atoms > 1]
    species = start.architecture.species
    document = {
        "architecture": start.architecture.document(),
        "species": list(species),
        "level_of_theory": start.level_of_theory,
    }
    tensors = {**start.tensors, "energy.reference": np.zeros(len(species))}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "start.qdml"
        write_model(path, document, tensors)
        results = best_potential(path).predict(used)
    return {id(f): r.energy for f, r in zip(used, results, strict=True)}


def move_energies(frames: list[Frame], species: tuple[str, ...], levels: list[Level]) -> None:
    """Put the energies of all levels onto the scale of the first, in place."""
    index = {level.name: k for k, level in enumerate(levels)}
    for frame, row in zip(frames, count_species(frames, species), strict=True):
        k = index.get(frame.level, 0)
        frame.level_index = k
        if k and frame.energy is not None:
            frame.energy += float(row @ (levels[0].e0.values - levels[k].e0.values))


def shifted_frames(
    frames: list[Frame], species: tuple[str, ...], shifts: list[np.ndarray]
) -> list[Frame]:
    """Frames with energies moved by what training added to the E0 of their level."""
    moved = []
    for frame, row in zip(frames, count_species(frames, species), strict=True):
        change = float(row @ (shifts[0] - shifts[frame.level_index])) if frame.level_index else 0.0
        keep = frame.energy is None or not change
        moved.append(frame if keep else replace(frame, energy=frame.energy + change))
    return moved


def level_messages(levels: list[Level], species: tuple[str, ...]) -> list[str]:
    """What the user reads about levels beside the first."""
    messages = []
    for level in levels[1:]:
        values = zip(species, level.e0.values - levels[0].e0.values, strict=True)
        text = ", ".join(f"{s} {v:+.3f}" for s, v in values)
        more = ", moved in training" if level.trained else ""
        messages.append(
            f"energies of {level.name} are measured from their own E0 ({level.e0.method}{more}); "
            f"relative to data.e0: {text} eV"
        )
    return messages
