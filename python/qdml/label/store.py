"""The growing output of a labelling run: frames appended one by one, safe against a kill."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms

from qdml.errors import DataError, LabelError


class LabelStore:
    """An extxyz file that grows frame by frame, and a JSONL file of failures beside it.

    Each frame is written in one call, flushed and synced, so after a kill at most the last frame
    is incomplete; opening the store cuts that frame off. Frames carry info `frame_key`.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.failed_path = self.path.with_name(self.path.name + ".failed.jsonl")
        self.cut_bytes = 0
        self.keys: set[str] = set()
        if self.path.exists():
            self._recover()
        self.failures: dict[str, dict[str, Any]] = {}
        if self.failed_path.exists():
            for line in self.failed_path.read_text().splitlines():
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:
                    continue  # a half-written line: that frame is simply tried again
                self.failures[record["frame_key"]] = record
        for key in self.keys:
            self.failures.pop(key, None)

    def _recover(self) -> None:
        """Read the keys of all whole frames and truncate what follows the last of them."""
        data = self.path.read_bytes()
        end, comments = complete_frames(data, str(self.path))
        self.cut_bytes = len(data) - end
        if self.cut_bytes:
            with self.path.open("r+b") as handle:
                handle.truncate(end)
                os.fsync(handle.fileno())
        for index, comment in enumerate(comments):
            marker = comment.find("frame_key=")
            if marker < 0:
                raise DataError(
                    f"{self.path}: frame {index} has no frame_key, so this file was not written by "
                    "'qdml label'; choose another output file"
                )
            self.keys.add(comment[marker + 10 :].split()[0].strip('"'))

    def append(self, frame: Atoms) -> None:
        """Add one labelled frame (info `frame_key` set) and force it to disk."""
        text = io.StringIO()
        ase.io.write(text, frame, format="extxyz")
        _append_synced(self.path, text.getvalue())
        self.keys.add(frame.info["frame_key"])
        self.failures.pop(frame.info["frame_key"], None)

    def append_failure(self, record: dict[str, Any]) -> None:
        """Add one failure; `record` has at least `frame_key` and `reason`."""
        _append_synced(self.failed_path, json.dumps(record) + "\n")
        self.failures[record["frame_key"]] = record


def complete_frames(data: bytes, name: str) -> tuple[int, list[str]]:
    """Byte offset behind the last whole extxyz frame, and the comment line of each whole frame.

    A frame is whole when its count line, comment line and all atom lines, each with its newline,
    are there. Raises DataError when something other than the end of the file is damaged.
    """
    end, comments = 0, []
    while end < len(data):
        position = data.find(b"\n", end)
        if position < 0:
            break
        head = data[end:position].strip()
        if not head.isdigit():
            raise DataError(f"{name}: byte {end}: expected a number of atoms, found {head[:40]!r}")
        comment_end = data.find(b"\n", position + 1)
        if comment_end < 0:
            break
        comment = data[position + 1 : comment_end].decode()
        position = comment_end
        for _ in range(int(head)):
            position = data.find(b"\n", position + 1)
            if position < 0:
                break
        if position < 0:
            break
        comments.append(comment)
        end = position + 1
    return end, comments


def _append_synced(path: Path, text: str) -> None:
    """Append and force to disk; on a full disk the file is left as it was before."""
    before = path.stat().st_size if path.exists() else 0
    try:
        with path.open("a") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):  # what cannot be cut now is cut by `_recover`
            os.truncate(path, before)
        raise LabelError(
            f"{path}: cannot write the next frame ({error.strerror}); the frames before it are "
            "safe. Make room and run the same command again: it goes on from there"
        ) from error
