# SPDX-License-Identifier: MIT
"""Put copies of a dot with its shell into a film: places, turns, fewer ligands, checks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from scipy.spatial.transform import Rotation

from qdml.build.materials import nearest_names
from qdml.build.reading import formal_charge
from qdml.errors import ConfigError, DataError, StructureError
from qdml.film.arrays import ARRAYS, n_places, ordered_places
from qdml.film.contacts import overlaps
from qdml.film.packing import packing_fraction, random_places
from qdml.film.recount import recount
from qdml.film.removal import rows_to_remove, shell_of

MAX_ATOMS = 20_000_000
"""More do not fit into the memory of a usual machine while the film is put together."""
GAP = 2.5
"""Å between the outermost atoms of neighbours at the automatic spacing: above every limit for
pairs of ligand atoms, whatever the dots' turns."""


@dataclass(frozen=True)
class Film:
    """A finished film; atoms lie in the order of the dots.

    `kinds` [n_atoms] index `symbols`; `positions` [n_atoms, 3] Å, inside the box along periodic
    directions; `dots` [n_atoms] number of the dot; `places` [n_dots, 3]; `box` [3] Å.
    """

    symbols: tuple[str, ...]
    kinds: np.ndarray
    positions: np.ndarray
    dots: np.ndarray
    places: np.ndarray
    box: np.ndarray
    core_radius: float
    summary: dict


def build_film(
    dot: Atoms,
    array: str = "hexagonal",
    *,
    repeat: tuple[int, int, int] = (4, 4, 1),
    number: int | None = None,
    spacing: float | None = None,
    orientation: str | float = "aligned",
    remove: float = 0.0,
    vacuum: float | None = None,
    seed: int = 0,
) -> Film:
    """Build a film of copies of `dot`.

    `array` is one of ARRAYS; `repeat` as `ordered_places` (ordered arrays), `number` of dots
    (random). `spacing` of neighbouring centers in Å, by default wide enough for any turn.
    `orientation` is `aligned`, `random`, or the standard deviation in degrees of random tilts.
    `remove` is the fraction of the anionic ligands that leaves every dot in neutral units. With
    `vacuum` (Å, on both sides along z) the film is a slab, else it is periodic.
    Raises: ConfigError for values out of range, DataError for a dot that is charged or has no
    metal, StructureError for dots that overlap, or whose atoms are not neutral in the end.
    """
    _check(array, repeat, number, spacing, remove, vacuum)
    spread = _angle(orientation)
    charge = formal_charge(dot)
    if charge.total != 0:
        found = "unknown" if charge.total is None else f"{charge.total:+d}"
        raise DataError(
            f"{dot.get_chemical_formula()}: formal charge {found}; a film needs 0"
            + charge.remedy("; ")
        )
    is_core = charge.molecules < 0
    if not is_core.any():
        raise DataError(f"{dot.get_chemical_formula()}: no core atoms; this is not a dot")
    local = dot.positions - dot.positions[is_core].mean(axis=0)
    radius = float(np.linalg.norm(local, axis=1).max())
    distance = 2 * radius + GAP if spacing is None else spacing
    n_atoms = len(dot) * (number if number is not None else n_places(array, repeat))
    if n_atoms > MAX_ATOMS:
        raise ConfigError(f"film of {n_atoms} atoms is too large; at most {MAX_ATOMS}")
    if array == "random":
        places, box = random_places(number, distance, seed)
    else:
        places, box = ordered_places(array, repeat, distance)
    rng = np.random.default_rng(seed)
    turns = _turns(len(places), spread, rng)
    names = tuple(dict.fromkeys(dot.get_chemical_symbols()))
    own_kinds = np.array([names.index(s) for s in dot.get_chemical_symbols()])
    positions = np.einsum("kij,mj->kmi", turns, local) + places[:, None]
    keep = _kept(dot, len(places), remove, rng)
    dots = np.repeat(np.arange(len(places)), len(dot)).reshape(keep.shape)[keep]
    kinds = np.broadcast_to(own_kinds, keep.shape)[keep]
    molecules = np.broadcast_to(charge.molecules, keep.shape)[keep]
    positions = positions[keep]

    periodic = np.array([True, True, vacuum is None])
    _check_overlap(local, places, kinds, names, positions, dots, box, periodic, distance)
    if vacuum is not None:
        low, high = positions[:, 2].min(), positions[:, 2].max()
        shift = np.array([0.0, 0.0, vacuum - low])
        positions, places = positions + shift, places + shift
        box = np.array([box[0], box[1], high - low + 2 * vacuum])
    positions[:, periodic] = np.mod(positions[:, periodic], box[periodic])
    places = np.where(periodic, np.mod(places, box), places)
    counts = Counter(kinds.tolist())
    removed = len(places) * len(dot) - len(positions)
    fraction = packing_fraction(len(places), distance, box)
    summary = {
        "array": array,
        "n_dots": len(places),
        "n_atoms": len(positions),
        "composition": {name: counts[k] for k, name in enumerate(names)},
        "formal_charge": recount(dot, charge.molecules, names, kinds, dots, molecules, len(places)),
        "spacing": round(distance, 4),
        "nearest_places": round(_nearest(places, box, periodic), 4),
        "packing_fraction": round(fraction, 4) if vacuum is None else None,
        "orientation": str(orientation),
        "atoms_removed_with_ligands": removed,
        "periodic": periodic.tolist(),
        "box": [round(float(x), 4) for x in box],
        "seed": seed,
        "dot": dot.get_chemical_formula(),
    }
    core_radius = float(np.linalg.norm(local[is_core], axis=1).max())
    return Film(names, kinds, positions, dots, places, box, core_radius, summary)


def _check(
    array: str,
    repeat: tuple[int, int, int],
    number: int | None,
    spacing: float | None,
    remove: float,
    vacuum: float | None,
) -> None:
    """Raise ConfigError for what cannot be a film."""
    if array not in ARRAYS:
        hint = nearest_names(array, ARRAYS)
        raise ConfigError(f"unknown array {array!r}{hint} (supported: {', '.join(ARRAYS)})")
    if (array == "random") != (number is not None):
        raise ConfigError(
            "a random film needs --number, the number of dots"
            if number is None
            else f"--number belongs to random films; a {array} one takes --repeat NX NY NZ"
        )
    n = number if number is not None else int(np.prod(repeat))
    if n < 1 or min(repeat) < 1:
        raise ConfigError(
            f"film of no dots: {'number ' + str(number) if number is not None else repeat}; ask "
            "for at least 1 along every direction"
        )
    if array == "hexagonal" and vacuum is None and repeat[2] % 2:
        raise ConfigError(
            f"a periodic hexagonal film needs an even number of layers, found {repeat[2]}: the "
            "layers alternate. Change --repeat, or make a slab with --vacuum"
        )
    if spacing is not None and not 1.0 <= spacing <= 1000.0:
        raise ConfigError(f"spacing {spacing:g} Å must lie between 1 and 1000 Å")
    if not 0 <= remove <= 1:
        raise ConfigError(f"removed fraction {remove:g} must lie between 0 and 1")
    if vacuum is not None and not 0 < vacuum <= 1000:
        raise ConfigError(f"vacuum {vacuum:g} Å must lie between 0 and 1000 Å")


def _angle(orientation: str | float) -> float | None:
    """Standard deviation of the tilts in degrees; 0 aligned, None random."""
    if orientation in ("aligned", "random"):
        return 0.0 if orientation == "aligned" else None
    try:
        value = float(orientation)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 180:
        raise ConfigError(
            f"orientation {orientation!r} must be aligned, random, or a tilt of 0 to 180 degrees"
        )
    return value


def _turns(n: int, spread: float | None, rng: np.random.Generator) -> np.ndarray:
    """Rotation matrices [n, 3, 3]: even over all turns, or random axes with normal angles."""
    if spread is None:
        return Rotation.from_quat(rng.normal(size=(n, 4))).as_matrix()
    axes = rng.normal(size=(n, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = np.radians(spread) * rng.normal(size=(n, 1))
    return Rotation.from_rotvec(axes * angles).as_matrix()


def _kept(dot: Atoms, n: int, remove: float, rng: np.random.Generator) -> np.ndarray:
    """Mask [n, n_atoms] of the atoms each copy keeps."""
    keep = np.ones((n, len(dot)), dtype=bool)
    if remove > 0:
        shell = shell_of(dot)
        if not shell.anions:
            raise StructureError(f"{dot.get_chemical_formula()} has no anionic ligand to remove")
        for row in keep:
            row[rows_to_remove(shell, remove, rng)] = False
    return keep


def _check_overlap(
    local: np.ndarray,
    places: np.ndarray,
    kinds: np.ndarray,
    names: tuple[str, ...],
    positions: np.ndarray,
    dots: np.ndarray,
    box: np.ndarray,
    periodic: np.ndarray,
    spacing: float,
) -> None:
    """Raise StructureError when atoms of different dots, or of a dot and its image, collide."""
    radius = float(np.linalg.norm(local, axis=1).max())
    nearest = _nearest(places, box, periodic)
    if nearest >= 2 * radius + GAP - 1e-6:
        return
    # Only atoms that far from their own center can meet another dot (4 Å: above every limit).
    far = np.linalg.norm(positions - places[dots], axis=1) > nearest - radius - 4.0
    owner = dots[far]
    small = float(box[periodic].min())
    if small < 2 * radius + GAP:
        raise StructureError(
            f"the box edge {small:.1f} Å is shorter than a dot with its shell, {2 * radius:.1f} Å; "
            "repeat the array more often along that direction, or use a larger spacing"
        )
    n_bad, worst = overlaps(kinds[far], list(names), positions[far], owner, box, periodic)
    if n_bad:
        raise StructureError(
            f"dots overlap at spacing {spacing:.2f} Å: {n_bad} pairs of atoms too close, the worst "
            f"at {worst:.2f} of the allowed distance; {2 * radius + GAP:.2f} Å fits any orientation"
        )


def _nearest(places: np.ndarray, box: np.ndarray, periodic: np.ndarray) -> float:
    """Smallest distance between two dots or a dot and its own image, Å."""
    shortest = float(np.min(box[periodic]))
    edges = np.where(periodic, box, np.inf)
    for k in range(len(places) - 1):
        vector = places[k + 1 :] - places[k]
        wrapped = vector - np.where(periodic, np.round(vector / edges) * box, 0.0)
        shortest = min(shortest, float(np.linalg.norm(wrapped, axis=1).min()))
    return shortest
