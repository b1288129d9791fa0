# SPDX-License-Identifier: MIT
"""Ligands the builder knows: formal charge, rigid shape, bond length to each cation."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from qdml.build.materials import nearest_names
from qdml.errors import ConfigError


@dataclass(frozen=True)
class Ligand:
    """A rigid ligand in its own frame: z points away from the dot, donors lie in the plane z=0.

    `positions` [n_atoms, 3] in Å; the first `n_donors` atoms bind. With two donors they lie on
    the x axis, symmetric about the origin, and bridge two cations or chelate one.
    """

    name: str
    charge: int
    symbols: tuple[str, ...]
    positions: tuple[tuple[float, float, float], ...]
    n_donors: int = 1

    @property
    def is_x_type(self) -> bool:
        """True for an anion that takes part in the charge balance, False for a neutral donor."""
        return self.charge < 0

    @property
    def donor(self) -> str:
        """Element that binds to the cation."""
        return self.symbols[0]

    @property
    def half_bite(self) -> float:
        """Half the distance between two donors in Å; 0 for one donor."""
        return abs(self.positions[0][0]) if self.n_donors == 2 else 0.0


def _formate() -> Ligand:
    # C-O 1.275 Å and C-H 1.107 Å are the 300 K DFT means of Cd68Se55(HCOO)26; O-C-O 126 deg is
    # typical of carboxylates.
    half_angle = math.radians(63.0)
    x, z = 1.275 * math.sin(half_angle), 1.275 * math.cos(half_angle)
    positions = ((x, 0.0, 0.0), (-x, 0.0, 0.0), (0.0, 0.0, z), (0.0, 0.0, z + 1.107))
    return Ligand("HCOO", -1, ("O", "O", "C", "H"), positions, n_donors=2)


def _ammonia() -> Ligand:
    # Free-molecule N-H 1.02 Å; the hydrogens lean 68 deg from the outward axis (H-N-H 107 deg).
    tilt = math.radians(68.0)
    radius, height = 1.02 * math.sin(tilt), 1.02 * math.cos(tilt)
    angles = [2 * math.pi * k / 3 for k in range(3)]
    hydrogens = tuple((radius * math.cos(t), radius * math.sin(t), height) for t in angles)
    return Ligand("NH3", 0, ("N", "H", "H", "H"), ((0.0, 0.0, 0.0), *hydrogens))


LIGANDS = {x: Ligand(x, -1, (x,), ((0.0, 0.0, 0.0),)) for x in ("F", "Cl", "Br", "I")}
LIGANDS |= {"HCOO": _formate(), "NH3": _ammonia()}
ALIASES = {"formate": "HCOO", "ammonia": "NH3", "chloride": "Cl", "bromide": "Br", "iodide": "I"}
ALIASES |= {"fluoride": "F"}

# Cation-donor bond lengths in Å, starting guesses that a minimisation refines. M-Cl: means of
# PBE-optimised (Cd, Pb) and HLE17-optimised (In, Zn) dots; Cd-O: 300 K DFT mean of
# Cd68Se55(HCOO)26; the other M-O and M-N: typical crystal values.
_BOND_CL = {"Cd": 2.58, "Zn": 2.38, "In": 2.45, "Pb": 2.87}
_BOND_O = {"Cd": 2.37, "Zn": 2.02, "In": 2.20, "Pb": 2.45}
_BOND_N = {"Cd": 2.37, "Zn": 2.08, "In": 2.30, "Pb": 2.60}
# Ionic radius of the halide minus that of Cl-, Å: Shannon, doi:10.1107/S0567739476001551.
_FROM_CL = {"F": -0.48, "Cl": 0.0, "Br": 0.15, "I": 0.39}


def bond_length(cation: str, donor: str) -> float:
    """Initial cation-donor distance in Å (tables above)."""
    if donor in _FROM_CL:
        return _BOND_CL[cation] + _FROM_CL[donor]
    return (_BOND_O if donor == "O" else _BOND_N)[cation]


def find_ligand(name: str) -> Ligand:
    """Look a ligand up by formula or name. Raises: ConfigError with the nearest valid name."""
    key = ALIASES.get(name.lower(), name)
    if key in LIGANDS:
        return LIGANDS[key]
    hint = nearest_names(name, [*LIGANDS, *ALIASES])
    raise ConfigError(f"unknown ligand {name!r}{hint} (supported: {', '.join(LIGANDS)})")


def parse_ligands(text: str) -> list[tuple[Ligand, float]]:
    """Read `Cl`, `Cl:3,Br:1` or `HCOO,NH3:0.5` into (ligand, amount) pairs.

    For anions (X type) the amount is the relative share of the charge-balancing shell; for
    neutral donors (L type) it is the fraction of the remaining open cation sites, 0 to 1.
    Raises: ConfigError for an unknown or repeated ligand, a bad amount, or no anion at all.
    """
    chosen: dict[str, tuple[Ligand, float]] = {}
    for part in filter(None, re.split(r"[,\s]+", text.strip())):
        name, _, amount_text = part.partition(":")
        ligand = find_ligand(name)
        try:
            amount = float(amount_text) if amount_text else 1.0
        except ValueError:
            amount = math.nan
        if not (0 < amount < math.inf) or (not ligand.is_x_type and amount > 1):
            expected = "a positive share" if ligand.is_x_type else "a fraction between 0 and 1"
            raise ConfigError(f"ligands {text!r}: amount in {part!r} must be {expected}")
        if ligand.name in chosen:
            raise ConfigError(f"ligands {text!r}: {ligand.name} is named twice")
        chosen[ligand.name] = (ligand, amount)
    if not any(ligand.is_x_type for ligand, _ in chosen.values()):
        anions = ", ".join(name for name, ligand in LIGANDS.items() if ligand.is_x_type)
        raise ConfigError(
            f"ligands {text!r} hold no anion; a cation-rich dot needs one of {anions} to be neutral"
        )
    return list(chosen.values())


def share_out(n: int, amounts: list[float]) -> list[int]:
    """Split `n` units over relative amounts, largest remainder first; the parts sum to `n`."""
    exact = n * np.asarray(amounts) / np.sum(amounts)
    counts = np.floor(exact).astype(int)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: n - counts.sum()]] += 1
    return counts.tolist()
