"""The kinds of `qdml sample`: each makes frames with origin and split from one request."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms

from qdml.errors import ConfigError, DataError
from qdml.sample import cells, clusters, dots, dynamics, molecules, polar_slabs, slabs
from qdml.sample.thermal import rattle_thermally

STRAIN_SIZE = 0.02
EOS_CHANGES = (-0.08, -0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06, 0.08)
WALL_FACTORS = (0.7, 0.85, 1.0, 1.1)


@dataclass(frozen=True)
class SampleRequest:
    """What the command line asks for; lattice in A, temperatures in K, timestep in fs."""

    starts: list[Atoms] = field(default_factory=list)
    material: str = "CdSe"
    lattice: float = cells.ZB_LATTICE_PBE
    repeat: int = 2
    temperatures: tuple[float, ...] = (300.0,)
    n_frames: int = 10
    strain: float = 0.0
    ligand: str = "Cl"
    facet: str = "100"
    n_selenide: int = 2
    n_chloride: int = 2
    model: str = "gfn1-xtb"
    steps: int = 500
    timestep: float = 1.0
    every: int = 10
    seed: int = 0


def make_frames(
    kind: str, request: SampleRequest, on_progress: Callable[[str], None] | None = None
) -> list[Atoms]:
    """Frames of one kind, with info `origin` and `split` ('train'; change it by origin to test).

    Raises DataError or ConfigError for a request that cannot be met.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown kind '{kind}'; choose one of {', '.join(KINDS)}")
    if any(t <= 0 for t in request.temperatures):
        raise ConfigError("--temperature must be above 0 K")
    frames = []
    for frame in KINDS[kind](request):
        frame.info.setdefault("split", "train")
        frames.append(frame)
        if on_progress is not None:
            on_progress(f"{kind}: {len(frames)} frames")
    return frames


def _starts(request: SampleRequest) -> list[tuple[str, Atoms]]:
    """The structures to work on and a name for each: the given ones, or the bulk cell."""
    if request.starts:
        return [
            (str(a.info.get("origin", a.get_chemical_formula())), _bare(a)) for a in request.starts
        ]
    cell = cells.zincblende(request.lattice, request.repeat, request.material)
    return [(f"bulk-zb-{request.material}", cell)]


def _bare(atoms: Atoms) -> Atoms:
    """The frame without labels or names, but with its charge and spin."""
    frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    for key in ("charge", "multiplicity", "kpoints"):
        if key in atoms.info:
            frame.info[key] = atoms.info[key]
    return frame


def _named(frame: Atoms, origin: str) -> Atoms:
    frame.info["origin"] = origin
    return frame


def _rattle(request: SampleRequest) -> Iterable[Atoms]:
    rng = np.random.default_rng(request.seed)
    for name, start in _starts(request):
        for temperature in request.temperatures:
            for _ in range(request.n_frames):
                frame = start
                if request.strain and start.cell.rank == 3:
                    frame = cells.randomly_strained(start, request.strain, rng)
                frame = rattle_thermally(frame, temperature, rng)
                yield _named(frame, f"{name}-rattled-{temperature:g}K")


def _strain(request: SampleRequest) -> Iterable[Atoms]:
    for name, start in _periodic_starts(request):
        for mode in cells.STRAIN_MODES:
            for size in (STRAIN_SIZE, -STRAIN_SIZE):
                yield _named(cells.strain_mode(start, mode, size), f"{name}-strained")


def _eos(request: SampleRequest) -> Iterable[Atoms]:
    for name, start in _periodic_starts(request):
        for change in EOS_CHANGES:
            yield _named(cells.scaled_volume(start, change), f"{name}-eos")


def _periodic_starts(request: SampleRequest) -> list[tuple[str, Atoms]]:
    found = _starts(request)
    for name, start in found:
        if not start.pbc.all():
            raise DataError(f"{name}: strains need a cell that is periodic in three directions")
    return found


def _slab(request: SampleRequest) -> Iterable[Atoms]:
    if request.material != "CdSe":
        raise ConfigError(f"slabs are made of CdSe only so far, not {request.material}")
    rng = np.random.default_rng(request.seed)
    name = f"slab-{request.facet}-{request.ligand}"
    if request.facet == "100":
        slab = slabs.slab_100(request.ligand, repeat=request.repeat, a=request.lattice)
    elif request.facet == "110":
        slab, name = polar_slabs.slab_110(a=request.lattice), "slab-110"
    elif request.facet == "111" and request.ligand == "Cl":
        slab = polar_slabs.slab_111(a=request.lattice)
    else:
        raise ConfigError(
            f"no slab with facet {request.facet} and ligand {request.ligand}; there are 100 with "
            "Cl or HCOO, 110 (needs none) and 111 with Cl"
        )
    for temperature in request.temperatures:
        for _ in range(request.n_frames):
            frame = rattle_thermally(slab, temperature, rng)
            yield _named(frame, f"{name}-{temperature:g}K")


def _cluster(request: SampleRequest) -> Iterable[Atoms]:
    m, n = request.n_selenide, request.n_chloride
    if request.material != "CdSe":
        raise ConfigError(f"clusters are made of CdSe and CdCl2 so far, not {request.material}")
    if m < 0 or n < 0 or m + n < 1:
        raise ConfigError(
            f"--selenide {m} and --chloride {n}: expected counts whose sum is above 0"
        )
    rng = np.random.default_rng(request.seed)
    scale = dots.GFN1_TO_PBE if m else 1.0
    for start in clusters.relaxed_clusters(m, n, request.n_frames, rng, scale):
        for temperature in request.temperatures:
            frame = rattle_thermally(start, temperature, rng, softest=1.0)
            yield _named(frame, f"mol-CdSe{m}-CdCl2-{n}-{temperature:g}K")


def _dimer(request: SampleRequest) -> Iterable[Atoms]:
    for symbol, multiplicity in molecules.ATOMS.items():
        atom = Atoms(symbol, [[0.0, 0.0, 0.0]])
        atom.info["multiplicity"] = multiplicity
        yield _named(atom, "atom")
    for (first, second), (distance, multiplicity) in molecules.DIMERS.items():
        for factor in WALL_FACTORS:
            frame = molecules.dimer(first, second, distance * factor, multiplicity)
            yield _named(frame, f"dimer-{first}{second}")


def _molecule(request: SampleRequest) -> Iterable[Atoms]:
    rng = np.random.default_rng(request.seed)
    for name, start in molecules.catalogue().items():
        relaxed = dots.relax_gfn1(start)
        for temperature in request.temperatures:
            for _ in range(request.n_frames):
                frame = rattle_thermally(relaxed, temperature, rng, softest=1.0)
                yield _named(frame, f"mol-{name}-{temperature:g}K")


def _md(request: SampleRequest) -> Iterable[Atoms]:
    if not request.starts:
        raise ConfigError("'qdml sample md' needs --from, the structure to run")
    calculator = dynamics.make_calculator(request.model)
    for name, start in _starts(request):
        for temperature in request.temperatures:
            frames = dynamics.sample_md(
                start,
                calculator,
                temperature=temperature,
                n_steps=request.steps,
                every=request.every,
                timestep=request.timestep,
                seed=request.seed,
            )
            for frame in frames:
                yield _named(frame, f"{name}-md-{temperature:g}K")


def _select(request: SampleRequest) -> Iterable[Atoms]:
    if not request.starts:
        raise ConfigError("'qdml sample select' needs --from, the frames to choose from")
    for atoms in request.starts:
        yield _named(atoms, str(atoms.info.get("origin", atoms.get_chemical_formula())))


KINDS: dict[str, Callable[[SampleRequest], Iterable[Atoms]]] = {
    "rattle": _rattle, "strain": _strain, "eos": _eos, "slab": _slab,
    "cluster": _cluster, "dimer": _dimer, "molecule": _molecule, "md": _md, "select": _select,
}  # fmt: skip
