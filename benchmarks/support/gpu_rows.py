# SPDX-License-Identifier: MIT
"""Rows of the scripts that benchmarks/gpu.py calls: a clock, a file, and workers that may fail.

A row is a dictionary of what is to be measured; it comes back with numbers or with `error`, and
the file is written after each.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from support import machine

Row = dict[str, Any]
NO_TIME = "no time left"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those that benchmarks/gpu.py gives."""
    parser.add_argument("--results", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--minutes", type=float, default=5.0, help="time for everything")
    parser.add_argument("--cpu", action="store_true", help="small sizes without a card")


class Rows:
    """The document of one script and the time that is left for it."""

    def __init__(self, options: argparse.Namespace, what: str, **head: Any) -> None:
        self.path: Path = options.results
        self.end = time.monotonic() + 60 * options.minutes
        self.document: Row = {"what": what, "machine": machine.describe(), **head, "rows": []}
        self.lock = threading.Lock()
        machine.write(self.path, self.document)

    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    def add(self, row: Row) -> None:
        """Keep a finished row, on disk and on the terminal."""
        with self.lock:
            self.document["rows"].append(row)
            machine.write(self.path, self.document)
            print(json.dumps(row), flush=True)

    def measure(self, row: Row, work: Callable[[Row], Row]) -> Row:
        """The row with what `work` finds, or with its error; kept."""
        try:
            found = work(row) if self.left() > 0 else {"error": NO_TIME}
        except Exception as fault:  # whatever it is, the other rows go on
            found = {"error": shorten(fault)}
        row = row | found
        self.add(row)
        return row

    def has_numbers(self) -> bool:
        """Whether any row was measured."""
        return any("error" not in row for row in self.document["rows"])

    def summary(self) -> str:
        """How many rows have numbers."""
        rows = self.document["rows"]
        good = sum("error" not in row for row in rows)
        return f"{good} of {len(rows)} rows"


def shorten(fault: object) -> str:
    """The beginning and the end of a message."""
    text = str(fault)
    if isinstance(fault, Exception):
        frames = traceback.extract_tb(fault.__traceback__)
        where = f"at '{frames[-1].line}' in {frames[-1].name}" if frames else ""
        text = f"{type(fault).__name__}: {text or where}"
    return text if len(text) < 1200 else f"{text[:600]} ... {text[-600:]}"


def run_worker(
    module: str,
    rows: Sequence[Row],
    environment: dict[str, str],
    end: float,
    row_limit: float,
    done: Callable[[Row], None],
    cores: Sequence[int] = (),
) -> None:
    """Measure rows in `python -m MODULE`, which takes them as JSON; `done(row)` for every one.

    The worker prints a line of JSON per row, in their order, and waits until `done` has returned,
    which may measure something, too. One that dies or is silent for longer
    than `row_limit` seconds loses the row it was at; another goes on with the rest. At `end` (of
    `time.monotonic`) what is missing is over.
    """
    rest = list(rows)
    while rest:
        if end - time.monotonic() <= 0:
            for row in rest:
                done(row | {"error": NO_TIME})
            return
        finished, fault = one_worker(module, rest, environment, end, row_limit, done, cores)
        rest = rest[finished:]
        if rest:
            done(rest.pop(0) | {"error": fault})


def one_worker(
    module: str,
    rows: Sequence[Row],
    environment: dict[str, str],
    end: float,
    row_limit: float,
    done: Callable[[Row], None],
    cores: Sequence[int],
) -> tuple[int, str]:
    """Rows that one process finished, and why it ended before the others."""
    with tempfile.TemporaryFile("w+") as messages:
        process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(rows)],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
        )
        if cores:
            os.sched_setaffinity(process.pid, cores)
        lines: queue.Queue[str | None] = queue.Queue()

        def read() -> None:
            for line in process.stdout or ():
                lines.put(line)
            lines.put(None)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        finished, fault = 0, ""
        try:
            while finished < len(rows):
                limit = min(row_limit, end - time.monotonic())
                with contextlib.suppress(OSError):  # it may have died
                    print("go", file=process.stdin, flush=True)
                try:
                    line = lines.get(timeout=max(limit, 0.0))
                except queue.Empty:
                    out_of_time = time.monotonic() >= end
                    fault = NO_TIME if out_of_time else f"not done in {row_limit:.0f} s"
                    break
                if line is None:
                    fault = f"status {process.wait()}"
                    break
                if line.startswith("{"):
                    done(rows[finished] | json.loads(line))
                    finished += 1
        finally:
            process.kill()
            process.wait()
            reader.join(5)
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()
        messages.seek(0)
        last = messages.read().strip().splitlines()[-3:]
    return finished, shorten(": ".join(filter(None, [fault, " | ".join(last)])))


def report(found: Callable[[Row], Row]) -> None:
    """The other side: what a worker does with the rows it was given."""
    for row in json.loads(sys.argv[1]):
        sys.stdin.readline()
        try:
            result = found(row)
        except Exception as fault:
            result = {"error": shorten(fault)}
        print(json.dumps(result), flush=True)
