# SPDX-License-Identifier: MIT
"""Command line of the training code. Commands parse, print and exit; the work is elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from qdml.cli.main import run_guarded
from qdml.errors import ConfigError
from rich.console import Console

app = typer.Typer(
    name="python -m qdml_train",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Fit a qdml potential to labelled frames.\n\nExample: python -m qdml_train fit run.yaml",
)

Frames = Annotated[Path, typer.Argument(help="frames in a format ASE reads, usually extended xyz")]


@app.command()
def check(
    data: Annotated[list[Path], typer.Argument(help="files of labelled frames, or one run.yaml")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="also write here; .json for programs")
    ] = None,
) -> None:
    """Examine labelled frames: labels, units, signs, duplicates, distances, forces, stress, E0.

    Exit code 4 when a check fails, so that nothing is trained on broken data. With a configuration
    its sources are read with their keys and units, and divided as the fit will divide them.

    Example: python -m qdml_train check frames.extxyz
    """
    from qdml_train.checks import read_checked, run_checks, stop_on_failure
    from qdml_train.report_checks import findings_json, findings_text, print_findings
    from qdml_train.source import Source

    accept: list[str] = []
    if any(p.suffix in (".yaml", ".yml") for p in data):
        if len(data) > 1:
            raise ConfigError("give one configuration, or files of frames, not both")
        from qdml_train.config import load_config
        from qdml_train.split import split_frames

        config = load_config(data[0])
        section = config.data
        train, valid, test, _ = split_frames(section)
        frames = [*train, *(valid if valid is not train else ()), *test]
        findings, accept = run_checks(frames, config.needs), section.accept
    else:
        frames, findings = read_checked(Source(file=path) for path in data)
        findings += run_checks(frames) if frames else []
    print_findings(findings, Console(soft_wrap=True))
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        write = findings_json if output.suffix == ".json" else findings_text
        output.write_text(write(findings))
    stop_on_failure(findings, accept)


@app.command()
def init(
    data: Frames,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="file to write")] = None,
) -> None:
    """Write a commented configuration for these frames (to the terminal by default).

    Example: python -m qdml_train init frames.extxyz -o run.yaml
    """
    from qdml_train.schema import write_schema
    from qdml_train.sources import read_frames
    from qdml_train.template import write_template

    text = write_template(data, read_frames(data, need_labels=False))
    if output is None:
        sys.stdout.write(text)
        return
    if output.exists():
        raise ConfigError(f"{output} exists; choose another name or remove it")
    output.write_text(text)
    write_schema(output.parent)


@app.command()
def schema(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="file to write")] = None,
) -> None:
    """Print the JSON schema of the configuration, for completion in an editor.

    `init -o` and `fit` write it beside their YAML files, whose first line names it.

    Example: python -m qdml_train schema -o qdml-config.schema.json
    """
    import json

    from qdml_train.schema import config_schema

    text = json.dumps(config_schema(), indent=1, ensure_ascii=False) + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text)


@app.command()
def fit(
    config: Annotated[Path, typer.Argument(help="YAML configuration")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="section.key=value, over the file")
    ] = None,
    resume: Annotated[str, typer.Option(help="auto (go on from the checkpoint) or never")] = (
        "auto"
    ),
    unproven: Annotated[
        bool, typer.Option("--unproven", help="export even without the native engine")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="memory, step time and expected end; writes nothing")
    ] = False,
    nve: Annotated[
        float, typer.Option(min=0.0, help="ps of the short NVE run at the end; 0 for none")
    ] = 2.0,
) -> None:
    """Check the data, fit, export with proof, evaluate on the held-out frames, write the report.

    Stopped by Ctrl-C or SIGTERM it keeps a checkpoint; the same command goes on from there.

    Example: python -m qdml_train fit run.yaml train.time_budget=1h output=fits/long
    """
    from qdml_train.workflow import dry_run_fit, run_fit

    if dry_run:
        dry_run_fit(config, overrides or [], Console())
        return
    if resume not in ("auto", "never"):
        raise ConfigError(f"--resume {resume}: expected auto or never")
    run_fit(config, overrides or [], resume == "auto", unproven, Console(), nve)


@app.command()
def curve(
    config: Annotated[Path, typer.Argument(help="YAML configuration")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="section.key=value, over the file")
    ] = None,
    parts: Annotated[
        str, typer.Option(help="percentages of the training frames, with commas")
    ] = "25,50,100",
) -> None:
    """Fit parts of the training frames: how the errors fall, and what twice the frames would buy.

    Every part goes into OUTPUT/PERCENT with its own report, the curve into OUTPUT/curve.html and
    curve.json. With train.epochs all have about the same number of steps, with train.time_budget
    the same time. Stopped, the same command goes on.

    Example: python -m qdml_train curve run.yaml --parts 25,50,100 output=fits/curve
    """
    from qdml_train.curve import run_curve

    try:
        chosen = [float(word) / 100 for word in parts.split(",")]
    except ValueError as error:
        raise ConfigError(f"--parts {parts}: expected percentages such as 25,50,100") from error
    run_curve(config, chosen, overrides or [], Console())


@app.command("eval")
def evaluate(
    files: Annotated[
        list[Path], typer.Argument(help=".qdml files (several are a committee), then frames")
    ],
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="frames (repeatable), or as arguments")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="folder for report.html and all that belongs to it; or evaluation.json alone",
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="only frames of this split")] = None,
    nve: Annotated[
        float, typer.Option(min=0.0, help="ps of the short NVE run of the report; 0 for none")
    ] = 2.0,
) -> None:
    """Errors of a potential on labelled frames, per split, origin, element, region and size.

    With a folder as --output: the page and files of a fit for any potential and data. Several
    potentials count as a committee: mean, spread, and how well the spread tells the error.

    Example: python -m qdml_train eval a.qdml b.qdml c.qdml --data test.extxyz -o evaluation
    """  # fmt: skip
    from qdml_train.results import evaluate_files

    models = [path for path in files if path.suffix == ".qdml"]
    frames = [path for path in files if path.suffix != ".qdml"] + (data or [])
    if not models or not frames:
        raise ConfigError(
            "eval takes at least one .qdml file and one file of labelled frames, such as: "
            "python -m qdml_train eval model.qdml test.extxyz"
        )
    evaluate_files(models, frames, output, split, nve, Console())


@app.command()
def select(
    trajectories: Annotated[
        list[Path], typer.Argument(help="extxyz files or LAMMPS text dumps, the candidates")
    ],
    model: Annotated[
        list[Path],
        typer.Option(
            "--model", help=".qdml file; several, or one of several members, are a committee"
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="extxyz for qdml label")],
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="frames the potential was trained on")
    ] = None,
    budget: Annotated[int, typer.Option(min=1, help="most frames to pick")] = 50,
    max_atoms: Annotated[
        int, typer.Option(min=4, help="larger ones are cut to a neutral cluster around the atom")
    ] = 80,
    per_source: Annotated[
        int | None, typer.Option(min=1, help="most of one file and origin [twice an even share]")
    ] = None,
    cap: Annotated[
        str | None, typer.Option(help="halide on cut anion sites [the usual one of the dot, or Cl]")
    ] = None,
    stride: Annotated[int, typer.Option(min=1, help="look at every n-th frame")] = 1,
    species: Annotated[
        str | None, typer.Option(help="elements of LAMMPS types 1, 2, ... without 'element' column")
    ] = None,
    energy_spread: Annotated[
        float, typer.Option(help="uncertain beyond this spread of energies, eV/atom")
    ] = 0.001,
    mean_spread: Annotated[
        float, typer.Option(help="or beyond this mean spread of forces, eV/Å")
    ] = 0.075,
    max_spread: Annotated[
        float, typer.Option(help="or beyond this largest spread of a force, eV/Å")
    ] = 0.15,
    hopeless_spread: Annotated[
        float, typer.Option(help="reject beyond this largest spread of a force, eV/Å")
    ] = 1.5,
    largest_force: Annotated[
        float, typer.Option(help="reject beyond this force, eV/Å; with --data 1.5 x its largest")
    ] = 15.0,
    closest: Annotated[
        float, typer.Option(help="reject below this part of the shortest distance trained on")
    ] = 0.8,
) -> None:
    """Pick uncertain, unlike frames of a trajectory for labelling, and cut large dots to clusters.

    Uncertain: by the spread of a committee; of one potential by the distance of its node scalars to
    --data; without --data by distances shorter than trained on.

    Example: python -m qdml_train select md.lammpstrj --model a.qdml --model b.qdml -o picked.extxyz
    """
    from qdml_train.select import Limits, Request, read_candidates, select_frames, write_selection
    from qdml_train.sources import read_frames

    limits = Limits(
        energy_spread=energy_spread,
        mean_force_spread=mean_spread,
        max_force_spread=max_spread,
        hopeless_spread=hopeless_spread,
        largest_force=largest_force,
        closest=closest,
    )
    known = [frame for path in data or [] for frame in read_frames(path)]
    request = Request(model, known, budget, max_atoms, per_source, cap, limits)
    symbols = [word.strip() for word in species.split(",")] if species else None
    selection = select_frames(read_candidates(trajectories, stride, symbols), request)
    write_selection(selection, output, Console(soft_wrap=True))


@app.command()
def label(
    teacher: Annotated[Path, typer.Argument(help=".qdml file that gives the labels")],
    data: Frames,
    output: Annotated[Path, typer.Option("--output", "-o", help="extended xyz to write")],
) -> None:
    """Label structures by a potential, for a smaller one to learn from (docs/training.md).

    `labels: teacher.qdml` at a source of a configuration does the same while reading.

    Example: python -m qdml_train label teacher.qdml frames.xyz -o labelled.extxyz
    """
    from qdml_train.sources import read_frames
    from qdml_train.teacher import label_frames, write_labelled

    if output.exists():
        raise ConfigError(f"{output} exists; choose another name or remove it")
    frames = label_frames(read_frames(data, need_labels=False), teacher)
    write_labelled(frames, output)
    Console(soft_wrap=True).print(
        f"wrote {output}: {len(frames)} frames, {frames[0].level_of_theory}", highlight=False
    )


@app.command()
def export(
    fit_folder: Annotated[Path, typer.Argument(help="output folder of a fit")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help=".qdml file")] = None,
    unproven: Annotated[
        bool, typer.Option("--unproven", help="write even without the native engine")
    ] = False,
) -> None:
    """Write the best weights of a fit as a `.qdml` file, with the proof against the engine.

    Works on a fit that is still running or was stopped. Refuses when the proof fails.

    Example: python -m qdml_train export fit -o model.qdml
    """
    from qdml_train.workflow import export_fit

    export_fit(fit_folder, output, unproven, Console())


importers = typer.Typer(
    no_args_is_help=True, help="Convert potentials of other programs to `.qdml`."
)
app.add_typer(importers, name="import")


@importers.callback()
def importer() -> None:
    """Convert potentials of other programs to `.qdml`.

    Example: python -m qdml_train import sevennet 7net-0 -o 7net-0.qdml
    """


@importers.command("sevennet")
def import_sevennet(
    source: Annotated[str, typer.Argument(help="checkpoint file, or 7net-0, 7net-l3i5")],
    output: Annotated[Path, typer.Option("--output", "-o", help=".qdml file to write")],
    knots: Annotated[
        int, typer.Option(help="intervals of the radial tables", min=10, max=100_000)
    ] = 500,
) -> None:
    """Convert a SevenNet checkpoint; prints the largest error of its radial tables.

    Needs torch and sevenn (extra `import-sevennet`).

    Example: python -m qdml_train import sevennet 7net-0 -o 7net-0.qdml
    """
    from qdml.modelfile import write_model

    from qdml_train.imports.sevennet import import_checkpoint

    imported = import_checkpoint(source, knots)
    output.parent.mkdir(parents=True, exist_ok=True)
    content_hash = write_model(output, imported.document, imported.tensors)
    console = Console(soft_wrap=True)
    console.print(
        f"radial tables: largest error {imported.table_value_error:.1e} of the values, "
        f"{imported.table_slope_error:.1e} per Å of the derivatives",
        highlight=False,
    )
    console.print(f"wrote {output} ({content_hash[:12]})", highlight=False)


def main() -> None:
    """Entry of `python -m qdml_train`."""
    arguments = sys.argv[1:]
    if arguments and arguments[0].endswith((".yaml", ".yml")):
        arguments = ["fit", *arguments]
    run_guarded(app, arguments)
