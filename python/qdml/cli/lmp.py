# SPDX-License-Identifier: MIT
"""`qdml lmp`: LAMMPS with the plugin, MPI and threads set up."""

from __future__ import annotations

from typing import Annotated

import typer

from qdml.errors import ConfigError
from qdml.lammps import run_lammps


def lmp(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Arguments of LAMMPS, after --.")
    ] = None,
    ranks: Annotated[int, typer.Option("--ranks", "-n", min=1, help="MPI ranks.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", "-t", min=1, help="OpenMP threads per rank; default OMP_NUM_THREADS or 1."
        ),
    ] = None,
) -> None:
    """Run LAMMPS with pair_style qdml; everything after -- goes to LAMMPS.

    The exit code is that of LAMMPS. Ranks times threads should not exceed the cores.

    Example: qdml lmp -n 2 -- -in in.qd
    """
    if not arguments:
        raise ConfigError(
            "qdml lmp needs the arguments of LAMMPS after --, for example: "
            "qdml lmp -n 2 -- -in in.qd"
        )
    raise typer.Exit(run_lammps(arguments, ranks, threads))
