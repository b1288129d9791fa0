# SPDX-License-Identifier: MIT
"""`qdml committee`: pack several potentials of one architecture into one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qdml.committee import read_members, write_committee


def committee(
    models: Annotated[
        list[Path],
        typer.Argument(help="The .qdml files, in the order of the members.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write.", show_default=False)
    ],
    description: Annotated[str, typer.Option(help="Free text for `qdml info`.")] = "",
) -> None:
    """Pack several fits of one architecture into one .qdml file.

    Architecture, species and level of theory must be the same; the first difference is named.
    A file of several members may be among the arguments. LAMMPS and qdml.Calculator take the
    result like any other potential: averages, and the spread of forces.

    \b
    Example:
      qdml committee seed1.qdml seed2.qdml seed3.qdml -o committee.qdml
    """
    members, names = [], []
    for path in models:
        found = read_members(path)
        members += found
        alone = len(found) == 1
        names += [str(path) if alone else f"{path} (member {k + 1})" for k in range(len(found))]
    found_hash = write_committee(output, members, names, description)
    typer.echo(f"wrote {output}: {len(members)} members, SHA-256 {found_hash}")
