# SPDX-License-Identifier: MIT
"""`qdml film`: an array of dots with their shells from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from qdml.build.reading import read_structures
from qdml.errors import ConfigError
from qdml.film import Film, build_film
from qdml.film.output import output_paths, write_film

DEFAULT_VACUUM = 20.0  # Å, on both sides of a slab


def film(
    dot: Annotated[Path, typer.Argument(help="The dot, an extxyz file.", show_default=False)],
    array: Annotated[
        str, typer.Option(help="square, hexagonal, fcc, bcc or random.")
    ] = "hexagonal",
    repeat: Annotated[
        tuple[int, int, int],
        typer.Option(help="Cells along x and y; layers (square, hexagonal) or cells along z."),
    ] = (4, 4, 1),
    number: Annotated[
        int | None, typer.Option("--number", "-n", help="Dots of a random film.")
    ] = None,
    spacing: Annotated[
        float | None,
        typer.Option(help="Distance of neighbouring centers, Å. Default: fits any orientation."),
    ] = None,
    orientation: Annotated[
        str, typer.Option(help="aligned, random, or a tilt in degrees (standard deviation).")
    ] = "aligned",
    remove: Annotated[
        float, typer.Option(help="Fraction of the anionic ligands to remove, in neutral units.")
    ] = 0.0,
    vacuum: Annotated[
        float | None,
        typer.Option(help="Vacuum below and above a slab, Å. Default: 20 (square, hexagonal)."),
    ] = None,
    periodic: Annotated[
        bool, typer.Option("--periodic", help="Periodic along z too (fcc, bcc, random: always).")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of turns, removal and random places.")] = 0,
    output: Annotated[Path, typer.Option("--output", "-o", help="Name of the data file.")] = Path(
        "film.data"
    ),
    picture: Annotated[bool, typer.Option(help="Write the PNG picture.")] = True,
) -> None:
    """Put copies of a dot with its ligand shell into a film.

    Writes OUTPUT (LAMMPS data, units metal), a JSON summary and a picture beside it. Run it with
    examples/in.film.

    \b
    Example:
      qdml film dot.extxyz --array hexagonal --repeat 4 4 1 --orientation random -o film.data
    """
    output_paths(output)  # a bad name is told before the work
    if periodic and vacuum is not None:
        raise ConfigError("--periodic and --vacuum exclude each other; leave out one")
    if vacuum is None and not periodic and array in ("square", "hexagonal"):
        vacuum = DEFAULT_VACUUM
    result = build_film(
        read_structures(dot)[-1],
        array,
        repeat=repeat,
        number=number,
        spacing=spacing,
        orientation=orientation,
        remove=remove,
        vacuum=vacuum,
        seed=seed,
    )
    written = write_film(result, output, picture=picture)
    _print_summary(result)
    typer.echo("wrote " + ", ".join(str(path) for path in written))


def _print_summary(film: Film) -> None:
    """Show the summary as one table."""
    values = film.summary
    title = f"{values['array']} film of {values['n_dots']} dots {values['dot']}"
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    composition = ", ".join(f"{n} {s}" for s, n in values["composition"].items())
    table.add_row("atoms", f"{values['n_atoms']}  ({composition})")
    table.add_row("formal charge", str(values["formal_charge"]))
    table.add_row("removed with ligands", f"{values['atoms_removed_with_ligands']} atoms")
    table.add_row("nearest centers, Å", f"{values['nearest_places']:.2f}")
    if values["packing_fraction"] is not None:
        table.add_row("packing fraction", f"{values['packing_fraction']:.3f} (touching spheres)")
    table.add_row("orientation", values["orientation"])
    open_axes = [n for n, p in zip("xyz", values["periodic"], strict=True) if not p]
    table.add_row("box, Å", " x ".join(f"{x:.2f}" for x in values["box"]))
    table.add_row("vacuum along", ", ".join(open_axes) or "none, periodic")
    Console().print(table)
