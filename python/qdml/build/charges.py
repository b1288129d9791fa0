# SPDX-License-Identifier: MIT
"""Oxidation numbers of the elements of quantum dots and the charge of what they form."""

from __future__ import annotations

from collections.abc import Iterable

OXIDATION = {"Cs": 1, "Zn": 2, "Cd": 2, "Hg": 2, "Pb": 2, "Sn": 2, "Ga": 3, "In": 3}
OXIDATION |= {"S": -2, "Se": -2, "Te": -2, "P": -3, "As": -3, "Sb": -3}
OXIDATION |= {"F": -1, "Cl": -1, "Br": -1, "I": -1}
"""Of the elements as lattice atoms and monatomic ligands, in e."""

CATIONS = frozenset(symbol for symbol, charge in OXIDATION.items() if charge > 0)
LATTICE_ANIONS = frozenset(symbol for symbol, charge in OXIDATION.items() if charge < -1)
HALIDES = frozenset(symbol for symbol, charge in OXIDATION.items() if charge == -1)


def total_oxidation(symbols: Iterable[str]) -> int:
    """Sum of the oxidation numbers of lattice atoms and halides. KeyError for other elements."""
    return sum(OXIDATION[symbol] for symbol in symbols)
