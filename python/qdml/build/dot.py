# SPDX-License-Identifier: MIT
"""Build a whole dot: core, ligand shell, checks and summary in one call."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from qdml.build.capping import (
    Placement,
    balance,
    place_l_type,
    place_x_type,
    total_coordination,
)
from qdml.build.core import CENTERS, Core, cut_core
from qdml.build.distances import close_pairs
from qdml.build.ligands import Ligand, parse_ligands
from qdml.build.materials import Material, find_material, lattice_constant, nearest_names
from qdml.build.placement import place_ligands
from qdml.build.shapes import find_shape
from qdml.build.steric import relax_ligands
from qdml.build.summary import Summary, summarise
from qdml.errors import ConfigError, StructureError

MIN_DIAMETER, MAX_DIAMETER = 7.0, 100.0  # Å; below no core survives, above ~20 000 atoms
# Centers tried by "auto", the most symmetric dot first.
AUTO_CENTERS = ("anion", "cation", "bond", "edge", "hole")

# Published Cl-capped dots; they fall out of the general cut with these parameters.
PRESETS = {
    "Cd16Se13Cl6": {"material": "CdSe", "diameter": 11.0, "center": "anion"},
    "Cd68Se55Cl26": {"material": "CdSe", "diameter": 19.0, "center": "anion"},
    "Cd176Se147Cl58": {"material": "CdSe", "diameter": 27.2, "center": "anion"},
    "In31P20Cl33": {
        "material": "InP",
        "diameter": 14.0,
        "center": "cation",
        "shape": "tetrahedron",
    },
}


@dataclass(frozen=True)
class DotResult:
    """A finished dot: `atoms` in its vacuum box and `summary` of what was built.

    `atoms.arrays["region"]` is core, surface or ligand; `atoms.info` names material and ligands.
    """

    atoms: Atoms
    summary: Summary


@dataclass(frozen=True)
class _Design:
    """One candidate before atoms are placed: a core and the sites its ligands take."""

    center: str
    core: Core
    placements: list[Placement]

    def badness(self, diameter: float, a: float) -> tuple[int, float]:
        """Fewest poorly coordinated cations first, then nearest to the wanted size."""
        coordination = total_coordination(self.core, self.placements)
        size = equivalent_diameter(len(self.core.cations) + len(self.core.anions), a)
        return int((coordination < 3).sum()), abs(size - diameter)


def equivalent_diameter(n_core: int, a: float) -> float:
    """Diameter in Å of the sphere with the volume of `n_core` lattice atoms (8 per cell a^3)."""
    return (6 / math.pi * n_core * a**3 / 8) ** (1 / 3)


def preset(name: str) -> dict:
    """Keyword arguments of `build_dot` for a published dot. Raises: ConfigError if unknown."""
    if name not in PRESETS:
        hint = nearest_names(name, PRESETS)
        raise ConfigError(f"unknown preset {name!r}{hint} (available: {', '.join(PRESETS)})")
    return dict(PRESETS[name])


def build_dot(
    material: str,
    diameter: float,
    ligands: str = "Cl",
    *,
    shape: str = "sphere",
    facets: str | None = None,
    center: str = "auto",
    lattice: str | float = "pbe",
    seed: int = 0,
    vacuum: float = 10.0,
) -> DotResult:
    """Build a charge-balanced zinc-blende dot.

    `diameter` of the cut in Å (volume-equivalent for polyhedra), `ligands` as `parse_ligands`
    reads them, `lattice` as `lattice_constant`, `vacuum` in Å on every side of the box. The same
    arguments and seed give the same dot, atom by atom.
    Raises: ConfigError for unknown names and values out of range; StructureError when no
    neutral dot without clashes comes out.
    """
    kind = find_material(material)
    shell = parse_ligands(ligands)
    a, level = lattice_constant(kind, lattice)
    if not MIN_DIAMETER <= diameter <= MAX_DIAMETER:
        word = "small" if diameter < MIN_DIAMETER else "large"
        raise ConfigError(
            f"diameter {diameter:g} Å is too {word}; qdml build makes dots of {MIN_DIAMETER:g} to "
            f"{MAX_DIAMETER:g} Å (is it in Å?)"
        )
    if not 0 <= vacuum <= 1000:
        raise ConfigError(f"vacuum {vacuum:g} Å must lie between 0 and 1000 Å")
    if center != "auto" and center not in CENTERS:
        hint = nearest_names(center, [*CENTERS, "auto"])
        supported = ", ".join(["auto", *CENTERS])
        raise ConfigError(f"unknown center {center!r}{hint} (supported: {supported})")
    body = find_shape(shape, facets, diameter)

    designs, faults = [], []
    for name in AUTO_CENTERS if center == "auto" else (center,):
        try:
            core = cut_core(body, a, name)
            designs.append(_Design(name, core, _cap(core, kind, shell, diameter, seed)))
        except StructureError as fault:
            faults.append(fault)
    if not designs:
        raise faults[0]
    # A stable sort keeps the order of AUTO_CENTERS between equals.
    designs.sort(key=lambda design: design.badness(diameter, a))
    for design in designs:
        atoms, clashes = _assemble(design, kind, vacuum)
        if not clashes:
            break
    else:
        atoms, clashes = _assemble(designs[0], kind, vacuum)
        i, j, distance, limit = clashes[0]
        raise StructureError(
            f"{atoms.get_chemical_formula()}: ligands do not fit, {len(clashes)} pairs too close; "
            f"worst {atoms.symbols[i]}{i}-{atoms.symbols[j]}{j} at {distance:.2f} Å, at least "
            f"{limit:.2f} Å expected; choose smaller ligands, another diameter, center or seed"
        )
    shape_name = shape if facets is None else f"wulff {facets}"
    atoms.info |= {
        "material": kind.name,
        "ligands": ligands,
        "shape": shape_name,
        "center": design.center,
        "lattice_constant": a,
        "lattice_level": level,
        "diameter": float(diameter),
        "seed": seed,
        "formal_charge": 0,
    }
    summary = summarise(atoms, kind, design.core, design.placements, a)
    if summary.formal_charge != 0:
        raise StructureError(f"{summary.formula} has formal charge {summary.formal_charge:+d}")
    return DotResult(atoms, replace(summary, parameters=dict(atoms.info)))


def _cap(
    core: Core, kind: Material, shell: list[tuple[Ligand, float]], diameter: float, seed: int
) -> list[Placement]:
    """Choose all ligand sites of one core. Raises: StructureError when there is no neutral way."""
    # A core without one fully coordinated atom is a molecule, not a piece of the crystal.
    if not (4 in core.cation_neighbours or 4 in core.anion_neighbours):
        raise StructureError(
            f"diameter {diameter:g} Å is too small: no {kind.name} atom keeps four neighbours "
            "after removing under-coordinated atoms; use a larger diameter or another center"
        )
    rng = np.random.default_rng(seed)
    n_x = balance(core, kind)
    placements = place_x_type(core, n_x, [part for part in shell if part[0].is_x_type], rng)
    neutral = [part for part in shell if not part[0].is_x_type]
    return placements + place_l_type(core, placements, neutral, rng)


def _assemble(design: _Design, kind: Material, vacuum: float) -> tuple[Atoms, list[tuple]]:
    """Atoms in the box, cations then anions then ligands, and the pairs that are too close."""
    core = design.core
    core_symbols = [kind.cation] * len(core.cations) + [kind.anion] * len(core.anions)
    core_positions = np.concatenate([core.cations, core.anions])
    ligand_shell = place_ligands(core, design.placements, kind.cation)
    relaxed = relax_ligands(ligand_shell, core_symbols, core_positions)
    symbols = core_symbols + ligand_shell.symbols
    positions = np.concatenate([core_positions, relaxed])
    molecule = np.array([-1] * len(core_symbols) + ligand_shell.ligand_index)
    clashes = close_pairs(symbols, positions, molecule)

    low, high = positions.min(axis=0), positions.max(axis=0)
    atoms = Atoms(symbols, positions - low + vacuum, cell=high - low + 2 * vacuum, pbc=True)
    neighbours = np.concatenate([core.cation_neighbours, core.anion_neighbours])
    region = np.where(neighbours < 4, "surface", "core").tolist()
    atoms.arrays["region"] = np.array(region + ["ligand"] * len(relaxed))
    # -1 in the core, else the number of the ligand, so that molecules stay recognisable.
    atoms.arrays["ligand_index"] = molecule
    return atoms, clashes
