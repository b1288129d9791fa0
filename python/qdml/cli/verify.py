# SPDX-License-Identifier: MIT
"""`qdml verify`: run LAMMPS with a potential and check what it gives."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from qdml.verify.checks import verify as run_checks
from qdml.verify.decks import DECKS


def verify(
    model: Annotated[
        Path | None, typer.Argument(help="The .qdml file; default: a small random one.")
    ] = None,
    short: Annotated[
        bool, typer.Option("--short", help="2 and 8 ranks, fewer steps: about a minute.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="Keep decks, logs and results here; default: delete them."),
    ] = None,
) -> None:
    """Check LAMMPS with pair_style qdml on this machine: a table of PASS and FAIL.

    Forces and virial by finite differences, several ranks against one, empty ranks, isolated
    atoms, vacuum, restart, minimisation, drift, units. Exit code 1 when a row fails.

    \b
    Example:
      qdml verify model.qdml
    """
    console = Console(soft_wrap=True)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="qdml-verify-") as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        for row in run_checks(model or DECKS / "random.qdml", place, short):
            failed += not row.passed
            word = "[green]PASS[/]" if row.passed else "[red]FAIL[/]"
            bound = f" (bound {row.bound})" if row.bound else ""
            console.print(f"{word}  {row.name:<46} ", end="")
            console.print(f"{row.found}{bound}", markup=False, highlight=False)
    console.print(f"{failed} of the checks failed" if failed else "all checks passed")
    if failed:
        raise typer.Exit(1)
