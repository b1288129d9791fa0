# SPDX-License-Identifier: MIT
"""What a running fit shows and stores: one progress line with time left, and `metrics.jsonl`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from qdml_train.committee import describe_spread

PLAIN_INTERVAL = 20.0
"""Seconds between lines when the output is not a terminal."""


def append_metrics(path: Path, record: dict[str, Any]) -> None:
    """Append one JSON line."""
    with path.open("a") as handle:
        handle.write(json.dumps(record) + "\n")


def truncate_metrics(path: Path, last_epoch: int) -> None:
    """Drop epoch lines after `last_epoch`: a resumed fit writes them again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue  # cut by a kill
        if record.get("kind") != "end" and record.get("epoch", 0) <= last_epoch:
            kept.append(line)
    path.write_text("".join(line + "\n" for line in kept))


def duration(seconds: float) -> str:
    """'2 h 05 m', '4 m 10 s' or '12 s'."""
    seconds = max(0, round(seconds))
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} m"
    return f"{seconds // 60} m {seconds % 60:02d} s" if seconds >= 60 else f"{seconds} s"


def describe(summary: dict[str, Any] | None) -> str:
    """'E 3.2 meV/atom, F 88 meV/Å'."""
    if summary is None:
        return "-"
    parts = []
    if summary["energy_rmse_mev_per_atom"] is not None:
        parts.append(f"E {summary['energy_rmse_mev_per_atom']:.1f} meV/atom")
    if summary["force_rmse_mev_per_angstrom"] is not None:
        parts.append(f"F {summary['force_rmse_mev_per_angstrom']:.0f} meV/Å")
    text = ", ".join(parts)
    spread = describe_spread(summary.get("spread"))
    return f"{text}; {spread}" if spread else text


class Monitor:
    """Progress line of a fit; a bar on a terminal, one plain line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.last_plain = 0.0
        self.valid: dict[str, Any] | None = None
        self.train: dict[str, Any] | None = None
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f} %  left {task.fields[left]}"),
            TextColumn("train {task.fields[train]} | valid {task.fields[valid]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("fit", total=1.0, epoch=0, left="?", train="-", valid="-")

    def __enter__(self) -> Monitor:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def update(self, epoch: int, progress: float, elapsed: float, left: float | None) -> None:
        """Show the state; `left` in seconds, None while it is not known."""
        remaining = "?" if left is None else duration(left)
        train, valid = describe(self.train), describe(self.valid)
        if self.console.is_terminal:
            self.bar.update(
                self.task,
                completed=min(progress, 1.0),
                epoch=epoch,
                left=remaining,
                train=train,
                valid=valid,
            )
            return
        now = time.monotonic()
        if now - self.last_plain >= PLAIN_INTERVAL or self.last_plain == 0.0:
            self.last_plain = now
            self.console.print(
                f"epoch {epoch}  {100 * min(progress, 1.0):.0f} %  {duration(elapsed)}, left "
                f"{remaining}  train {train} | valid {valid}",
                highlight=False,
                soft_wrap=True,
            )
