# SPDX-License-Identifier: MIT
"""Materials the builder knows: elements, structures, lattice constants, sources; alloys."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from qdml.build.charges import CATIONS, HALIDES, LATTICE_ANIONS
from qdml.errors import ConfigError, StructureError


@dataclass(frozen=True)
class Material:
    """A semiconductor: elements, oxidation numbers, structure, lattice constants in Å.

    An alloy names its main elements in `cation` and `anion` and all of them, with their shares, in
    `cation_shares` and `anion_shares`. `a_site` is the large cation of a perovskite; `c_over_a`
    belongs to wurtzite, whose lattice constant is a.
    """

    name: str
    cation: str
    anion: str
    cation_charge: int
    anion_charge: int
    lattice_pbe: float
    lattice_experiment: float
    structure: str = "zincblende"
    a_site: str | None = None
    c_over_a: float = math.sqrt(8 / 3)
    cation_shares: tuple[tuple[str, float], ...] = ()
    anion_shares: tuple[tuple[str, float], ...] = ()

    @property
    def cations(self) -> tuple[tuple[str, float], ...]:
        """(element, share) of the cation sublattice; the shares sum to 1."""
        return self.cation_shares or ((self.cation, 1.0),)

    @property
    def anions(self) -> tuple[tuple[str, float], ...]:
        """(element, share) of the anion sublattice; the shares sum to 1."""
        return self.anion_shares or ((self.anion, 1.0),)


# Experiment: room-temperature values of the zinc-blende phase as collected in Landolt-Börnstein /
# Madelung, "Semiconductors: Data Handbook" (2004), InP from the Ioffe data base.
# PBE: CdSe and InP as the mean bond of DFT-optimised dots (2.687 Å) and the bulk agree on; CdS from
# doi:10.1155/2014/361328 (table 1); the others are typical plane-wave PBE values, which scatter by
# 0.02 Å between codes and pseudopotentials: give the number of your own DFT level where it matters.
# Lead salts: Madelung as above; the mean bond of PBE dots (3.10 Å inside Pb79Se44Cl70) agrees.
# Perovskites: the cubic phase above its transition as Møller measured it (doi:10.1038/1821436a0:
# 5.605, 5.874, 6.289 Å); at 300 K their lattices are tilted away from it.
_II_VI, _III_V, _HALIDE = (2, -2), (3, -3), (2, -1)
_ALL = (
    Material("CdS", "Cd", "S", *_II_VI, 5.94, 5.818),
    Material("CdSe", "Cd", "Se", *_II_VI, 6.21, 6.05),
    Material("CdTe", "Cd", "Te", *_II_VI, 6.62, 6.482),
    Material("ZnS", "Zn", "S", *_II_VI, 5.45, 5.409),
    Material("ZnSe", "Zn", "Se", *_II_VI, 5.74, 5.668),
    Material("ZnTe", "Zn", "Te", *_II_VI, 6.18, 6.104),
    Material("InP", "In", "P", *_III_V, 5.97, 5.869),
    Material("PbS", "Pb", "S", *_II_VI, 6.00, 5.936, "rocksalt"),
    Material("PbSe", "Pb", "Se", *_II_VI, 6.21, 6.124, "rocksalt"),
    Material("PbTe", "Pb", "Te", *_II_VI, 6.57, 6.462, "rocksalt"),
    Material("CsPbCl3", "Pb", "Cl", *_HALIDE, 5.73, 5.61, "perovskite", "Cs"),
    Material("CsPbBr3", "Pb", "Br", *_HALIDE, 6.00, 5.87, "perovskite", "Cs"),
    Material("CsPbI3", "Pb", "I", *_HALIDE, 6.39, 6.29, "perovskite", "Cs"),
)
MATERIALS = {m.name: m for m in _ALL}

# PBE a 4.379, c 7.145 Å; experiment a 4.299, c 7.010 Å (Madelung), whose c/a is 1.631 too.
WURTZITE = {
    m.name: m
    for m in (
        Material("CdSe", "Cd", "Se", *_II_VI, 4.379, 4.299, "wurtzite", c_over_a=7.145 / 4.379),
    )
}
STRUCTURES = ("zincblende", "wurtzite", "rocksalt", "perovskite")


def nearest_names(name: str, valid: Iterable[str]) -> str:
    """Return `; did you mean ...?` or an empty string; upper and lower case count as equal."""
    by_lower = {v.lower(): v for v in valid}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


def find_material(name: str, structure: str | None = None) -> Material:
    """Look a material up by its formula, or mix an alloy such as `CdSe0.5S0.5` from its ends.

    `structure` is one of STRUCTURES or None for the usual one. The lattice constants of an alloy
    are the share-weighted means of its end members (Vegard).
    Raises: ConfigError for an unknown name or structure, an alloy whose amounts do not balance,
    StructureError for a material that has no numbers for that structure.
    """
    if structure is not None and structure not in STRUCTURES:
        hint = nearest_names(structure, STRUCTURES)
        raise ConfigError(
            f"unknown structure {structure!r}{hint} (supported: {', '.join(STRUCTURES)})"
        )
    table = WURTZITE if structure == "wurtzite" else MATERIALS
    found = MATERIALS.get(name) or _alloy(name)
    if found is None:
        hint = nearest_names(name, MATERIALS)
        raise ConfigError(f"unknown material {name!r}{hint} (supported: {', '.join(MATERIALS)})")
    if structure in (None, found.structure):
        return found
    if name in table and table[name].structure == structure:
        return table[name]
    known = [m.name for m in [*_ALL, *WURTZITE.values()] if m.structure == structure]
    raise StructureError(
        f"material {name!r} has no lattice constants as {structure} here ({structure}: "
        f"{', '.join(known)}); its usual structure is {found.structure}"
    )


def _alloy(formula: str) -> Material | None:
    """Material of a mixed formula; None when its end members are not in the table."""
    parts = re.findall(r"([A-Z][a-z]?)(\d*\.?\d*)", formula)
    if "".join(symbol + amount for symbol, amount in parts) != formula or not parts:
        return None
    amounts: dict[str, float] = {}
    for symbol, amount in parts:
        if amount == ".":
            return None
        amounts[symbol] = amounts.get(symbol, 0.0) + (float(amount) if amount else 1.0)
    a_site = next((s for s in amounts if s == "Cs"), None)
    cations = [s for s in amounts if s in CATIONS and s != a_site]
    anions = [s for s in amounts if s in LATTICE_ANIONS or s in HALIDES]
    if len(cations) + len(anions) + (a_site is not None) != len(amounts):
        return None
    name_of = "{a}{c}{x}3" if a_site else "{c}{x}"
    names = [[name_of.format(a=a_site, c=c, x=x) for x in anions] for c in cations]
    if not anions or not cations or any(n not in MATERIALS for row in names for n in row):
        return None
    ends = [[MATERIALS[n] for n in row] for row in names]
    first = ends[0][0]
    kinds = {(m.structure, m.cation_charge, m.anion_charge) for row in ends for m in row}
    if len(kinds) > 1:
        return None
    n_cations = sum(amounts[s] for s in cations)
    n_anions = sum(amounts[s] for s in anions)
    wanted = n_cations * (3 if a_site else 1)
    if n_cations <= 0 or abs(n_anions - wanted) > 1e-6 * wanted or min(amounts.values()) <= 0:
        raise ConfigError(
            f"alloy {formula!r} has {n_cations:g} {'+'.join(cations)} and {n_anions:g} "
            f"{'+'.join(anions)}; {wanted:g} {'+'.join(anions)} expected, all above 0"
        )
    if a_site and abs(amounts[a_site] - n_cations) > 1e-6 * n_cations:
        raise ConfigError(f"alloy {formula!r} needs as much {a_site} as {'+'.join(cations)}")
    cation_shares = tuple((s, amounts[s] / n_cations) for s in cations)
    anion_shares = tuple((s, amounts[s] / n_anions) for s in anions)

    def mean(name: str) -> float:
        return sum(
            c * x * getattr(end, name)
            for (_, c), row in zip(cation_shares, ends, strict=True)
            for (_, x), end in zip(anion_shares, row, strict=True)
        )

    return replace(
        first,
        name=formula,
        cation=max(cation_shares, key=lambda part: part[1])[0],
        anion=max(anion_shares, key=lambda part: part[1])[0],
        lattice_pbe=mean("lattice_pbe"),
        lattice_experiment=mean("lattice_experiment"),
        cation_shares=cation_shares,
        anion_shares=anion_shares,
    )


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
