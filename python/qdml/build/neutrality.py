# SPDX-License-Identifier: MIT
"""Notice on import that a finite cluster is charged: atoms may be missing, and which ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from qdml.analyse.frames import frame_kind
from qdml.build.charges import CATIONS
from qdml.build.reading import FormalCharge, formal_charge


def charge_warnings(files: Iterable[tuple[Path, Sequence[Atoms]]]) -> list[str]:
    """One text per composition of a finite cluster whose formal charge is not zero.

    Its first frame stands for all frames of a composition. Frames that declare `charge` in info,
    bulk and slabs, single atoms and dimers are not judged, nor what `cluster_charge` leaves out.
    """
    neutral: set[str] = set()
    charged: dict[str, str] = {}
    counts: dict[str, int] = {}
    for path, frames in files:
        for index, atoms in enumerate(frames):
            formula = atoms.get_chemical_formula()
            if formula in neutral or "charge" in atoms.info or len(atoms) < 3:
                continue
            if not _is_finite_cluster(atoms):
                continue
            if formula in charged:
                counts[formula] += 1
                continue
            charge = cluster_charge(atoms)
            if charge is None or charge.total == 0:
                neutral.add(formula)
                continue
            counts[formula] = 0
            charged[formula] = (
                f"frame {index} of {path}: {formula} has the formal charge {charge.total:+d} "
                f"({charge}), 0 expected: atoms may be missing; {charge.remedy()}; if it is "
                "meant so, say info['charge'] (0 for a neutral calculation)"
            )
    return [text + _others(counts[formula]) for formula, text in charged.items()]


def _others(n: int) -> str:
    return f"; {n} more frame{'s' if n > 1 else ''} of this composition" if n else ""


def _is_finite_cluster(atoms: Atoms) -> bool:
    """False too for a frame that whoever computes it will refuse: NaN, a flat cell."""
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        return False
    try:
        return frame_kind(atoms) in ("dot", "molecule")
    except np.linalg.LinAlgError:
        return False


def cluster_charge(atoms: Atoms) -> FormalCharge | None:
    """Formal charge of a cluster, or None where oxidation numbers say nothing about it.

    So for unknown elements, elements and alloys (no ion of the other sign), covalent compounds of
    anion elements alone (P4S3), and molecules without a lattice: their charge follows from an odd
    number of electrons, which a stated `multiplicity` declares.
    """
    charge = formal_charge(whole(atoms))
    if charge.total is None or len(set(atoms.numbers)) == 1:
        return None
    if (charge.molecules >= 0).all():
        is_odd = int(atoms.numbers.sum()) % 2 == 1
        return charge if is_odd and "multiplicity" not in atoms.info else None
    has_cation = any(name in CATIONS for name, _, _ in charge.parts)
    return charge if has_cation and any(q < 0 for _, _, q in charge.parts) else None


def whole(atoms: Atoms) -> Atoms:
    """A cluster in a box, not cut by its faces: shifted so that the widest gap is at the face."""
    result = atoms.copy()
    result.pbc &= atoms.cell.any(axis=1)
    for axis in np.flatnonzero(result.pbc):
        scaled = np.sort(result.get_scaled_positions(wrap=True)[:, axis])
        gaps = np.diff(np.append(scaled, scaled[0] + 1.0))
        k = int(gaps.argmax())
        start = (scaled[k] + 0.5 * gaps[k]) % 1.0
        result.positions -= start * result.cell[axis]
        result.wrap()
    result.pbc = False
    return result
