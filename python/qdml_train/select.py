# SPDX-License-Identifier: MIT
"""Choose frames of a trajectory that are worth labels: uncertain, sound, and unlike each other."""

from __future__ import annotations

import gzip
import lzma
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from qdml.analyse.frames import frame_kind
from qdml.analyse.trajectory import read_trajectory
from qdml.errors import DataError, StructureError
from qdml.label.frames import suitable_mesh
from qdml.sample.carve import carve
from qdml.sample.select import descriptors, farthest_points
from qdml.xyz_scan import is_xyz
from rich.console import Console

from qdml_train.features import frame_features, node_scalars, standardise
from qdml_train.frames import Frame, frame_from_atoms
from qdml_train.model.architecture import Architecture
from qdml_train.opened import open_potentials
from qdml_train.predictor import JaxPotential
from qdml_train.sources import read_frames
from qdml_train.uncertainty import Candidate, Limits, by_committee, by_distance, by_novelty, reject


@dataclass
class Request:
    """What `select` is asked for; see `python -m qdml_train select --help`."""

    models: Sequence[Path]
    known: list[Frame] = field(default_factory=list)
    budget: int = 50
    max_atoms: int = 80
    per_source: int | None = None
    cap: str | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass
class Selection:
    """The picked structures, ready for `qdml label`, and what became of all others."""

    picked: list[Atoms]
    candidates: list[Candidate]
    measure: str
    features: str
    counts: dict[str, int]
    not_carved: list[str]


def select_frames(frames: list[Frame], request: Request) -> Selection:
    """Judge all frames, choose among the uncertain ones, cut what is too large.

    Raises DataError when there are no frames, or elements a potential lacks.
    """
    if not frames:
        raise DataError("no frames to choose from")
    # no dot has the environments and forces of isolated atoms and squeezed pairs
    request = replace(request, known=[f for f in request.known if f.n_atoms > 2])
    opened = open_potentials(request.models)
    combined = opened.predict(frames)
    local = _jax_potential(*opened.first)
    seen = opened.document["distances_seen"]
    known_scalars, scalars = [], []
    if local is not None:
        scalars = node_scalars(local, frames)
        known_scalars = node_scalars(local, request.known)
    if len(opened.potentials) > 1:
        measure, candidates = "committee", by_committee(frames, combined, request.limits)
    elif local is not None and request.known:
        measure = "distance of node scalars to the training data"
        species = [[local.species(f) for f in part] for part in (frames, request.known)]
        candidates = by_novelty(frames, scalars, known_scalars, species, request.limits)
    else:
        measure, candidates = "shortest distances", by_distance(frames, seen)
    reject(candidates, combined, request.known, seen, request.limits)
    pool = [k for k, c in enumerate(candidates) if c.uncertain and not c.rejected]
    chosen: list[int] = []
    how = "node scalars" if local is not None else "histograms of pair distances"
    if pool:
        features, known = _features(candidates, pool, scalars, known_scalars, local, request)
        sources = [(candidates[k].frame.file, candidates[k].frame.origin) for k in pool]
        most = max(range(len(pool)), key=lambda p: candidates[pool[p]].uncertainty)
        cap = request.per_source or _usual_cap(request.budget, len(set(sources)))
        order = farthest_points(features, request.budget, most, known, sources, cap)
        chosen = [pool[p] for p in order]
    picked, not_carved, n_carved = [], [], 0
    for k in chosen:
        candidate = candidates[k]
        try:
            atoms = _structure(candidate, request, opened.document["species"])
        except StructureError as error:
            not_carved.append(f"{candidate.frame.where}: {error}")
            continue
        n_carved += "parent_atom" in atoms.info
        atoms.info["selected_by"] = measure
        picked.append(atoms)
    counts = {
        "read": len(frames),
        **Counter(f"rejected: {c.rejected}" for c in candidates if c.rejected),
        "certain": sum(not c.uncertain and not c.rejected for c in candidates),
        "uncertain": len(pool),
        "picked": len(picked),
        "of these carved": n_carved,
    }
    return Selection(picked, candidates, measure, how, counts, not_carved)


def _jax_potential(document: dict[str, Any], tensors: dict[str, Any]) -> JaxPotential | None:
    """The potential whose node scalars can be had; None for imported architectures."""
    try:
        potential = JaxPotential(document, tensors)
    except (KeyError, DataError):
        return None
    return potential if isinstance(potential.architecture, Architecture) else None


def _usual_cap(budget: int, n_sources: int) -> int:
    """Twice an even share: one trajectory cannot take all, and none is forced to fill up."""
    return budget if n_sources == 1 else max(1, -(-2 * budget // n_sources))


def _features(
    candidates: list[Candidate],
    pool: list[int],
    scalars: list[np.ndarray],
    known_scalars: list[np.ndarray],
    local: JaxPotential | None,
    request: Request,
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the pool and of the training frames for farthest-point sampling.

    Of a frame that will be cut only the atoms within the cutoff of the uncertain one count.
    """
    frames = [candidates[k].frame for k in pool]
    if local is None:
        together = descriptors([f.atoms() for f in (*frames, *request.known)])
        return together[: len(frames)], together[len(frames) :]
    n_species = len(local.architecture.species)
    values, kinds = [], []
    for k, frame in zip(pool, frames, strict=True):
        near = slice(None)
        if frame.n_atoms > request.max_atoms:
            away = frame.atoms().get_distances(
                candidates[k].atom, np.arange(frame.n_atoms), mic=bool(frame.pbc.any())
            )
            near = away < local.architecture.cutoff
        values.append(scalars[k][near])
        kinds.append(local.species(frame)[near])
    known = frame_features(known_scalars, [local.species(f) for f in request.known], n_species)
    return standardise(frame_features(values, kinds, n_species), known)


def _structure(candidate: Candidate, request: Request, species: Sequence[str]) -> Atoms:
    """The frame, or the cluster cut out of it, with its history in info."""
    frame = candidate.frame
    info: dict[str, Any] = {
        "origin": f"select-{frame.origin}",
        "split": "train",
        "parent_file": frame.file,
        "parent_frame": frame.index,
        "uncertainty": candidate.uncertainty,
        "uncertainty_threshold": candidate.threshold,
        "uncertain_atom": candidate.atom,
        **candidate.numbers,
    }
    for key in ("charge", "multiplicity"):
        if key in frame.info:
            info[key] = frame.info[key]
    if frame.temperature is not None:
        info["temperature"] = frame.temperature
    atoms = frame.atoms()
    if "vacuum_axes" in frame.info:
        atoms.info["vacuum_axes"] = frame.info["vacuum_axes"]
    if frame.n_atoms > request.max_atoms:
        cap = request.cap
        carved = carve(atoms, candidate.atom, request.max_atoms, cap)
        lacking = set(carved.atoms.symbols) - set(species)
        if lacking:
            raise StructureError(
                f"the cut is capped with {', '.join(sorted(lacking))}, which the potential does "
                "not know; choose another --cap, or a larger --max-atoms"
            )
        atoms = carved.atoms
        info |= {"uncertain_atom": carved.center, "parent_atom": candidate.atom,
                 "n_caps": carved.n_caps, "charge": 0}  # fmt: skip
    elif frame_kind(atoms) in ("dot", "molecule"):
        atoms = Atoms(atoms.numbers, atoms.positions)  # `qdml label` makes the box
    else:
        info["kpoints"] = suitable_mesh(atoms)
    atoms.info.update(info)
    return atoms


def read_candidates(
    paths: Sequence[Path], stride: int = 1, species: list[str] | None = None
) -> list[Frame]:
    """Every `stride`-th frame of structure files and of LAMMPS text dumps.

    A dump is told by its first line; `species` are the elements of its types where it has no
    `element` column. Raises DataError as the readers do.
    """
    frames: list[Frame] = []
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        if not is_xyz(path) and _is_dump(path):
            trajectory = read_trajectory(path, stride=stride, species=species)
            for k, atoms in enumerate(trajectory.frames):
                frame = frame_from_atoms(atoms, path.name, k * stride)
                frame.origin = path.name.split(".")[0]
                frames.append(frame)
        else:
            found = read_frames(path, need_labels=False)[::stride]
            for frame in found:
                if frame.origin == "unknown":
                    frame.origin = path.name.split(".")[0]
            frames += found
    return frames


def _is_dump(path: Path) -> bool:
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    try:
        with opener(path, "rb") as handle:
            return handle.read(5) == b"ITEM:"
    except (OSError, EOFError, lzma.LZMAError):
        return False


def write_selection(selection: Selection, output: Path, console: Console) -> None:
    """Write the picked structures and tell what became of the others.

    Raises DataError when nothing was picked, and writes no file then.
    """
    console.print(f"uncertainty by {selection.measure}; distances by {selection.features}")
    for name, n in selection.counts.items():
        console.print(f"{n:6d} {name}", highlight=False, markup=False)
    for text in selection.not_carved:
        console.print(f"not cut: {text}", highlight=False, markup=False)
    if not selection.picked:
        largest = max(selection.candidates, key=lambda c: c.uncertainty)
        raise DataError(
            f"nothing to label: no sound frame is uncertain (largest {largest.uncertainty:.3g} in "
            f"{largest.frame.where}, threshold {largest.threshold:.3g}); run longer or hotter, or "
            "lower the thresholds"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    ase.io.write(output, selection.picked, format="extxyz")
    console.print(f"wrote {output}: {len(selection.picked)} frames for qdml label")
