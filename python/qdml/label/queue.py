"""The labelling queue: frames in, labelled frames out, through any executor with `submit`."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from qdml.errors import DataError
from qdml.label import cp2k
from qdml.label.frames import (
    boxed,
    charge_and_multiplicity,
    check_spin,
    frame_key,
    is_undersampled,
    kpoint_mesh,
)
from qdml.label.store import LabelStore
from qdml.label.tasks import LabelResult, LabelTask, run_task
from qdml.label.warm import WavefunctionLibrary

CODES = ("cp2k", "gfn1-xtb")


class Submitter(Protocol):
    """What the queue needs of an executor: concurrent.futures, executorlib and Parsl have it."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future: ...


@dataclass
class LabelOptions:
    """How to label; time_limit in seconds per frame, vacuum in A."""

    code: str = "cp2k"
    command: str = "cp2k.psmp"
    workers: int = 1
    warm_start: bool = True
    retry_failed: bool = False
    time_limit: float = 7200.0
    niceness: int = 0
    vacuum: float = 8.0
    settings: cp2k.Cp2kSettings = field(default_factory=cp2k.Cp2kSettings)


@dataclass
class LabelSummary:
    """What a run did. `failures` maps frame key to its record (frame_key, frame, reason)."""

    total: int = 0
    already_done: int = 0
    labelled: int = 0
    skipped_failed: int = 0
    cut_bytes: int = 0
    undersampled: int = 0  # frames with fewer k-points than `frames.suitable_mesh`
    seconds: float = 0.0
    wall_seconds: float = 0.0
    stopped: bool = False
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)


def make_task(atoms: Atoms, index: int, options: LabelOptions, work_folder: Path) -> LabelTask:
    """Check one frame and turn it into a task; DataError names the frame and the remedy."""
    name = f"frame {index} ({atoms.info.get('origin', atoms.get_chemical_formula())})"
    if len(atoms) == 0:
        raise DataError(f"{name}: no atoms")
    charge, multiplicity = charge_and_multiplicity(atoms)
    is_bulk = bool(atoms.pbc.all())
    if options.code == "cp2k":
        frame = boxed(atoms, name, options.vacuum)
        try:
            n_electrons = cp2k.count_electrons(frame, charge)
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
    else:
        frame = atoms.copy()
        n_electrons = int(frame.numbers.sum()) - charge
    key = frame_key(atoms)
    return LabelTask(
        key=key,
        atoms=frame,
        charge=charge,
        multiplicity=check_spin(n_electrons, multiplicity, name),
        stress=is_bulk,
        kpoints=kpoint_mesh(atoms, name),
        code=options.code,
        folder=str((work_folder / key).resolve()),
        command=options.command,
        settings=options.settings,
        time_limit=options.time_limit,
        niceness=options.niceness,
    )


def label_frames(
    frames: Iterable[Atoms],
    output: Path,
    options: LabelOptions,
    *,
    executor: Submitter | None = None,
    on_event: Callable[[str, LabelSummary, LabelResult | None], None] | None = None,
    stop: threading.Event | None = None,
) -> LabelSummary:
    """Label frames and append each to `output` as it finishes.

    Frames already in `output` are skipped, and frames that failed before too unless
    `options.retry_failed`. `executor` is any object with `submit`; the default runs
    `options.workers` tasks at a time on this machine. At most `options.workers` tasks are in
    flight, so that each new one can start from the newest wavefunctions. `on_event` is called with
    'start', 'submitted', 'labelled', 'failed'. Setting `stop` ends the run: nothing new is
    submitted and what is unfinished is dropped (the frames are labelled by the next run).
    Every frame is checked (DataError) before the first calculation starts.
    """
    if options.code not in CODES:
        raise DataError(f"unknown code '{options.code}'; choose one of {', '.join(CODES)}")
    if options.code == "cp2k" and executor is None and shutil.which(options.command) is None:
        raise DataError(
            f"'{options.command}' not found; install CP2K (Debian and Ubuntu: apt install cp2k; "
            "conda: conda install -c conda-forge cp2k), name it with --command, or try the path "
            "out with --code gfn1-xtb"
        )
    output = Path(output)
    work_folder = output.with_name(output.name + ".work")
    store = LabelStore(output)
    notify = on_event or (lambda *_: None)
    summary = LabelSummary(cut_bytes=store.cut_bytes)
    waiting: list[LabelTask] = []
    seen: set[str] = set()
    for index, atoms in enumerate(frames):
        task = make_task(atoms, index, options, work_folder)
        if task.key in seen:
            continue
        seen.add(task.key)
        summary.total += 1
        summary.undersampled += options.code == "cp2k" and is_undersampled(atoms)
        if task.key in store.keys:
            summary.already_done += 1
        elif task.key in store.failures and not options.retry_failed:
            summary.skipped_failed += 1
            summary.failures[task.key] = store.failures[task.key]
        else:
            waiting.append(task)
    work_folder.mkdir(parents=True, exist_ok=True)
    library = WavefunctionLibrary(work_folder / "wavefunctions")
    notify("start", summary, None)
    own_pool = None
    if executor is None:
        # threads suffice: the work is done by child processes, or outside the interpreter lock
        executor = own_pool = ThreadPoolExecutor(options.workers)
    stop = stop or threading.Event()
    running: dict[Future, LabelTask] = {}
    waiting.reverse()
    try:
        while (waiting or running) and not stop.is_set():
            while waiting and len(running) < options.workers:
                task = waiting.pop()
                if options.warm_start and _has_orbitals(task):
                    task = _with_warm_start(task, library)
                running[executor.submit(run_task, task)] = task
                notify("submitted", summary, None)
            finished, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in finished:
                task = running.pop(future)
                if not stop.is_set():
                    _record(task, future.result(), store, library, summary, notify)
    finally:
        for future in running:
            future.cancel()
        if own_pool is not None:
            own_pool.shutdown(wait=False, cancel_futures=True)
    summary.stopped = stop.is_set()
    return summary


def _has_orbitals(task: LabelTask) -> bool:
    """Whether CP2K leaves a wavefunction file that a later frame can start from."""
    return task.code == "cp2k" and task.kpoints == (1, 1, 1)


def _with_warm_start(task: LabelTask, library: WavefunctionLibrary) -> LabelTask:
    from dataclasses import replace

    found = library.nearest(task.atoms, task.charge, task.multiplicity)
    return replace(task, warm_start=found[0]) if found else task


def _record(
    task: LabelTask,
    result: LabelResult,
    store: LabelStore,
    library: WavefunctionLibrary,
    summary: LabelSummary,
    notify: Callable[[str, LabelSummary, LabelResult | None], None],
) -> None:
    """Append a finished frame or its failure, and tidy up its folder."""
    summary.seconds += result.seconds
    summary.wall_seconds += result.wall_seconds
    if result.reason:
        record = {
            "frame_key": task.key,
            "origin": str(task.atoms.info.get("origin", "")),
            "formula": task.atoms.get_chemical_formula(),
            "reason": result.reason,
            "seconds": round(result.wall_seconds, 2),
            "folder": Path(task.folder).name,
        }
        store.append_failure(record)
        summary.failures[task.key] = record
        notify("failed", summary, result)
        return
    store.append(labelled_frame(task, result))
    summary.labelled += 1
    summary.failures.pop(task.key, None)
    if result.wavefunction and _has_orbitals(task):
        library.add(task.key, task.atoms, task.charge, task.multiplicity, result.wavefunction)
    shutil.rmtree(task.folder, ignore_errors=True)
    notify("labelled", summary, result)


def labelled_frame(task: LabelTask, result: LabelResult) -> Atoms:
    """The frame with its labels as ASE results and the record of the calculation in info."""
    frame = task.atoms.copy()
    frame.info.update(
        frame_key=task.key,
        level_of_theory=result.level_of_theory,
        converged=True,
        charge=task.charge,
        multiplicity=task.multiplicity,
        periodic_calculation=bool(frame.pbc.all()),
        label_seconds=round(result.seconds, 2),
        label_wall_seconds=round(result.wall_seconds, 2),
        scf_steps=result.scf_steps,
        scf_solver=result.solver,
        warm_started=result.warm_started,
    )
    labels: dict[str, Any] = {"energy": result.energy, "forces": result.forces}
    if result.stress is not None:
        labels["stress"] = result.stress
    frame.calc = SinglePointCalculator(frame, **labels)
    return frame
