# SPDX-License-Identifier: MIT
"""The result of a check: level, text, the frames it is about, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from qdml_train.frames import Frame

Level = Literal["PASS", "WARN", "FAIL"]

NAMED = 3
"""Frames named in a message; all of them are in the finding."""


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    level: Level
    check: str
    message: str
    fix: str = ""
    frames: tuple[tuple[str, int], ...] = ()  # file and index of every frame it is about

    @property
    def text(self) -> str:
        """Message and remedy in one line."""
        return f"{self.message}. Fix: {self.fix}" if self.fix else self.message


def finding(
    level: Level, check: str, message: str, frames: Iterable[Frame] = (), fix: str = ""
) -> Finding:
    """A finding whose message ends with the names of the first frames."""
    frames = list(frames)
    if frames:
        message = f"{message}: {first(frames)}"
    return Finding(level, check, message, fix, tuple((f.file, f.index) for f in frames))


def first(frames: list[Frame], n: int = NAMED) -> str:
    """Names of the first frames and the number of the others."""
    names = ", ".join(f"{f.where} ({f.origin})" for f in frames[:n])
    return names + (f" and {len(frames) - n} more" if len(frames) > n else "")
