# SPDX-License-Identifier: MIT
"""Architecture `clebsch-gordan` of `.qdml` files: irreps, paths, shapes and checks (numpy only).

docs/file-format.md is the contract; cpp/src/paths/architecture.cpp makes the same checks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from qdml import document_checks
from qdml.document_checks import check_keys, fault, is_integer

KIND = "clebsch-gordan"
KEYS = ("kind", "cutoff", "knots", "edge_parity", "layers", "readout")
LAYER_KEYS = (
    "irreps_in",
    "irreps_message",
    "irreps_out",
    "paths",
    "self_connection",
    "activation",
)
ACTIVATION_KEYS = ("even", "odd", "gate")
ACTIVATIONS = ("silu", "tanh")
SELF_CONNECTIONS = ("none", "linear", "species")
MAX_DEGREE, MAX_PATHS = 3, 256
MAX_LAYERS, MAX_CHANNELS, MAX_KNOTS = 64, 4096, 100_000  # keep every size inside 64 bits

_TERM = re.compile(r"([1-9][0-9]{0,3})x([0-3][eo])")


@dataclass(frozen=True)
class Irrep:
    """`channels` copies of one irreducible representation of O(3), written like `64x1o`."""

    channels: int
    name: str

    @property
    def degree(self) -> int:
        """l: 2 l + 1 components."""
        return int(self.name[0])

    @property
    def parity(self) -> int:
        """1 (even, e) or -1 (odd, o) under inversion."""
        return 1 if self.name[1] == "e" else -1


def parse_irreps(text: str) -> list[Irrep]:
    """`128x0e+64x1o` -> irreps in order; ValueError when malformed or an irrep comes twice."""
    irreps = []
    for term in text.split("+"):
        match = _TERM.fullmatch(term)
        if match is None or int(match[1]) > MAX_CHANNELS:
            raise ValueError(f"{term!r} is not like 64x1o with 1..{MAX_CHANNELS} channels, l <= 3")
        irreps.append(Irrep(int(match[1]), match[2]))
    if len({i.name for i in irreps}) != len(irreps):
        raise ValueError("an irrep comes twice; join its channels")
    return irreps


def channels_of(text: str) -> dict[str, int]:
    """`128x0e+64x1o` -> {"0e": 128, "1o": 64}, in order."""
    return {i.name: i.channels for i in parse_irreps(text)}


def n_gates(layer: dict[str, Any]) -> int:
    """Gates G of a layer: one per output channel with l > 0, in order of irreps_out."""
    return sum(i.channels for i in parse_irreps(layer["irreps_out"]) if i.degree > 0)


def activation_widths(layer: dict[str, Any]) -> dict[str, int]:
    """Channels of the pre-activations z per irrep: the scalars 0e are followed by the gates."""
    widths = channels_of(layer["irreps_out"])
    if n_gates(layer):
        widths["0e"] += n_gates(layer)
    return widths


def path_channels(layer: dict[str, Any]) -> list[int]:
    """Channels of every path: those of its input irrep in the message."""
    message = channels_of(layer["irreps_message"])
    return [message[path[0]] for path in layer["paths"]]


def tensor_shapes(architecture: dict[str, Any], n_species: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors of a checked architecture (ZBL not counted)."""
    layers = architecture["layers"]
    first = parse_irreps(layers[0]["irreps_in"])[0]
    shapes: dict[str, tuple[int, ...]] = {
        "energy.reference": (n_species,),
        "energy.scale": (n_species,),
        "embedding.weight": (n_species, first.channels),
    }
    for t, layer in enumerate(layers):
        p, widths = f"layers.{t}", activation_widths(layer)
        inputs, message = channels_of(layer["irreps_in"]), channels_of(layer["irreps_message"])
        for name, channels in message.items():
            shapes[f"{p}.linear_in.{name}.weight"] = (inputs[name], channels)
        channels = path_channels(layer)
        shapes[f"{p}.radial"] = (architecture["knots"] + 1, 2, sum(channels))
        for name, width in widths.items():
            rows = sum(c for c, q in zip(channels, layer["paths"], strict=True) if q[2] == name)
            shapes[f"{p}.linear_out.{name}.weight"] = (rows, width)
            if layer["self_connection"] != "none" and name in inputs:
                species = (n_species,) if layer["self_connection"] == "species" else ()
                shape = (*species, inputs[name], width)
                shapes[f"{p}.self_connection.{name}.weight"] = shape
    widths = [parse_irreps(layers[-1]["irreps_out"])[0].channels, *architecture["readout"], 1]
    for k in range(len(widths) - 1):
        shapes[f"readout.{k}.weight"] = (widths[k], widths[k + 1])
    return shapes


def lowest_format(architecture: object) -> int:
    """Format that introduced this kind."""
    return 2


def check_architecture(path: object, a: dict[str, Any], found_format: int) -> None:
    """Refuse an impossible architecture of a file of this format."""
    check_keys(path, "architecture", a, KEYS)
    need = partial(document_checks.need, path)
    cutoff = a["cutoff"]
    number = isinstance(cutoff, int | float) and not isinstance(cutoff, bool)
    need(number and 0 < cutoff <= 1000, "architecture.cutoff", cutoff, "Å, in (0, 1000]")
    good = is_integer(a["knots"], 1, MAX_KNOTS)
    need(good, "architecture.knots", a["knots"], f"an integer in 1..{MAX_KNOTS}")
    parity = a["edge_parity"]
    need(parity in ("natural", "even"), "architecture.edge_parity", parity, "natural or even")
    layers = a["layers"]
    good = isinstance(layers, list) and 0 < len(layers) <= MAX_LAYERS
    need(good, "architecture.layers", layers, f"a list of 1..{MAX_LAYERS} layers")
    before = None
    for t, layer in enumerate(layers):
        where = f"architecture.layers[{t}]"
        need(isinstance(layer, dict), where, layer, "an object")
        check_keys(path, where, layer, LAYER_KEYS)
        _check_layer(path, where, layer, parity)
        found = layer["irreps_in"]
        if before is None:
            only_scalars = [i.name for i in parse_irreps(found)] == ["0e"]
            need(only_scalars, f"{where}.irreps_in", found, "scalars 0e alone")
        else:
            need(found == before, f"{where}.irreps_in", found, f"{before!r}, irreps_out before it")
        before = layer["irreps_out"]
    only_scalars = [i.name for i in parse_irreps(before)] == ["0e"]
    need(only_scalars, "irreps_out of the last layer", before, "scalars 0e alone")
    hidden = a["readout"]
    good = isinstance(hidden, list) and len(hidden) <= MAX_LAYERS
    good = good and all(is_integer(x, 1, MAX_CHANNELS) for x in hidden)
    need(good, "architecture.readout", hidden, f"a list of widths in 1..{MAX_CHANNELS}")


def check_values(path: object, a: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    """Refuse radial tables whose last knot is not zero."""
    for t in range(len(a["layers"])):
        if tensors[f"layers.{t}.radial"][-1].any():
            fault(
                path,
                "radial_not_zero_at_cutoff",
                f"tensor 'layers.{t}.radial': the last knot must be zero, or forces jump at the "
                "cutoff",
            )


def _check_layer(path: object, where: str, layer: dict[str, Any], edge_parity: str) -> None:
    need = partial(document_checks.need, path)
    irreps = {}
    for key in ("irreps_in", "irreps_message", "irreps_out"):
        text = layer[key]
        try:
            irreps[key] = channels_of(text)
        except (ValueError, AttributeError):
            need(False, f"{where}.{key}", text, "irreps like 64x0e+32x1o, each once, l <= 3")
    inputs, message, out = (irreps[k] for k in ("irreps_in", "irreps_message", "irreps_out"))
    text = layer["irreps_message"]
    need(set(message) <= set(inputs), f"{where}.irreps_message", text, "irreps of irreps_in")
    gated = any(name[0] != "0" for name in out)
    need("0e" in out or not gated, f"{where}.irreps_out", layer["irreps_out"], "scalars 0e as well")
    paths = layer["paths"]
    good = isinstance(paths, list) and 0 < len(paths) <= MAX_PATHS
    need(good, f"{where}.paths", paths, f"a list of 1..{MAX_PATHS} paths")
    for k, entry in enumerate(paths):
        key = f"{where}.paths[{k}]"
        good = isinstance(entry, list) and len(entry) == 3 and is_integer(entry[1], 0, MAX_DEGREE)
        good = good and isinstance(entry[0], str) and isinstance(entry[2], str)
        good = good and entry[0] in message and entry[2] in out
        need(good, key, entry, "[irrep of the message, l of the edge, irrep of irreps_out]")
        a, b = Irrep(1, entry[0]), Irrep(1, entry[2])
        triangle = abs(a.degree - entry[1]) <= b.degree <= a.degree + entry[1]
        need(triangle, key, entry, "degrees that form a triangle")
        odd = edge_parity == "natural" and entry[1] % 2 == 1
        need(a.parity * (-1 if odd else 1) == b.parity, key, entry, "conserved parity")
    reached = {entry[2] for entry in paths}
    need(reached == set(out), f"{where}.paths", sorted(reached), "a path to each of irreps_out")
    found = layer["self_connection"]
    need(found in SELF_CONNECTIONS, f"{where}.self_connection", found, "none, linear or species")
    activation = layer["activation"]
    need(isinstance(activation, dict), f"{where}.activation", activation, "an object")
    check_keys(path, f"{where}.activation", activation, ACTIVATION_KEYS)
    for key in ACTIVATION_KEYS:
        good = activation[key] in (("tanh",) if key == "odd" else ACTIVATIONS)
        expected = "tanh" if key == "odd" else "silu or tanh"
        need(good, f"{where}.activation.{key}", activation[key], expected)
