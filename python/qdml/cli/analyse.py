# SPDX-License-Identifier: MIT
"""`qdml analyse`: one HTML report of a fit and a LAMMPS run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from qdml.errors import DataError


def analyse(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The page; the numbers go beside it as .json.")
    ] = Path("report.html"),
    fit: Annotated[
        Path | None, typer.Option(help="Output folder of 'python -m qdml_train fit'.")
    ] = None,
    trajectory: Annotated[
        Path | None, typer.Option(help="LAMMPS 'dump custom' text file (also .gz, .xz).")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="Log of the same LAMMPS run.")] = None,
    reference: Annotated[
        list[Path] | None, typer.Option(help="Labelled frames, extxyz (also .xz); repeatable.")
    ] = None,
    stride: Annotated[int, typer.Option(min=1, help="Use every n-th trajectory frame.")] = 1,
    skip: Annotated[int, typer.Option(min=0, help="Leave out the first n frames.")] = 0,
    species: Annotated[
        str | None,
        typer.Option(help="Elements of LAMMPS types 1, 2, ...; for dumps without 'element'."),
    ] = None,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "qdml report",
) -> None:
    """Write one self-contained HTML report of what is given; what is not given is named in it.

    Summary against the acceptance limits, reference data, learning curves, parity, energy drift,
    distances of core and surface beside the DFT frames, cost of a step, versions and hashes.

    Example: qdml analyse --fit runs/cdse --trajectory nve.lammpstrj --log nve.log -o report.html
    """
    from qdml.analyse.inputs import Paths
    from qdml.analyse.report import make_report, write_report

    if output.suffix.lower() not in (".html", ".htm"):
        raise DataError(f"{output}: the report is an HTML page; let the name end in .html")
    symbols = [word.strip() for word in species.split(",")] if species else None
    paths = Paths(fit, trajectory, log, list(reference or []), stride, skip, symbols)
    console = Console(highlight=False, soft_wrap=True)
    with Console(stderr=True).status("reading and measuring"):
        report = make_report(paths, title)
    numbers = write_report(report, output)
    colours = {
        "PASS": "green",
        "FAIL": "red",
        "WARN": "yellow",
        "UNSURE": "yellow",
        "MISSING": "dim",
    }
    for verdict in report.verdicts:
        value = "-" if verdict.value is None else f"{verdict.value:.3g}"
        console.print(
            f"[{colours[verdict.state]}]{verdict.state:8}[/]{verdict.name}: {value} {verdict.unit} "
            f"(limit {verdict.limit:g}; {escape(verdict.remark)})"
        )
    console.print(f"wrote {escape(str(output))} and {escape(str(numbers))}")
