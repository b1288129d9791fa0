# SPDX-License-Identifier: MIT
"""Checks of the forces: size, sums over a frame, frozen atoms."""

from __future__ import annotations

import numpy as np

from qdml_train.doctor.finding import Finding, finding
from qdml_train.frames import Frame

NET_FORCE = 0.02  # eV/Å per atom: grid noise of a usual DFT setting stays below
NET_TORQUE = (0.02, 0.3)  # of Σ |r x F|: noise above, another frame of reference above
LARGE_FORCE = 20.0  # eV/Å
TYPICAL_RMS = 6.0  # eV/Å; thermal frames have 0.3 to 2 per component


def check_forces(frames: list[Frame]) -> list[Finding]:
    """Size of the forces."""
    labelled = [f for f in frames if f.forces is not None]
    if not labelled:
        return [Finding("WARN", "forces", "no forces")]
    largest = np.array([np.linalg.norm(f.forces, axis=1).max() for f in labelled])
    squares = np.array([(f.forces**2).mean() for f in labelled])
    rms = float(np.sqrt(np.concatenate([(f.forces**2).ravel() for f in labelled]).mean()))
    text = f"rms {rms:.3f}, largest {largest.max():.2f} eV/Å"
    if rms == 0.0:
        return [finding("FAIL", "forces", f"{text}: all forces are zero", labelled, "compute them")]
    findings = []
    large = [f for f, x in zip(labelled, largest, strict=True) if x > LARGE_FORCE]
    if np.sqrt(np.median(squares)) > TYPICAL_RMS:
        findings.append(
            finding(
                "WARN",
                "forces",
                f"{text}: far beyond thermal forces in half of the frames",
                large or labelled,
                "are they kcal/mol/Å or kJ/mol/Å? then set units; or lower data.max_force",
            )
        )
    elif large:
        findings.append(
            finding(
                "WARN",
                "forces",
                f"{text}; beyond {LARGE_FORCE:g} eV/Å",
                large,
                "data.max_force leaves such frames out of training",
            )
        )
    zero = [f for f in labelled if f.n_atoms > 2 and not f.forces.any()]
    if zero and any(_similar(f, g) for f in zero[:20] for g in labelled if g.forces.any()):
        findings.append(
            finding(
                "WARN",
                "forces",
                "all forces of a frame are exactly zero while others of its composition have some",
                zero,
                "were they computed? a perfect crystal is the only other reason",
            )
        )
    return findings or [Finding("PASS", "forces", text)]


def _similar(a: Frame, b: Frame) -> bool:
    return np.array_equal(a.numbers, b.numbers)


def check_frozen(frames: list[Frame]) -> list[Finding]:
    """Atoms whose force is exactly zero in every frame of a group: constraints were applied."""
    groups: dict[tuple[str, bytes], list[Frame]] = {}
    for f in frames:
        if f.forces is not None and f.n_atoms > 1:
            groups.setdefault((f.file, f.numbers.tobytes()), []).append(f)
    bad: list[Frame] = []
    text, several = "", False
    for group in groups.values():
        moving = [f for f in group if f.forces.any()]
        if len(moving) < 3:
            continue
        zero = np.all([(f.forces == 0.0).all(axis=1) for f in moving], axis=0)
        if zero.any():
            bad += moving
            several |= int(zero.sum()) > 1  # one atom may sit on a centre of symmetry
            text = text or f"atoms {np.flatnonzero(zero)[:6].tolist()} ({int(zero.sum())} in all)"
    if bad:
        return [
            finding(
                "FAIL" if several else "WARN",
                "frozen atoms",
                f"{text} have exactly zero force in every frame: a constraint removed the forces",
                bad,
                "write forces without constraints (ASE: get_forces(apply_constraint=False))",
            )
        ]
    return [Finding("PASS", "frozen atoms", "none")]


def check_net_force(frames: list[Frame]) -> list[Finding]:
    """The forces of a frame add up to zero, and so does the torque of a cluster.

    Translation and rotation do not change the energy: Σ F = 0 and, without a cell, Σ r x F = 0.
    """
    labelled = [f for f in frames if f.forces is not None and f.n_atoms > 1]
    if not labelled:
        return [Finding("WARN", "net force", "no forces")]
    net = np.array([np.abs(f.forces.sum(axis=0)).max() / f.n_atoms for f in labelled])
    text = f"largest {net.max():.1e} eV/Å per atom"
    bad = [f for f, x in zip(labelled, net, strict=True) if x > NET_FORCE]
    findings = []
    if bad:
        findings.append(
            finding(
                "WARN",
                "net force",
                text,
                bad,
                "constraints or fixed atoms, an external field, or a coarse grid",
            )
        )
    clusters = [f for f in labelled if not f.pbc.any()]
    torque = np.array([_torque(f) for f in clusters])
    if len(torque):
        text += f"; largest torque of a cluster {torque.max():.1e} of Σ |r x F|"
    turned = [f for f, x in zip(clusters, torque, strict=True) if x > NET_TORQUE[0]]
    if turned:
        wrong = bool(np.median(torque) > NET_TORQUE[1])
        findings.append(
            finding(
                "FAIL" if wrong else "WARN",
                "net torque",
                f"{torque.max():.2f} of Σ |r x F|"
                + (": forces and positions are not of one orientation or order" if wrong else ""),
                turned,
                "compare the order and axes of atoms and forces"
                if wrong
                else "a coarse grid, an external field, or fixed atoms",
            )
        )
    return findings or [Finding("PASS", "net force", text)]


def _torque(frame: Frame) -> float:
    """|Σ r x F| / Σ |r x F| about the centre; 0 for forces below noise."""
    arm = frame.positions - frame.positions.mean(axis=0)
    # a net force is reported by itself; here its lever must not count
    moment = np.cross(arm, frame.forces - frame.forces.mean(axis=0))
    total = np.linalg.norm(moment, axis=1).sum()
    return float(np.linalg.norm(moment.sum(axis=0)) / total) if total > 0.05 * len(arm) else 0.0
