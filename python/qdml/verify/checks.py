# SPDX-License-Identifier: MIT
"""The rows of `qdml verify`: each runs a deck and compares one number with its bound."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qdml.engine import Engine
from qdml.modelfile import read_model
from qdml.paths import KIND as CLEBSCH_GORDAN
from qdml.verify.decks import BAR, DeckFailed, Decks
from qdml.verify.structures import verification_structures, write_structures

KCAL_PER_EV = 23.060549  # LAMMPS' factor between metal and real units
ATM_PER_BAR = 1 / 1.01325

SMALLEST_SCALE = 0.1  # eV/Å or eV: smaller values are compared as if the largest were this

# Largest difference allowed, relative to the largest value. Why so much:
BOUNDS = {
    "forces": 1e-5,  # central differences with 0.0001 Å: their own error
    "virial": 1e-5,  # the same with strains of 0.00001
    "mixed": 1e-4,  # fp32 kernels: 1e-6 is usual
    "ranks": 1e-9,  # sums in another order in fp64
    "restart": 1e-8,  # of the edge of the cell, after ten steps on other ranks
    "drift": 2e-3,  # eV/atom/ps at 300 K and 1 fs
    "units": 1e-9,  # one multiplication by LAMMPS' factor
    "pressure": 1e-5,  # LAMMPS' own constants of the two unit systems agree to six digits
}


STRUCTURES = ("mixed", "dot", "isolated")  # evaluated on every number of ranks
WIDE = ("dot", "isolated")  # those with `exchange wide` too


@dataclass(frozen=True)
class Row:
    """One line of the table: what was checked, the number found, its bound, whether it holds."""

    name: str
    found: str
    bound: str
    passed: bool


def compare(name: str, kind: str, *pairs: tuple[np.ndarray | float, np.ndarray | float]) -> Row:
    """Row for pairs (found, wanted), each equal within BOUNDS[kind] of its largest value."""
    worst = 0.0
    for found, wanted in pairs:
        found, wanted = np.asarray(found, float), np.asarray(wanted, float)
        if found.shape != wanted.shape or not np.isfinite(found).all():
            worst = np.inf
            continue
        scale = max(SMALLEST_SCALE, float(np.abs(wanted).max(initial=0.0)))
        worst = max(worst, float(np.abs(found - wanted).max(initial=0.0)) / scale)
    return Row(name, f"{worst:.1e}", f"{BOUNDS[kind]:.0e}", worst <= BOUNDS[kind])


def verify(model: Path, folder: Path, short: bool = False) -> Iterator[Row]:
    """Run all decks in `folder` and yield the rows as they are done.

    `short`: 2 and 8 ranks only, and fewer steps. Raises ModelFileError for a bad potential; a deck
    that fails is a failed row.
    """
    document, _ = read_model(model)
    species = document["species"]
    structures = verification_structures(species, document["architecture"]["cutoff"])
    write_structures(folder, structures, species)
    decks = Decks(folder, model.resolve(), species)
    n_atoms = {name: len(atoms) for name, atoms in structures.items()}
    ranks = (2, 8) if short else (2, 4, 8)
    steps = 200 if short else 2000
    groups: list[tuple[str, Callable[[], Iterator[Row]]]] = [
        ("finite differences", lambda: differences(decks, n_atoms["mixed"])),
        ("evaluations on one rank", lambda: single_rank(decks)),
        *((f"{n} ranks", lambda n=n: parallel(decks, n)) for n in ranks),
        ("restart", lambda: restart(decks)),
        ("minimisation", lambda: relaxation(decks)),
        ("constant energy", lambda: constant_energy(decks, steps, n_atoms["crystal"])),
    ]
    for name, group in groups:
        try:
            yield from group()
        except DeckFailed as fault:
            yield Row(name, str(fault), "", False)


def differences(decks: Decks, n_atoms: int) -> Iterator[Row]:
    """Forces and virial against central differences of the energy."""
    atoms = sorted({1, n_atoms // 3, n_atoms // 2, n_atoms})
    (decks.folder / "differences").unlink(missing_ok=True)
    commands = decks.setting("mixed", name="differences")
    commands += f"variable atom index {' '.join(map(str, atoms))}\n"
    decks.run("differences", commands + decks.include("differences"))
    point = decks.point("differences")
    lines = [x.split() for x in (decks.folder / "differences").read_text().splitlines()]
    forces = [line[1:] for line in lines if line[0] == "force"]
    found = np.array([float(line[2]) for line in forces])
    wanted = np.array([point.forces[int(line[0]) - 1, int(line[1]) - 1] for line in forces])
    yield compare("forces: finite differences", "forces", (found, wanted))
    virial = {line[1]: float(line[2]) for line in lines if line[0] == "virial"}
    found = np.array([virial[side] for side in ("xx", "yy", "zz", "xy", "xz", "yz")])
    yield compare("virial: strain of the cell", "virial", (found, point.virial / BAR))


def points(decks: Decks, ranks: int, settings: dict[str, dict[str, str]]) -> None:
    """Evaluate all settings (name -> variables) in one LAMMPS of so many ranks."""
    parts = [
        "clear\n" + decks.setting(name=name, **variables) + decks.include("point")
        for name, variables in settings.items()
    ]
    decks.run(f"points{ranks}", "".join(parts), ranks)


def layouts(ranks: int) -> dict[str, dict[str, str]]:
    """The same three structures on any number of ranks, brick and tiled."""
    return {
        f"{name}-{layout}-{ranks}": {
            "data": name,
            "layout": layout,
            "boundary": "f f f" if name == "dot" else "p p p",
        }
        for name in STRUCTURES
        for layout in ("brick", "tiled")
        if ranks > 1 or layout == "brick"
    }


def single_rank(decks: Decks) -> Iterator[Row]:
    """Precisions, units, vacuum; leaves the reference of `parallel` behind."""
    others = {
        "single": {"data": "mixed", "precision": "mixed"},
        "real": {"data": "mixed", "units": "real"},
        "vacuum": {"data": "dot"},
    }
    points(decks, 1, layouts(1) | others)
    double, dot = decks.point("mixed-brick-1"), decks.point("dot-brick-1")
    single, real = decks.point("single"), decks.point("real")
    yield compare("precision: mixed against double", "mixed", (single.forces, double.forces))
    yield compare(
        "units: real against metal",
        "units",
        (real.energy / KCAL_PER_EV, double.energy),
        (real.forces / KCAL_PER_EV, double.forces),
    )
    yield compare(
        "units: pressure in atm and bar",
        "pressure",
        (real.virial / ATM_PER_BAR / BAR, double.virial / BAR),
    )
    vacuum = decks.point("vacuum")
    yield compare("vacuum: periodic against fixed", "ranks", (vacuum.forces, dot.forces))
    isolated = decks.point("isolated-brick-1")
    yield compare(
        "isolated atoms: reference energies, no forces",
        "ranks",
        (isolated.energy, reference_energy(decks.model)),
        (isolated.forces, np.zeros((len(decks.species), 3))),
    )


def reference_energy(model: Path) -> float:
    """Energy of one atom of each species alone, eV: E0, and with Clebsch-Gordan paths what the
    self-connections add to it (docs/conventions.md), which the engine knows without LAMMPS."""
    document, tensors = read_model(model)
    if document["architecture"]["kind"] != CLEBSCH_GORDAN:
        return float(tensors["energy.reference"].sum())
    engine = Engine(model, "double", device="cpu")
    return sum(
        engine.compute(np.zeros((1, 3)), [k]).energy for k in range(len(document["species"]))
    )


def parallel(decks: Decks, ranks: int) -> Iterator[Row]:
    """Energy, forces and virial on several ranks against one, also without exchange of features.

    The wide shell is that of the dot alone: its ghosts are the rest of the dot, while those of a
    periodic cell would be hundreds of images for a network of many layers.
    """
    settings = layouts(ranks)
    wide = {
        f"{name}-wide-{ranks}": settings[f"{name}-brick-{ranks}"] | {"exchange": "wide"}
        for name in WIDE
    }
    points(decks, ranks, settings | wide)
    log = (decks.folder / f"log.points{ranks}").read_text()
    empty = re.search(r"Nlocal:.*\b0 min", log) is not None
    for what, label, names in (
        ("brick", "brick", STRUCTURES),
        ("tiled", "tiled with rcb", STRUCTURES),
        ("wide", "exchange wide", WIDE),
    ):
        pairs = []
        for name in names:
            found, wanted = (decks.point(f"{name}-{x}") for x in (f"{what}-{ranks}", "brick-1"))
            pairs += [
                (found.energy, wanted.energy),
                (found.virial / BAR, wanted.virial / BAR),
                (found.forces, wanted.forces),
            ]
        yield compare(f"{ranks} ranks: {label} against serial", "ranks", *pairs)
    yield Row(f"{ranks} ranks: some without atoms", "yes" if empty else "no", "yes", empty)


def restart(decks: Decks) -> Iterator[Row]:
    """Ten steps from a restart file on two ranks end where the undivided run ends."""
    decks.run("whole", decks.setting("crystal") + decks.include("whole"))
    decks.run("continue", decks.include("continue"), ranks=2)
    yield compare(
        "restart: continuity",
        "restart",
        (decks.columns("second.positions"), decks.columns("whole.positions")),
    )


def relaxation(decks: Decks) -> Iterator[Row]:
    """Minimisation and box/relax in mixed precision end by their tolerance."""
    output = decks.run("relax", decks.setting("cell", precision="mixed") + decks.include("relax"))
    for name, text in zip(
        ("minimisation in mixed precision", "box/relax in mixed precision"),
        output.split("fixed cell")[-1].split("free cell"),
        strict=True,
    ):
        criterion = text.split("Stopping criterion =")[1].splitlines()[0].strip()
        yield Row(name, criterion, "force tolerance", criterion == "force tolerance")


def constant_energy(decks: Decks, steps: int, n_atoms: int) -> Iterator[Row]:
    """Slope of the total energy of a run at constant energy in mixed precision."""
    commands = decks.setting("crystal", precision="mixed", steps=str(steps))
    output = decks.run("nve", commands + decks.include("nve"))
    lines = output.split("TotEng")[-1].split("Loop time")[0].splitlines()[1:]
    total = np.array([line.split()[3] for line in lines], dtype=float) / n_atoms
    time = np.arange(len(total)) * 0.01  # ps
    slope = abs(float(np.polyfit(time, total, 1)[0]))
    yield Row(
        "constant energy: drift, eV/atom/ps",
        f"{slope:.1e}",
        f"{BOUNDS['drift']:.0e}",
        len(total) == steps // 10 + 1 and slope <= BOUNDS["drift"],
    )
