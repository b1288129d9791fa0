"""`qdml sample`: frames worth labelling, and the most diverse of them."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qdml.errors import ConfigError


class Kind(StrEnum):
    """What to make."""

    rattle = "rattle"
    strain = "strain"
    eos = "eos"
    slab = "slab"
    cluster = "cluster"
    dimer = "dimer"
    molecule = "molecule"
    md = "md"
    select = "select"


def sample(
    kind: Annotated[Kind, typer.Argument(help="What to make; see the table above.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="extxyz to write.")],
    start: Annotated[
        list[Path] | None, typer.Option("--from", help="Structures to start from (repeatable).")
    ] = None,
    material: Annotated[
        str, typer.Option(help="Zinc-blende compound, where no --from is given.")
    ] = "CdSe",
    lattice: Annotated[float, typer.Option(help="Its lattice constant in Å.")] = 6.205,
    repeat: Annotated[int, typer.Option(min=1, help="Supercell of the bulk cell.")] = 2,
    temperature: Annotated[
        list[float] | None, typer.Option("--temperature", "-T", help="K (repeatable) [300].")
    ] = None,
    n_frames: Annotated[int, typer.Option("-n", min=1, help="Frames per temperature.")] = 10,
    strain: Annotated[float, typer.Option(help="Width of a random cell strain.")] = 0.0,
    ligand: Annotated[str, typer.Option(help="Cl or HCOO, for slabs.")] = "Cl",
    facet: Annotated[str, typer.Option(help="100, 110 or 111, for slabs.")] = "100",
    selenide: Annotated[int, typer.Option(help="cluster: m of (CdSe)m(CdCl2)n.")] = 2,
    chloride: Annotated[int, typer.Option(help="cluster: n of (CdSe)m(CdCl2)n.")] = 2,
    model: Annotated[str, typer.Option(help="md: a .qdml file or gfn1-xtb.")] = "gfn1-xtb",
    steps: Annotated[int, typer.Option(min=1, help="md: steps of --timestep.")] = 500,
    timestep: Annotated[float, typer.Option(help="md: fs.")] = 1.0,
    every: Annotated[int, typer.Option(min=1, help="md: steps between candidates.")] = 10,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Keep this many, the most diverse ones.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random draw.")] = 0,
) -> None:
    """Make frames for labelling and write them with their origin and split in info.

    \b
    rattle    thermal displacements (harmonic bond network) of --from or of the bulk cell
    strain    the six strain modes at +-2 % of --from or of the bulk cell
    eos       volumes -8 ... +8 % of --from or of the bulk cell
    slab      neutral CdSe slab of one --facet (100: one --ligand per surface Cd), rattled
    cluster   random neutral (CdSe)m(CdCl2)n, relaxed with GFN1-xTB, rattled
    dimer     isolated atoms and short-range walls of the element pairs
    molecule  ligands, cadmium salts and small CdSe clusters (GFN1-xTB geometries), rattled
    md        Langevin dynamics of --from with --model, one candidate each --every steps
    select    only choose --keep diverse frames of --from

    Example: qdml sample md --from dot.extxyz --model cdse.qdml -T 300 --keep 20 -o next.extxyz
    """
    import ase.io

    from qdml.cli.label import read_frames
    from qdml.sample.kinds import SampleRequest, make_frames
    from qdml.sample.select import select_diverse

    console = Console(stderr=True)
    starts = read_frames(start, console) if start else []
    if kind is Kind.select and keep is None:
        raise ConfigError("'qdml sample select' needs --keep, the number of frames to choose")
    request = SampleRequest(
        starts=starts,
        material=material,
        lattice=lattice,
        repeat=repeat,
        temperatures=tuple(temperature or (300.0,)),
        n_frames=n_frames,
        strain=strain,
        ligand=ligand,
        facet=facet,
        n_selenide=selenide,
        n_chloride=chloride,
        model=model,
        steps=steps,
        timestep=timestep,
        every=every,
        seed=seed,
    )
    with console.status("making frames") as status:
        frames = make_frames(kind.value, request, on_progress=status.update)
        n_made = len(frames)
        if keep is not None:
            status.update(f"choosing {keep} of {n_made} frames")
            frames = select_diverse(frames, keep)
    output.parent.mkdir(parents=True, exist_ok=True)
    ase.io.write(output, frames)
    origins = ", ".join(sorted({frame.info["origin"] for frame in frames}))
    console.print(f"{output}: {len(frames)} of {n_made} frames; origins {origins}", soft_wrap=True)
