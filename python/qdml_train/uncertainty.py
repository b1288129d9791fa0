# SPDX-License-Identifier: MIT
"""How uncertain a potential is about a frame, and which frames are no structures at all."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from ase.data import chemical_symbols

from qdml_train.features import novelty
from qdml_train.frames import Frame
from qdml_train.neighbors import build_neighbors
from qdml_train.spread import Combined


@dataclass(frozen=True)
class Limits:
    """When a frame is uncertain, and when it is no frame at all.

    The spreads, the ratio of forces and the budget are those of the group's active learning of
    quantum dots (nlesc-nano Orchestr.AI, config_al.yaml): a frame is uncertain beyond any of the
    three, and unphysical with a force beyond `force_ratio` times the largest of the training data.
    Beyond `hopeless_spread` members agree on nothing: such frames are what is left of a run that
    has collapsed (DP-GEN's upper trust level, Zhang et al. 2020, doi:10.1016/j.cpc.2020.107206).
    """

    energy_spread: float = 1e-3  # eV/atom
    mean_force_spread: float = 0.075  # eV/Å, mean over the atoms
    max_force_spread: float = 0.15  # eV/Å, largest of the atoms
    force_ratio: float = 1.5
    largest_force: float = 15.0  # eV/Å, where no training data say more
    hopeless_spread: float = 1.5  # eV/Å, of the largest spread of a force
    closest: float = 0.8  # of the shortest distance of the pair in the training data
    novelty_quantile: float = 0.99  # of the training atoms among themselves


@dataclass
class Candidate:
    """One frame and the judgement on it.

    uncertainty: number that is compared with `threshold`; atom: where it is largest; rejected:
    why the frame is not physical, else "".
    """

    frame: Frame
    uncertainty: float
    threshold: float
    atom: int
    rejected: str = ""
    numbers: dict[str, float] = field(default_factory=dict)
    uncertain: bool = False


def by_committee(frames: list[Frame], combined: list[Combined], limits: Limits) -> list[Candidate]:
    """By the spread of energies and forces."""
    candidates = []
    for frame, found in zip(frames, combined, strict=True):
        spread = found.force_spread
        energy = found.energy_spread / frame.n_atoms
        candidate = Candidate(
            frame, float(spread.max()), limits.max_force_spread, int(spread.argmax())
        )
        candidate.numbers = {
            "energy_spread_per_atom": energy,
            "mean_force_spread": float(spread.mean()),
            "max_force_spread": float(spread.max()),
        }
        candidate.uncertain = bool(
            energy > limits.energy_spread
            or spread.mean() > limits.mean_force_spread
            or spread.max() > limits.max_force_spread
        )
        candidates.append(candidate)
    return candidates


def by_novelty(
    frames: list[Frame],
    scalars: list[np.ndarray],
    known_scalars: list[np.ndarray],
    species: list[list[np.ndarray]],
    limits: Limits,
) -> list[Candidate]:
    """By the distance of node scalars to the nearest training atom of the species.

    The threshold is what training atoms have among themselves, each to the nearest atom of another
    frame, at `novelty_quantile`.
    """
    own = np.concatenate(
        [
            novelty(
                known_scalars[k : k + 1], species[1][k : k + 1],
                known_scalars[:k] + known_scalars[k + 1 :], species[1][:k] + species[1][k + 1 :],
            )[0]
            for k in range(len(known_scalars))
        ]
        if len(known_scalars) > 1
        else [np.zeros(1)]
    )  # fmt: skip
    finite = own[np.isfinite(own)]
    threshold = float(np.quantile(finite, limits.novelty_quantile)) if len(finite) else 0.0
    distances = novelty(scalars, species[0], known_scalars, species[1])
    candidates = []
    for frame, values in zip(frames, distances, strict=True):
        candidate = Candidate(frame, float(values.max()), threshold, int(values.argmax()))
        candidate.numbers = {"feature_distance": float(values.max())}
        candidate.uncertain = candidate.uncertainty > threshold
        candidates.append(candidate)
    return candidates


def by_distance(frames: list[Frame], seen: dict[str, float]) -> list[Candidate]:
    """By `extrapolation` of the pair style: shortest distance trained on over this one."""
    candidates = []
    for frame in frames:
        ratio, atom = extrapolation(frame, seen)
        candidate = Candidate(frame, ratio, 1.0, atom, numbers={"extrapolation": ratio})
        candidate.uncertain = ratio > 1.0
        candidates.append(candidate)
    return candidates


def extrapolation(frame: Frame, seen: dict[str, float]) -> tuple[float, int]:
    """Largest ratio of the shortest distance seen to a distance, and the atom; 0 without pairs."""
    if not seen:
        return 0.0, 0
    edges = build_neighbors(frame, max(seen.values()) * 1.01)
    if not len(edges.center):
        return 0.0, 0
    names = [chemical_symbols[z] for z in frame.numbers]
    shortest = {frozenset(pair.split("-")): d for pair, d in seen.items()}
    limits = [
        shortest.get(frozenset((names[i], names[j])), 0.0)
        for i, j in zip(edges.center, edges.neighbor, strict=True)
    ]
    ratio = np.array(limits) / np.linalg.norm(edges.vector, axis=1)
    k = int(ratio.argmax())
    return float(ratio[k]), int(edges.center[k])


def reject(
    candidates: list[Candidate],
    combined: list[Combined],
    known: list[Frame],
    seen: dict[str, float],
    limits: Limits,
) -> None:
    """Mark frames that no labelling helps: broken, torn by huge forces, atoms in each other."""
    forces = [np.linalg.norm(f.forces, axis=1).max() for f in known if f.forces is not None]
    largest = limits.force_ratio * float(max(forces)) if forces else limits.largest_force
    for candidate, found in zip(candidates, combined, strict=True):
        size = np.linalg.norm(found.mean.forces, axis=1)
        if not (np.isfinite(size).all() and np.isfinite(found.mean.energy)):
            candidate.rejected = "energy or forces not finite"
        elif size.max() > largest:
            candidate.rejected = f"a force beyond {largest:.3g} eV/Å"
        elif candidate.numbers.get("max_force_spread", 0.0) > limits.hopeless_spread:
            candidate.rejected = f"a spread beyond {limits.hopeless_spread:g} eV/Å"
        elif extrapolation(candidate.frame, seen)[0] > 1.0 / limits.closest:
            candidate.rejected = f"a distance below {limits.closest:g} of the shortest trained on"
