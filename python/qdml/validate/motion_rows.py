# SPDX-License-Identifier: MIT
"""Rows of the table on a dot in motion: is it whole, what was rearranged, does energy drift."""

from __future__ import annotations

from collections.abc import Iterator

from ase import Atoms

from qdml.analyse.drift import Drift
from qdml.analyse.surface import Roles
from qdml.build.neutrality import cluster_charge
from qdml.validate import targets
from qdml.validate.bonds import PART, History, Losses, find_changes, pair_kinds
from qdml.validate.rows import Row, judged


def charge_rows(dot: Atoms) -> Iterator[Row]:
    """A row for a dot that oxidation numbers call charged, unless its info declares the charge.

    It judges nothing: a charged dot may be meant.
    """
    charge = None if "charge" in dot.info else cluster_charge(dot)
    if charge is not None and charge.total:
        yield Row(
            f"{dot.get_chemical_formula()}: formal charge",
            f"{charge.total:+d} ({charge}), 0 expected: atoms may be missing. {charge.remedy()}",
        )


def intact_rows(
    name: str, run: History, losses: Losses, picoseconds: float, roles: Roles | None
) -> Iterator[Row]:
    """Whether the dot stayed whole in one run; the bonds that changed only with `roles`."""
    symbols = run.symbols
    lost = int(losses.lost.sum())
    what = Atoms("".join(symbols[losses.lost])).get_chemical_formula() if lost else ""
    when = f" ({what}, first at {losses.since:.3g} ps)" if lost else ""
    most = int(run.detached.sum(axis=1).max())
    yield Row(
        f"{name}, {picoseconds:g} ps: atoms lost (away for {losses.window:.3g} ps)",
        f"{lost}{when}; at most {most} away in one frame",
        limit="0",
        state=judged(lost == 0),
    )
    like = run.shortest_like
    beside = f"; of like ions {like.ratio:.2f} ({like.pair})" if like.pair else ""
    yield Row(
        f"{name}: shortest distance / covalent radii",
        f"{run.shortest.ratio:.2f} ({run.shortest.pair}){beside}",
        limit=f"{targets.SHORTEST_RATIO:g}",
        state=judged(run.shortest.ratio >= targets.SHORTEST_RATIO),
    )
    if roles is None:
        return
    parts = []
    cations = "/".join(roles.cations)
    for others, mask in zip((roles.anions, roles.donors), pair_kinds(run, roles), strict=True):
        found = find_changes(run.bonded[:, mask])
        if others:
            bond = f"{cations}-{'/'.join(others)}"
            parts.append(f"{bond} {found.broken}, {found.made} of {found.first}")
    yield Row(
        f"{name}: bonds broken, made between first and last {PART:.0%}",
        "; ".join(parts),
        limit="no atom lost",
        # what a healthy surface rearranges is not known; a lost atom is not health
        state="FAIL" if lost else "-",
    )


def drift_row(drift: Drift) -> Row:
    """Energy drift of the run at constant energy."""
    return Row(
        f"NVE drift, {drift.length_ps:.3g} ps, {drift.n_atoms} atoms",
        f"{drift.slope:.1e} ± {drift.slope_error:.0e} eV/atom/ps",
        limit=f"{targets.DRIFT_LIMIT:g}",
        state=judged(abs(drift.slope) + 2 * drift.slope_error <= targets.DRIFT_LIMIT),
    )
