# SPDX-License-Identifier: MIT
"""Lines for people on the architecture of a `.qdml` file, of either kind."""

from __future__ import annotations

from typing import Any


def describe_architecture(architecture: dict[str, Any]) -> str:
    """Kind, layers, degree or paths, cutoff and knots in one line."""
    layers = architecture["layers"]
    if architecture["kind"] == "clebsch-gordan":
        paths = ", ".join(str(len(layer["paths"])) for layer in layers)
        detail = f"paths of each layer {paths}"
    else:
        l_max = max(layer["l_out"] for layer in layers)
        detail = f"l_max {l_max}, {architecture['message_channels']} message channels"
    return (
        f"{architecture['kind']}, {len(layers)} layers, {detail}, "
        f"cutoff {architecture['cutoff']:g} Å, {architecture['knots']} knots"
    )


def describe_features(architecture: dict[str, Any]) -> str:
    """Node features after each layer."""
    layers = architecture["layers"]
    if architecture["kind"] == "clebsch-gordan":
        return " → ".join(layer["irreps_out"] for layer in layers)
    widths = " → ".join("+".join(map(str, layer["channels_out"])) for layer in layers)
    return f"{widths} (channels of l = 0, 1, ... after each layer)"
