# SPDX-License-Identifier: MIT
"""Ligands the builder knows: formal charge, shape, binding mode, bond length to each cation."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from qdml.build.chains import Molecule
from qdml.build.ligand_shapes import NAMED, molecules
from qdml.build.materials import nearest_names
from qdml.errors import ConfigError

Positions = tuple[tuple[float, float, float], ...]

BINDING_MODES = ("bridging", "chelating", "tilted")
"""Of a ligand with two donors. Bridging: one donor on each of two cations (the usual choice);
chelating: both on one cation; tilted: chelating one cation while one donor bridges to a second."""


@dataclass(frozen=True)
class Ligand:
    """A ligand in its own frame: z points away from the dot, donors lie in the plane z=0.

    `positions` [n_atoms, 3] in Å; the first `n_donors` atoms bind. With two donors they lie on
    the x axis, symmetric about the origin, and bridge two cations or chelate one. `conformers`
    are other shapes of the same atoms, `bonds` pairs of rows; both may be empty (a small rigid
    ligand). `mode` is one of BINDING_MODES where the user asked for it.
    """

    name: str
    charge: int
    symbols: tuple[str, ...]
    positions: Positions = field(compare=False)
    n_donors: int = 1
    conformers: tuple[Positions, ...] = field(default=(), compare=False)
    bonds: tuple[tuple[int, int], ...] = field(default=(), compare=False)
    mode: str | None = None

    @property
    def role(self) -> str:
        """X: anion that takes part in the charge balance; L: neutral donor; A: on Cs sites."""
        return "X" if self.charge < 0 else "A" if self.charge > 0 else "L"

    @property
    def is_x_type(self) -> bool:
        """True for an anion that takes part in the charge balance."""
        return self.role == "X"

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
ALIASES |= {"fluoride": "F", "CH3COO": "acetate", "CH3NH2": "methylamine"}
ALIASES |= {"CH3NH3": "methylammonium"}

# Cation-donor bond lengths in Å, starting guesses that a minimisation refines. M-Cl: means of
# PBE-optimised (Cd, Pb) and HLE17-optimised (In, Zn) dots; Cd-O: 300 K DFT mean of
# Cd68Se55(HCOO)26; the other M-O and M-N: typical crystal values.
_BOND_CL = {"Cd": 2.58, "Zn": 2.38, "In": 2.45, "Pb": 2.87}
_BOND_O = {"Cd": 2.37, "Zn": 2.02, "In": 2.20, "Pb": 2.45}
_BOND_N = {"Cd": 2.37, "Zn": 2.08, "In": 2.30, "Pb": 2.60}
_BOND_S = {"Cd": 2.54, "Zn": 2.34, "In": 2.50, "Pb": 2.80}
# Ionic radius of the halide minus that of Cl-, Å: Shannon, doi:10.1107/S0567739476001551.
_FROM_CL = {"F": -0.48, "Cl": 0.0, "Br": 0.15, "I": 0.39}


def bond_length(cation: str, donor: str) -> float:
    """Initial cation-donor distance in Å (tables above); 1.05 x covalent radii for the rest."""
    if donor in _FROM_CL and cation in _BOND_CL:
        return _BOND_CL[cation] + _FROM_CL[donor]
    table = {"O": _BOND_O, "N": _BOND_N, "S": _BOND_S}.get(donor, {})
    if cation in table:
        return table[cation]
    radii = [covalent_radii[atomic_numbers[symbol]] for symbol in (cation, donor)]
    return 1.05 * float(sum(radii))


@lru_cache(maxsize=64)
def find_ligand(name: str) -> Ligand:
    """Look a ligand up by formula or name, or make it from `smiles(...)`.

    A suffix `@chelating`, `@bridging` or `@tilted` sets the binding mode of two donors.
    Raises: ConfigError with the nearest valid name.
    """
    if (match := re.fullmatch(r"smiles\((.+)\)(?:@(\w+))?", name)) is not None:
        from qdml.build.smiles import molecules_from_smiles

        text, mode = match.groups()
        ligand = _from_molecules(_plain_name(text), *molecules_from_smiles(text))
    else:
        word, _, mode = name.partition("@")
        key = ALIASES.get(word.lower(), ALIASES.get(word, word))
        if key in LIGANDS:
            ligand = LIGANDS[key]
        elif key.lower() in NAMED:
            ligand = _from_molecules(key.lower(), *molecules(key.lower()))
        else:
            hint = nearest_names(word, [*LIGANDS, *ALIASES, *NAMED])
            raise ConfigError(
                f"unknown ligand {word!r}{hint} (supported: {', '.join([*LIGANDS, *NAMED])}, and "
                "smiles(...))"
            )
    if not mode:
        return ligand
    if mode not in BINDING_MODES or ligand.n_donors != 2:
        hint = nearest_names(mode, BINDING_MODES)
        raise ConfigError(
            f"ligand {name!r}: binding mode {mode!r}{hint} must be one of "
            f"{', '.join(BINDING_MODES)} and belongs to ligands with two donors"
        )
    return replace(ligand, mode=mode)


def _plain_name(smiles: str) -> str:
    """The SMILES without map numbers, as the name of the ligand."""
    return re.sub(r":\d+\]", "]", smiles)


def _from_molecules(name: str, conformers: list[Molecule], charge: int, n_donors: int) -> Ligand:
    shapes = tuple(
        tuple(tuple(float(x) for x in p) for p in molecule.positions) for molecule in conformers
    )
    first = conformers[0]
    return Ligand(
        name,
        charge,
        tuple(first.symbols),
        shapes[0],
        n_donors,
        shapes[1:],
        tuple(sorted(tuple(sorted(bond)) for bond in first.bonds)),
    )


def _split(text: str) -> list[str]:
    """Parts of a ligand list: commas or blanks outside parentheses separate."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and (letter in "," or letter.isspace()):
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part]


def parse_ligands(text: str, default_anions: str = "") -> list[tuple[Ligand, float]]:
    """Read `Cl`, `Cl:3,Br:1`, `HCOO,NH3:0.5` or `smiles(CC(=[O:1])[O-:1]):2` into pairs.

    The amount is, for anions (X type), the relative share of the charge-balancing shell; for
    neutral donors (L type) the fraction of the remaining open cation sites; for ammonium (A type)
    the fraction of the surface Cs sites. `default_anions` are added where `text` names none.
    Raises: ConfigError for an unknown or repeated ligand, a bad amount, or no anion at all.
    """
    chosen: dict[str, tuple[Ligand, float]] = {}
    for part in _split(text):
        match = re.fullmatch(r"(.*\)(?:@\w+)?|[^:]*)(?::([^:]*))?", part)
        name, amount_text = match.groups() if match else (part, None)
        ligand = find_ligand(name)
        try:
            amount = float(amount_text) if amount_text else 1.0
        except ValueError:
            amount = math.nan
        if not (0 < amount < math.inf) or (not ligand.is_x_type and amount > 1):
            expected = "a positive share" if ligand.is_x_type else "a fraction between 0 and 1"
            raise ConfigError(f"ligands {text!r}: amount in {part!r} must be {expected}")
        key = f"{ligand.name}@{ligand.mode}"
        if key in chosen:
            raise ConfigError(f"ligands {text!r}: {ligand.name} is named twice")
        chosen[key] = (ligand, amount)
    if not any(ligand.is_x_type for ligand, _ in chosen.values()):
        if default_anions:
            return [*parse_ligands(default_anions), *chosen.values()]
        anions = ", ".join(name for name, ligand in LIGANDS.items() if ligand.is_x_type)
        raise ConfigError(
            f"ligands {text!r} hold no anion; a cation-rich dot needs one of {anions} or another "
            "X-type ligand to be neutral"
        )
    return list(chosen.values())


def share_out(n: int, amounts: list[float]) -> list[int]:
    """Split `n` units over relative amounts, largest remainder first; the parts sum to `n`."""
    exact = n * np.asarray(amounts) / np.sum(amounts)
    counts = np.floor(exact).astype(int)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: n - counts.sum()]] += 1
    return counts.tolist()
