# SPDX-License-Identifier: MIT
"""`qdml validate`: a potential against its own DFT level, literature, and dynamics of a dot."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qdml.errors import DataError


def validate(
    model: Annotated[Path, typer.Argument(help="The .qdml file.")],
    material: Annotated[str, typer.Option("--material", "-m", help="CdSe, InP, PbSe or CsPbBr3.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Labelled frames of the same DFT level (also .xz); repeatable."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page.")] = Path(
        "validation.html"
    ),
    dot: Annotated[
        Path | None, typer.Option(help="Structure to run; default: a published dot.")
    ] = None,
    time: Annotated[
        float,
        typer.Option(min=0.0, help="Length of each run at constant temperature, ps; 0: none."),
    ] = 100.0,
    nve_time: Annotated[
        float, typer.Option(min=0.01, help="Length of the run at constant energy, ps.")
    ] = 20.0,
    heat_time: Annotated[
        float,
        typer.Option(min=0.0, help="Heat the crystal, ps at each temperature; 0: do not."),
    ] = 0.0,
    temperature: Annotated[
        list[int] | None, typer.Option(help="K; repeatable; default 300 and 500.")
    ] = None,
    ranks: Annotated[int, typer.Option(min=1, help="MPI ranks of LAMMPS.")] = 1,
    folder: Annotated[
        Path | None, typer.Option(help="Keep decks, logs and trajectories here.")
    ] = None,
) -> None:
    """Write a page of PASS and FAIL: errors, crystal, phonons, a dot at 300 and 500 K, drift.

    Limits compare with the DFT level of the labelled frames (--data); literature and experiment
    stand beside them. Exit code 1 when a row fails.

    Example: qdml validate model.qdml -m CdSe --data potentials/cdse/data/cdse-pbe.extxyz.xz
    """
    import ase.io

    from qdml.analyse.report import write_report
    from qdml.build.reading import read_structures
    from qdml.validate.report import Request
    from qdml.validate.report import validate as run_validation

    if output.suffix.lower() not in (".html", ".htm"):
        raise DataError(f"{output}: the report is an HTML page; let the name end in .html")
    frames = []
    for path in [*(data or []), *([dot] if dot else []), model]:
        if not path.exists():
            raise DataError(f"{path}: does not exist")
    for path in data or []:
        frames += ase.io.read(path, ":")
    structure = read_structures(dot)[-1] if dot else None
    console = Console(highlight=False, soft_wrap=True)
    errors = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory(prefix="qdml-validate-") as temporary,
        errors.status("") as bar,
    ):
        request = Request(
            model, material, frames, folder or Path(temporary), structure, time, nve_time,
            tuple(temperature or (300, 500)), ranks, heat_time,
        )  # fmt: skip

        def tell(text: str) -> None:
            if errors.is_terminal:
                bar.update(text)
            else:
                errors.print(f"validate: {text}", markup=False, highlight=False, soft_wrap=True)

        found = run_validation(request, tell)
    numbers = write_report(found, output)
    colours = {"PASS": "green", "FAIL": "red", "-": "dim"}
    for row in found.rows:
        console.print(f"[{colours[row.state]}]{row.state:5}[/] ", end="")
        line = f"{row.name}: {row.value}"
        beside = [("own DFT", row.own), ("literature", row.literature),
                  ("experiment", row.experiment), ("limit", row.limit)]  # fmt: skip
        known = ", ".join(f"{name} {value}" for name, value in beside if value != "–")
        console.print(f"{line}{f' ({known})' if known else ''}", markup=False)
    console.print(f"wrote {output} and {numbers}", markup=False)
    if any(row.state == "FAIL" for row in found.rows):
        raise typer.Exit(1)
