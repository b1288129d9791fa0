# SPDX-License-Identifier: MIT
"""The clock, the log and the results of one run of benchmarks/gpu.py: nothing may be lost."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from support.machine import RESULTS, describe, write

ROOT = Path(__file__).resolve().parents[2]
EMULATED = "cpp/tests/emulation/libqdml_cuda_emulated.so"
COMPILED = "cpp/src/cuda/libqdml_cuda.so"
LEAST = 5  # s, less is not worth a start
KEPT = 2**20  # bytes in the log of one command: its beginning and its end
TAIL = 15  # lines of a failed command in the results
TOOLKIT = "/usr/local/cuda/bin"  # where it is not on PATH


class Skipped(Exception):
    """A stage that cannot run here, and why."""


class CommandFailed(RuntimeError):
    """A command that ended badly or not in time; `output` is all that it printed."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


Stage = Callable[["Session"], str]


def find_program(name: str) -> str | None:
    """A program of the CUDA toolkit."""
    return shutil.which(name) or shutil.which(name, path=TOOLKIT)


def json_line(output: str) -> str:
    """The line of JSON in what a program printed."""
    found = [line for line in output.splitlines() if line.startswith("{")]
    if not found:
        raise RuntimeError(f"no result in: {output[-500:]}")
    return found[-1]


class Session:
    """One run: where things are, what time is left, what was found."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.end = time.monotonic() + 60 * options.minutes
        self.stage_end = self.end
        self.build: Path = Path(options.build).resolve()
        folder = getattr(options, "results", None)
        self.results: Path = Path(folder or RESULTS)
        self.path = self.results / "gpu.json"
        self.log = (self.results if folder else self.build) / "gpu.log"
        self.lammps_variables: dict[str, str] | None = None
        machine = describe()
        if getattr(options, "commit", None):  # where there is no git
            machine["commit"] = options.commit
        self.document: dict[str, Any] = {"machine": machine, "stages": {}, "rows": []}

    def left(self) -> float:
        """Seconds that this stage may still take."""
        return self.stage_end - time.monotonic()

    def note(self, text: str) -> None:
        """A line of the log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as log:
            log.write(text + "\n")

    def run(self, command: Sequence[str | Path], most: float = 1e9, **variables: str) -> str:
        """Output of a command within `most` seconds; raises with its last lines. All is logged."""
        words = [str(word) for word in command]
        limit = min(most, self.left())
        if limit < LEAST:
            raise Skipped("no time left")
        self.note(f"\n$ {' '.join(words)}")
        start = self.log.stat().st_size
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                words,
                cwd=ROOT,
                env=os.environ | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:  # with everything that it started
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output = self.shorten(start)
        if code == 0:
            return output
        how = f"not done in {limit:.0f} s" if code is None else f"status {code}"
        self.note(f"[{how}]")
        last = "\n".join(output.splitlines()[-TAIL:])
        raise CommandFailed(f"{' '.join(words)}: {how}\n{last}", output)

    def shorten(self, start: int) -> str:
        """What the log has from `start` on; a long part loses its middle there."""
        with self.log.open("r+b") as log:
            log.seek(start)
            content = log.read()
            if len(content) > KEPT:
                middle = f"\n... {len(content) - KEPT} bytes left out ...\n".encode()
                log.seek(start)
                log.truncate()
                log.write(content[: KEPT // 2] + middle + content[-KEPT // 2 :])
        return content.decode(errors="replace")

    def stage(self, name: str, work: Stage, reserve: float = 0.0) -> bool:
        """Run one stage, keep `reserve` seconds for others, and store how it ended."""
        begin = time.monotonic()
        self.stage_end = self.end - reserve
        self.note(f"\n===== {name}, {self.left():.0f} s")
        try:
            if name != "card" and self.left() < LEAST:
                raise Skipped("no time left")
            entry = {"status": "passed", "found": work(self)}
        except Skipped as reason:
            entry = {"status": "skipped", "found": str(reason)}
        except Exception as fault:  # whatever it is, the other stages go on
            plain = isinstance(fault, RuntimeError)
            what = "" if plain else f"{type(fault).__name__}: "
            entry = {"status": "failed", "found": f"{what}{fault}"}
            self.note(traceback.format_exc())
        entry["seconds"] = round(time.monotonic() - begin, 1)
        self.document["stages"][name] = entry
        self.say(f"{name:10s} {entry['status']:8s} {entry['seconds']:6.1f} s  {entry['found']}")
        self.store()
        return entry["status"] == "passed"

    def say(self, text: str) -> None:
        """On the terminal and in the log."""
        print(text, flush=True)
        self.note(text)

    def store(self) -> None:
        """Write what is known by now."""
        write(self.path, self.document)

    @property
    def library(self) -> Path:
        return self.build / (EMULATED if self.options.emulated else COMPILED)

    @property
    def tests(self) -> Path:
        return self.build / "cpp/tests/qdml_tests"

    @property
    def steps(self) -> Path:
        return self.build / "cpp/tests/qdml_steps"

    def engine_variables(self) -> dict[str, str]:
        """Programs of this run take this library; all kernels are loaded before any is timed."""
        return {"QDML_DEVICE_LIBRARY": str(self.library), "CUDA_MODULE_LOADING": "EAGER"}

    def test_variables(self) -> dict[str, str]:
        """Let the C++ tests take the card instead of its emulation."""
        if self.options.emulated:
            return {}
        return {"QDML_TEST_DEVICE": str(self.library), "CUDA_MODULE_LOADING": "EAGER"}
