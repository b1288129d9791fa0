# SPDX-License-Identifier: MIT
"""Divide frames into training, validation and test so that no near copies cross the border."""

from __future__ import annotations

from collections import Counter

import numpy as np
from qdml.errors import ConfigError, DataError

from qdml_train.config import DataSection
from qdml_train.frames import Frame
from qdml_train.sources import read_sources

Parts = tuple[list[Frame], list[Frame], list[Frame]]


def split_frames(section: DataSection) -> tuple[list[Frame], list[Frame], list[Frame], list[str]]:
    """Training, validation and test frames, and messages about how they were chosen.

    `part` of every frame says where it went. Frames of `data.valid` and `data.test` stay there.
    """
    files = {
        "train": read_sources(section.train),
        "valid": read_sources(section.valid),
        "test": read_sources(section.test),
    }
    frames, valid, test = files.values()
    messages: list[str] = []
    how = section.split
    if how == "auto":
        how = "info" if any(f.split for f in frames) else "blocks"
    if how == "none":
        train = frames
    elif how == "info":
        train = _by_info(frames, valid, test)
    else:
        rest = _hold_out_named(frames, valid, test, section) if how == "origins" else frames
        fractions = _fractions(section, how, valid, test)
        train, more_valid, more_test = DIVISIONS[how](rest, *fractions, section)
        valid += more_valid
        test += more_test
    if how == "random":
        messages.append(
            "random frames validate and test: neighbours in a trajectory are nearly the same, so "
            "the errors over them are too small; prefer blocks, files, size or groups"
        )
    if not train:
        raise DataError("no training frames are left after the split; check data.split")
    if section.train_fraction < 1:
        n_all, train = len(train), part_of_each(train, section.train_fraction)
        messages.append(f"data.train_fraction: {len(train)} of {n_all} training frames are used")
    for name, part in (("train", train), ("valid", valid), ("test", test)):
        for frame in part:
            frame.part = name
    if not valid:
        valid = train
        messages.append("no validation frames: validating on the training frames")
    messages.insert(0, f"split by {how}: {len(train)} train, {len(valid)} valid, {len(test)} test")
    return train, valid, test, messages


def part_of_each(frames: list[Frame], fraction: float) -> list[Frame]:
    """That part of the frames of every origin of every file, at least one, in their order.

    Spread over the origin by bit-reversed numbers, so that a smaller part lies within a larger one.
    """
    kept: set[int] = set()
    for group in _origins(frames):
        bits = max(len(group) - 1, 1).bit_length()
        order = sorted(range(len(group)), key=lambda k: int(f"{k:0{bits}b}"[::-1], 2))
        kept |= {id(group[k]) for k in order[: max(1, round(fraction * len(group)))]}
    return [frame for frame in frames if id(frame) in kept]


def _origins(frames: list[Frame]) -> list[list[Frame]]:
    """The frames of every origin of every file."""
    groups: dict[tuple[str, str], list[Frame]] = {}
    for frame in frames:
        groups.setdefault((frame.file, frame.origin), []).append(frame)
    return list(groups.values())


def _by_info(frames: list[Frame], valid: list[Frame], test: list[Frame]) -> list[Frame]:
    parts: dict[str | None, list[Frame]] = {"train": [], "valid": valid, "test": test}
    for frame in frames:
        if frame.split not in parts:
            raise DataError(
                f"{frame.where} has info split={frame.split!r}; expected train, valid or test. "
                "Set data.split: blocks or origins to divide frames another way"
            )
        parts[frame.split].append(frame)
    return parts["train"]


def _hold_out_named(
    frames: list[Frame], valid: list[Frame], test: list[Frame], section: DataSection
) -> list[Frame]:
    """Move the origins and temperatures that are named; returns the others."""
    origins = Counter(f.origin for f in frames)
    for name in (*section.valid_origins, *section.test_origins):
        if name not in origins:
            raise ConfigError(f"no frame has origin '{name}'; origins in the data: {dict(origins)}")
    rest = []
    for frame in frames:
        if frame.origin in section.test_origins or (
            frame.temperature is not None
            and any(abs(frame.temperature - t) < 0.5 for t in section.test_temperatures)
        ):
            test.append(frame)
        elif frame.origin in section.valid_origins:
            valid.append(frame)
        else:
            rest.append(frame)
    return rest


def _fractions(
    section: DataSection, how: str, valid: list[Frame], test: list[Frame]
) -> tuple[float, float]:
    """Fractions still to be held out; nothing where files or names already did."""
    more_test = section.test_fraction if how != "origins" and not test else 0.0
    return (0.0 if valid else section.valid_fraction), more_test


def block_split(frames: list[Frame], valid_fraction: float, test_fraction: float) -> Parts:
    """Contiguous ends of every origin of every file: neighbouring MD frames are nearly the same,
    and a random choice would leak them into the test. Fractions of small groups are carried over.
    """
    parts: Parts = ([], [], [])
    carry = np.zeros(2)
    for group in _origins(frames):
        carry += len(group) * np.array([valid_fraction, test_fraction])
        taken = np.floor(carry + 1e-9).astype(int)
        carry -= taken
        n_valid, n_test = (int(x) for x in taken)
        n_train = len(group) - n_valid - n_test
        parts[0].extend(group[:n_train])
        parts[1].extend(group[n_train : n_train + n_valid])
        parts[2].extend(group[n_train + n_valid :])
    return parts


def group_split(
    groups: dict[str, list[Frame]], valid_fraction: float, test_fraction: float, what: str
) -> Parts:
    """Whole groups, the last ones first for the test, then for validation.

    A group is held out as long as that brings the number of frames nearer to the wanted fraction;
    at least one group per wanted part. Raises DataError when no group would be left to train.
    """
    names = list(groups)
    total = sum(len(g) for g in groups.values())
    held: list[list[Frame]] = []
    for fraction in (test_fraction, valid_fraction):
        part: list[Frame] = []
        while fraction > 0 and names:
            size = len(groups[names[-1]])
            if part and abs(len(part) + size - fraction * total) >= abs(
                len(part) - fraction * total
            ):
                break
            part = groups[names.pop()] + part
        held.append(part)
    if not names:
        raise DataError(
            f"the data has {len(groups)} groups by {what}, not enough to hold some out; use "
            "data.split: blocks, or set data.valid_fraction or data.test_fraction to 0"
        )
    return [f for name in names for f in groups[name]], held[1], held[0]


def _blocks(frames: list[Frame], valid: float, test: float, section: DataSection) -> Parts:
    return block_split(frames, valid, test)


def _files(frames: list[Frame], valid: float, test: float, section: DataSection) -> Parts:
    groups: dict[str, list[Frame]] = {}
    for frame in frames:
        groups.setdefault(frame.file, []).append(frame)
    return group_split(groups, valid, test, "file")


def _groups(frames: list[Frame], valid: float, test: float, section: DataSection) -> Parts:
    if section.group is None:
        raise ConfigError("data.split: groups needs data.group, the info key that names the group")
    groups: dict[str, list[Frame]] = {}
    for frame in frames:
        if section.group not in frame.info:
            raise DataError(
                f"{frame.where} has no info '{section.group}' (data.group); found "
                f"{', '.join(sorted(frame.info)) or 'none'}"
            )
        groups.setdefault(str(frame.info[section.group]), []).append(frame)
    return group_split(groups, valid, test, f"info {section.group}")


def _size(frames: list[Frame], valid: float, test: float, section: DataSection) -> Parts:
    """The largest structures test whether a potential transfers to larger dots."""
    groups: dict[str, list[Frame]] = {}
    for frame in sorted(frames, key=lambda f: f.n_atoms):
        groups.setdefault(str(frame.n_atoms), []).append(frame)
    train, _, largest = group_split(groups, 0.0, test or 1e-9, "number of atoms")
    train, end, _ = block_split(train, valid, 0.0)
    return train, end, largest


def _random(frames: list[Frame], valid: float, test: float, section: DataSection) -> Parts:
    order = np.random.default_rng(section.split_seed).permutation(len(frames))
    n_valid, n_test = round(valid * len(frames)), round(test * len(frames))
    chosen = [[frames[i] for i in sorted(order[a:b])] for a, b in (
        (n_valid + n_test, None), (n_test, n_valid + n_test), (0, n_test))]  # fmt: skip
    return chosen[0], chosen[1], chosen[2]


DIVISIONS = {
    "blocks": _blocks,
    "origins": _blocks,
    "files": _files,
    "groups": _groups,
    "size": _size,
    "random": _random,
}
