# SPDX-License-Identifier: MIT
"""Several potentials of one architecture in one `.qdml` file (docs/file-format.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdml.errors import DataError
from qdml.modelfile import (
    MEMBER_KEYS,
    MOST_MEMBERS,
    SPREADS,
    content_hash,
    lowest_format,
    n_members,
    read_file,
    write_model,
)


@dataclass(frozen=True)
class Member:
    """One potential: the document and tensors of a file of its own, and that file's hash.

    `hash` is None for a member that never had a file.
    """

    document: dict[str, Any]
    tensors: dict[str, np.ndarray]
    hash: str | None = None


def read_members(path: str | os.PathLike[str]) -> list[Member]:
    """The potentials of any `.qdml` file, one or several; ModelFileError when it is refused."""
    document, tensors = read_file(path)
    n = n_members(document)
    if n == 1:
        return [Member(document, tensors, content_hash(path))]
    shared = document.keys() - {"members", "spread_factors"}
    common = {key: value for key, value in document.items() if key in shared}
    common["format"] = lowest_format(document["architecture"])
    return [
        Member(
            common | {key: value for key, value in said.items() if key != "hash"},
            {name: array[m] for name, array in tensors.items()},
            said["hash"],
        )
        for m, said in enumerate(document["members"])
    ]


def write_committee(
    path: str | os.PathLike[str],
    members: Sequence[Member],
    names: Sequence[str] | None = None,
    description: str = "",
    spread_factors: Mapping[str, float] | None = None,
) -> str:
    """Write the members to one file and return its content hash.

    Members must be equal in architecture (so in cutoff and widths), species in the same order,
    units, level of theory, and in whether they have a ZBL term. What differs between fits is kept
    for each: `training`, `distances_seen`, `proof`, `parent`, `description` and the hash of the
    file it came from. `distances_seen` of the whole is the longest of each pair: closer than that,
    one of them extrapolates. Tensors are stored as F32 when all of all members are float32, else as
    F64.

    `spread_factors` (energy, forces) are what the spread of the members is multiplied by wherever
    it is reported; None leaves it as it is.

    `names` are used in messages instead of "member 1", "member 2", ...
    Raises DataError that names the first difference, ModelFileError for what readers refuse.
    """
    names = list(names or (f"member {k}" for k in range(1, len(members) + 1)))
    if not 2 <= len(members) <= MOST_MEMBERS:
        raise DataError(
            f"a committee file holds 2 to {MOST_MEMBERS} potentials, found {len(members)}; "
            "a single potential is a .qdml file as it is"
        )
    first = members[0]
    for member, name in zip(members[1:], names[1:], strict=True):
        _need_equal(first, member, names[0], name)
    seen: dict[str, float] = {}
    for member in members:
        for pair, r in member.document["distances_seen"].items():
            seen[pair] = max(seen.get(pair, 0.0), r)
    common = ("architecture", "species", "units", "level_of_theory")
    document = {key: first.document[key] for key in common}
    document |= {"distances_seen": seen, "description": description}
    document["members"] = [
        {key: m.hash if key == "hash" else m.document[key] for key in MEMBER_KEYS} for m in members
    ]
    if spread_factors is not None:
        document["spread_factors"] = {key: float(spread_factors[key]) for key in SPREADS}
    tensors = {name: np.stack([m.tensors[name] for m in members]) for name in first.tensors}
    return write_model(path, document, tensors)


def _need_equal(first: Member, other: Member, first_name: str, other_name: str) -> None:
    """DataError for the first thing that two members of one file may not differ in."""
    for key in ("architecture", "species", "units", "level_of_theory"):
        difference = _difference(key, first.document[key], other.document[key])
        if difference:
            where, a, b = difference
            raise DataError(
                f"members of one file must be alike: {where} is {a!r} in {first_name} and {b!r} in "
                f"{other_name}; name the files one by one in pair_coeff instead"
            )
    if (surplus := first.tensors.keys() ^ other.tensors.keys()) == {"zbl.r_max"}:
        has, lacks = first_name, other_name
        if "zbl.r_max" in other.tensors:
            has, lacks = lacks, has
        raise DataError(
            f"members of one file must be alike: {has} has a ZBL term, {lacks} has none"
        )
    assert not surplus  # the architecture names all other tensors


def _difference(where: str, a: Any, b: Any) -> tuple[str, Any, Any] | None:
    """The first place where two JSON values differ, with both values."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        found = (_difference(f"{where}.{key}", a[key], b[key]) for key in a)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        found = (_difference(f"{where}.{k}", x, y) for k, (x, y) in enumerate(zip(a, b)))  # noqa: B905
    else:
        return None if a == b else (where, a, b)
    return next((difference for difference in found if difference), None)
