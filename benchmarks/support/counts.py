# SPDX-License-Identifier: MIT
"""Fused multiply-adds per atom and step of the formulas, whatever the kernels really execute.

The formulas are those of docs/conventions.md. A radial function costs 4 per edge and channel
forward (four knots) and 8 backward (value and derivative). What is counted is the least known
arithmetic: where the kernels repeat something to save registers, it does not count.
"""

from __future__ import annotations

import itertools
from typing import Any

# Products of the message without radial functions, FMA per edge and channel: (forward, backward),
# by l_max and kind of layer: the first has only scalars in, the last only scalars out.
#
# l_max 2, middle, forward: d = r̂·v 3, w = T r̂ 9, e = r̂·w 3; A_s 3; A_v: (R s + R d) r̂ 2 + 3,
# R v 3, R w 3; q = R s r̂ + R v + R w 1 + 3 + 3 + 3; sym(r̂ q) 9; R T 6: 54. Backward 135 by
# differentiating each line, and one per radial function for dE/dr: 146.
# l_max 1, middle: 12 and 32 for the four couplings of natural parity with |Y_0|, |Y_1|, and 1 and 4
# for the fifth, R (r̂·v) r̂, which has Y_2 and is part of this architecture.
# l_max 3: see the table of the architecture page; only totals with 4 and 8 per function are known.
PRODUCTS = {
    1: {"first": (4, 10), "middle": (13, 36), "last": (6, 18)},
    2: {"first": (9, 21), "middle": (54, 146), "last": (12, 36)},
    3: {"first": (16, 36), "middle": (158, 432), "last": (20, 60)},
}
FUNCTIONS = {
    1: {"first": 2, "middle": 5, "last": 2},
    2: {"first": 3, "middle": 11, "last": 3},
    3: {"first": 4, "middle": 23, "last": 4},
}


def layer_kind(t: int, n_layers: int) -> str:
    """`first`, `middle` or `last`."""
    return "first" if t == 0 else "last" if t + 1 == n_layers else "middle"


def edge_fma(l_max: int, n_layers: int) -> int:
    """Per directed edge and message channel, all layers, forward and backward."""
    total = 0
    for t in range(n_layers):
        kind = layer_kind(t, n_layers)
        forward, backward = PRODUCTS[l_max][kind]
        total += forward + backward + (4 + 8) * FUNCTIONS[l_max][kind]
    return total


def stage_fma(architecture: dict[str, Any], neighbours: float) -> dict[str, float]:
    """FMA per atom and step of each stage a profile build times, by the names of profile.cpp."""
    layers = architecture["layers"]
    l_max = max(layer["l_out"] for layer in layers)
    stages: dict[str, float] = {"linear": float(node_fma(architecture))}
    for t in range(len(layers)):
        kind = layer_kind(t, len(layers))
        products, functions = PRODUCTS[l_max][kind], FUNCTIONS[l_max][kind]
        edges = neighbours * architecture["message_channels"]
        for way, product, radial in (("forward", products[0], 4), ("backward", products[1], 8)):
            name = f"{way} {kind}"
            stages[name] = stages.get(name, 0.0) + edges * (product + radial * functions)
    return stages


def node_fma(architecture: dict[str, Any]) -> int:
    """Linear maps and read-out per atom, forward and backward (no gradients of weights)."""
    channels, total = architecture["message_channels"], 0
    for t, layer in enumerate(architecture["layers"]):
        f_in, f_out = layer["channels_in"], layer["channels_out"]
        widths = [sum(f_out), *f_out[1:]]
        for degree, width in enumerate(widths):
            total += (2 * degree + 1) * channels * width  # linear_out
        if t == 0:
            continue  # messages of the first layer are known per species
        for degree, f in enumerate(f_in):
            total += (2 * degree + 1) * f * channels  # linear_in
            if degree < len(widths):
                total += (2 * degree + 1) * f * widths[degree]  # self_connection
    widths = [architecture["layers"][-1]["channels_out"][0], *architecture["readout"], 1]
    total += sum(a * b for a, b in itertools.pairwise(widths))
    return 2 * total


def fma_per_atom(architecture: dict[str, Any], neighbours: float) -> float:
    """FMA per atom and step of energy and forces, for equal degrees between the layers."""
    layers = architecture["layers"]
    l_max = max(layer["l_out"] for layer in layers)
    edges = neighbours * architecture["message_channels"] * edge_fma(l_max, len(layers))
    return edges + node_fma(architecture)
