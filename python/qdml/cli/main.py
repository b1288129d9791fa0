# SPDX-License-Identifier: MIT
"""Entry point of `qdml`: registers the subcommands and turns faults into exit codes."""

from __future__ import annotations

import importlib
import sys

import typer
from rich.console import Console
from rich.markup import escape

from qdml.errors import QdmlError

# command -> (module, one line for `qdml --help`). Only the module of the command in use is
# imported, so that `qdml lmp` starts without matplotlib and `qdml info` without LAMMPS.
COMMANDS = {
    "build": ("qdml.cli.build", "Build a charge-balanced quantum dot with its ligand shell."),
    "sample": ("qdml.cli.sample", "Make diverse frames for labelling: cells, slabs, dots, MD."),
    "label": ("qdml.cli.label", "Compute reference energies and forces (CP2K or GFN1-xTB)."),
    "lmp": ("qdml.cli.lmp", "Run LAMMPS with pair_style qdml and MPI set up."),
    "verify": ("qdml.cli.verify", "Check LAMMPS with a potential: forces, ranks, restart, units."),
    "validate": (
        "qdml.cli.validate",
        "Check a potential against its DFT level, literature and dynamics of a dot.",
    ),
    "analyse": ("qdml.cli.analyse", "Write one HTML report of a fit and a LAMMPS run."),
    "film": ("qdml.cli.film", "Put copies of a dot with its shell into a film."),
    "info": ("qdml.cli.info", "Describe a .qdml file or a structure."),
    "committee": ("qdml.cli.committee", "Pack several fits into one .qdml file."),
    "plugin-path": ("qdml.cli.plugin_path", "Print the folder for LAMMPS_PLUGIN_PATH."),
}


def make_app(arguments: list[str]) -> typer.Typer:
    """Assemble the command line: the command named in `arguments` for real, the others by name."""
    app = typer.Typer(
        name="qdml",
        help="Machine-learned force fields for colloidal quantum dots.\n\n"
        "Example: qdml build CdSe --diameter 20 --ligands Cl -o dot.extxyz",
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.callback(invoke_without_command=True)
    def options(
        version: bool = typer.Option(False, "--version", help="Print the version."),
    ) -> None:
        if version:
            from qdml import __version__

            typer.echo(f"qdml {__version__}")
            raise typer.Exit

    chosen = next((word for word in arguments if not word.startswith("-")), None)
    for name, (module_name, help_line) in COMMANDS.items():
        if name == chosen:
            function = getattr(importlib.import_module(module_name), name.replace("-", "_"))
            settings = getattr(function, "context_settings", None)
            app.command(name, short_help=help_line, context_settings=settings)(function)
        else:
            app.command(name, help=help_line)(lambda: None)
    return app


def run_guarded(app: typer.Typer, arguments: list[str]) -> None:
    """Run a typer app; print a `QdmlError` as one message and exit with its code.

    Usage errors exit with 2, Ctrl-C with 130. `--debug` anywhere before `--` brings the
    traceback back.
    """
    arguments = list(arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    debug = "--debug" in arguments[:end]
    if debug:
        arguments.remove("--debug")
    try:
        app(args=arguments)
    except QdmlError as error:
        if debug:
            raise
        Console(stderr=True, soft_wrap=True).print(
            f"[bold red]error:[/] {escape(str(error))}", highlight=False
        )
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(141)


def main() -> None:
    """Console script `qdml`."""
    run_guarded(make_app(sys.argv[1:]), sys.argv[1:])


if __name__ == "__main__":
    main()
