# SPDX-License-Identifier: MIT
"""Check what was asked of the builder and turn names into materials, lattices and shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qdml.build.lattices import CENTER_NAMES, Lattice, make_lattice
from qdml.build.ligands import Ligand, parse_ligands
from qdml.build.materials import Material, find_material, lattice_constant, nearest_names
from qdml.build.shapes import Shape, find_shape, parse_direction
from qdml.errors import ConfigError

MIN_DIAMETER, MAX_DIAMETER = 7.0, 100.0  # Å; below no core survives, above ~20 000 atoms


@dataclass(frozen=True)
class Recipe:
    """A checked request. `inner` and `inner_shape` belong to core/shell dots only."""

    material: Material
    lattice: Lattice
    shape: Shape
    centers: tuple[str, ...]
    ligands: tuple[tuple[Ligand, float], ...]
    diameter: float
    seed: int
    remove_cations: int
    remove_anions: int
    inner: Material | None
    inner_shape: Shape | None
    wanted_size: float  # volume-equivalent diameter in Å; of both bodies of a fused pair
    axis: np.ndarray | None  # [3], from one dot of a fused pair to the other
    parameters: dict  # what goes into atoms.info: the request with its defaults filled in


def make_recipe(
    material: str,
    diameter: float,
    ligands: str | None,
    *,
    shape: str | None,
    facets: str | None,
    center: str,
    lattice: str | float,
    seed: int,
    vacuum: float,
    structure: str | None,
    monolayers: int | None,
    core_diameter: float | None,
    shell_monolayers: float | None,
    remove_cations: int,
    remove_anions: int,
    fuse: str | None,
    fuse_distance: float | None,
    neck: float | None,
) -> Recipe:
    """Check every argument of `build_dot` (meanings there).

    Raises: ConfigError for unknown names, values out of range and options that exclude each other.
    """
    core_name, slash, shell_name = material.partition("/")
    outer = find_material(shell_name if slash else core_name, structure)
    inner = find_material(core_name, structure) if slash else None
    is_perovskite = outer.structure == "perovskite"
    if ligands is None:
        ligands = "Cl" if not is_perovskite else ",".join(f"{s}:{3 * x:g}" for s, x in outer.anions)
        if is_perovskite and len(outer.anions) == 1:
            ligands = outer.anion
    halides = ",".join(f"{s}:{3 * x:g}" for s, x in outer.anions) if is_perovskite else ""
    shell = parse_ligands(ligands, halides)
    if not is_perovskite and (wrong := [x.name for x, _ in shell if x.role == "A"]):
        raise ConfigError(
            f"ligand {wrong[0]} is a cation and takes the place of Cs; {outer.name} has no Cs. Use "
            "the amine, or an anion"
        )
    _check_range(diameter, "diameter")
    if not 0 <= vacuum <= 1000:
        raise ConfigError(f"vacuum {vacuum:g} Å must lie between 0 and 1000 Å")
    if min(remove_cations, remove_anions) < 0:
        raise ConfigError("the numbers of removed cations and anions must be 0 or more")
    if is_perovskite and max(remove_cations, remove_anions) > 0:
        raise ConfigError(
            f"{outer.name} keeps its octahedra complete; removing single cations or anions is for "
            "zinc blende, wurtzite and rock salt"
        )

    inner_diameter = None
    if inner is None:
        if core_diameter is not None or shell_monolayers is not None:
            raise ConfigError(
                f"material {material!r} has no shell; write core/shell, for example CdSe/CdS"
            )
    else:
        inner_diameter = _inner_diameter(
            inner, outer, diameter, core_diameter, shell_monolayers, lattice
        )
    a, level = _coherent_lattice(inner, outer, inner_diameter, diameter, lattice)
    grid = make_lattice(outer, a)
    if center != "auto" and center not in grid.centers:
        valid = ["auto", *(name for name in CENTER_NAMES if name in grid.centers)]
        hint = nearest_names(center, valid)
        raise ConfigError(f"unknown center {center!r}{hint} (supported: {', '.join(valid)})")
    shape = shape or ("cube" if is_perovskite else "sphere")
    body = find_shape(shape, facets, diameter, grid, monolayers)
    inner_body = None
    if inner_diameter is not None:
        if body.thickness is not None:
            raise ConfigError("core/shell platelets are not built; choose another shape")
        # The core is as large as it was before the shell strained it: the same number of cells.
        strain = 1.0 if level == "given" else a / lattice_constant(inner, lattice)[0]
        inner_body = find_shape(shape, facets, strain * inner_diameter, grid)
    axis = None
    if fuse is None:
        if fuse_distance is not None or neck is not None:
            raise ConfigError("--fuse-distance and --neck belong to a fused pair; give --fuse 100")
    else:
        axis = parse_direction(fuse, grid)
        touching = 2 * body.extent(axis)
        fuse_distance = touching if fuse_distance is None else fuse_distance
        _check_pair(fuse_distance, touching, neck, diameter)
        body = body.paired(axis, fuse_distance, neck or 0.0)
        if inner_body is not None:
            inner_body = inner_body.paired(axis, fuse_distance)
    parameters = {
        "material": material if slash else outer.name,
        "ligands": ligands,
        "shape": shape if facets is None else f"wulff {facets}",
        "center": center,
        "lattice_constant": a,
        "lattice_level": level,
        "diameter": float(diameter),
        "seed": seed,
    }
    extra = {
        "structure": structure,
        "monolayers": monolayers,
        "core_diameter": inner_diameter,
        "remove_cations": remove_cations or None,
        "remove_anions": remove_anions or None,
        "fuse": fuse,
        "fuse_distance": fuse_distance,
        "neck": neck,
    }
    parameters |= {key: value for key, value in extra.items() if value is not None}
    centers = CENTER_NAMES if center == "auto" else (center,)
    return Recipe(
        outer,
        grid,
        body,
        tuple(name for name in centers if name in grid.centers),
        tuple(shell),
        diameter,
        seed,
        remove_cations,
        remove_anions,
        inner,
        inner_body,
        diameter if axis is None else 2 ** (1 / 3) * diameter,
        axis,
        parameters,
    )


def _check_pair(distance: float, touching: float, neck: float | None, diameter: float) -> None:
    """Raise ConfigError for a fused pair whose dots or neck cannot be."""
    limit = touching if neck is None else 2 * touching
    if not 0 < distance <= limit + 1e-6:
        reason = "touch" if neck is None else "are joined by a neck shorter than a dot"
        raise ConfigError(
            f"fuse distance {distance:g} Å must lie between 0 and {limit:.2f} Å, where the dots "
            f"still {reason}"
        )
    if neck is not None and not 0 < neck <= diameter:
        raise ConfigError(f"neck {neck:g} Å must be thinner than the dots, {diameter:g} Å")


def _check_range(value: float, name: str) -> None:
    if not MIN_DIAMETER <= value <= MAX_DIAMETER:
        word = "small" if value < MIN_DIAMETER else "large"
        raise ConfigError(
            f"{name} {value:g} Å is too {word}; qdml build makes dots of {MIN_DIAMETER:g} to "
            f"{MAX_DIAMETER:g} Å (is it in Å?)"
        )


def _inner_diameter(
    inner: Material,
    outer: Material,
    diameter: float,
    core_diameter: float | None,
    shell_monolayers: float | None,
    lattice: str | float,
) -> float:
    """Diameter of the core of a core/shell dot, Å, given directly or by the shell's thickness."""
    if outer.structure == "perovskite" or inner.structure != outer.structure:
        raise ConfigError(
            f"core {inner.name} is {inner.structure}, shell {outer.name} is {outer.structure}; "
            "core/shell dots need one structure, zinc blende, wurtzite or rock salt"
        )
    if (core_diameter is None) == (shell_monolayers is None):
        raise ConfigError(
            f"core/shell dot {inner.name}/{outer.name} needs either --core-diameter (Å) or "
            "--shell-monolayers"
        )
    if core_diameter is None:
        a, _ = lattice_constant(outer, lattice)
        # One monolayer is one (111) double layer: a / sqrt(3), 3.4 Å for CdS.
        edge = math.sqrt(2) * a if outer.structure == "wurtzite" else a
        core_diameter = diameter - 2 * shell_monolayers * edge / math.sqrt(3)
    if not MIN_DIAMETER <= core_diameter < diameter:
        raise ConfigError(
            f"core diameter {core_diameter:.1f} Å of {inner.name}/{outer.name} must lie between "
            f"{MIN_DIAMETER:g} Å and the whole diameter {diameter:g} Å; change the shell"
        )
    return core_diameter


def _coherent_lattice(
    inner: Material | None,
    outer: Material,
    inner_diameter: float | None,
    diameter: float,
    lattice: str | float,
) -> tuple[float, str]:
    """One lattice constant for the whole dot: that of the core and the shell by their volumes."""
    a, level = lattice_constant(outer, lattice)
    if inner is not None and level != "given":
        share = (inner_diameter / diameter) ** 3
        a = share * lattice_constant(inner, lattice)[0] + (1 - share) * a
        level += ", volume-weighted mean of core and shell"
    return a, level
