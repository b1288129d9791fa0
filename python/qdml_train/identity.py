# SPDX-License-Identifier: MIT
"""What must agree for a checkpoint to be continued, and the first difference in words."""

from __future__ import annotations

import json
from typing import Any

from qdml_train.config import Config

FREE_KEYS = (
    "output",
    "description",
    "train.time_budget",
    "train.epochs",
    "train.checkpoint_every",
    "train.patience",
    "train.devices",
    "train.distributed",
    "train.remat",
    "train.kernels",
    "data.accept",
)
"""Keys that may differ when a fit is resumed: they do not change what a step does."""


def fit_identity(config: Config, data_hash: str, start: str | None) -> dict[str, Any]:
    """Configuration without the free keys, and the hashes of the frames and of `train.from`."""
    return {
        "start": start,
        "config": _fixed_keys(config.model_dump(mode="json", by_alias=True)),
        "data_hash": data_hash,
    }


def identity_difference(stored: dict[str, Any], current: dict[str, Any]) -> str:
    """First difference of two identities in words; empty when there is none."""
    # keys that came after the checkpoint was written had their defaults then
    defaults = _fixed_keys(Config(data={"train": "-"}).model_dump(mode="json", by_alias=True))
    old = {**stored, "config": dict(stored["config"])}
    for name, section in defaults.items():
        kept = old["config"].get(name, section)
        old["config"][name] = section | kept if isinstance(kept, dict) else kept
    return _difference(old, json.loads(json.dumps(current)))


def _fixed_keys(content: dict[str, Any]) -> dict[str, Any]:
    """A configuration without the keys that may change between sessions of a fit."""
    content = {k: dict(v) if isinstance(v, dict) else v for k, v in content.items()}
    for key in FREE_KEYS:
        section, _, name = key.partition(".")
        if name:
            content[section].pop(name, None)
        else:
            content.pop(section, None)
    for files in ("train", "valid", "test"):  # the hash of the frames stands for them
        content["data"].pop(files)
    return content


def _difference(old: Any, new: Any, where: str = "") -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(set(old) | set(new)):
            text = _difference(old.get(key), new.get(key), f"{where}.{key}".lstrip("."))
            if text:
                return text
        return ""
    if old == new:
        return ""
    if where == "data_hash":
        return "other frames (the data changed)"
    return f"{where.removeprefix('config.')} = {old!r} instead of {new!r}"
