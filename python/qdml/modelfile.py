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
from typing import Any, NoReturn

import numpy as np

from qdml.errors import ModelFileError

FORMAT = 1
UNITS = {"length": "angstrom", "energy": "eV"}
ARCHITECTURE_KEYS = ("kind", "cutoff", "knots", "message_channels", "layers", "readout")
LAYER_KEYS = ("l_in", "l_out", "channels_in", "channels_out")
DTYPES = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4")}
# What a document must hold beside `format`, and what a writer may leave out.
DEFAULTS: dict[str, Any] = {
    "training": {},
    "distances_seen": {},
    "proof": None,
    "parent": None,
    "description": "",
}
DOCUMENT_KEYS = ("tool", "architecture", "species", "units", "level_of_theory", *DEFAULTS)
MAX_HEADER = 100_000_000  # bytes; the same bound as the safetensors library
MAX_NESTING = 64  # levels of lists and objects in the JSON; a file of ours has 4
MAX_LAYERS, MAX_CHANNELS, MAX_KNOTS = 64, 4096, 100_000  # keep every size inside 64 bits
SYMBOLS = frozenset(
    """
    H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br
    Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho
    Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es
    Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
    """.split()  # noqa: SIM905, a list of strings would fill the page
)


def fault(path: object, code: str, message: str) -> NoReturn:
    """Raise a `ModelFileError` that names the file and carries `code`."""
    error = ModelFileError(f"{path}: {message} [{code}]")
    error.code = code  # type: ignore[attr-defined]
    raise error


def content_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of the bytes of a file, hexadecimal: the identity of a potential."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        fault(path, "cannot_open", f"cannot be read ({error.strerror}); check the path")


def n_terms(l_in: int, l_out: int) -> int:
    """Number of message terms P of a layer (the table of docs/conventions.md)."""
    per_degree = ((1, 2, 3), (1, 3, 4), (1, 2, 4))
    return sum(per_degree[degree][l_in] for degree in range(l_out + 1))


def tensor_shapes(architecture: dict[str, Any], n_species: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors a file of this architecture must hold (ZBL not counted)."""
    channels, layers = architecture["message_channels"], architecture["layers"]
    shapes: dict[str, tuple[int, ...]] = {
        "energy.reference": (n_species,),
        "energy.scale": (n_species,),
        "embedding.weight": (n_species, layers[0]["channels_in"][0]),
    }
    for t, layer in enumerate(layers):
        f_in, f_out = layer["channels_in"], layer["channels_out"]
        # the scalars of a layer's output are followed by the gates of its vectors and matrices
        widths = [sum(f_out), *f_out[1:]]
        p = f"layers.{t}"
        for degree, width in enumerate(f_in):
            shapes[f"{p}.linear_in.l{degree}.weight"] = (width, channels)
        terms = n_terms(layer["l_in"], layer["l_out"])
        shapes[f"{p}.radial"] = (architecture["knots"] + 3, terms, channels)
        for degree, width in enumerate(widths):
            shapes[f"{p}.linear_out.l{degree}.weight"] = (channels, width)
            if t > 0 and degree <= layer["l_in"]:
                name = f"{p}.self_connection.l{degree}.weight"
                shapes[name] = (n_species, f_in[degree], width)
    widths = [layers[-1]["channels_out"][0], *architecture["readout"], 1]
    for k in range(len(widths) - 1):
        shapes[f"readout.{k}.weight"] = (widths[k], widths[k + 1])
    return shapes


def write_model(
    path: str | os.PathLike[str], metadata: dict[str, Any], tensors: dict[str, np.ndarray]
) -> str:
    """Write a potential and return its content hash; nothing is written when a check fails.

    `metadata` is the JSON document (`format`, `tool`, `units` and the optional keys are filled
    in); `tensors` are written as F64, or as F32 when all of them are float32.
    """
    from qdml import __version__

    document = {"format": FORMAT, "tool": f"qdml {__version__}"}
    document |= {"units": dict(UNITS), **DEFAULTS} | dict(metadata)
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
    """Read and check a file: `(JSON document, {name: array})`; arrays are read-only, file dtype."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        fault(path, "cannot_open", f"cannot be read ({error.strerror}); check the path")
    return parse_model(data, path)


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
    shapes = tensor_shapes(document["architecture"], len(document["species"]))
    tensors = dict(_tensors(path, header, shapes, data, 8 + length, len(document["species"])))
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


def _is_integer(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _check_document(path: object, doc: dict[str, Any]) -> None:
    if "format" not in doc:
        fault(path, "format_missing", "key 'format' is missing; not written by qdml")
    found = doc["format"]
    if not _is_integer(found, 1, 2**31 - 1):
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
    if architecture["kind"] != "cartesian-summed":
        fault(
            path,
            "architecture_unknown",
            f"architecture.kind is {architecture['kind']!r}, this qdml knows 'cartesian-summed'",
        )
    _check_keys(path, "architecture", architecture, ARCHITECTURE_KEYS)
    if doc["units"] != UNITS:
        fault(path, "units_unknown", f"key 'units' is {doc['units']!r}, expected {UNITS}")
    _check_species(path, doc["species"])
    _check_architecture(path, architecture)
    for key, kinds in (
        ("tool", str), ("level_of_theory", str), ("training", dict), ("distances_seen", dict),
        ("proof", (dict, type(None))), ("parent", (str, type(None))), ("description", str),
    ):  # fmt: skip
        if not isinstance(doc[key], kinds):
            fault(path, "value_invalid", f"key '{key}' is {doc[key]!r}: wrong type")
    for pair, r in doc["distances_seen"].items():
        if not isinstance(r, (int, float)) or isinstance(r, bool) or not r > 0:
            fault(
                path,
                "value_invalid",
                f"distances_seen.{pair} is {r!r}, expected Å, a positive number",
            )


def _check_keys(path: object, where: str, found: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in known:
        if key not in found:
            fault(path, "key_missing", f"key '{where}.{key}' is missing; export again")
    for key in found:
        if key not in known:
            fault(
                path,
                "key_unknown",
                f"key '{where}.{key}' is unknown (known: {', '.join(known)}) and would change the "
                "numbers; install a newer qdml",
            )


def _check_species(path: object, species: object) -> None:
    valid = isinstance(species, list) and species
    valid = valid and all(isinstance(s, str) and s in SYMBOLS for s in species)
    if not valid or len(set(species)) != len(species):  # type: ignore[arg-type]
        fault(
            path,
            "species_invalid",
            f"key 'species' is {species!r}, expected distinct chemical symbols",
        )


def _check_architecture(path: object, a: dict[str, Any]) -> None:
    def need(condition: bool, key: str, value: object, expected: str) -> None:
        if not condition:
            fault(path, "value_invalid", f"{key} is {value!r}, expected {expected}")

    rc, channels = a["cutoff"], a["message_channels"]
    number = isinstance(rc, int | float) and not isinstance(rc, bool)
    need(number and 0 < rc <= 1000, "architecture.cutoff", rc, "Å, in (0, 1000]")
    limit = f"an integer in 1..{MAX_KNOTS}"
    need(_is_integer(a["knots"], 1, MAX_KNOTS), "architecture.knots", a["knots"], limit)
    good = _is_integer(channels, 16, MAX_CHANNELS) and channels % 16 == 0
    limit = f"a multiple of 16, at most {MAX_CHANNELS}"
    need(good, "architecture.message_channels", channels, limit)
    layers = a["layers"]
    good = isinstance(layers, list) and 0 < len(layers) <= MAX_LAYERS
    need(good, "architecture.layers", layers, f"a list of 1..{MAX_LAYERS} layers")
    before_l, before_f = 0, None
    for t, layer in enumerate(layers):
        where = f"architecture.layers[{t}]"
        need(isinstance(layer, dict), where, layer, "an object")
        _check_keys(path, where, layer, LAYER_KEYS)
        for side in ("in", "out"):
            degree, f = layer[f"l_{side}"], layer[f"channels_{side}"]
            need(_is_integer(degree, 0, 2), f"{where}.l_{side}", degree, "0, 1 or 2")
            good = isinstance(f, list) and len(f) == degree + 1
            good = good and all(_is_integer(x, 1, MAX_CHANNELS) for x in f)
            limit = f"{degree + 1} integers in 1..{MAX_CHANNELS}"
            need(good, f"{where}.channels_{side}", f, limit)
        need(layer["l_in"] == before_l, f"{where}.l_in", layer["l_in"], f"{before_l}")
        good = before_f is None or layer["channels_in"] == before_f
        need(good, f"{where}.channels_in", layer["channels_in"], f"{before_f}")
        before_l, before_f = layer["l_out"], layer["channels_out"]
    need(before_l == 0, "l_out of the last layer", before_l, "0")
    hidden = a["readout"]
    good = isinstance(hidden, list) and len(hidden) <= MAX_LAYERS
    good = good and all(_is_integer(x, 1, MAX_CHANNELS) for x in hidden)
    need(good, "architecture.readout", hidden, f"a list of widths in 1..{MAX_CHANNELS}")


def _tensors(
    path: object,
    header: dict[str, Any],
    shapes: dict[str, tuple[int, ...]],
    data: bytes,
    start: int,
    n_species: int,
) -> Iterator[tuple[str, np.ndarray]]:
    shapes = dict(shapes)
    if "zbl.r_max" in header:
        shapes["zbl.r_max"] = (n_species, n_species)
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
    if not good or not all(_is_integer(x, 0, 2**62) for x in found):  # type: ignore[union-attr]
        fault(path, "tensor_offsets", f"tensor '{name}': data_offsets {found!r} are not two bytes")
    return found[0], found[1]  # type: ignore[index]


def _check_values(path: object, doc: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            fault(path, "not_finite", f"tensor '{name}' holds NaN or infinity; the fit diverged")
    for t in range(len(doc["architecture"]["layers"])):
        if tensors[f"layers.{t}.radial"][-3:].any():
            fault(
                path,
                "radial_not_zero_at_cutoff",
                f"tensor 'layers.{t}.radial': the last three knots must be zero, or forces jump "
                "at the cutoff",
            )
    if "zbl.r_max" in tensors:
        r, rc = tensors["zbl.r_max"], doc["architecture"]["cutoff"]
        if (r != r.T).any() or (r < 0).any() or (r > rc).any():
            fault(
                path, "value_invalid", f"tensor 'zbl.r_max' must be symmetric and within 0..{rc} Å"
            )
