# SPDX-License-Identifier: MIT
"""Stages of benchmarks/gpu.py that need the carried archive: LAMMPS, JAX, training, dots."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from pathlib import Path

from support.carried import unpack
from support.gpu_checks import workers
from support.gpu_session import ROOT, CommandFailed, Session, Skipped, Stage

LAMMPS_TESTS = "tests/lammps/test_gpu.py"
EMULATED_TESTS = ["-k", "gpu_equals_cpu or missing_card"]
ONE_RANK = [  # where two ranks cannot be started
    f"{LAMMPS_TESTS}::{name}"
    for name in (
        "test_gpu_equals_cpu[model-1]",
        "test_gpu_equals_cpu[path_file-1]",
        "test_steps_on_the_device_follow_those_on_the_cpu[model-1]",
        "test_steps_on_the_device_follow_those_on_the_cpu[path_file-1]",
        "test_lists_that_lammps_thins_out_are_lammps_own",
        "test_a_committee_shares_the_device",
    )
]
# ways to let two ranks of MPICH find each other on a machine without a network, the usual one first
RANKS = (
    {},
    {"HYDRA_IFACE": "lo", "HYDRA_LAUNCHER": "fork"},
    {"HYDRA_IFACE": "lo", "HYDRA_LAUNCHER": "fork", "UCX_TLS": "self,sm"},
    {"HYDRA_IFACE": "lo", "HYDRA_LAUNCHER": "fork", "UCX_TLS": "self,tcp", "UCX_NET_DEVICES": "lo"},
    {"HYDRA_LAUNCHER": "fork", "MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "tcp"},
)
SMOKE = "region box block 0 1 0 1 0 2\ncreate_box 1 box\n"
SCRIPTS = ("dots", "jax", "training")


def unpacked(session: Session) -> Path:
    """Folder of what was carried; unpacked once."""
    archive, folder = Path(session.options.carried), session.build / "carried"
    if not archive.is_file():
        raise Skipped(f"no {archive}: benchmarks/carry_lammps.py packs it")
    mark, stamp = folder / "unpacked", str(archive.stat().st_mtime_ns)
    if not (mark.is_file() and mark.read_text() == stamp):
        unpack(archive, folder)
        mark.write_text(stamp)
    return folder


def joined(name: str, *folders: Path) -> str:
    """A variable that holds folders, these before those of the machine."""
    return os.pathsep.join(filter(None, [*map(str, folders), os.environ.get(name, "")]))


def python_variables(session: Session) -> dict[str, str]:
    """Let Python find this source tree and the carried packages, where there are any."""
    folders = [ROOT / "python", ROOT / "benchmarks"]
    try:
        folders.insert(0, unpacked(session) / "python")
    except Skipped:
        session.note("without the carried packages")
    return {"PYTHONPATH": joined("PYTHONPATH", *folders)}


def plugin(session: Session) -> dict[str, str]:
    """Build the plugin for the carried LAMMPS; variables that let tests and programs find all."""
    if session.lammps_variables is not None:
        return session.lammps_variables
    carried = unpacked(session)
    headers = carried / "include"
    configure = ["cmake", "-S", ".", "-B", session.build, "-DQDML_LAMMPS=ON"]
    configure += [f"-DLAMMPS_HEADER_DIR={headers / 'lammps'}", f"-DQDML_MPI_HEADER_DIR={headers}"]
    session.run(configure)
    session.run(["cmake", "--build", session.build, "-j", workers(), "--target", "qdmlplugin"])
    session.lammps_variables = {
        **session.engine_variables(),
        "LD_LIBRARY_PATH": joined("LD_LIBRARY_PATH", carried / "lib"),
        "PYTHONPATH": joined("PYTHONPATH", carried / "python", ROOT / "python"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the machine's own plugins have no part in it
        "QDML_LMP": str(carried / "bin/lmp"),
        "QDML_MPIRUN": str(carried / "bin/mpiexec.hydra"),
        "QDML_PLUGIN_PATH": str(session.build / "lammps_plugin"),
        "QDML_TEST_DEVICE": str(session.library),
    }
    return session.lammps_variables


def name_this_host(session: Session) -> None:
    """Hydra asks for the address of its own host: let there be one on the lent machine."""
    if session.options.emulated:
        return
    host = socket.gethostname()
    try:
        socket.gethostbyname(host)
    except OSError:
        try:
            with Path("/etc/hosts").open("a") as hosts:
                hosts.write(f"127.0.0.1 {host}\n")
            session.note(f"{host} added to /etc/hosts")
        except OSError as fault:
            session.note(f"{host} has no address: {fault}")


def two_ranks(session: Session, variables: dict[str, str]) -> dict[str, str] | None:
    """Variables with which LAMMPS runs on two ranks here; None if nothing helps."""
    name_this_host(session)
    deck = session.build / "in.smoke"
    deck.write_text(SMOKE)
    command = [variables["QDML_MPIRUN"], "-n", "2", variables["QDML_LMP"], "-in", deck]
    command += ["-log", "none"]
    for way in RANKS:
        try:
            output = session.run(command, 7, **(variables | way))
        except RuntimeError:
            continue
        if "1 by 1 by 2 MPI processor grid" in output:
            return way
    return None


def lammps(session: Session) -> str:
    """tests/lammps/test_gpu.py with the carried LAMMPS; in emulation one quick part of it."""
    variables = plugin(session)
    way = two_ranks(session, variables)
    session.document["two_ranks"] = way if way is not None else "cannot be started"
    options = ["-v", "-rfE", "--tb=short", "-W", "default", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options]
    if way is None:
        command += ONE_RANK
    else:
        variables.update(way)
        command += [LAMMPS_TESTS, *(EMULATED_TESTS if session.options.emulated else [])]
    fault = ""
    try:
        output = session.run(command, **variables)
    except CommandFailed as stopped:
        output, fault = stopped.output, str(stopped).splitlines()[0]
    failed = sorted(set(re.findall(r"^(?:FAILED|ERROR) \S+?::(\S+)", output, re.MULTILINE)))
    summary = re.findall(r"^=+ (.*(?:passed|failed|error|skipped).*) =+$", output, re.MULTILINE)
    last = summary[-1] if summary else f"{output.count(' PASSED')} passed, then it ended"
    if way is None:
        raise RuntimeError("\n  ".join([f"no way to start two ranks; on one: {last}", *failed]))
    if fault or " passed" not in last:
        raise RuntimeError("\n  ".join([last, fault, *failed]))
    return last


def script(name: str) -> Stage:
    """benchmarks/gpu_NAME.py; what it writes goes into the results."""

    def work(session: Session) -> str:
        program = ROOT / f"benchmarks/gpu_{name}.py"
        if not program.is_file():
            raise Skipped(f"no {program.name}")
        variables = {"QDML_DEVICE_LIBRARY": str(session.library), "QDML_STEPS": str(session.steps)}
        variables |= python_variables(session)
        if name == "dots":
            variables = plugin(session) | variables
            if isinstance(way := session.document.get("two_ranks"), dict):
                variables |= way
        target = session.build / f"{name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        minutes = max(0.0, session.left() - 3) / 60  # it ends by itself
        command = [sys.executable, program, "--results", target, "--minutes", f"{minutes:.2f}"]
        try:
            output = session.run(
                command + (["--cpu"] if session.options.emulated else []), **variables
            )
        finally:
            if target.is_file():
                session.document[name] = json.loads(target.read_text())
        lines = output.strip().splitlines()
        return lines[-1] if lines else "done"

    return work
