# SPDX-License-Identifier: MIT
"""`qdml plugin-path`: where qdmlplugin.so is."""

from __future__ import annotations

import typer

from qdml.lammps import plugin_folder


def plugin_path() -> None:
    """Print the folder for LAMMPS_PLUGIN_PATH, so that any LAMMPS of this release loads qdml.

    Example: LAMMPS_PLUGIN_PATH=$(qdml plugin-path) lmp -in in.qd
    """
    typer.echo(str(plugin_folder()))
