# SPDX-License-Identifier: MIT
"""Checks of frames against each other and of their charge: near copies across parts, neutrality."""

from __future__ import annotations

from collections import Counter

import numpy as np
from ase import Atoms
from qdml.analyse.frames import frame_kind
from qdml.build.charges import CATIONS, OXIDATION
from qdml.build.neutrality import whole
from qdml.build.reading import formal_charge
from scipy.spatial import cKDTree

from qdml_train.doctor.finding import Finding, finding
from qdml_train.frames import Frame

NEAR = 0.03
"""Å, root mean square difference of `nearest_distances`. Neighbouring steps of 1 fs differ by less,
independent frames at 300 K by some 0.1."""

N_NEAREST = 8
"""Distances per atom that are compared: the first shell and part of the second."""

REACH = 7.0
"""Å; even a loose crystal has more than N_NEAREST atoms within."""

ROWS = 256
"""Frames compared at a time, so that a large set does not need a matrix of all pairs."""


def nearest_distances(frame: Frame) -> np.ndarray:
    """Sorted distances of every atom to its N_NEAREST neighbours, flat; Å.

    The same for moved and turned copies. A small cluster has fewer neighbours than that.
    """
    atoms = frame.atoms()
    if frame.pbc.any():
        atoms.wrap()
        found, _ = cKDTree(_with_images(atoms)).query(atoms.positions, k=N_NEAREST + 1)
        return found[:, 1:].ravel()
    n, positions = min(N_NEAREST, len(atoms) - 1), atoms.positions
    return np.sort(np.linalg.norm(positions[:, None] - positions, axis=-1))[:, 1 : n + 1].ravel()


def _with_images(atoms: Atoms) -> np.ndarray:
    """Positions of wrapped atoms and of their images within `REACH` of the cell."""
    cell = atoms.cell.complete()
    heights = abs(np.linalg.det(cell)) / np.array(
        [np.linalg.norm(np.cross(cell[(k + 1) % 3], cell[(k + 2) % 3])) for k in range(3)]
    )
    n = np.where(atoms.pbc, np.ceil(REACH / heights), 0).astype(int)
    shifts = np.array(
        [
            (i, j, k)
            for i in range(-n[0], n[0] + 1)
            for j in range(-n[1], n[1] + 1)
            for k in range(-n[2], n[2] + 1)
        ]
    )
    return np.concatenate([atoms.positions + shift @ cell for shift in shifts])


def check_near_copies(frames: list[Frame]) -> list[Finding]:
    """Held-out frames that are a training frame but for NEAR: their errors say nothing new.

    Atoms are compared in their order, as in the frames of one trajectory.
    """
    groups: dict[tuple[bytes, bytes], list[Frame]] = {}
    for frame in frames:
        if frame.n_atoms > 2:
            groups.setdefault((frame.numbers.tobytes(), frame.pbc.tobytes()), []).append(frame)
    copies: list[tuple[Frame, Frame]] = []
    for group in groups.values():
        training = [f for f in group if f.role == "train"]
        held_out = [f for f in group if f.role != "train"]
        if training and held_out:
            copies += _near_pairs(training, held_out)
    if not copies:
        return [Finding("PASS", "near copies", "no held-out frame is nearly a training frame")]
    original, copy = copies[0]
    text = (
        f"{len(copies)} held-out frames are within {NEAR:g} Å (rms of the nearest distances) of a "
        f"training frame, the first {copy.where} ({copy.role}) of {original.where}: their errors "
        f"are those of training frames"
    )
    places = tuple((f.file, f.index) for _, f in copies)
    fix = "divide by data.split: blocks, files or origins, not at random"
    return [Finding("WARN", "near copies", text, fix, places)]


def _near_pairs(training: list[Frame], held_out: list[Frame]) -> list[tuple[Frame, Frame]]:
    """For each held-out frame with a near training frame: both."""
    known = np.array([nearest_distances(f) for f in training])
    found = []
    for start in range(0, len(held_out), ROWS):
        part = held_out[start : start + ROWS]
        rows = np.array([nearest_distances(f) for f in part])
        squares = (rows**2).sum(axis=1)[:, None] + (known**2).sum(axis=1) - 2 * rows @ known.T
        rms = np.sqrt(np.maximum(squares, 0.0) / rows.shape[1])
        nearest = rms.argmin(axis=1)
        found += [
            (training[k], frame)
            for frame, k, row in zip(part, nearest, rms, strict=True)
            if row[k] < NEAR
        ]
    return found


def check_formal_charge(frames: list[Frame]) -> list[Finding]:
    """Clusters of known ions whose oxidation numbers do not sum to their charge: lost atoms.

    info `charge` is what a frame says of itself, 0 where it says nothing. Frames without lattice
    cations, of one or two atoms, or with elements that have no oxidation number are not judged.
    """
    charged: list[Frame] = []
    found: Counter[str] = Counter()
    n_judged = 0
    for frame in frames:
        atoms = frame.atoms()
        atoms.info.update(frame.info)
        symbols = set(atoms.symbols)
        has_ions = symbols & CATIONS and any(OXIDATION.get(s, 0) < 0 for s in symbols)
        if frame.n_atoms < 3 or not has_ions or frame_kind(atoms) not in ("dot", "molecule"):
            continue
        total = formal_charge(whole(atoms)).total
        if total is None:
            continue
        n_judged += 1
        if total != round(float(frame.info.get("charge", 0))):
            charged.append(frame)
            found[f"{atoms.get_chemical_formula()} {total:+d}"] += 1
    if not charged:
        text = f"{n_judged} clusters of known ions are as charged as they say"
        return [Finding("PASS", "formal charge", text)]
    names = ", ".join(f"{name} ({n})" for name, n in found.most_common(4))
    return [
        finding(
            "WARN",
            "formal charge",
            f"oxidation numbers do not sum to the charge ({names}): atoms may be missing",
            charged,
            "compare with the structure that was meant; info charge says that it is meant so",
        )
    ]
