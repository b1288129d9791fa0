# SPDX-License-Identifier: MIT
"""Materials the builder knows: elements, oxidation numbers, lattice constants and their sources."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass

from qdml.errors import ConfigError, StructureError


@dataclass(frozen=True)
class Material:
    """A zinc-blende semiconductor; lattice constants in Å, oxidation numbers as integers."""

    name: str
    cation: str
    anion: str
    cation_charge: int
    anion_charge: int
    lattice_pbe: float
    lattice_experiment: float


# Experiment: room-temperature values of the zinc-blende phase as collected in Landolt-Börnstein /
# Madelung, "Semiconductors: Data Handbook" (2004), InP from the Ioffe data base.
# PBE: CdSe and InP as the mean bond of DFT-optimised dots (2.687 Å) and the bulk agree on; CdS from
# doi:10.1155/2014/361328 (table 1); the others are typical plane-wave PBE values, which scatter by
# 0.02 Å between codes and pseudopotentials: give the number of your own DFT level where it matters.
MATERIALS = {
    m.name: m
    for m in (
        Material("CdS", "Cd", "S", 2, -2, 5.94, 5.818),
        Material("CdSe", "Cd", "Se", 2, -2, 6.21, 6.05),
        Material("CdTe", "Cd", "Te", 2, -2, 6.62, 6.482),
        Material("ZnS", "Zn", "S", 2, -2, 5.45, 5.409),
        Material("ZnSe", "Zn", "Se", 2, -2, 5.74, 5.668),
        Material("ZnTe", "Zn", "Te", 2, -2, 6.18, 6.104),
        Material("InP", "In", "P", 3, -3, 5.97, 5.869),
    )
}

# Known to the field, not to this builder: their surfaces follow other rules.
OTHER_LATTICES = {
    "PbS": "rock salt",
    "PbSe": "rock salt",
    "PbTe": "rock salt",
    "CsPbCl3": "perovskite",
    "CsPbBr3": "perovskite",
    "CsPbI3": "perovskite",
}


def nearest_names(name: str, valid: Iterable[str]) -> str:
    """Return `; did you mean ...?` or an empty string; upper and lower case count as equal."""
    by_lower = {v.lower(): v for v in valid}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


def find_material(name: str) -> Material:
    """Look a material up by its formula.

    Raises: StructureError for a known material of another lattice, ConfigError for an unknown name.
    """
    supported = ", ".join(MATERIALS)
    if name in MATERIALS:
        return MATERIALS[name]
    if name in OTHER_LATTICES:
        raise StructureError(
            f"material {name!r} is {OTHER_LATTICES[name]}; qdml build cuts zinc-blende dots only "
            f"({supported}). Choose one of these, or bring the structure as extxyz"
        )
    hint = nearest_names(name, MATERIALS)
    raise ConfigError(f"unknown material {name!r}{hint} (supported: {supported})")


def lattice_constant(material: Material, level: str | float) -> tuple[float, str]:
    """Return the lattice constant in Å and the name of its level.

    `level` is `pbe`, `experiment` or a number in Å within 25 % of the experimental value.
    Raises: ConfigError for another word or a number outside that range.
    """
    if level == "pbe":
        return material.lattice_pbe, "PBE"
    if level == "experiment":
        return material.lattice_experiment, "experiment"
    try:
        value = float(level)
    except ValueError:
        raise ConfigError(
            f"lattice {level!r} is neither 'pbe', 'experiment' nor a number in Å"
        ) from None
    # 25 % covers any functional, strain and temperature; beyond lies a mistaken unit (nm, Bohr).
    if not math.isfinite(value) or abs(value / material.lattice_experiment - 1) > 0.25:
        raise ConfigError(
            f"lattice constant {value:g} Å of {material.name} is far from the experimental "
            f"{material.lattice_experiment:g} Å; give it in Å, within 25 %"
        )
    return value, "given"
