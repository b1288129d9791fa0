# SPDX-License-Identifier: MIT
"""Checkpoints: one atomic `.npz` per state, restored against the structure of a fresh state.

The state is a small flat tree (a few MB) on one machine, so an `.npz` written to a temporary name,
synced and renamed gives all that is needed - exactness, atomicity, keep-last-two - in a page of
code; an asynchronous multi-host checkpoint library would add nothing here.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from qdml.errors import DataError

KEEP = 2


@dataclass
class Checkpoint:
    """A restored state and what the loop wrote beside it."""

    tree: Any
    extra: dict[str, Any]
    path: Path


def save(folder: Path, step: int, tree: Any, extra: dict[str, Any]) -> Path:
    """Write `step-XXXXXXXX.npz` and remove all but the last two. Survives a kill at any moment."""
    folder.mkdir(parents=True, exist_ok=True)
    leaves = {
        f"leaf:{jax.tree_util.keystr(path)}": np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    target = folder / f"step-{step:08d}.npz"
    partial = folder / f".{target.name}.part"
    with partial.open("wb") as handle:
        np.savez(handle, extra=np.array(json.dumps(extra)), **leaves)
        handle.flush()
        os.fsync(handle.fileno())
    partial.replace(target)
    for old in checkpoints(folder)[:-KEEP]:
        old.unlink()
    return target


def checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    return sorted(folder.glob("step-*.npz"))


def read_extra(path: Path) -> dict[str, Any]:
    """The loop's part of a checkpoint. Raises DataError for a damaged file."""
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            return json.loads(str(stored["extra"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a readable checkpoint ({error}); delete it") from error


def load(path: Path, like: Any) -> Checkpoint:
    """Restore a tree of the structure of `like`. Raises DataError when names or shapes differ."""
    extra = read_extra(path)
    with np.load(path, allow_pickle=False) as stored:
        wanted = jax.tree_util.tree_leaves_with_path(like)
        names = [f"leaf:{jax.tree_util.keystr(p)}" for p, _ in wanted]
        surplus = set(stored.files) - set(names) - {"extra"}
        if surplus or not set(names) <= set(stored.files):
            wrong = sorted(surplus | (set(names) - set(stored.files)))[0]
            raise DataError(
                f"{path}: does not fit this model or optimiser (entry {wrong}); use another output "
                "folder or --resume never"
            )
        leaves = []
        for name, (_, leaf) in zip(names, wanted, strict=True):
            value = stored[name]
            if value.shape != np.shape(leaf) or value.dtype != np.asarray(leaf).dtype:
                raise DataError(
                    f"{path}: {name[5:]} is {value.dtype}{list(value.shape)}, this model needs "
                    f"{np.asarray(leaf).dtype}{list(np.shape(leaf))}; use another output folder or "
                    "--resume never"
                )
            leaves.append(jax.numpy.asarray(value))
    tree = jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(like), leaves)
    return Checkpoint(tree, extra, path)
