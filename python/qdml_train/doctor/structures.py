# SPDX-License-Identifier: MIT
"""Checks of the structures: duplicates, distances, desorbed fragments."""

from __future__ import annotations

from collections import Counter

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from ase.formula import Formula
from qdml.analyse.surface import BOND_FACTOR, bonded_labels

from qdml_train.doctor.finding import Finding, finding
from qdml_train.frames import Frame
from qdml_train.neighbors import build_neighbors

TOO_CLOSE = 0.4  # of the sum of covalent radii: inside any bond of any compound
NO_BOND = 1.7  # of the sum of covalent radii: no compound is this loose everywhere
REACH = 5.0  # Å, neighbours that are looked at; longer than any bond

Nearest = tuple[float, Frame, int, int]


def check_duplicates(frames: list[Frame]) -> list[Finding]:
    """The same structure twice; worst when one is for training and one for testing."""
    seen: dict[bytes, Frame] = {}
    pairs = []
    for frame in frames:
        key = b"".join(
            np.round(np.asarray(x, float), 5).tobytes()
            for x in (frame.numbers, frame.positions, frame.cell * frame.pbc[:, None])
        )
        if key in seen:
            pairs.append((seen[key], frame))
        seen.setdefault(key, frame)
    if not pairs:
        return [Finding("PASS", "duplicates", "none")]
    leaks = [(a, b) for a, b in pairs if a.role != b.role]
    copies = [b for _, b in (leaks or pairs)]
    places = tuple((f.file, f.index) for f in copies)
    if leaks:
        a, b = leaks[0]
        text = (
            f"{a.where} ({a.role}) and {b.where} ({b.role}) are the same structure, as are "
            f"{len(pairs) - 1} other pairs: the split leaks"
        )
        return [Finding("FAIL", "duplicates", text, "remove one of each", places)]
    a, b = pairs[0]
    text = f"{len(pairs)} pairs of equal structures, the first {a.where} and {b.where}"
    return [Finding("WARN", "duplicates", text, "remove one of each pair", places)]


def check_distances(frames: list[Frame]) -> list[Finding]:
    """Shortest distance per pair of elements, in Å and against the sum of covalent radii."""
    shortest: dict[tuple[int, int], Nearest] = {}
    loose: list[Frame] = []
    for frame in frames:
        edges = build_neighbors(frame, REACH)
        if not len(edges.center):
            continue
        r = np.linalg.norm(edges.vector, axis=1)
        a, b = frame.numbers[edges.center], frame.numbers[edges.neighbor]
        if (r / (covalent_radii[a] + covalent_radii[b])).min() > NO_BOND and frame.n_atoms > 2:
            loose.append(frame)
        pairs = np.sort(np.column_stack([a, b]), axis=1)
        for pair in np.unique(pairs, axis=0):
            rows = np.flatnonzero((pairs == pair).all(axis=1))
            e = rows[r[rows].argmin()]
            key = (int(pair[0]), int(pair[1]))
            if key not in shortest or r[e] < shortest[key][0]:
                shortest[key] = (float(r[e]), frame, int(edges.center[e]), int(edges.neighbor[e]))
    listed = [
        (f"{chemical_symbols[a]}-{chemical_symbols[b]}",
         r / (covalent_radii[a] + covalent_radii[b]), r, frame, i, j)
        for (a, b), (r, frame, i, j) in sorted(shortest.items())
    ]  # fmt: skip
    text = ", ".join(f"{name} {r:.2f}" for name, _, r, *_ in listed)
    findings = [
        finding(
            "FAIL",
            "distances",
            f"{name} {r:.2f} Å (atoms {i} and {j}) is {ratio:.2f} of the sum of covalent radii, "
            "closer than any bond",
            [frame],
            "check the cell, the unit of positions, and duplicated atoms; remove the frame",
        )
        for name, ratio, r, frame, i, j in listed
        if ratio < TOO_CLOSE
    ]
    if loose and len(loose) == sum(f.n_atoms > 2 for f in frames):
        findings.append(
            finding(
                "WARN",
                "distances",
                f"no two atoms are as near as {NO_BOND} covalent radii, in any frame",
                loose,
                "positions look like Bohr: set units: {length: Bohr}",
            )
        )
    return findings or [Finding("PASS", "distances", f"shortest {text} Å")]


def fragments(frame: Frame) -> list[str]:
    """Formulas of the bonded parts of a frame, the largest first."""
    label = bonded_labels(frame.atoms())
    groups = (frame.numbers[label == k] for k in range(label.max() + 1))
    groups = sorted(groups, key=len, reverse=True)
    return [
        Formula.from_list([chemical_symbols[z] for z in g]).format("hill") for g in groups
    ]  # fmt: skip


def check_fragments(frames: list[Frame]) -> list[Finding]:
    """Parts that came off: more fragments than most frames of the same file and composition."""
    groups: dict[tuple[str, str, bytes], list[Frame]] = {}
    for frame in frames:
        if frame.n_atoms > 2:
            key = (frame.file, frame.origin, np.sort(frame.numbers).tobytes())
            groups.setdefault(key, []).append(frame)
    broken: list[Frame] = []
    lost: Counter[str] = Counter()
    for group in groups.values():
        if len(group) < 3:
            continue
        found = [fragments(f) for f in group]
        usual = int(np.median([len(parts) for parts in found]))
        typical = Counter(next(parts for parts in found if len(parts) == usual)
                          if any(len(p) == usual for p in found) else [])  # fmt: skip
        for frame, parts in zip(group, found, strict=True):
            if len(parts) > usual:
                broken.append(frame)
                smaller = Counter(parts) - typical
                lost.update(name for name in smaller if name != parts[0])
    if broken:
        names = ", ".join(f"{name} ({n})" for name, n in lost.most_common(4))
        return [
            finding(
                "WARN",
                "fragments",
                f"parts came off ({names}): bonded parts by {BOND_FACTOR} covalent radii exceed "
                "those of the other frames",
                broken,
                "look at these frames; a ligand far away lies beyond the cutoff of a potential",
            )
        ]
    return [Finding("PASS", "fragments", "no frame has more bonded parts than its neighbours")]
