# SPDX-License-Identifier: MIT
"""Stages of benchmarks/gpu.py that find the card, build for it, and check what it computes."""

from __future__ import annotations

import json
import os
import re
import shutil

from support.gpu_session import (
    ROOT,
    CommandFailed,
    Session,
    Skipped,
    Stage,
    find_program,
    json_line,
)

CONTRACT = ("*test_device.cpp", "*test_device_committee.cpp", "*test_routes.cpp")
# by compute-sanitizer: first those that run every message kernel, then lists, recorded steps,
# chunks, restarts, centroid virials, ghosts and exchange
SANITIZED = (
    ("the device engine equals the CPU engine*",),
    (
        "lists made on the device from positions*",
        "a list with skin*",
        "domains with ghosts on devices*",
        "members on a device that share arrays*",
        "in chunks the device engine keeps*",
        "rows that travel by routes give the same bits on devices*",
    ),
)
INP_SEVENNET = "potentials/inp/inp-pbe-sevennet.qdml"  # SevenNet-l3i5, fitted to InP
INP = ("In", "P", "zincblende", "5.97")
SMALL_PATHS = "tests/golden/sevennet.qdml"
CDSE_FAST = "potentials/cdse/cdse-pbe-fast.qdml"
# Largest difference from the CPU engine in fp64: forces in eV/Å, energy in eV per atom. Random
# weights make large forces: there ROUNDING times the difference of the CPU engine in fp32 may be.
TOLERANCE = {"mixed": 1e-4, "double": 1e-8}
ROUNDING = 3.0
COMPARED = [
    (CDSE_FAST, "mixed", 10000),
    (CDSE_FAST, "double", 10000),
    ("std", "mixed", 1000),
    ("std", "double", 1000),
    (INP_SEVENNET, "mixed", 1000),
    (INP_SEVENNET, "double", 1000),
    ("std", "mixed", 10000),
    ("std", "double", 10000),
    ("fast", "mixed", 10000),
    ("accurate", "mixed", 10000),
    ("accurate", "double", 1000),
    (INP_SEVENNET, "mixed", 10000),
]
EMULATED_COMPARED = [("small", "mixed", 8), ("small", "double", 8), (SMALL_PATHS, "mixed", 8)]


def find_card(session: Session) -> str:
    """Name and driver of the first card; it names the file of results."""
    if session.options.emulated:
        name, driver = "emulated device", "none"
    else:
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        name, driver = (part.strip() for part in session.run(query, 30).splitlines()[0].split(","))
    session.document["card"] = {"name": name, "driver": driver}
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    session.path = session.results / f"gpu-{slug}.json"
    return f"{name}, driver {driver}"


def workers() -> str:
    return str(os.cpu_count() or 2)


def build(session: Session) -> str:
    """Library, tests and the program that times steps; only the card's own architecture."""
    emulated = session.options.emulated
    configure = ["cmake", "-S", ".", "-B", session.build, "-DQDML_TESTS=ON", "-DQDML_LAMMPS=OFF"]
    keep_going = ["--", "-k"]
    if shutil.which("ninja"):
        configure += ["-G", "Ninja"]
        keep_going += ["0"]
    if emulated:
        configure += ["-DQDML_CUDA=OFF"]
    else:
        configure += ["-DQDML_CUDA=ON", "-DCMAKE_CUDA_ARCHITECTURES=native"]
        if not shutil.which("nvcc") and (nvcc := find_program("nvcc")):
            configure += [f"-DCMAKE_CUDA_COMPILER={nvcc}"]
    session.run(configure, 120)
    library = "qdml_cuda_emulated" if emulated else "qdml_cuda"
    targets = ["--target", library, "qdml_steps", "qdml_tests"]
    session.run(["cmake", "--build", session.build, "-j", workers(), *targets, *keep_going])
    return session.library.name


def is_built(session: Session) -> bool:
    """Is there what most stages need, even if the tests could not be compiled?"""
    return session.library.is_file() and session.steps.is_file()


def run_tests(session: Session, choice: str) -> tuple[str, str]:
    """Output of chosen C++ tests and the fault of their run, if any."""
    try:
        return session.run([session.tests, choice], **session.test_variables()), ""
    except CommandFailed as fault:
        return fault.output, str(fault)


def contract(session: Session) -> str:
    """The tables of tests/cpp/test_device*.cpp and test_routes.cpp: results, edge cases, ranks.

    A fault of the card spoils what follows in its process: cases of a file that failed run alone.
    """
    passed, failed = 0, []
    for file in CONTRACT:
        output, fault = run_tests(session, f"--source-file={file}")
        counts = re.search(r"test cases:\s+(\d+)\s+\|\s+(\d+) passed\s+\|\s+(\d+) failed", output)
        if counts and not fault:
            passed += int(counts[2])
            continue
        listing = session.run([session.tests, "-ltc", f"--source-file={file}"])
        names = [line for line in listing.splitlines() if line and not line.startswith(("[", "="))]
        for name in names:
            _, alone = run_tests(session, f"--test-case={name.replace(',', '?')}")
            passed += not alone
            failed += [name] if alone else []
    found = f"{passed} test cases passed, {len(failed)} failed"
    if failed:
        raise RuntimeError("\n  ".join([found, *failed]))
    return found


def compare(session: Session, model: str, precision: str, atoms: int, device: str) -> dict:
    """Differences of one step from the CPU engine in fp64, or the error."""
    command = [session.steps, device, precision, model, str(atoms), "compare"]
    command += INP if model == INP_SEVENNET else ()
    row = {"model": model, "precision": precision, "atoms": atoms}
    try:
        row = json.loads(json_line(session.run(command, 60, **session.engine_variables())))
    except (RuntimeError, ValueError) as fault:
        return row | {"error": str(fault)}
    row["passed"] = True
    for name in ("force_difference", "energy_difference_per_atom"):
        limit = TOLERANCE[precision]
        if precision == "mixed" and not (ROOT / model).is_file():
            limit = max(limit, ROUNDING * row[f"cpu_{name}"])
        row["passed"] &= row[name] <= limit
    return row


def accuracy(session: Session) -> str:
    """Large crystals on the card against the CPU engine in fp64."""
    rows = session.document["accuracy"] = []
    plan = EMULATED_COMPARED if session.options.emulated else COMPARED
    for spec in plan:
        try:
            rows.append(compare(session, *spec, "gpu"))
        except Skipped:
            break
        session.say(f"  {rows[-1]}")
        session.store()
    bad = [f"{r['model']} {r['precision']} {r['atoms']}" for r in rows if not r.get("passed")]
    found = f"{len(rows) - len(bad)} of {len(plan)} comparisons within their tolerance"
    if bad:
        raise RuntimeError(f"{found}; not: {', '.join(bad)}")
    if not rows:
        raise Skipped("no time left")
    return found


def sanitizer(tool: str) -> Stage:
    """compute-sanitizer over comparisons with the CPU and everything else the tests reach."""

    def work(session: Session) -> str:
        if session.options.emulated:
            raise Skipped("the emulation has its own checks")
        program = find_program("compute-sanitizer")
        if program is None:
            raise Skipped("no compute-sanitizer")
        command = [program, "--tool", tool, "--error-exitcode", "9", "--print-limit", "20"]
        if tool == "memcheck":  # tests try what must fail, and graphs that cannot be updated
            command += ["--report-api-errors", "no"]
        found, faults = [], []
        for cases in SANITIZED:
            chosen = "--test-case=" + ",".join(cases)
            try:
                output = session.run([*command, session.tests, chosen], **session.test_variables())
            except Skipped:
                found.append("no time left for the others")
                break
            except RuntimeError as fault:
                if found and "not done in" in str(fault):  # only of the first ones it is a fault
                    found.append("the others took too long, nothing found by then")
                else:
                    faults.append(str(fault))
                continue
            summary = [line.strip("= ") for line in output.splitlines() if "SUMMARY" in line]
            found.append(summary[-1] if summary else "no summary")
        if faults:
            raise RuntimeError("\n".join(faults))
        return "; ".join(found)

    return work
