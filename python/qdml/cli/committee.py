# SPDX-License-Identifier: MIT
"""`qdml committee`: pack several potentials of one architecture into one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qdml.committee import Member, read_members, write_committee
from qdml.errors import DataError


def committee(
    models: Annotated[
        list[Path],
        typer.Argument(help="The .qdml files, in the order of the members.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write.", show_default=False)
    ],
    description: Annotated[str, typer.Option(help="Free text for `qdml info`.")] = "",
    calibrate: Annotated[
        Path | None,
        typer.Option(help="evaluation.json of these members: makes spreads the errors to expect."),
    ] = None,
    split: Annotated[
        str, typer.Option(help="calibrate: which of its frames, none of them trained on.")
    ] = "valid",
) -> None:
    """Pack several fits of one architecture into one .qdml file.

    Architecture, species and level of theory must be the same; the first difference is named.
    A file of several members may be among the arguments. LAMMPS and qdml.Calculator take the
    result like any other potential: averages, and the spread of forces.

    Members that saw the same frames err together, so their spread is too small. With
    --calibrate it is multiplied by the factor that `qdml_train eval` of the members found.

    \b
    Example:
      qdml committee seed1.qdml seed2.qdml seed3.qdml -o committee.qdml
      python -m qdml_train eval seed1.qdml seed2.qdml seed3.qdml --data frames.extxyz -o found
      qdml committee seed1.qdml seed2.qdml seed3.qdml --calibrate found/evaluation.json -o c.qdml
    """
    members, names = [], []
    for path in models:
        found = read_members(path)
        members += found
        alone = len(found) == 1
        names += [str(path) if alone else f"{path} (member {k + 1})" for k in range(len(found))]
    _need_different(members, names)
    factors = None if calibrate is None else factors_of(calibrate, split, members)
    found_hash = write_committee(output, members, names, description, factors)
    typer.echo(f"wrote {output}: {len(members)} members, SHA-256 {found_hash}")
    if factors is not None:
        typer.echo(
            f"spreads are multiplied by {factors['energy']:.3g} (energy) and "
            f"{factors['forces']:.3g} (forces), from the {split} frames of {calibrate}"
        )


def _need_different(members: list[Member], names: list[str]) -> None:
    """DataError for a potential that is there twice: it agrees with itself whatever it does."""
    first: dict[str | None, str] = {}
    for member, name in zip(members, names, strict=True):
        if member.hash is not None and member.hash in first:
            raise DataError(
                f"{name} and {first[member.hash]} are the same potential (SHA-256 "
                f"{member.hash[:12]}), which makes the spread too small; give fits with "
                "different seeds"
            )
        first[member.hash] = name


def factors_of(evaluation: Path, split: str, members: list[Member]) -> dict[str, float]:
    """`spread_factors` from an evaluation; DataError when it is one of other potentials."""
    from qdml.analyse.calibration import spread_factors
    from qdml.analyse.parity import read_evaluation

    found = read_evaluation(evaluation)
    evaluated = {entry.get("model_hash") for entry in found.head.get("members", [])}
    if evaluated != {member.hash for member in members}:
        raise DataError(
            f"{evaluation} is no evaluation of these members: it has "
            f"{', '.join(str(h)[:12] for h in evaluated) or 'a single potential'}; run "
            "python -m qdml_train eval with the same files"
        )
    return spread_factors(found, split)
