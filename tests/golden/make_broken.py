# SPDX-License-Identifier: MIT
"""Write the broken `.qdml` files and `cases.json` of `tests/golden/broken`: {file: error code}.

`python tests/golden/make_broken.py` writes them, `--check` compares. Bytes are assembled here
without `qdml.modelfile`, so that any fault can be made; code "ok" marks files that must be read.
"""

from __future__ import annotations

import copy
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent / "broken"
NAN = float("nan")
FACTORS = {"energy": 3.0, "forces": 2.0}


class Draft:
    """A tiny good file (2 layers, l_max 1, 16 channels) that a case then damages."""

    def __init__(self) -> None:
        self.document = {
            "format": 1,
            "tool": "make_broken",
            "architecture": {
                "kind": "cartesian-summed",
                "cutoff": 4.0,
                "knots": 2,
                "message_channels": 16,
                "layers": [
                    {"l_in": 0, "l_out": 1, "channels_in": [1], "channels_out": [1, 1]},
                    {"l_in": 1, "l_out": 0, "channels_in": [1, 1], "channels_out": [1]},
                ],
                "readout": [2],
            },
            "species": ["Cd", "Se"],
            "units": {"length": "angstrom", "energy": "eV"},
            "level_of_theory": "none",
            "training": {},
            "distances_seen": {},
            "proof": None,
            "parent": None,
            "description": "",
        }
        shapes = {
            "energy.reference": [2],
            "energy.scale": [2],
            "embedding.weight": [2, 1],
            "layers.0.linear_in.l0.weight": [1, 16],
            "layers.0.radial": [5, 2, 16],
            "layers.0.linear_out.l0.weight": [16, 2],
            "layers.0.linear_out.l1.weight": [16, 1],
            "layers.1.linear_in.l0.weight": [1, 16],
            "layers.1.linear_in.l1.weight": [1, 16],
            "layers.1.radial": [5, 2, 16],
            "layers.1.linear_out.l0.weight": [16, 1],
            "layers.1.self_connection.l0.weight": [2, 1, 1],
            "readout.0.weight": [1, 2],
            "readout.1.weight": [2, 1],
            "zbl.r_max": [2, 2],
        }
        self.values: dict[str, list[float]] = {}
        self.shapes: dict[str, list[int]] = {}
        for name, shape in shapes.items():
            self.set(name, shape)
        for name in ("layers.0.radial", "layers.1.radial"):
            self.values[name][-3 * 2 * 16 :] = [0.0] * (3 * 2 * 16)
        self.values["zbl.r_max"] = [1.5, 2.0, 2.0, 1.0]
        self.dtype = "F64"
        self.header: dict | None = None  # entries as damaged by a case

    def set(self, name: str, shape: list[int], value: float = 0.25) -> None:
        count = 1
        for extent in shape:
            count *= extent
        self.shapes[name] = shape
        self.values[name] = [value] * count

    def entries(self) -> dict:
        """Header entries of the tensors as they lie."""
        size = 8 if self.dtype == "F64" else 4
        header, offset = {}, 0
        for name, values in self.values.items():
            end = offset + size * len(values)
            header[name] = {
                "dtype": self.dtype,
                "shape": self.shapes[name],
                "data_offsets": [offset, end],
            }
            offset = end
        return header

    def bytes(self) -> bytes:
        header = {"__metadata__": {"qdml": json.dumps(self.document)}}
        header |= self.entries() if self.header is None else self.header
        return frame(json.dumps(header), self.data())

    def data(self) -> bytes:
        code = "d" if self.dtype == "F64" else "f"
        return b"".join(struct.pack(f"<{len(v)}{code}", *v) for v in self.values.values())


def frame(header: str | bytes, data: bytes) -> bytes:
    """Length, padded header, data."""
    text = header.encode() if isinstance(header, str) else header
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def edited(change: Callable[[Draft], object], draft: Draft | None = None) -> bytes:
    draft = draft or Draft()
    change(draft)
    return draft.bytes()


def in_format(number: int) -> Callable[[Draft], object]:
    return lambda draft: draft.document.update(format=number)


def as_separated(draft: Draft) -> None:
    draft.document["format"] = 2
    draft.document["architecture"]["kind"] = "cartesian-separated"


def as_summed(draft: Draft) -> None:
    draft.document["architecture"]["kind"] = "cartesian-summed"


def separated() -> Draft:
    """Format 2: two terms add to the scalars of the last layer, each with its own sum."""
    draft = Draft()
    as_separated(draft)
    draft.set("layers.1.linear_out.l0.weight", [2 * 16, 1])
    return draft


def degree_3() -> Draft:
    """Format 2: degree 3 between the two layers."""
    draft = Draft()
    draft.document["format"] = 2
    first, last = draft.document["architecture"]["layers"]
    first |= {"l_out": 3, "channels_out": [1, 1, 1, 1]}
    last |= {"l_in": 3, "channels_in": [1, 1, 1, 1]}
    draft.set("layers.0.linear_out.l0.weight", [16, 4])
    for degree in (2, 3):
        draft.set(f"layers.0.linear_out.l{degree}.weight", [16, 1])
        draft.set(f"layers.1.linear_in.l{degree}.weight", [1, 16])
    for t in (0, 1):
        name = f"layers.{t}.radial"
        draft.set(name, [5, 4, 16])
        draft.values[name][-3 * 4 * 16 :] = [0.0] * (3 * 4 * 16)
    return draft


def committee() -> Draft:
    """Format 3: two members, every tensor with one axis more."""
    draft = Draft()
    member = {
        "hash": None,
        "training": {},
        "distances_seen": {"Cd-Se": 2.4},
        "proof": None,
        "parent": None,
        "description": "",
    }
    draft.document |= {"format": 3, "members": [member, copy.deepcopy(member)]}
    for name, values in draft.values.items():
        draft.shapes[name] = [2, *draft.shapes[name]]
        draft.values[name] = values + values
    return draft


def at(path: str, value: object, draft: Draft | None = None) -> bytes:
    """The draft (the good file) with one entry of its document set, e.g. `members.0.hash`."""

    def change(draft: Draft) -> None:
        *parents, last = [int(k) if k.isdigit() else k for k in path.split(".")]
        place = draft.document
        for key in parents:
            place = place[key]
        place[last] = value

    return edited(change, draft)


def without(path: str, draft: Draft | None = None) -> bytes:
    """The draft (the good file) with one entry of its document removed."""

    def change(draft: Draft) -> None:
        *parents, last = [int(k) if k.isdigit() else k for k in path.split(".")]
        place = draft.document
        for key in parents:
            place = place[key]
        del place[last]

    return edited(change, draft)


def numbered(number: int) -> Draft:
    """The good file with another format number."""
    draft = Draft()
    draft.document["format"] = number
    return draft


def entry(name: str, **changes: object) -> bytes:
    """The good file with fields of one tensor's header entry replaced."""

    def change(draft: Draft) -> None:
        draft.header = copy.deepcopy(draft.entries())
        draft.header[name] |= changes

    return edited(change)


def value(name: str, index: int, number: float, draft: Draft | None = None) -> bytes:
    return edited(lambda d: d.values[name].__setitem__(index, number), draft)


def removed(name: str) -> bytes:
    return edited(lambda draft: draft.values.pop(name))


def shifted(by: int) -> bytes:
    """All tensors but the first moved by some bytes: a gap or an overlap."""

    def change(draft: Draft) -> None:
        draft.header = copy.deepcopy(draft.entries())
        for name in list(draft.header)[1:]:
            draft.header[name]["data_offsets"] = [
                x + by for x in draft.header[name]["data_offsets"]
            ]

    return edited(change)


def raw_metadata(text: str) -> bytes:
    draft = Draft()
    return frame(json.dumps({"__metadata__": {"qdml": text}} | draft.entries()), draft.data())


def nested(levels: int) -> list:
    """Empty lists inside each other."""
    value: list = []
    for _ in range(levels - 1):
        value = [value]
    return value


def cases() -> dict[str, tuple[str, bytes]]:
    """name -> (code, bytes)."""
    good = Draft().bytes()
    table: dict[str, tuple[str, bytes]] = {
        "good": ("ok", good),
        "good-single": ("ok", edited(lambda d: setattr(d, "dtype", "F32"))),
        "good-without-zbl": ("ok", removed("zbl.r_max")),
        "good-with-unknown-key": ("ok", at("remark", "kept and ignored")),
        # the document and `training` are two levels, 64 are allowed
        "good-64-levels": ("ok", at("training", {"note": nested(62)})),
        "metadata-65-levels": ("metadata_not_json", at("training", {"note": nested(63)})),
        "header-65-levels": ("header_not_json", entry("energy.scale", shape=nested(63))),
        "empty": ("too_short", b""),
        "seven-bytes": ("too_short", good[:7]),
        "header-beyond-the-file": ("header_too_long", struct.pack("<Q", 2**62) + good[8:]),
        "header-cut": ("header_too_long", good[:100]),
        "header-garbage": ("header_not_json", frame("not JSON", b"")),
        "header-list": ("header_not_json", frame("[1, 2]", b"")),
        "header-after-zero": (
            "header_not_json",
            frame(good[8 : 8 + struct.unpack("<Q", good[:8])[0]] + b"\0rest", Draft().data()),
        ),
        "header-not-utf8": ("header_not_json", frame(b'{"\xff\xfe": 1}', b"")),
        "no-metadata": ("metadata_missing", frame(json.dumps(Draft().entries()), Draft().data())),
        "other-metadata": ("metadata_missing", frame('{"__metadata__": {"format": "pt"}}', b"")),
        "metadata-text": ("metadata_not_json", raw_metadata("hello")),
        "metadata-after-zero": (
            "metadata_not_json",
            raw_metadata(json.dumps(Draft().document) + "\0rest"),
        ),
        "metadata-nan": ("metadata_not_json", raw_metadata('{"format": NaN}')),
        "no-format": ("format_missing", without("format")),
        "good-format-2": ("ok", at("format", 2)),
        "good-degree-3": ("ok", degree_3().bytes()),
        "good-separated": ("ok", separated().bytes()),
        "good-format-3": ("ok", at("format", 3)),
        "good-committee": ("ok", committee().bytes()),
        "good-members-in-format-2": ("ok", at("members", "unknown here", numbered(2))),
        "format-4": ("format_from_the_future", at("format", 4)),
        "members-in-format-2": ("tensor_shape", at("format", 2, committee())),
        "members-with-tensors-of-one": (
            "tensor_shape",
            at("members", committee().document["members"], numbered(3)),
        ),
        "members-text": ("value_invalid", at("members", "two", committee())),
        "members-1": (
            "value_invalid",
            at("members", committee().document["members"][:1], committee()),
        ),
        "members-65": (
            "value_invalid",
            at("members", committee().document["members"][:1] * 65, committee()),
        ),
        "members-number": ("value_invalid", at("members", [1, 2], committee())),
        "members-3-of-2": (
            "tensor_shape",
            at("members", committee().document["members"][:1] * 3, committee()),
        ),
        "member-hash-number": ("value_invalid", at("members.1.hash", 1, committee())),
        "member-distance-text": (
            "value_invalid",
            at("members.0.distances_seen", {"Cd-Se": "2.4"}, committee()),
        ),
        "good-spread-factors": ("ok", at("spread_factors", FACTORS, committee())),
        "good-spread-factors-of-one": ("ok", at("spread_factors", "ignored", numbered(3))),
        "spread-factors-number": ("value_invalid", at("spread_factors", 2.0, committee())),
        "spread-factors-zero": (
            "value_invalid",
            at("spread_factors", FACTORS | {"energy": 0}, committee()),
        ),
        "spread-factors-text": (
            "value_invalid",
            at("spread_factors", FACTORS | {"forces": "2"}, committee()),
        ),
        "spread-factors-true": (
            "value_invalid",
            at("spread_factors", FACTORS | {"forces": True}, committee()),
        ),
        "no-spread-factors-energy": (
            "key_missing",
            at("spread_factors", {"forces": 2.0}, committee()),
        ),
        "member-nan": ("not_finite", value("energy.reference", 3, NAN, committee())),
        "member-radial-at-the-cutoff": (
            "radial_not_zero_at_cutoff",
            value("layers.1.radial", 5 * 32 - 1, 1e-300, committee()),
        ),
        "member-zbl-asymmetric": ("value_invalid", value("zbl.r_max", 5, 1.9, committee())),
        "separated-in-format-1": ("architecture_unknown", edited(in_format(1), separated())),
        "degree-3-in-format-1": ("value_invalid", edited(in_format(1), degree_3())),
        "separated-with-summed-tensors": ("tensor_shape", edited(as_separated)),
        "summed-with-separated-tensors": ("tensor_shape", edited(as_summed, separated())),
        "degree-4": (
            "value_invalid",
            edited(lambda d: d.document["architecture"]["layers"][0].update(l_out=4), degree_3()),
        ),
        "degree-3-without-terms": (
            "tensor_shape",
            edited(lambda d: d.set("layers.0.radial", [5, 3, 16], 0.0), degree_3()),
        ),
        "format-text": ("value_invalid", at("format", "1")),
        "format-0": ("value_invalid", at("format", 0)),
        "tool-number": ("value_invalid", at("tool", 1)),
        "proof-list": ("value_invalid", at("proof", [])),
        "distance-text": ("value_invalid", at("distances_seen", {"Cd-Se": "2.4"})),
        "distance-negative": ("value_invalid", at("distances_seen", {"Cd-Se": -2.4})),
        "architecture-text": ("value_invalid", at("architecture", "nequip")),
        "architecture-future": ("architecture_unknown", at("architecture.kind", "mace")),
        "architecture-extra-key": ("key_unknown", at("architecture.spin", True)),
        "layer-extra-key": ("key_unknown", at("architecture.layers.1.gate", "tanh")),
        "units-kcal": ("units_unknown", at("units.energy", "kcal/mol")),
        "units-extra": ("units_unknown", at("units.time", "fs")),
        "species-twice": ("species_invalid", at("species", ["Cd", "Cd"])),
        "species-unknown": ("species_invalid", at("species", ["Cd", "Xx"])),
        "species-empty": ("species_invalid", at("species", [])),
        "species-number": ("species_invalid", at("species", [48, 34])),
        "tensor-missing": ("tensor_missing", removed("readout.1.weight")),
        "tensor-unknown": ("tensor_unknown", edited(lambda d: d.set("bias", [2]))),
        "tensor-transposed": ("tensor_shape", entry("readout.0.weight", shape=[2, 1])),
        "tensor-more-species": ("tensor_shape", at("species", ["Cd", "Se", "Cl"])),
        "dtype-integer": ("tensor_dtype", entry("energy.scale", dtype="I64")),
        "dtype-mixed": ("tensor_dtype", entry("energy.scale", dtype="F32")),
        "offsets-gap": ("tensor_offsets", shifted(8)),
        "offsets-overlap": ("tensor_offsets", shifted(-8)),
        "offsets-size": ("tensor_offsets", entry("zbl.r_max", data_offsets=[0, 8])),
        "offsets-negative": ("tensor_offsets", entry("zbl.r_max", data_offsets=[-8, 24])),
        "offsets-huge": ("tensor_offsets", entry("zbl.r_max", data_offsets=[2**63, 2**64])),
        "entry-extra": ("tensor_offsets", entry("zbl.r_max", strides=[1])),
        "bytes-after-the-end": ("bytes_after_the_end", good + b"\0"),
        "data-cut": ("file_truncated", good[:-8]),
        "nan": ("not_finite", value("energy.reference", 1, NAN)),
        "infinity": ("not_finite", value("layers.0.radial", 0, float("inf"))),
        "radial-at-the-cutoff": (
            "radial_not_zero_at_cutoff",
            value("layers.1.radial", 5 * 32 - 1, 1e-300),
        ),
        "zbl-asymmetric": ("value_invalid", value("zbl.r_max", 1, 1.9)),
        "zbl-beyond-cutoff": ("value_invalid", value("zbl.r_max", 0, 4.5)),
    }
    for key in ("tool", "architecture", "species", "units", "level_of_theory", "proof", "parent"):
        table[f"no-{key}"] = ("key_missing", without(key))
    for key in ("hash", "training", "distances_seen", "proof", "parent", "description"):
        table[f"no-member-{key}"] = ("key_missing", without(f"members.1.{key}", committee()))
    for key in ("kind", "cutoff", "readout", "layers.0.l_out"):
        table[f"no-architecture-{key}"] = ("key_missing", without(f"architecture.{key}"))
    for name, path, bad in (
        ("cutoff-negative", "cutoff", -1.0),
        ("cutoff-text", "cutoff", "4"),
        ("knots-0", "knots", 0),
        ("knots-fraction", "knots", 2.5),
        ("channels-24", "message_channels", 24),
        ("layers-empty", "layers", []),
        ("layer-text", "layers.0", "conv"),
        ("degree-3", "layers.0.l_out", 3),
        ("degree-true", "layers.0.l_out", True),
        ("first-layer-vectors", "layers.0.l_in", 1),
        ("last-layer-vectors", "layers", [Draft().document["architecture"]["layers"][0]]),
        ("channels-of-two-degrees", "layers.0.channels_in", [1, 1]),
        ("channels-0", "layers.1.channels_out", [0]),
        ("layers-do-not-fit", "layers.1.channels_in", [2, 1]),
        ("readout-0", "readout", [0]),
    ):
        table[name] = ("value_invalid", at(f"architecture.{path}", bad))
    return table


def main() -> int:
    table = cases()
    files = {f"{name}.qdml": data for name, (_, data) in table.items()}
    listing = {f"{name}.qdml": code for name, (code, _) in sorted(table.items())}
    files["cases.json"] = (json.dumps(listing, indent=1) + "\n").encode()
    if "--check" in sys.argv[1:]:
        stored = {p.name: p.read_bytes() for p in FOLDER.iterdir()}
        different = sorted(k for k in files.keys() | stored if files.get(k) != stored.get(k))
        print(f"{len(files)} files, {len(different)} differ {' '.join(different)}")
        return 1 if different else 0
    FOLDER.mkdir(exist_ok=True)
    for name, data in files.items():
        (FOLDER / name).write_bytes(data)
    print(f"wrote {len(files)} files to {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
