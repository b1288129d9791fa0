# SPDX-License-Identifier: MIT
"""Table of coordination and angles of core and surface, beside the relaxed start."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdml.analyse import html
from qdml.analyse.surface import Roles
from qdml.validate.bonds import BREAKS, FORMS
from qdml.validate.local_order import Group, LocalOrder, angle_moments


def coordination_titles(roles: Roles, groups: dict[Group, np.ndarray]) -> dict[Group, str]:
    """What is counted in each group, such as 'Pb: bonds to Se/Cl, core'."""
    cations, anions = "/".join(roles.cations), "/".join(roles.anions)
    counted = {
        "cation": f"{cations}: bonds to {'/'.join((*roles.anions, *roles.donors))}",
        "anion": f"{anions}: bonds to {cations}",
    }
    return {(role, region): f"{counted[role]}, {region}" for role, region in groups}


def angle_titles(roles: Roles, groups: dict[Group, np.ndarray]) -> dict[Group, str]:
    """The angle of each group, such as 'Se–Pb–Se, core'."""
    cations, anions = "/".join(roles.cations), "/".join(roles.anions)
    angle = {
        "cation": f"{anions}–{cations}–{anions}",
        "anion": f"{cations}–{anions}–{cations}",
    }
    return {(role, region): f"{angle[role]}, {region}" for role, region in groups}


def is_octahedral(roles: Roles, role: str) -> bool:
    """Whether the bulk has octahedra around a role, whose angles are 90 and 180 degrees."""
    full = roles.full if role == "cation" else roles.full_anion or roles.full
    return full == 6


def order_table(
    orders: dict[str, LocalOrder], groups: dict[Group, np.ndarray], roles: Roles
) -> tuple[str, dict[str, Any]]:
    """The table, a column per run, and its numbers by run; mean ± standard deviation.

    The deviation is that over atoms and frames, not an error of the mean.
    """
    names = list(orders)
    rows: list[list[Any]] = []
    numbers: dict[str, Any] = {name: {"coordination": {}, "angles": {}} for name in names}
    for group, title in coordination_titles(roles, groups).items():
        cells = []
        for name in names:
            count = orders[name].coordination[group]
            mean, sd = float(count.mean()), float(count.std())
            cells.append(f"{mean:.2f} ± {sd:.2f}")
            shares = orders[name].shares(group)
            numbers[name]["coordination"]["/".join(group)] = {
                "mean": mean, "sd": sd, "shares": shares.tolist(),
            }  # fmt: skip
        rows.append([title, int(groups[group].sum()), *cells])
    for group, title in angle_titles(roles, groups).items():
        split = is_octahedral(roles, group[0])
        found = {n: angle_moments(orders[n].angles[group], split) for n in names}
        for part in sorted({part for moments in found.values() for part in moments}):
            for name in names:
                if part in found[name]:
                    mean, sd = found[name][part]
                    key = "/".join((*group, part) if part else group)
                    numbers[name]["angles"][key] = {"mean": mean, "sd": sd}
            cells = [
                "{:.1f} ± {:.1f}°".format(*found[n][part]) if part in found[n] else "–"
                for n in names
            ]
            rows.append([f"{title}{f', {part}' if part else ''}", int(groups[group].sum()), *cells])
    caption = (
        "Mean ± standard deviation over atoms and frames. Core and surface as in the relaxed "
        f"start; a bond forms below {FORMS} and breaks above {BREAKS} times the sum of the "
        "covalent radii."
    )
    return html.table(["", "atoms", *names], rows, caption), numbers
