"""`qdml label`: reference energies, forces and stress for frames, in a resumable queue."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from ase import Atoms
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from qdml.build.neutrality import charge_warnings
from qdml.build.reading import read_structures
from qdml.label.frames import SAMPLED_LENGTH
from qdml.label.queue import LabelOptions, LabelSummary, label_frames
from qdml.label.tasks import LabelResult, kill_children
from qdml.label.xtb import WARNING


def label(
    frames: Annotated[list[Path], typer.Argument(help="Files with frames (anything ASE reads).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Labelled extxyz; grows.")],
    code: Annotated[str, typer.Option(help="cp2k (PBE) or gfn1-xtb (only to try out).")] = "cp2k",
    workers: Annotated[int, typer.Option(min=1, help="Single-core calculations at a time.")] = 2,
    command: Annotated[str, typer.Option(help="The CP2K program.")] = "cp2k.psmp",
    warm_start: Annotated[bool, typer.Option(help="Start from similar finished frames.")] = True,
    retry_failed: Annotated[bool, typer.Option(help="Try failed frames again.")] = False,
    time_limit: Annotated[float, typer.Option(help="Seconds per frame before giving up.")] = 7200.0,
    nice: Annotated[int, typer.Option(min=0, max=19, help="Niceness of the programs.")] = 0,
    cutoff: Annotated[float, typer.Option(help="Density grid cutoff in Ry.")] = 300.0,
) -> None:
    """Compute reference energies, forces and stress, one frame per core, and append each to OUTPUT.

    Running the same command again continues: finished frames are skipped. Frames whose SCF does
    not converge go to OUTPUT.failed.jsonl with the reason, never into OUTPUT. A cluster with a
    formal charge that its info does not declare is told: atoms may be missing.

    Example: qdml label frames.extxyz -o labelled.extxyz --code cp2k --workers 2
    """
    from dataclasses import replace

    console = Console(stderr=True)
    options = LabelOptions(
        code=code,
        command=command,
        workers=workers,
        warm_start=warm_start,
        retry_failed=retry_failed,
        time_limit=time_limit,
        niceness=nice,
    )
    options.settings = replace(options.settings, cutoff=cutoff)
    if code == "gfn1-xtb":
        console.print(f"[bold yellow]warning:[/] {WARNING}")
    structures = read_frames(frames, console)
    stop = threading.Event()
    with _signals_set(stop), LabelProgress(console, workers) as progress:
        summary = label_frames(structures, output, options, on_event=progress.update, stop=stop)
    print_summary(console, summary, output)
    if summary.stopped:
        raise typer.Exit(130)
    if summary.total and len(summary.failures) == summary.total:
        raise typer.Exit(1)


def read_frames(paths: list[Path], console: Console) -> list[Atoms]:
    """All frames of all files; clusters with a formal charge they do not declare are told.

    Raises: DataError for a file that is absent, empty or unreadable, and for an xyz file whose
    header gives another number of atoms than it holds lines.
    """
    files = [(path, read_structures(path)) for path in paths]
    for text in charge_warnings(files):
        console.print(f"[bold yellow]warning:[/] {escape(text)}", soft_wrap=True, highlight=False)
    return [atoms for _, frames in files for atoms in frames]


@contextmanager
def _signals_set(stop: threading.Event):
    """While active, Ctrl-C and SIGTERM set `stop` and kill the running calculations."""

    def handler(_number, _frame) -> None:
        stop.set()
        kill_children()

    old = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if stop.is_set():
            kill_children()
        for number, former in old.items():
            signal.signal(number, former)


class LabelProgress:
    """The progress line: done/total, failed, seconds per frame, time left.

    Off a terminal one plain line per frame is printed instead.
    """

    def __init__(self, console: Console, workers: int) -> None:
        self.console = console
        self.workers = workers
        self.bar = Progress(
            TextColumn("label"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.row = self.bar.add_task("label", total=None, state="")

    def __enter__(self) -> LabelProgress:
        self.bar.start()
        return self

    def __exit__(self, *_) -> None:
        self.bar.stop()

    def update(self, event: str, summary: LabelSummary, result: LabelResult | None) -> None:
        """Redraw after an event of `label_frames`."""
        if event == "start":
            if summary.undersampled:
                self.console.print(
                    f"[bold yellow]warning:[/] {summary.undersampled} frames repeat after less "
                    f"than {SAMPLED_LENGTH:g} Å with too few k-points for that; energies will not "
                    "match those of larger cells (a CdSe slab was off by 0.1 eV/atom). Set "
                    "info['kpoints'], such as '2 2 1', or use a larger cell",
                    soft_wrap=True,
                )
            if summary.cut_bytes:
                self.console.print(f"cut off a half-written frame ({summary.cut_bytes} bytes)")
            if summary.already_done:
                self.console.print(f"{summary.already_done} of {summary.total} frames done before")
        n_failed = len(summary.failures)
        n_done = summary.already_done + summary.labelled + n_failed
        n_now = summary.labelled + n_failed - summary.skipped_failed
        state = f"{n_failed} failed"
        if n_now > 0:
            per_frame = summary.wall_seconds / n_now
            left = per_frame * (summary.total - n_done) / self.workers
            state += f"  {per_frame:.1f} s/frame  {_clock(left)} left"
        self.bar.update(self.row, completed=n_done, total=summary.total, state=state)
        if result is not None and not self.console.is_terminal:
            what = result.reason or (
                f"{result.scf_steps} SCF steps{' (warm)' if result.warm_started else ''}"
            )
            self.console.print(
                f"{n_done}/{summary.total} {result.key} {result.seconds:.1f} s {what}; {state}",
                highlight=False,
                soft_wrap=True,
            )


def _clock(seconds: float) -> str:
    minutes = int(seconds + 30) // 60
    return f"{minutes // 60} h {minutes % 60:02d} min"


def print_summary(console: Console, summary: LabelSummary, output: Path) -> None:
    """Tell what was done, what failed and why, and how to continue."""
    done = summary.already_done + summary.labelled
    console.print(
        f"{output}: {done} of {summary.total} frames labelled "
        f"({summary.labelled} now, {summary.seconds / 60:.1f} CPU minutes)"
    )
    if summary.failures:
        console.print(
            f"[yellow]{len(summary.failures)} frames failed[/] and are not in the output; "
            f"reasons in {output.name}.failed.jsonl, try again with --retry-failed:"
        )
        for record in list(summary.failures.values())[:10]:
            console.print(f"  {record.get('origin') or record['formula']}: {record['reason']}")
    if summary.stopped:
        console.print("stopped; the same command continues where it ended")
