"""One labelling task, as a picklable function any executor can run: a frame in, a result out."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms

from qdml.errors import LabelError, QdmlError
from qdml.label import cp2k


@dataclass(frozen=True)
class LabelTask:
    """A frame ready for one single point: periodic box made, charge and spin checked.

    warm_start names a wavefunction file of a similar frame, or None. time_limit in seconds.
    """

    key: str
    atoms: Atoms
    charge: int
    multiplicity: int
    stress: bool
    code: str
    folder: str
    command: str = "cp2k.psmp"
    settings: cp2k.Cp2kSettings = field(default_factory=cp2k.Cp2kSettings)
    kpoints: tuple[int, int, int] = (1, 1, 1)
    warm_start: str | None = None
    time_limit: float = 7200.0
    niceness: int = 0


@dataclass
class LabelResult:
    """Outcome of a task; `reason` is empty when it succeeded.

    energy eV, forces [n, 3] eV/A, stress [6] eV/A^3 (ASE sign) or None. seconds is CPU time of one
    core, wall_seconds the time that passed (longer on a shared core). solver says how the SCF was
    solved; wavefunction is the file left for warm starts.
    """

    key: str
    reason: str = ""
    energy: float = 0.0
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    level_of_theory: str = ""
    seconds: float = 0.0
    wall_seconds: float = 0.0
    scf_steps: int = 0
    solver: str = ""
    warm_started: bool = False
    wavefunction: str | None = None


def run_task(task: LabelTask) -> LabelResult:
    """Run one task; a failed or unconverged calculation gives a result with a `reason`.

    A folder that cannot be written is no fault of the frame: LabelError, which ends the run.
    """
    start = time.perf_counter()
    try:
        result = _run_cp2k(task) if task.code == "cp2k" else _run_gfn1(task)
    except QdmlError as error:
        result = LabelResult(key=task.key, reason=str(error))
    except OSError as error:
        raise LabelError(
            f"{task.folder}: cannot write ({error.strerror}); finished frames are safe. Make room "
            "and run the same command again: it goes on from there"
        ) from error
    result.wall_seconds = time.perf_counter() - start
    return result


def _run_cp2k(task: LabelTask) -> LabelResult:
    """Diagonalisation first; when its SCF fails, OT once, from atomic densities."""
    attempts = [("diagonalization", task.warm_start)]
    if task.kpoints == (1, 1, 1):  # CP2K has no OT with k-points
        attempts.append(("ot", None))
    seconds = 0.0
    for attempt, (solver, warm_start) in enumerate(attempts):
        try:
            parsed, used = _cp2k_once(task, solver, warm_start)
            seconds += used
            break
        except _Unconverged as error:
            if attempt + 1 == len(attempts):
                raise
            seconds += error.seconds
    wavefunction = Path(task.folder) / "job-RESTART.wfn"
    return LabelResult(
        key=task.key,
        energy=parsed.energy,
        forces=parsed.forces,
        stress=parsed.stress,
        level_of_theory=task.settings.level_of_theory(parsed.version),
        seconds=seconds,
        scf_steps=parsed.scf_steps,
        solver=solver,
        warm_started=warm_start is not None,
        wavefunction=str(wavefunction) if wavefunction.exists() else None,
    )


class _Unconverged(LabelError):
    """An SCF that did not converge, with the CPU seconds it took."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


def _cp2k_once(
    task: LabelTask, solver: str, warm_start: str | None
) -> tuple[cp2k.Cp2kResult, float]:
    """One CP2K run in the task's folder: its result and its CPU seconds."""
    folder = Path(task.folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    restart = None
    if warm_start and Path(warm_start).exists():
        restart = "start.wfn"
        shutil.copyfile(warm_start, folder / restart)
    text = cp2k.write_input(
        task.atoms,
        task.settings,
        charge=task.charge,
        multiplicity=task.multiplicity,
        stress=task.stress,
        solver=solver,
        restart=restart,
        kpoints=task.kpoints,
    )
    (folder / "job.inp").write_text(text)
    seconds = run_child(
        [task.command, "-i", "job.inp", "-o", "job.out"], folder, task.time_limit, task.niceness
    )
    output = folder / "job.out"
    if not output.exists():
        printed = (folder / "stdout").read_text(errors="replace").strip()[-300:]
        raise LabelError(f"CP2K wrote no output; it printed: {printed or 'nothing'}")
    try:
        return cp2k.read_output(output, len(task.atoms), stress=task.stress), seconds
    except LabelError as error:
        if "did not converge" in str(error):
            raise _Unconverged(str(error), seconds) from None
        raise


KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**26),
}
"""glibc keeps freed memory: CP2K frees and asks for its grids in every SCF step, and giving the
pages back each time took 25 % of the CPU time of a 39-atom cluster in vacuum (7 % with these)."""


def run_child(command: list[str], folder: Path, time_limit: float, niceness: int = 0) -> float:
    """Run an external program in `folder` on one core, killed with us and at the time limit.

    Returns its CPU seconds (user and system). The program's own exit status is not judged here:
    its output file is.
    """
    prefix = ["nice", "-n", str(niceness)] if niceness else []
    if shutil.which("setpriv"):
        # util-linux: the kernel kills the child when the labelling process dies, even by SIGKILL
        prefix = ["setpriv", "--pdeathsig", "KILL", *prefix]
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", **KEEP_MEMORY)
    with (folder / "stdout").open("w") as stdout:
        child = subprocess.Popen(
            [*prefix, *command],
            cwd=folder,
            env=environment,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    _children.add(child)
    deadline = time.monotonic() + time_limit
    try:
        while True:
            # wait4 instead of Popen.wait: it tells the CPU time of this child alone
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                child.returncode = os.waitstatus_to_exitcode(status)
                return usage.ru_utime + usage.ru_stime
            if time.monotonic() > deadline:
                raise LabelError(f"no result within the time limit of {time_limit:g} s")
            time.sleep(0.05)
    finally:
        _children.discard(child)
        if child.returncode is None:
            _kill(child)
            child.wait()


_children: set[subprocess.Popen] = set()


def kill_children() -> None:
    """Kill the external programs that this process has started and that still run."""
    for child in list(_children):
        _kill(child)


def _kill(child: subprocess.Popen) -> None:
    """Kill a child with all it started (its session is its own); whoever started it reaps it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _run_gfn1(task: LabelTask) -> LabelResult:
    from qdml.label.xtb import single_point

    start = time.thread_time()
    energy, forces, stress, version = single_point(
        task.atoms, task.charge, task.multiplicity, stress=task.stress
    )
    return LabelResult(
        key=task.key,
        energy=energy,
        forces=forces,
        stress=stress,
        seconds=time.thread_time() - start,
        level_of_theory=f"GFN1-xTB, tblite {version} (not a production label)",
        solver="gfn1-xtb",
    )
