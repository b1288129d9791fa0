# SPDX-License-Identifier: MIT
"""What one step of molecular dynamics costs beside one DFT single point."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms

from qdml.analyse.logfile import RunSection


def dft_cost(frames: list[Atoms]) -> list[dict[str, Any]]:
    """Median label time per size and composition, of frames that record `label_seconds`.

    seconds is CPU time of one core per single point; rows are sorted by the number of atoms.
    """
    groups: dict[tuple[int, str], list[Atoms]] = {}
    for atoms in frames:
        if "label_seconds" in atoms.info:
            key = (len(atoms), atoms.get_chemical_formula())
            groups.setdefault(key, []).append(atoms)
    rows = []
    for (n_atoms, formula), group in sorted(groups.items()):
        seconds = np.array([float(f.info["label_seconds"]) for f in group])
        warm = sum(bool(f.info.get("warm_started", False)) for f in group)
        rows.append(
            {
                "formula": formula,
                "n_atoms": n_atoms,
                "n_frames": len(group),
                "n_warm_started": warm,
                "median_core_seconds": float(np.median(seconds)),
                "min_core_seconds": float(seconds.min()),
                "max_core_seconds": float(seconds.max()),
                "core_seconds_per_atom": float(np.median(seconds)) / n_atoms,
            }
        )
    return rows


def md_cost(section: RunSection) -> dict[str, Any] | None:
    """Cost of one step of a finished run; None where its log has no loop time or no steps.

    core seconds = loop time x ranks x threads, as if every core were busy all the time: an upper
    bound of the processor time, and above the truth when ranks shared cores.
    """
    if not section.loop_seconds or not section.n_steps or not section.n_atoms:
        return None
    cores = (section.n_ranks or 1) * (section.n_threads or 1)
    step = section.loop_seconds / section.n_steps
    return {
        "n_atoms": section.n_atoms,
        "n_steps": section.n_steps,
        "loop_seconds": section.loop_seconds,
        "n_ranks": section.n_ranks,
        "n_threads": section.n_threads,
        "cores": cores,
        "cpu_use": section.cpu_use,
        "seconds_per_step": step,
        "core_seconds_per_step": step * cores,
        "core_microseconds_per_atom_step": 1e6 * step * cores / section.n_atoms,
    }


def compare(dft: list[dict[str, Any]], md: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Ratios of DFT to MD cost, per DFT system.

    ratio: core seconds of one single point over those of one MD step, each of its own system, no
    scaling by size. ratio_per_atom: each divided by its own number of atoms; DFT is not
    proportional to the number of atoms, so it is no estimate for a DFT step of the MD system.
    """
    if md is None:
        return []
    return [
        {
            "formula": row["formula"],
            "n_atoms": row["n_atoms"],
            "ratio": row["median_core_seconds"] / md["core_seconds_per_step"],
            "ratio_per_atom": row["core_seconds_per_atom"]
            / (md["core_seconds_per_step"] / md["n_atoms"]),
        }
        for row in dft
    ]
