# SPDX-License-Identifier: MIT
"""Read and write `.qdml` files (docs/file-format.md) with numpy alone.

The C++ reader makes the same checks in the same order; both are held to one table of broken files.
Every fault is a `ModelFileError` whose `.code` is one of the codes of docs/file-format.md.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from qdml import cartesian, paths
from qdml.document_checks import fault, is_integer

FORMAT = 3
"""Newest format: what this version reads up to. Files are written in the lowest that will do."""
UNITS = {"length": "angstrom", "energy": "eV"}
# kind of architecture -> (first format that has it, module that checks it and knows its tensors)
KINDS: dict[str, tuple[int, ModuleType]] = {
    cartesian.SUMMED: (1, cartesian),
    cartesian.SEPARATED: (2, cartesian),
    paths.KIND: (2, paths),
}
DTYPES = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4")}
# What a document must hold beside `format`, and what a writer may leave out.
DEFAULTS: dict[str, Any] = {
    "training": {},
    "distances_seen": {},
    "proof": None,
    "parent": None,
    "description": "",
}
COMMITTEE_FORMAT = 3
"""First format whose files may hold several members."""
MEMBER_KEYS: dict[str, tuple[type, ...]] = {
    "hash": (str, type(None)),
    "training": (dict,),
    "distances_seen": (dict,),
    "proof": (dict, type(None)),
    "parent": (str, type(None)),
    "description": (str,),
}
"""What a file of several members says of each, beside what all have in common."""
MOST_MEMBERS = 64
SPREADS = ("energy", "forces")
"""Keys of `spread_factors` of a file of several members."""
DOCUMENT_KEYS = ("tool", "architecture", "species", "units", "level_of_theory", *DEFAULTS)
MAX_HEADER = 100_000_000  # bytes; the same bound as the safetensors library
MAX_NESTING = 64  # levels of lists and objects in the JSON; a file of ours has 4
SYMBOLS = frozenset(
    """
    H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br
    Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho
    Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es
    Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
    """.split()  # noqa: SIM905, a list of strings would fill the page
)


def content_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of the bytes of a file, hexadecimal: the identity of a potential."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        fault(path, "cannot_open", f"cannot be read ({error.strerror}); check the path")


def tensor_shapes(architecture: dict[str, Any], n_species: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors a file of this architecture must hold (ZBL not counted)."""
    return KINDS[architecture["kind"]][1].tensor_shapes(architecture, n_species)


def spread_factors(document: dict[str, Any]) -> dict[str, float]:
    """`spread_factors` of a document that was checked, energy and forces; 1 where there are none.

    A file of one potential has no spread, whatever it says of it.
    """
    said = document.get("spread_factors", {}) if n_members(document) > 1 else {}
    return {key: float(said.get(key, 1.0)) for key in SPREADS}


def lowest_format(architecture: object) -> int:
    """The format to write: the lowest that can express the architecture."""
    kind = architecture.get("kind") if isinstance(architecture, dict) else None
    known = isinstance(kind, str) and kind in KINDS
    return KINDS[kind][1].lowest_format(architecture) if known else FORMAT


def write_model(
    path: str | os.PathLike[str], metadata: dict[str, Any], tensors: dict[str, np.ndarray]
) -> str:
    """Write a potential and return its content hash; nothing is written when a check fails.

    `metadata` is the JSON document (`tool`, `units` and the optional keys are filled in, `format`
    becomes the lowest that can express the architecture); `tensors` are
    written as F64, or as F32 when all of them are float32.
    """
    from qdml import __version__

    document = {"format": FORMAT, "tool": f"qdml {__version__}"}
    document |= {"units": dict(UNITS), **DEFAULTS} | dict(metadata)
    document["format"] = lowest_format(document.get("architecture"))
    if "members" in document:
        document["format"] = max(document["format"], COMMITTEE_FORMAT)
    single = all(np.asarray(a).dtype == np.float32 for a in tensors.values())
    dtype = "F32" if single else "F64"
    arrays = {k: np.ascontiguousarray(a, DTYPES[dtype]) for k, a in tensors.items()}
    header: dict[str, Any] = {"__metadata__": {"qdml": json.dumps(document)}}
    offset = 0
    for name, array in arrays.items():
        end = offset + array.nbytes
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    parts = (len(text).to_bytes(8, "little"), text, *(a.tobytes() for a in arrays.values()))
    data = b"".join(parts)
    parse_model(data, path)
    target = Path(path)
    partial = target.with_name(target.name + ".part")
    partial.write_bytes(data)
    partial.replace(target)
    return hashlib.sha256(data).hexdigest()


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read and check a file: `(JSON document, {name: array})`; arrays are read-only, file dtype.

    A committee is refused by `several_members`; `qdml.committee.read_members` reads it.
    """
    document, tensors = read_file(path)
    if (n := n_members(document)) > 1:
        fault(
            path,
            "several_members",
            f"holds {n} members where one potential is wanted; give the file of one member",
        )
    return document, tensors


def read_file(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """As `read_model`, for committees too: their tensors have one axis more, the members."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        fault(path, "cannot_open", f"cannot be read ({error.strerror}); check the path")
    return parse_model(data, path)


def n_members(document: dict[str, Any]) -> int:
    """Potentials in the file of this (checked) document; 1 but for committees."""
    if document["format"] < COMMITTEE_FORMAT:
        return 1
    return len(document.get("members", [None]))


def parse_model(data: bytes, path: object) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Check the bytes of a file (`path` is only named in messages) and return their content."""
    if len(data) < 8:
        fault(path, "too_short", f"has {len(data)} bytes, a .qdml file at least 8; copy it again")
    length = int.from_bytes(data[:8], "little")
    if length > min(len(data) - 8, MAX_HEADER):
        fault(
            path,
            "header_too_long",
            f"header of {length} bytes announced, the file has {len(data)}; not a .qdml or cut",
        )
    try:
        header = _loads(data[8 : 8 + length].decode("utf-8"))
    except ValueError:
        header = None
    if not isinstance(header, dict):
        fault(path, "header_not_json", "header is not a JSON object; the file is damaged")
    meta = header.pop("__metadata__", None)
    if not isinstance(meta, dict) or not isinstance(meta.get("qdml"), str):
        fault(
            path,
            "metadata_missing",
            "no '__metadata__.qdml' in the header; a safetensors file, but not a qdml potential",
        )
    try:
        document = _loads(meta["qdml"])
    except ValueError:
        document = None
    if not isinstance(document, dict):
        fault(path, "metadata_not_json", "'__metadata__.qdml' is not a JSON object; damaged")
    _check_document(path, document)
    n_species, n = len(document["species"]), n_members(document)
    shapes = tensor_shapes(document["architecture"], n_species)
    if "zbl.r_max" in header:
        shapes = shapes | {"zbl.r_max": (n_species, n_species)}
    if n > 1:
        shapes = {name: (n, *shape) for name, shape in shapes.items()}
    tensors = dict(_tensors(path, header, shapes, data, 8 + length))
    _check_values(path, document, tensors)
    return document, tensors


def _loads(text: str) -> Any:
    """Parse JSON without NaN, infinity or more than MAX_NESTING levels; else ValueError."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    depth, level = 0, [value]
    while level := [x for x in level if isinstance(x, dict | list)]:
        depth += 1
        if depth > MAX_NESTING:
            raise ValueError("nested too deeply")
        level = [y for x in level for y in (x.values() if isinstance(x, dict) else x)]
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check_document(path: object, doc: dict[str, Any]) -> None:
    if "format" not in doc:
        fault(path, "format_missing", "key 'format' is missing; not written by qdml")
    found = doc["format"]
    if not is_integer(found, 1, 2**31 - 1):
        fault(path, "value_invalid", f"key 'format' is {found!r}, expected a positive integer")
    if found > FORMAT:
        fault(
            path,
            "format_from_the_future",
            f"has format {found}, this qdml reads up to {FORMAT}; install a newer qdml",
        )
    for key in DOCUMENT_KEYS:
        if key not in doc:
            fault(path, "key_missing", f"key '{key}' is missing; export the potential again")
    architecture = doc["architecture"]
    if not isinstance(architecture, dict):
        fault(path, "value_invalid", "key 'architecture' is not an object")
    if "kind" not in architecture:
        fault(path, "key_missing", "key 'architecture.kind' is missing")
    kind = architecture["kind"]
    known = [k for k, (first, _) in KINDS.items() if first <= found]
    if kind not in known:
        fault(
            path,
            "architecture_unknown",
            f"architecture.kind is {kind!r}, format {found} of this qdml knows {', '.join(known)}",
        )
    if doc["units"] != UNITS:
        fault(path, "units_unknown", f"key 'units' is {doc['units']!r}, expected {UNITS}")
    _check_species(path, doc["species"])
    KINDS[kind][1].check_architecture(path, architecture, found)
    for key, kinds in (
        ("tool", str), ("level_of_theory", str), ("training", dict), ("distances_seen", dict),
        ("proof", (dict, type(None))), ("parent", (str, type(None))), ("description", str),
    ):  # fmt: skip
        if not isinstance(doc[key], kinds):
            fault(path, "value_invalid", f"key '{key}' is {doc[key]!r}: wrong type")
    _check_distances(path, "", doc)
    if found >= COMMITTEE_FORMAT and "members" in doc:
        _check_spread_factors(path, doc)
        _check_members(path, doc["members"])


def _check_distances(path: object, where: str, doc: dict[str, Any]) -> None:
    for pair, r in doc["distances_seen"].items():
        _need_positive(path, f"{where}distances_seen.{pair}", r, "Å, a positive number")


def _need_positive(path: object, name: str, value: object, expected: str) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        fault(path, "value_invalid", f"{name} is {value!r:.200}, expected {expected}")


def _check_spread_factors(path: object, doc: dict[str, Any]) -> None:
    """The optional factors of a committee's spreads."""
    if "spread_factors" not in doc:
        return
    factors = doc["spread_factors"]
    if not isinstance(factors, dict):
        fault(
            path,
            "value_invalid",
            f"key 'spread_factors' is {factors!r:.200}, expected an object with energy and forces",
        )
    for key in SPREADS:
        if key not in factors:
            fault(path, "key_missing", f"key 'spread_factors.{key}' is missing; pack again")
        _need_positive(path, f"key 'spread_factors.{key}'", factors[key], "a positive number")


def _check_members(path: object, members: object) -> None:
    good = isinstance(members, list) and 2 <= len(members) <= MOST_MEMBERS
    if not good or not all(isinstance(m, dict) for m in members):  # type: ignore[union-attr]
        fault(
            path,
            "value_invalid",
            f"key 'members' is {members!r:.200}, expected a list of 2 to {MOST_MEMBERS} objects",
        )
    for k, member in enumerate(members):  # type: ignore[arg-type]
        for key, kinds in MEMBER_KEYS.items():
            if key not in member:
                fault(path, "key_missing", f"key 'members.{k}.{key}' is missing; pack again")
            if not isinstance(member[key], kinds):
                fault(
                    path, "value_invalid", f"key 'members.{k}.{key}' is {member[key]!r}: wrong type"
                )
        _check_distances(path, f"members.{k}.", member)


def _check_species(path: object, species: object) -> None:
    valid = isinstance(species, list) and species
    valid = valid and all(isinstance(s, str) and s in SYMBOLS for s in species)
    if not valid or len(set(species)) != len(species):  # type: ignore[arg-type]
        fault(
            path,
            "species_invalid",
            f"key 'species' is {species!r}, expected distinct chemical symbols",
        )


def _tensors(
    path: object,
    header: dict[str, Any],
    shapes: dict[str, tuple[int, ...]],
    data: bytes,
    start: int,
) -> Iterator[tuple[str, np.ndarray]]:
    for name, shape in shapes.items():
        if name not in header:
            fault(path, "tensor_missing", f"tensor '{name}' {list(shape)} is missing; export again")
    for name in sorted(header):
        if name not in shapes:
            fault(path, "tensor_unknown", f"tensor '{name}' is unknown; install a newer qdml")
    common = None
    for name in sorted(header):
        entry = header[name]
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            fault(path, "tensor_offsets", f"tensor '{name}': entry is not dtype, shape, offsets")
        dtype = entry["dtype"]
        common = common or dtype
        if not isinstance(dtype, str) or dtype not in DTYPES or dtype != common:
            fault(
                path,
                "tensor_dtype",
                f"tensor '{name}' has dtype {dtype!r}, expected F64 or F32, the same for all",
            )
        if entry["shape"] != list(shapes[name]):
            fault(
                path,
                "tensor_shape",
                f"tensor '{name}' has shape {entry['shape']}, the architecture says "
                f"{list(shapes[name])}; the file is damaged",
            )
    end = 0
    for name, begin, stop in sorted(
        ((n, *_offsets(path, n, header[n]["data_offsets"])) for n in header), key=lambda x: x[1:]
    ):
        size = math.prod(shapes[name]) * DTYPES[common].itemsize  # type: ignore[index]
        if begin != end or stop - begin != size:
            fault(
                path,
                "tensor_offsets",
                f"tensor '{name}' lies at bytes {begin}..{stop}, expected {end}..{end + size}",
            )
        end = stop
    found = len(data) - start
    if found < end:
        fault(path, "file_truncated", f"{found} bytes of data, {end} announced; copy it again")
    if found > end:
        fault(path, "bytes_after_the_end", f"{found} bytes of data, {end} announced; damaged")
    for name, shape in shapes.items():
        dtype = DTYPES[header[name]["dtype"]]
        offset = start + header[name]["data_offsets"][0]
        yield name, np.frombuffer(data, dtype, math.prod(shape), offset).reshape(shape)


def _offsets(path: object, name: str, found: object) -> tuple[int, int]:
    good = isinstance(found, list) and len(found) == 2
    if not good or not all(is_integer(x, 0, 2**62) for x in found):  # type: ignore[union-attr]
        fault(path, "tensor_offsets", f"tensor '{name}': data_offsets {found!r} are not two bytes")
    return found[0], found[1]  # type: ignore[index]


def _check_values(path: object, doc: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            fault(path, "not_finite", f"tensor '{name}' holds NaN or infinity; the fit diverged")
    if (n := n_members(doc)) > 1:
        for m in range(n):
            _check_member(path, doc, {name: array[m] for name, array in tensors.items()})
    else:
        _check_member(path, doc, tensors)


def _check_member(path: object, doc: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    architecture = doc["architecture"]
    KINDS[architecture["kind"]][1].check_values(path, architecture, tensors)
    if "zbl.r_max" in tensors:
        r, rc = tensors["zbl.r_max"], architecture["cutoff"]
        if (r != r.T).any() or (r < 0).any() or (r > rc).any():
            fault(
                path, "value_invalid", f"tensor 'zbl.r_max' must be symmetric and within 0..{rc} Å"
            )
