# SPDX-License-Identifier: MIT
"""Build, check and measure the CUDA engine on a machine with a card, inside ten minutes.

    python benchmarks/gpu.py [--carried build/carry.tar.xz] [--minutes 9.5]

Needs a C++ compiler, CMake and the CUDA toolkit; no network. LAMMPS comes in an archive that
benchmarks/carry_lammps.py packs elsewhere; its stage also needs numpy and scipy. Every stage ends
as passed, failed or skipped with its reason; results go to benchmarks/results/gpu-CARD.json after
each stage. Exit status 1 if a stage failed. `--emulated` runs the same stages on the emulated card,
to try the script out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.machine import RESULTS, describe, write

ROOT = Path(__file__).resolve().parents[1]
EMULATED = "cpp/tests/emulation/libqdml_cuda_emulated.so"
CARRIED = ROOT / "build/carry.tar.xz"
COMPILED = "cpp/src/cuda/libqdml_cuda.so"
# model, precision, atoms; the first rows matter most should the time run out
SEVENNET = "potentials/cdse/cdse-pbe-sevennet.qdml"
ROWS = [
    ("std", "mixed", 1000),
    ("std", "mixed", 10000),
    (SEVENNET, "mixed", 1000),
    (SEVENNET, "mixed", 10000),
    ("std", "mixed", 100000),
    ("fast", "mixed", 10000),
    ("fast", "mixed", 100000),
    ("std", "double", 10000),
    (SEVENNET, "mixed", 100000),
    ("std", "mixed", 1000000),
]
EMULATED_ROWS = [("small", "mixed", 8), ("tests/golden/sevennet.qdml", "mixed", 8)]
LAMMPS_TESTS = "tests/lammps/test_gpu.py"
EMULATED_TESTS = "gpu_equals_cpu or missing_card"
SANITIZED = "the device engine equals the CPU engine*"


class Skipped(Exception):
    """A stage that cannot run here, and why."""


class Session:
    """The clock, the folders and the document of results of one run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.end = time.monotonic() + 60 * options.minutes
        self.build: Path = options.build
        self.document: dict[str, Any] = {"machine": describe(), "stages": {}, "rows": []}
        self.path: Path = RESULTS / "gpu.json"

    def run(self, command: Sequence[str | Path], most: float, **variables: str) -> str:
        """Output of a command within `most` seconds; raises with its last lines."""
        limit = min(most, self.end - time.monotonic())
        if limit < 5:
            raise Skipped("no time left")
        try:
            done = subprocess.run(
                [str(word) for word in command],
                cwd=ROOT,
                env=os.environ | variables,
                capture_output=True,
                text=True,
                timeout=limit,
            )
        except subprocess.TimeoutExpired as stopped:
            raise RuntimeError(f"{Path(command[0]).name}: not done in {limit:.0f} s") from stopped
        if done.returncode != 0:
            lines = (done.stdout + done.stderr).splitlines()[-15:]
            raise RuntimeError(f"{' '.join(map(str, command))}\n" + "\n".join(lines))
        return done.stdout

    def stage(self, name: str, work: Any) -> bool:
        """Run one stage and store how it ended."""
        begin = time.monotonic()
        try:
            entry = {"status": "passed", "found": work(self)}
        except Skipped as reason:
            entry = {"status": "skipped", "found": str(reason)}
        except (RuntimeError, OSError, ValueError) as fault:
            entry = {"status": "failed", "found": str(fault)}
        entry["seconds"] = round(time.monotonic() - begin, 1)
        self.document["stages"][name] = entry
        print(f"{name:12s} {entry['status']:8s} {entry['seconds']:6.1f} s  {entry['found']}")
        write(self.path, self.document)
        return entry["status"] == "passed"

    @property
    def library(self) -> Path:
        return self.build / (EMULATED if self.options.emulated else COMPILED)

    @property
    def tests(self) -> Path:
        return self.build / "cpp/tests/qdml_tests"

    def variables(self) -> dict[str, str]:
        """Let the C++ tests take the card instead of its emulation."""
        return {} if self.options.emulated else {"QDML_TEST_DEVICE": str(self.library)}


def find_card(session: Session) -> str:
    """Name and driver of the first card; it names the file of results."""
    if session.options.emulated:
        name, driver = "emulated device", "none"
    else:
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        name, driver = (part.strip() for part in session.run(query, 30).splitlines()[0].split(","))
    session.document["card"] = {"name": name, "driver": driver}
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    session.path = session.options.results / f"gpu-{slug}.json"
    return f"{name}, driver {driver}"


def build(session: Session) -> str:
    """Library, tests and the program that times steps; only the card's own architecture."""
    configure = ["cmake", "-S", ".", "-B", session.build, "-DQDML_TESTS=ON", "-DQDML_LAMMPS=OFF"]
    if shutil.which("ninja"):
        configure += ["-G", "Ninja"]
    configure += (
        ["-DQDML_CUDA=OFF"]
        if session.options.emulated
        else ["-DQDML_CUDA=ON", "-DCMAKE_CUDA_ARCHITECTURES=native"]
    )
    session.run(configure, 120)
    session.run(["cmake", "--build", session.build, "-j", str(os.cpu_count() or 2)], 400)
    return session.library.name


def contract(session: Session) -> str:
    """The tables of tests/cpp/test_device*.cpp and test_routes.cpp: results, edge cases, ranks."""
    files = "--source-file=*test_device*.cpp,*test_routes.cpp"
    output = session.run([session.tests, files], 240, **session.variables())
    return next(line for line in output.splitlines() if "assertions" in line).split("]")[1].strip()


def sanitizer(tool: str) -> Any:
    """compute-sanitizer over the comparisons with the CPU, both families."""

    def work(session: Session) -> str:
        if session.options.emulated:
            raise Skipped("the emulation has its own checks")
        program = shutil.which("compute-sanitizer")
        if program is None:
            raise Skipped("no compute-sanitizer")
        command = [program, "--tool", tool, "--error-exitcode", "9", session.tests]
        output = session.run([*command, f"--test-case={SANITIZED}"], 120, **session.variables())
        found = [line for line in output.splitlines() if "SUMMARY" in line]
        return found[-1].strip("= ") if found else "no summary"

    return work


def plugin(session: Session, carried: Path) -> dict[str, str]:
    """Unpack the carried LAMMPS, build the plugin for it; variables that let the tests find all."""
    with tarfile.open(session.options.carried) as file:
        file.extractall(carried, filter="data")
    headers = carried / "include"
    configure = ["cmake", "-S", ".", "-B", session.build, "-DQDML_LAMMPS=ON"]
    configure += [f"-DLAMMPS_HEADER_DIR={headers / 'lammps'}", f"-DQDML_MPI_HEADER_DIR={headers}"]
    session.run(configure, 60)
    workers = str(os.cpu_count() or 2)
    session.run(["cmake", "--build", session.build, "-j", workers, "--target", "qdmlplugin"], 120)
    paths = {
        "LD_LIBRARY_PATH": [str(carried / "lib"), os.environ.get("LD_LIBRARY_PATH")],
        "PYTHONPATH": [
            str(carried / "python"),
            str(ROOT / "python"),
            os.environ.get("PYTHONPATH"),
        ],
    }
    return {name: os.pathsep.join(filter(None, parts)) for name, parts in paths.items()} | {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # pytest is the carried one, plugins are not
        "QDML_LMP": str(carried / "bin/lmp"),
        "QDML_MPIRUN": str(carried / "bin/mpiexec.hydra"),
        "QDML_PLUGIN_PATH": str(session.build / "lammps_plugin"),
        "QDML_TEST_DEVICE": str(session.library),
    }


def lammps(session: Session) -> str:
    """tests/lammps/test_gpu.py with the carried LAMMPS; in emulation one quick part of it."""
    if not session.options.carried.is_file():
        raise Skipped(f"no {session.options.carried}: benchmarks/carry_lammps.py packs it")
    variables = plugin(session, session.build / "carried")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", LAMMPS_TESTS]
    if session.options.emulated:
        command += ["-k", EMULATED_TESTS]
    last = session.run(command, 200, **variables).strip().splitlines()[-1]
    if " passed" not in last:
        raise RuntimeError(f"no test ran: {last}")
    return last


def speed(session: Session) -> str:
    """Rows of qdml_steps on the card, each with a CPU row of the same model where that is quick."""
    rows = EMULATED_ROWS if session.options.emulated else ROWS
    program = session.build / "cpp/tests/qdml_steps"
    for model, precision, atoms in rows:
        for device in ("gpu", "cpu"):
            if device == "cpu" and atoms > 20000:
                continue
            length = "0.1" if session.options.emulated else "4"
            command = [program, device, precision, model, str(atoms), length]
            try:
                output = session.run(command, 120, QDML_DEVICE_LIBRARY=str(session.library))
            except Skipped:
                return f"{len(session.document['rows'])} rows, then no time was left"
            row = json.loads(output)
            session.document["rows"].append(row)
            print(f"  {row}")
            if not row["repeats"]:
                raise RuntimeError(f"steps differ: {row}")
    return f"{len(session.document['rows'])} rows"


def main(words: Sequence[str] | None = None) -> int:
    """Run all stages; a failed build or no card ends the run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--carried", type=Path, default=CARRIED, help="packed LAMMPS")
    parser.add_argument("--minutes", type=float, default=9.5, help="time for everything")
    parser.add_argument("--build", type=Path, default=ROOT / "build/gpu", help="build folder")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    parser.add_argument("--emulated", action="store_true", help="try the script without a card")
    session = Session(parser.parse_args(words))
    session.path = session.options.results / "gpu.json"
    session.build = session.options.build.resolve()
    if session.stage("card", find_card) and session.stage("build", build):
        session.stage("contract", contract)
        session.stage("speed", speed)
        session.stage("lammps", lammps)
        session.stage("memcheck", sanitizer("memcheck"))
        session.stage("racecheck", sanitizer("racecheck"))
    print(f"results in {session.path}")
    failed = [n for n, e in session.document["stages"].items() if e["status"] == "failed"]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
