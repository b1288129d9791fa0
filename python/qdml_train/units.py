# SPDX-License-Identifier: MIT
"""Units of labelled data: a closed vocabulary and the factors to eV and Å (CODATA 2014, ASE)."""

from __future__ import annotations

import difflib

from ase import units

ENERGY = {
    "eV": 1.0,
    "Hartree": units.Hartree,
    "Ry": units.Rydberg,
    "kcal/mol": units.kcal / units.mol,
    "kJ/mol": units.kJ / units.mol,
}
LENGTH = {"Å": 1.0, "Bohr": units.Bohr}
FORCE = {f"{e}/{x}": fe / fx for e, fe in ENERGY.items() for x, fx in LENGTH.items()}
STRESS = {
    **{f"{e}/{x}³": fe / fx**3 for e, fe in ENERGY.items() for x, fx in LENGTH.items()},
    "GPa": units.GPa,
    "kB": 0.1 * units.GPa,
    "bar": 1e-4 * units.GPa,
}
"""Factor to eV, Å, eV/Å and eV/Å³ by name."""

_SPELLINGS = {"angstrom": "å", "ang": "å", "hartree": "hartree", "ha": "hartree", "a0": "bohr",
              "rydberg": "ry", "kbar": "kb"}  # fmt: skip


def canonical(name: str, table: dict[str, float]) -> str:
    """The spelling of the vocabulary for a unit: case, `A`, `angstrom`, `Ha`, `^3` are understood.

    Raises ValueError with the vocabulary and the nearest name for anything else.
    """
    known = {_plain(key): key for key in table}
    found = known.get(_plain(name))
    if found is None:
        near = difflib.get_close_matches(_plain(name), known, n=1, cutoff=0.6)
        hint = f"did you mean '{known[near[0]]}'? " if near else ""
        raise ValueError(f"unknown unit '{name}'; {hint}known: {', '.join(table)}")
    return found


def _plain(name: str) -> str:
    """Lower case without blanks, every part in one spelling."""
    text = str(name).strip().replace(" ", "").replace("^3", "³").replace("**3", "³").lower()
    parts = []
    for part in text.split("/"):
        core, power = (part[:-1], "³") if part.endswith("³") else (part, "")
        core = "å" if core in ("a", "Å", "å") else _SPELLINGS.get(core, core)
        parts.append(core + power)
    return "/".join(parts)
