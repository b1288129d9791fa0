# SPDX-License-Identifier: MIT
"""From files to training, validation and test frames, and from frames to samples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import atomic_numbers
from qdml.errors import DataError

from qdml_train.checks import run_checks, stop_on_failure
from qdml_train.config import Config
from qdml_train.doctor.finding import Finding
from qdml_train.doctor.structures import check_duplicates
from qdml_train.frames import Frame, data_hash, missing_labels
from qdml_train.levels import Level, find_levels, level_messages, level_names, move_energies
from qdml_train.model import prior
from qdml_train.neighbors import Neighbors, build_neighbors
from qdml_train.packing import Sample
from qdml_train.split import split_frames
from qdml_train.start import Start, read_start, start_messages
from qdml_train.statistics import ReferenceEnergies, force_scale, species_of


@dataclass
class Dataset:
    """Everything the model takes from the data."""

    train: list[Frame]
    valid: list[Frame]
    test: list[Frame]
    species: tuple[str, ...]
    e0: ReferenceEnergies
    scale: float  # force rms, eV/Å
    avg_neighbors: float
    zbl_r_max: np.ndarray | None  # [S, S] Å
    levels: list[Level]  # the first is that of e0
    start: Start | None  # of train.from
    level_of_theory: str
    hash: str
    distances_seen: dict[str, float]  # shortest per pair in the training data, Å
    samples: dict[str, list[Sample]] = field(default_factory=dict)  # keys train, valid
    sources: list[str] = field(default_factory=list)  # file, frames, units, level of theory
    messages: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def load_dataset(config: Config, examine: bool = False) -> Dataset:
    """Read, divide and reduce the data of a configuration.

    With `examine` the data doctor sees the frames first. Raises DataError, ConfigError, and
    CheckError for a failed check that `data.accept` does not name.
    """
    train, valid, test, messages = split_frames(config.data)
    same = valid is train
    if config.data.elements is not None:
        train, left_out = only_elements(train, config.data.elements)
        valid = train if same else only_elements(valid, config.data.elements)[0]
        test = only_elements(test, config.data.elements)[0]
        messages.append(
            f"left out {left_out} training frames with elements beside "
            f"{', '.join(config.data.elements)} (data.elements)"
        )
        if not train:
            raise DataError(
                "no training frame is made of the elements of data.elements alone: "
                f"{', '.join(config.data.elements)}"
            )
    train, dropped = drop_large_forces(train, config.data.max_force)
    valid = train if same else drop_large_forces(valid, config.data.max_force)[0]
    if dropped:
        messages.append(
            f"left out {len(dropped)} training frames with forces beyond "
            f"{config.data.max_force:g} eV/Å (data.max_force): "
            + ", ".join(f"{f.origin} #{f.index}" for f in dropped[:8])
            + (" ..." if len(dropped) > 8 else "")
        )
    use_energy = require_labels([*train, *valid], config)
    if not use_energy:
        messages.append("force-only fit: energies are not used, and E0 is 0")
    frames = [*train, *(valid if not same else ()), *test]
    findings = []
    if examine:
        findings = check_levels(frames, config)
        stop_on_failure(findings, config.data.accept)
    species = species_of([*train, *valid, *test])
    unseen = set(species_of([*valid, *test])) - set(species_of(train)) if valid or test else set()
    if unseen:
        raise DataError(
            f"validation or test frames hold {', '.join(sorted(unseen))}, which no training frame "
            "has; nothing can be learned about them: move frames or remove them"
        )
    start = read_start(config.train.start, species) if config.train.start else None
    if start is not None:
        messages += start_messages(start, config.train.tune == "head")
    if use_energy:
        weights = config.data.origin_weights
        levels = find_levels(
            [f for f in train if f.weights[0] > 0],
            [*valid, *test],
            species,
            config.data.e0,
            lambda f: f.weights[0] * origin_weight(weights, f.origin),
            start,
        )
        messages += level_messages(levels, species)
        e0 = levels[0].e0
        if e0.method.startswith("least squares"):
            n_single = sum(f.n_atoms == 1 for f in train)
            train = [f for f in train if f.n_atoms > 1]
            valid = [f for f in valid if f.n_atoms > 1]
            if n_single:
                messages.append(f"left out {n_single} isolated atoms: E0 is a least-squares fit")
    else:
        e0 = ReferenceEnergies(np.zeros(len(species)), "zero (force-only fit)")
        levels = [Level("", e0, False)]
        train = [f for f in train if f.n_atoms > 1]
    for text in e0.undetermined:
        messages.append(
            f"E0 is undetermined along ({text}): this combination does not change any training "
            "energy; add isolated atoms or another stoichiometry if you need absolute energies"
        )
    digest = data_hash([*train, *valid])
    move_energies(frames, species, levels)
    r_max = prior.default_r_max(species, config.model.cutoff) if config.model.zbl else None
    if start is not None:
        r_max = start.tensors.get("zbl.r_max")
    neighbors = {
        part: [build_neighbors(f, config.model.cutoff) for f in frames]
        for part, frames in (("train", train), ("valid", valid))
    }
    n_atoms = sum(f.n_atoms for f in train)
    n_edges = sum(len(n.center) for n in neighbors["train"])
    if n_edges == 0:
        raise DataError("no training frame has two atoms within model.cutoff; nothing to learn")
    dataset = Dataset(
        train=train,
        valid=valid,
        test=test,
        species=species,
        e0=e0,
        scale=force_scale(train),
        avg_neighbors=n_edges / n_atoms,
        zbl_r_max=r_max,
        levels=levels,
        start=start,
        level_of_theory=common_level([f for f in train if not f.level] or train, config),
        hash=digest,
        distances_seen=shortest_distances(train, neighbors["train"], species),
        sources=describe_sources(train),
        messages=messages,
        findings=findings,
    )
    for part, frames in (("train", train), ("valid", valid)):
        dataset.samples[part] = [
            make_sample(f, n, dataset, config, use_energy)
            for f, n in zip(frames, neighbors[part], strict=True)
        ]
    return dataset


def check_levels(frames: list[Frame], config: Config) -> list[Finding]:
    """The data doctor on the frames of each scale of energies; duplicates across all of them."""
    groups = [[f for f in frames if f.level == name] for name in level_names(frames)]
    groups = [g for g in groups if g]
    findings = [x for group in groups for x in run_checks(group, config.needs)]
    if len(groups) > 1:
        findings += [x for x in check_duplicates(frames) if x.level == "FAIL"]
    return findings


def require_labels(frames: list[Frame], config: Config) -> bool:
    """Refuse frames without a label the loss uses; returns whether energies are used.

    A label counts when its weight in `train` and that of the frame's source are above 0. Stress is
    used where it is there. Raises DataError naming the first frame and what it has instead.
    """
    energy = [f for f in frames if "energy" in config.needs and f.weights[0] > 0]
    forces = [f for f in frames if "forces" in config.needs and f.weights[1] > 0]
    for fault in (
        missing_labels(
            forces, "forces", "which the loss uses (train.force_weight: 0 for a fit of energies)"
        ),
        missing_labels(
            energy, "energy", "which the loss uses (data.use_energy: false for a force-only fit)"
        ),
    ):
        if fault is not None:
            raise fault
    if not energy and not forces:
        raise DataError("nothing to fit: the weights of energies and forces are all 0")
    return bool(energy)


def describe_sources(frames: list[Frame]) -> list[str]:
    """One line per file: frames taken, units converted, level of theory; kept in the potential."""
    groups = Counter((f.file, f.provenance, f.level_of_theory) for f in frames)
    return [
        f"{file}: {n} frames; {units or 'eV and Å'}; {level or 'level of theory not stated'}"
        for (file, units, level), n in groups.items()
    ]


def only_elements(frames: list[Frame], elements: list[str]) -> tuple[list[Frame], int]:
    """Frames without other elements, and how many were left out."""
    known = {atomic_numbers[s] for s in elements}
    kept = [f for f in frames if {int(z) for z in f.numbers} <= known]
    return kept, len(frames) - len(kept)


def drop_large_forces(frames: list[Frame], limit: float) -> tuple[list[Frame], list[Frame]]:
    """Frames whose largest force stays within the limit (eV/Å), and the others."""
    kept, dropped = [], []
    for frame in frames:
        large = frame.forces is not None and np.linalg.norm(frame.forces, axis=1).max() > limit
        (dropped if large else kept).append(frame)
    if not kept and frames:
        raise DataError(f"all frames of a part have forces beyond {limit:g} eV/Å; check the units")
    return kept, dropped


def common_level(frames: list[Frame], config: Config) -> str:
    """The one level of theory of all frames. Raises DataError when they differ."""
    levels = Counter(f.level_of_theory for f in frames if f.level_of_theory)
    if len(levels) > 1:
        raise DataError(f"the frames mix levels of theory: {dict(levels)}; fit one level at a time")
    return config.level_of_theory or next(iter(levels), "not stated")


def shortest_distances(
    frames: list[Frame], neighbors: list[Neighbors], species: tuple[str, ...]
) -> dict[str, float]:
    """Shortest distance per pair of species (Å), keys 'Cd-Se' in the order of `species`."""
    index = np.full(120, -1)
    index[[atomic_numbers[s] for s in species]] = np.arange(len(species))
    shortest = np.full((len(species), len(species)), np.inf)
    for frame, edges in zip(frames, neighbors, strict=True):
        kinds = index[frame.numbers]
        a, b = kinds[edges.center], kinds[edges.neighbor]
        np.minimum.at(
            shortest, (np.minimum(a, b), np.maximum(a, b)), np.linalg.norm(edges.vector, axis=1)
        )
    return {
        f"{species[i]}-{species[j]}": round(float(shortest[i, j]), 4)
        for i in range(len(species))
        for j in range(i, len(species))
        if np.isfinite(shortest[i, j])
    }


def make_sample(
    frame: Frame, edges: Neighbors, dataset: Dataset, config: Config, use_energy: bool
) -> Sample:
    """Labels minus the fixed parts E0 and ZBL, in float64."""
    numbers = np.array([atomic_numbers[s] for s in dataset.species])
    species = np.searchsorted(numbers, frame.numbers)
    energy, forces, virial = frame.energy, frame.forces, None
    if frame.stress is not None and frame.volume > 0 and config.data.use_stress:
        s = frame.stress * frame.volume
        virial = np.array([[s[0], s[5], s[4]], [s[5], s[1], s[3]], [s[4], s[3], s[2]]])
    if energy is not None:
        energy = energy - float(dataset.e0.values[species].sum())
    if dataset.zbl_r_max is not None:
        e_zbl, f_zbl, w_zbl = repulsion(species, numbers, edges, dataset.zbl_r_max)
        energy = None if energy is None else energy - e_zbl
        forces = None if forces is None else forces - f_zbl
        virial = None if virial is None else virial - w_zbl
    factor = origin_weight(config.data.origin_weights, frame.origin)
    weights = [factor * w for w in frame.weights]
    per_element = config.train.element_weights
    if per_element:
        scale = np.array([per_element.get(s, 1.0) for s in dataset.species])
        weights[1] = weights[1] * scale[species]
    return Sample(
        species=species.astype(np.int32),
        neighbors=edges,
        energy=energy if use_energy else None,
        forces=forces,
        virial=virial,
        energy_weight=weights[0],
        force_weight=weights[1],
        virial_weight=weights[2],
        level=frame.level_index,
    )


def origin_weight(weights: dict[str, float], origin: str) -> float:
    """Weight of the first pattern (shell style, `dimer-*`) that the origin matches, else 1."""
    return next((w for pattern, w in weights.items() if fnmatchcase(origin, pattern)), 1.0)


def repulsion(
    species: np.ndarray, numbers: np.ndarray, edges: Neighbors, r_max: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """ZBL energy (eV), forces (eV/Å) and virial V σ (eV) of one frame, float64.

    The repulsion has no parameters, so it is taken off the labels once instead of being evaluated
    in every step.
    """
    forces = np.zeros((len(species), 3))
    r = np.linalg.norm(edges.vector, axis=1)
    a, b = species[edges.center], species[edges.neighbor]
    near = r < r_max[a, b]
    if not near.any():
        return 0.0, forces, np.zeros((3, 3))
    a, b, r, vector = a[near], b[near], r[near], edges.vector[near]
    with jax.enable_x64(True):
        arguments = [jnp.asarray(x) for x in (r, numbers[a] * 1.0, numbers[b] * 1.0, r_max[a, b])]
        energy = prior.pair_energy(*arguments)
        slope = jax.grad(lambda x: prior.pair_energy(x, *arguments[1:]).sum())(arguments[0])
        energy, slope = np.asarray(energy), np.asarray(slope)
    gradient = 0.5 * slope[:, None] * vector / r[:, None]
    np.add.at(forces, edges.center[near], gradient)
    np.add.at(forces, edges.neighbor[near], -gradient)
    return 0.5 * float(energy.sum()), forces, vector.T @ gradient
