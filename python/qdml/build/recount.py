# SPDX-License-Identifier: MIT
"""Recount the charge of a finished dot from its atoms: the account is not its own witness."""

from __future__ import annotations

from collections.abc import Iterable

from ase import Atoms

from qdml.build.account import Account
from qdml.build.ligands import Ligand
from qdml.build.reading import formal_charge
from qdml.errors import StructureError


def recount(atoms: Atoms, account: Account, ligands: Iterable[Ligand]) -> int:
    """Formal charge of the atoms of a dot, e; what `qdml info` will find in the written file.

    The molecules are sought anew by their bonds; those that are one of `ligands` count with its
    charge. Raises: StructureError when the sum is not that of the account: an atom was lost or
    added on the way from the balance to the structure.
    """
    charges = {Atoms(list(x.symbols)).get_chemical_formula(): x.charge for x in ligands}
    found = formal_charge(atoms, charges)
    if found.total == account.charge:
        return found.total
    total = "unknown" if found.total is None else _signed(found.total)
    expected = _signed(account.charge)
    steps = ", ".join(f"{step['charge']:+d} {step['step']}" for step in account.steps)
    raise StructureError(
        f"{atoms.get_chemical_formula()}: formal charge {total} counted from the atoms that would "
        f"be written ({found}), {expected} expected from the charge account ({steps}); atoms were "
        "lost or added, and nothing is written. This is a fault of qdml: report the command; "
        "another seed or center may go round it"
    )


def _signed(charge: int) -> str:
    return f"{charge:+d}" if charge else "0"
