# SPDX-License-Identifier: MIT
"""Entry point of `qdml`: registers the subcommands and turns faults into exit codes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

import click
import typer
from rich.console import Console
from rich.markup import escape

from qdml.errors import QdmlError

# command -> (module, one line for `qdml --help`); modules are imported only when used, so that
# `qdml lmp` starts without matplotlib and `qdml info` without LAMMPS.
COMMANDS = {
    "build": ("qdml.cli.build", "Build a charge-balanced quantum dot with its ligand shell."),
    "sample": ("qdml.cli.sample", "Make diverse frames for labelling: cells, slabs, dots, MD."),
    "label": ("qdml.cli.label", "Compute reference energies and forces (CP2K or GFN1-xTB)."),
    "lmp": ("qdml.cli.lmp", "Run LAMMPS with pair_style qdml and MPI set up."),
    "analyse": ("qdml.cli.analyse", "Write one HTML report of a fit and a LAMMPS run."),
    "info": ("qdml.cli.info", "Describe a .qdml file."),
    "plugin-path": ("qdml.cli.plugin_path", "Print the folder for LAMMPS_PLUGIN_PATH."),
}


class LazyGroup(click.Group):
    """A click group that imports a subcommand's module only when the subcommand is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[name][0])
        return as_click(getattr(module, name.replace("-", "_")), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


def as_click(function: Callable[..., None], name: str) -> click.Command:
    """Turn one typer-annotated function into a click command.

    Functions that pass arguments on (`qdml lmp -- ...`) set `context_settings` as an attribute.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, context_settings=getattr(function, "context_settings", None))(function)
    command = typer.main.get_command(app)
    command.name = name
    return command


def run_guarded(command: click.Command, prog_name: str, arguments: list[str] | None = None) -> None:
    """Run a click command; print a `QdmlError` as one message and exit with its code.

    Ctrl-C exits with 130 after a line that says so. `QDML_DEBUG=1` in the environment or
    `--debug` among the arguments brings the traceback back.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    debug = "--debug" in arguments[:end]
    if debug:
        arguments.remove("--debug")
    try:
        result = command.main(args=arguments, prog_name=prog_name, standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except QdmlError as error:
        if debug:
            raise
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        Console(stderr=True).print("stopped by the user; what was finished is kept")
        sys.exit(130)
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped by the user; what was finished is kept")
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)


@click.group(cls=LazyGroup, invoke_without_command=True)
@click.version_option(package_name="qdml")
@click.pass_context
def app(ctx: click.Context) -> None:
    """Machine-learned force fields for colloidal quantum dots.

    \b
    Example:
      qdml build CdSe --diameter 20 --ligands Cl -o dot.extxyz
      qdml lmp -n 2 -- -in in.qd
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> None:
    """Console script `qdml`."""
    run_guarded(app, "qdml")


if __name__ == "__main__":
    main()
