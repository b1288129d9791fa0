# SPDX-License-Identifier: MIT
"""The Cartesian family of a `.qdml` file: message terms, keys, tensor names and shapes.

Kinds `cartesian-summed` (all terms of one degree share one sum) and `cartesian-separated` (every
term has its own sum, as in NequIP); the equations are in docs/conventions.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qdml.document_checks import check_keys, fault, is_integer, need

SUMMED, SEPARATED = "cartesian-summed", "cartesian-separated"
KEYS = ("kind", "cutoff", "knots", "message_channels", "layers", "readout")
LAYER_KEYS = ("l_in", "l_out", "channels_in", "channels_out")
MAX_LAYERS, MAX_CHANNELS, MAX_KNOTS = 64, 4096, 100_000  # keep every size inside 64 bits
MAX_DEGREE = {1: 2, 2: 3, 3: 3}
"""Highest degree of features and messages that a file format can express."""

# Clebsch-Gordan path (l_in, l_edge, l_out) of every message term, in the order of
# docs/conventions.md. The first eleven are those of degrees up to 2; that order is the file's.
PATHS = (
    (0, 0, 0), (1, 1, 0), (2, 2, 0),
    (0, 1, 1), (1, 2, 1), (1, 0, 1), (2, 1, 1),
    (0, 2, 2), (1, 1, 2), (2, 2, 2), (2, 0, 2),
    (3, 3, 0), (2, 3, 1), (3, 2, 1), (1, 3, 2), (3, 3, 2), (3, 1, 2),
    (0, 3, 3), (1, 2, 3), (2, 3, 3), (2, 1, 3), (3, 2, 3), (3, 0, 3),
)  # fmt: skip

PARTNERS = {
    4: (5, 1 / 3), 9: (10, 1 / 3), 12: (6, 2 / 5), 14: (8, 2 / 5),
    15: (16, 2 / 5), 19: (20, 2 / 5), 21: (22, 1 / 3),
}  # fmt: skip
"""term -> (partner, factor): the path of the term is term - factor · partner. Others are alone."""


def layer_terms(l_in: int, l_out: int) -> list[int]:
    """Indices of the message terms of a layer: the axis P of `layers.{t}.radial`.

    Edge degree 3 occurs only where the features reach degree 3 on one side.
    """
    edge = 3 if max(l_in, l_out) > 2 else 2
    return [k for k, (a, e, b) in enumerate(PATHS) if a <= l_in and b <= l_out and e <= edge]


def degree_terms(l_in: int, l_out: int, degree: int) -> list[int]:
    """The terms of a layer that add to one output degree, in order."""
    return [k for k in layer_terms(l_in, l_out) if PATHS[k][2] == degree]


def n_terms(l_in: int, l_out: int) -> int:
    """Number of message terms P of a layer."""
    return len(layer_terms(l_in, l_out))


def lowest_format(architecture: dict[str, Any]) -> int:
    """The lowest file format that can express an architecture (which may still be invalid)."""
    if architecture.get("kind") != SUMMED:
        return 2
    layers = architecture.get("layers")
    layers = layers if isinstance(layers, list) else []
    return 2 if any(isinstance(x, dict) and x.get("l_out") == 3 for x in layers) else 1


def check_architecture(path: object, a: dict[str, Any], file_format: int) -> None:
    """Check the object `architecture` of a file; raises ModelFileError."""
    check_keys(path, "architecture", a, KEYS)
    rc, channels = a["cutoff"], a["message_channels"]
    number = isinstance(rc, int | float) and not isinstance(rc, bool)
    need(path, number and 0 < rc <= 1000, "architecture.cutoff", rc, "Å, in (0, 1000]")
    limit = f"an integer in 1..{MAX_KNOTS}"
    need(path, is_integer(a["knots"], 1, MAX_KNOTS), "architecture.knots", a["knots"], limit)
    good = is_integer(channels, 16, MAX_CHANNELS) and channels % 16 == 0
    limit = f"a multiple of 16, at most {MAX_CHANNELS}"
    need(path, good, "architecture.message_channels", channels, limit)
    layers = a["layers"]
    good = isinstance(layers, list) and 0 < len(layers) <= MAX_LAYERS
    need(path, good, "architecture.layers", layers, f"a list of 1..{MAX_LAYERS} layers")
    before_l, before_f = 0, None
    most = MAX_DEGREE[file_format]
    for t, layer in enumerate(layers):
        where = f"architecture.layers[{t}]"
        need(path, isinstance(layer, dict), where, layer, "an object")
        check_keys(path, where, layer, LAYER_KEYS)
        for side in ("in", "out"):
            degree, f = layer[f"l_{side}"], layer[f"channels_{side}"]
            limit = f"an integer in 0..{most} (format {file_format})"
            need(path, is_integer(degree, 0, most), f"{where}.l_{side}", degree, limit)
            good = isinstance(f, list) and len(f) == degree + 1
            good = good and all(is_integer(x, 1, MAX_CHANNELS) for x in f)
            limit = f"{degree + 1} integers in 1..{MAX_CHANNELS}"
            need(path, good, f"{where}.channels_{side}", f, limit)
        need(path, layer["l_in"] == before_l, f"{where}.l_in", layer["l_in"], f"{before_l}")
        good = before_f is None or layer["channels_in"] == before_f
        need(path, good, f"{where}.channels_in", layer["channels_in"], f"{before_f}")
        before_l, before_f = layer["l_out"], layer["channels_out"]
    need(path, before_l == 0, "l_out of the last layer", before_l, "0")
    hidden = a["readout"]
    good = isinstance(hidden, list) and len(hidden) <= MAX_LAYERS
    good = good and all(is_integer(x, 1, MAX_CHANNELS) for x in hidden)
    need(path, good, "architecture.readout", hidden, f"a list of widths in 1..{MAX_CHANNELS}")


def tensor_shapes(architecture: dict[str, Any], n_species: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors a file of this architecture must hold (ZBL not counted)."""
    channels, layers = architecture["message_channels"], architecture["layers"]
    separated = architecture["kind"] == SEPARATED
    shapes: dict[str, tuple[int, ...]] = {
        "energy.reference": (n_species,),
        "energy.scale": (n_species,),
        "embedding.weight": (n_species, layers[0]["channels_in"][0]),
    }
    for t, layer in enumerate(layers):
        f_in, f_out = layer["channels_in"], layer["channels_out"]
        l_in, l_out = layer["l_in"], layer["l_out"]
        # the scalars of a layer's output are followed by the gates of the higher degrees
        widths = [sum(f_out), *f_out[1:]]
        p = f"layers.{t}"
        for degree, width in enumerate(f_in):
            shapes[f"{p}.linear_in.l{degree}.weight"] = (width, channels)
        shapes[f"{p}.radial"] = (architecture["knots"] + 3, n_terms(l_in, l_out), channels)
        for degree, width in enumerate(widths):
            slots = len(degree_terms(l_in, l_out, degree)) if separated else 1
            shapes[f"{p}.linear_out.l{degree}.weight"] = (slots * channels, width)
            if t > 0 and degree <= l_in:
                name = f"{p}.self_connection.l{degree}.weight"
                shapes[name] = (n_species, f_in[degree], width)
    widths = [layers[-1]["channels_out"][0], *architecture["readout"], 1]
    for k in range(len(widths) - 1):
        shapes[f"readout.{k}.weight"] = (widths[k], widths[k + 1])
    return shapes


def check_values(
    path: object, architecture: dict[str, Any], tensors: dict[str, np.ndarray]
) -> None:
    """Check what shapes cannot say; raises ModelFileError."""
    for t in range(len(architecture["layers"])):
        if tensors[f"layers.{t}.radial"][-3:].any():
            fault(
                path,
                "radial_not_zero_at_cutoff",
                f"tensor 'layers.{t}.radial': the last three knots must be zero, or forces jump "
                "at the cutoff",
            )
