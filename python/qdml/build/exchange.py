# SPDX-License-Identifier: MIT
"""Exchange the anionic ligands of a finished dot for others, one for one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from qdml.build.account import Account
from qdml.build.capping import Placement, bind
from qdml.build.charges import CATIONS, HALIDES
from qdml.build.core import Core, Site
from qdml.build.distances import close_pairs
from qdml.build.dot import DotResult
from qdml.build.elements import Elements
from qdml.build.ligands import Ligand, parse_ligands, share_out
from qdml.build.placement import place_ligands
from qdml.build.reading import BOND_TOLERANCE, formal_charge, molecule_charge, molecules_of
from qdml.build.recount import recount
from qdml.build.steric import relax_ligands
from qdml.build.summary import summarise
from qdml.errors import ConfigError, DataError, StructureError

BULK_COORDINATION = {"Pb": 6, "Sn": 6}
"""Anions around a cation in the crystal; 4 for the others (zinc blende and wurtzite)."""


def exchange_ligands(
    atoms: Atoms, ligands: str, *, fraction: float = 1.0, seed: int = 0, vacuum: float = 10.0
) -> DotResult:
    """Replace a fraction of the X ligands (charge -1) of a neutral dot by other X ligands.

    The new ligand takes the place and the cations of the old one; the core and the ligands that
    stay do not move. Of a perovskite the halides on one Pb are exchanged, those on Cs alone stay.
    `vacuum` in Å.
    Raises: ConfigError for ligands that are not anions or a fraction outside 0 to 1; DataError for
    a structure that is not a neutral dot with X ligands; StructureError when they do not fit or
    the new dot's atoms are not neutral.
    """
    amounts = parse_ligands(ligands)
    if wrong := [ligand.name for ligand, _ in amounts if not ligand.is_x_type]:
        raise ConfigError(
            f"exchange replaces anions by anions, one for one; {wrong[0]} is not an anion. Add it "
            "when building the dot"
        )
    if not 0 < fraction <= 1:
        raise ConfigError(f"exchange fraction {fraction:g} must be above 0 and at most 1")
    charge = formal_charge(atoms)
    if charge.total != 0:
        found = "unknown" if charge.total is None else f"{charge.total:+d}"
        raise DataError(
            f"{atoms.get_chemical_formula()}: formal charge {found}, 0 expected before an "
            "exchange; atoms may be missing" + charge.remedy("; ")
        )
    core, elements, rows, old = _take_apart(atoms)
    rng = np.random.default_rng(seed)
    anionic = [k for k, part in enumerate(old) if part.charge == -1 and core.sites[k].cations]
    n = round(fraction * len(anionic))
    chosen = sorted(anionic[k] for k in rng.permutation(len(anionic))[:n])
    if not chosen:
        raise DataError(f"{atoms.get_chemical_formula()}: no anionic ligand to exchange")
    staying = [_old_placement(k, part, core) for k, part in enumerate(old) if k not in chosen]
    removed = np.concatenate([old[k].rows for k in chosen])
    kept = np.setdiff1d(np.arange(len(atoms)), np.concatenate([rows, removed]))
    counts = share_out(n, [amount for _, amount in amounts])
    kinds = [x for (x, _), count in zip(amounts, counts, strict=True) for _ in range(count)]
    kinds = [kinds[k] for k in rng.permutation(n)]
    # Three cations: more do not meet at one anion site of a relaxed surface.
    placements = [
        bind(kind, k, core.sites[k].cations[:3]) for k, kind in zip(chosen, kinds, strict=True)
    ]
    result, core = _assemble(atoms, core, elements, rows, kept, placements, ligands, vacuum)
    account = Account()
    account.steps.append({"step": f"dot of before, less {n} anions", "charge": n})
    account.add(placements)
    charge = recount(result, account, (ligand for ligand, _ in amounts))
    result.info["formal_charge"] = charge
    size = _equivalent_diameter(core)
    summary = summarise(result, core, elements, staying + placements, account, size, charge)
    return DotResult(result, replace(summary, parameters=dict(result.info)))


@dataclass(frozen=True)
class _Part:
    """A ligand found in a structure: its rows, formal charge and name."""

    rows: np.ndarray
    charge: int
    name: str


def _old_placement(site: int, part: _Part, core: Core) -> Placement:
    """A ligand that stays, for the summary."""
    return Placement(Ligand(part.name, part.charge, (), ()), site, core.sites[site].cations)


def _equivalent_diameter(core: Core) -> float:
    """Diameter in Å of the sphere with the core's volume, from the mean cation-anion bond.

    0 for a cluster of salt alone, which has no such bond.
    """
    if len(core.bonds) == 0:
        return 0.0
    i, j = core.bonds.T
    bond = float(np.linalg.norm(core.cations[i] - core.anions[j], axis=1).mean())
    a = 4 * bond / np.sqrt(3) if core.coordination == 4 else 2 * bond
    n_cells = len(core.cations) if len(core.a_sites) else len(core.positions) / 8
    return float((6 / np.pi * n_cells * a**3) ** (1 / 3))


def _take_apart(atoms: Atoms) -> tuple[Core, Elements, np.ndarray, list[_Part]]:
    """Core, its elements, its rows in `atoms`, and every ligand.

    Positions in `Core` are relative to the middle of the dot. `core.sites[k]` is the place of
    ligand k: the mean of its donors, and the cations they touch.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    radii = covalent_radii[[atomic_numbers[s] for s in symbols]]
    molecules = molecules_of(atoms)
    is_cation = np.isin(symbols, [*CATIONS]) & (symbols != "Cs")
    if not is_cation.any():
        raise DataError(
            f"{atoms.get_chemical_formula()}: none of {', '.join(sorted(CATIONS - {'Cs'}))} in it; "
            "ligands have nothing to bind to"
        )
    positions = atoms.positions - atoms.positions[is_cation].mean(axis=0)
    cations = np.flatnonzero(is_cation)

    def bound(row: int) -> np.ndarray:
        """Rows of `cations` that touch an atom."""
        distance = np.linalg.norm(positions[cations] - positions[row], axis=1)
        return np.flatnonzero(distance < BOND_TOLERANCE * (radii[cations] + radii[row]))

    is_perovskite = "Cs" in symbols
    anions = [int(k) for k in np.flatnonzero((molecules < 0) & ~is_cation & (symbols != "Cs"))]
    parts: list[_Part] = []
    for molecule in range(molecules.max() + 1):
        members = np.flatnonzero(molecules == molecule)
        is_halide = len(members) == 1 and symbols[members[0]] in HALIDES
        if is_halide and is_perovskite and len(bound(members[0])) > 1:
            anions.append(int(members[0]))
        else:
            name = Atoms(symbols[members].tolist()).get_chemical_formula()
            parts.append(_Part(members, molecule_charge(symbols[members].tolist()), name))
    cesium = np.flatnonzero(symbols == "Cs")
    bonds = [(int(c), k) for k, anion in enumerate(anions) for c in bound(anion)]
    sites = []
    for members in (part.rows for part in parts):
        donors = [m for m in members if symbols[m] not in ("C", "H") and len(bound(m))]
        touched = sorted({int(c) for m in donors for c in bound(m)})
        is_salt = is_perovskite and len(members) == 1  # a halide between Cs, where corners relax
        if not touched and not is_salt and molecule_charge(symbols[members].tolist()) < 0:
            raise DataError(
                f"{atoms.get_chemical_formula()}: the ligand of atom {members[0]} "
                f"({symbols[members[0]]}) touches no cation; it cannot be exchanged"
            )
        place = positions[donors or members].mean(axis=0)
        sites.append(Site(place, tuple(touched)))
    full = max(BULK_COORDINATION.get(s, 4) for s in symbols[cations])
    core = Core(
        positions[cations],
        positions[anions].reshape(-1, 3),
        np.array(bonds, dtype=int).reshape(-1, 2),
        tuple(sites),
        full,
        2 if is_perovskite else full,
        a_sites=positions[cesium].reshape(-1, 3),
        a_neighbours=np.full(len(cesium), 8),
    )
    elements = Elements(
        tuple(symbols[cations].tolist()),
        tuple(symbols[cesium].tolist()),
        tuple(symbols[anions].tolist()),
    )
    return core, elements, np.concatenate([cations, cesium, anions]).astype(int), parts


def _assemble(
    atoms: Atoms,
    core: Core,
    elements: Elements,
    rows: np.ndarray,
    kept: np.ndarray,
    placements: list[Placement],
    ligands: str,
    vacuum: float,
) -> tuple[Atoms, Core]:
    """The new dot: core, ligands that stay, new ligands; checked."""
    symbols = atoms.get_chemical_symbols()
    middle = atoms.positions[rows].mean(axis=0) - core.positions.mean(axis=0)
    fixed_symbols = [symbols[k] for k in (*rows, *kept)]
    fixed = np.concatenate([core.positions, atoms.positions[kept] - middle])
    shell = place_ligands(core, placements, elements.cations, fixed_symbols, fixed)
    relaxed = relax_ligands(shell, fixed_symbols, fixed)
    old = molecules_of(atoms)[kept]
    rank = {int(m): k for k, m in enumerate(dict.fromkeys(old.tolist()))}
    molecule = np.concatenate(
        [
            np.full(len(rows), -1),
            np.array([rank[int(m)] for m in old], dtype=int),
            np.array(shell.ligand_index, dtype=int) + len(rank),
        ]
    ).astype(int)
    names = fixed_symbols + shell.symbols
    positions = np.concatenate([fixed, relaxed])
    # The dot of before is what it is: relaxed corners lie closer than those of a crystal.
    close = close_pairs(names, positions, molecule)
    if clashes := [pair for pair in close if max(pair[:2]) >= len(fixed)]:
        i, j, distance, limit = clashes[0]
        raise StructureError(
            f"exchange to {ligands}: ligands do not fit, {len(clashes)} pairs too close; worst "
            f"{names[i]}{i}-{names[j]}{j} at {distance:.2f} Å, at least {limit:.2f} Å expected; "
            "exchange a smaller fraction, choose smaller ligands or another seed"
        )
    low, high = positions.min(axis=0), positions.max(axis=0)
    result = Atoms(names, positions - low + vacuum, cell=high - low + 2 * vacuum, pbc=True)
    is_surface = np.concatenate(
        [
            core.cation_neighbours < core.coordination,
            np.zeros(len(core.a_sites), dtype=bool),
            core.anion_neighbours < core.anion_coordination,
        ]
    )
    region = np.where(is_surface, "surface", "core").tolist()
    result.arrays["region"] = np.array(region + ["ligand"] * (len(names) - len(rows)))
    result.arrays["ligand_index"] = molecule
    result.info = {k: v for k, v in atoms.info.items() if isinstance(v, str | int | float)}
    result.info |= {"ligands": ligands, "exchanged": len(placements)}
    return result, core
