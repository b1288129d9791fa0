# SPDX-License-Identifier: MIT
"""Build a whole dot: core, ligand shell, checks and summary in one call."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from qdml.build.account import Account
from qdml.build.capping import (
    Placement,
    balance,
    place_a_type,
    place_l_type,
    place_x_type,
    total_coordination,
)
from qdml.build.core import Core, cut_core
from qdml.build.distances import close_pairs
from qdml.build.elements import Elements, assign_elements
from qdml.build.ligands import share_out
from qdml.build.materials import nearest_names
from qdml.build.perovskite import add_a_sites, balance_a_sites
from qdml.build.placement import place_ligands
from qdml.build.recipe import Recipe, make_recipe
from qdml.build.recount import recount
from qdml.build.removal import remove_anions as take_anions
from qdml.build.removal import remove_cations as take_cations
from qdml.build.steric import relax_ligands
from qdml.build.summary import Summary, summarise
from qdml.errors import ConfigError, StructureError

# Published dots; they fall out of the general cut with these parameters.
PRESETS = {
    "Cd16Se13Cl6": {"material": "CdSe", "diameter": 11.0, "center": "anion"},
    "Cd68Se55Cl26": {"material": "CdSe", "diameter": 19.0, "center": "anion"},
    "Cd176Se147Cl58": {"material": "CdSe", "diameter": 27.2, "center": "anion"},
    "Cd360Se309Cl102": {
        "material": "CdSe",
        "diameter": 34.4,
        "center": "anion",
        "shape": "cuboctahedron",
    },
    "In31P20Cl33": {
        "material": "InP",
        "diameter": 14.0,
        "center": "cation",
        "shape": "tetrahedron",
    },
    # Seven of the twelve three-fold P of In107P80Cl81 are replaced by three Cl each.
    "In107P73Cl102": {
        "material": "InP",
        "diameter": 23.0,
        "center": "cation",
        "shape": "truncated-tetrahedron",
        "remove_anions": 7,
    },
    "Pb19Se6Cl26": {"material": "PbSe", "diameter": 13.8, "center": "cation"},
    "Pb79Se44Cl70": {"material": "PbSe", "diameter": 21.5, "center": "cation"},
    # One PbCl2 less than the cut Pb201Se140Cl122.
    "Pb200Se140Cl120": {
        "material": "PbSe",
        "diameter": 28.5,
        "center": "cation",
        "remove_cations": 1,
    },
    "Cs20Pb8Br36": {"material": "CsPbBr3", "diameter": 14.9, "center": "hole"},
    "Cs54Pb27Br108": {"material": "CsPbBr3", "diameter": 22.3, "center": "cation"},
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
    elements: Elements
    placements: list[Placement]
    account: Account

    def badness(self, recipe: Recipe) -> tuple[float, int, float]:
        """Right thickness of a platelet, fewest poorly coordinated cations, nearest in size."""
        core, lattice = self.core, recipe.lattice
        misfit = 0.0
        if recipe.shape.thickness is not None:
            misfit = round(abs(np.ptp(core.cations[:, 2]) - recipe.shape.thickness), 3)
        coordination = total_coordination(core, self.placements)
        size = equivalent_diameter(core, recipe)
        return misfit, int((coordination < lattice.poor).sum()), abs(size - recipe.wanted_size)


def equivalent_diameter(core: Core, recipe: Recipe) -> float:
    """Diameter in Å of the sphere with the volume of the core's lattice sites."""
    is_perovskite = recipe.material.structure == "perovskite"
    n = len(core.cations) if is_perovskite else len(core.cations) + len(core.anions)
    return recipe.lattice.equivalent_diameter(n)


def preset(name: str) -> dict:
    """Keyword arguments of `build_dot` for a published dot. Raises: ConfigError if unknown."""
    if name not in PRESETS:
        hint = nearest_names(name, PRESETS)
        raise ConfigError(f"unknown preset {name!r}{hint} (available: {', '.join(PRESETS)})")
    return dict(PRESETS[name])


def build_dot(
    material: str,
    diameter: float,
    ligands: str | None = None,
    *,
    shape: str | None = None,
    facets: str | None = None,
    center: str = "auto",
    lattice: str | float = "pbe",
    seed: int = 0,
    vacuum: float = 10.0,
    structure: str | None = None,
    monolayers: int | None = None,
    core_diameter: float | None = None,
    shell_monolayers: float | None = None,
    remove_cations: int = 0,
    remove_anions: int = 0,
    fuse: str | None = None,
    fuse_distance: float | None = None,
    neck: float | None = None,
) -> DotResult:
    """Build a charge-balanced dot.

    `material` is a formula (`CdSe`), an alloy (`CdSe0.5S0.5`) or core/shell (`CdSe/CdS`, with
    `core_diameter` in Å or the shell's thickness in `shell_monolayers`); `structure` picks wurtzite
    where both are known. `diameter` of the cut in Å (volume-equivalent for polyhedra, the width of
    a platelet of `monolayers`), `ligands` as `parse_ligands` reads them (default: chloride; the
    halides of a perovskite), `lattice` as `lattice_constant`, `vacuum` in Å on every side of the
    box. `remove_cations` MX2 units (Z type) and `remove_anions` surface anions are left out.
    `fuse` makes a pair of dots grown together along a direction (`100`), one crystal: centers
    `fuse_distance` Å apart (default: touching), joined by a `neck` of that diameter in Å.
    The same arguments and seed give the same dot, atom by atom.
    Raises: ConfigError for unknown names and values out of range; StructureError when no
    neutral dot without clashes comes out, or its atoms do not carry the charge of the account.
    """
    recipe = make_recipe(
        material,
        diameter,
        ligands,
        shape=shape,
        facets=facets,
        center=center,
        lattice=lattice,
        seed=seed,
        vacuum=vacuum,
        structure=structure,
        monolayers=monolayers,
        core_diameter=core_diameter,
        shell_monolayers=shell_monolayers,
        remove_cations=remove_cations,
        remove_anions=remove_anions,
        fuse=fuse,
        fuse_distance=fuse_distance,
        neck=neck,
    )
    designs, faults = [], []
    for name in recipe.centers:
        try:
            designs.append(_design(recipe, name))
        except StructureError as fault:
            faults.append(fault)
    if not designs:
        raise faults[0]
    # A stable sort keeps the order of the centers between equals.
    designs.sort(key=lambda design: design.badness(recipe))
    for design in designs:
        atoms, clashes = _assemble(design, vacuum)
        if not clashes:
            break
    else:
        atoms, clashes = _assemble(designs[0], vacuum)
        i, j, distance, limit = clashes[0]
        raise StructureError(
            f"{atoms.get_chemical_formula()}: ligands do not fit, {len(clashes)} pairs too close; "
            f"worst {atoms.symbols[i]}{i}-{atoms.symbols[j]}{j} at {distance:.2f} Å, at least "
            f"{limit:.2f} Å expected; choose smaller ligands, a mixture with small ones "
            "(Cl:1,oleate:1), another diameter, center or seed"
        )
    charge = recount(atoms, design.account, (ligand for ligand, _ in recipe.ligands))
    if charge != 0:
        raise StructureError(f"{atoms.get_chemical_formula()} has formal charge {charge:+d}")
    atoms.info |= recipe.parameters | {"center": design.center, "formal_charge": charge}
    size = equivalent_diameter(design.core, recipe)
    summary = summarise(
        atoms, design.core, design.elements, design.placements, design.account, size, charge
    )
    return DotResult(atoms, replace(summary, parameters=dict(atoms.info)))


def _design(recipe: Recipe, center: str) -> _Design:
    """Cut, name the elements, choose all ligand sites.

    Raises: StructureError when there is no neutral way.
    """
    core = cut_core(recipe.shape, recipe.lattice, center)
    _check_size(core, recipe)
    # Streams of their own: an option that needs chance does not change the ligands of others.
    rng_elements, rng_removal = (np.random.default_rng([recipe.seed, k]) for k in (1, 2))
    if recipe.material.structure == "perovskite":
        return _design_perovskite(core, recipe, center, rng_elements)
    inner = None
    if recipe.inner_shape is not None:
        inner = cut_core(recipe.inner_shape, recipe.lattice, center)
    whole = assign_elements(core, recipe.material, rng_elements, inner, recipe.inner)
    account = Account()
    account.start(whole.symbols, core.n_pruned, recipe.material)
    elements = whole
    for n, take in ((recipe.remove_cations, take_cations), (recipe.remove_anions, take_anions)):
        core, elements = _without(core, elements, take(core, n, rng_removal))
    account.remove(whole.symbols, elements.symbols)
    rng = np.random.default_rng(recipe.seed)
    n_x = balance(core, elements)
    placements = place_x_type(core, n_x, [p for p in recipe.ligands if p[0].is_x_type], rng)
    neutral = [part for part in recipe.ligands if part[0].role == "L"]
    placements += place_l_type(core, placements, neutral, rng)
    account.add(placements)
    return _Design(center, core, elements, placements, account)


def _without(core: Core, elements: Elements, smaller: Core) -> tuple[Core, Elements]:
    """A core after removal and the elements that are left, matched by position."""
    if smaller is core:
        return core, elements
    cations = {tuple(p): s for p, s in zip(core.cations, elements.cations, strict=True)}
    anions = {tuple(p): s for p, s in zip(core.anions, elements.anions, strict=True)}
    left = Elements(
        tuple(cations[tuple(p)] for p in smaller.cations),
        (),
        tuple(anions[tuple(p)] for p in smaller.anions),
    )
    return smaller, left


def _design_perovskite(
    core: Core, recipe: Recipe, center: str, rng: np.random.Generator
) -> _Design:
    """Octahedra with a ligand on every terminal halide site; Cs sites balance the charge."""
    core = add_a_sites(core, recipe.lattice.vectors[0, 0])
    terminal = [part for part in recipe.ligands if part[0].is_x_type]
    n_terminal = len(core.sites)
    material = recipe.material
    # Where the shell is the crystal's own mixture the whole dot has the exact composition.
    if {x.name for x, _ in terminal} == {s for s, _ in material.anions}:
        n_all = len(core.anions) + n_terminal
        total = share_out(n_all, [share for _, share in material.anions])
        names = [symbol for symbol, _ in material.anions]
        counts = dict(zip(names, total, strict=True))
        amounts = share_out(n_terminal, [amount for _, amount in terminal])
        for (ligand, _), n in zip(terminal, amounts, strict=True):
            counts[ligand.name] -= n
        shares = tuple((s, max(0, n) / max(1, len(core.anions))) for s, n in counts.items())
        material = replace(material, anion_shares=shares if len(shares) > 1 else ())
    whole = assign_elements(core, material, rng)
    account = Account()
    account.start(whole.symbols, core.n_pruned, recipe.material)
    placements = place_x_type(core, n_terminal, terminal, np.random.default_rng(recipe.seed))
    account.add(placements)
    core = balance_a_sites(core, whole.charge - n_terminal, rng)
    elements = replace(whole, a_sites=whole.a_sites[: len(core.a_sites)])
    account.remove(whole.symbols, elements.symbols)
    ammonium = place_a_type(core, [p for p in recipe.ligands if p[0].role == "A"], rng)
    if ammonium:
        account.exchange(ammonium, recipe.material.a_site)
    neutral = [part for part in recipe.ligands if part[0].role == "L"]
    placements += ammonium + place_l_type(core, placements, neutral, rng)
    core, elements, placements = _with_ammonium(core, elements, placements)
    return _Design(center, core, elements, placements, account)


def _with_ammonium(
    core: Core, elements: Elements, placements: list[Placement]
) -> tuple[Core, Elements, list[Placement]]:
    """Take the Cs off the sites that ammonium ligands fill; the ligands keep the positions."""
    taken = [p.a_site for p in placements if p.a_site is not None]
    keep = np.setdiff1d(np.arange(len(core.a_sites)), taken)
    order = np.concatenate([keep, taken]).astype(int)
    row = np.argsort(order)
    smaller = replace(
        core,
        a_sites=core.a_sites[keep],
        a_neighbours=core.a_neighbours[keep],
        ligand_a_sites=core.a_sites[np.array(taken, dtype=int)],
    )
    moved = [
        p if p.a_site is None else replace(p, a_site=int(row[p.a_site]) - len(keep))
        for p in placements
    ]
    return smaller, replace(elements, a_sites=elements.a_sites[: len(keep)]), moved


def _check_size(core: Core, recipe: Recipe) -> None:
    """Raise StructureError for a molecule: a core without one fully coordinated atom.

    So for a pair of dots of which the cut left only one.
    """
    if recipe.axis is not None and len(core.cations):
        distance = 2 * np.linalg.norm(recipe.shape.shifts[0])
        if np.ptp(core.positions @ recipe.axis) < distance:
            raise StructureError(
                f"the dots do not grow together at a distance of {distance:.1f} Å; use a smaller "
                "distance or a wider neck"
            )
    if (
        core.coordination in core.cation_neighbours
        or core.anion_coordination in core.anion_neighbours
    ):
        return
    name = recipe.material.name
    word = {4: "four", 6: "six"}[core.coordination]
    problem = f"no {name} atom keeps {word} neighbours after removing under-coordinated atoms"
    if recipe.material.structure == "perovskite":
        problem = f"no two {name} octahedra share a corner"
    raise StructureError(
        f"diameter {recipe.diameter:g} Å is too small: {problem}; use a larger diameter or "
        "another center"
    )


def _assemble(design: _Design, vacuum: float) -> tuple[Atoms, list[tuple]]:
    """Atoms in the box: cations, anions, ligands; and the pairs that are too close."""
    core, elements = design.core, design.elements
    core_symbols = elements.symbols
    ligand_shell = place_ligands(core, design.placements, elements.cations, core_symbols)
    relaxed = relax_ligands(ligand_shell, core_symbols, core.positions)
    symbols = core_symbols + ligand_shell.symbols
    positions = np.concatenate([core.positions, relaxed])
    molecule = np.array([-1] * len(core_symbols) + ligand_shell.ligand_index)
    clashes = close_pairs(symbols, positions, molecule)

    low, high = positions.min(axis=0), positions.max(axis=0)
    atoms = Atoms(symbols, positions - low + vacuum, cell=high - low + 2 * vacuum, pbc=True)
    is_surface = np.concatenate(
        [
            core.cation_neighbours < core.coordination,
            core.a_neighbours < core.a_neighbours_inside,
            core.anion_neighbours < core.anion_coordination,
        ]
    )
    region = np.where(is_surface, "surface", "core").tolist()
    atoms.arrays["region"] = np.array(region + ["ligand"] * len(relaxed))
    # -1 in the core, else the number of the ligand, so that molecules stay recognisable.
    atoms.arrays["ligand_index"] = molecule
    return atoms, clashes
