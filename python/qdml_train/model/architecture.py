# SPDX-License-Identifier: MIT
"""What a potential is made of: degrees and widths per layer, as the file's `architecture` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# (least l_in, least l_out) of the eleven message terms, in the order of docs/conventions.md.
TERMS = (
    (0, 0), (1, 0), (2, 0),
    (0, 1), (1, 1), (1, 1), (2, 1),
    (0, 2), (1, 2), (2, 2), (2, 2),
)  # fmt: skip

N_COMPONENTS = (1, 3, 5)
"""Stored components of one channel of degree 0, 1, 2."""


def layer_terms(l_in: int, l_out: int) -> list[int]:
    """Indices of the message terms of a layer: the axis P of `layers.{t}.radial`."""
    return [k for k, (a, b) in enumerate(TERMS) if a <= l_in and b <= l_out]


@dataclass(frozen=True)
class Layer:
    """Degrees and channels of one interaction layer."""

    l_in: int
    l_out: int
    channels_in: tuple[int, ...]
    channels_out: tuple[int, ...]

    @property
    def n_gates(self) -> int:
        """Gate scalars: one per output channel of degree 1 and 2."""
        return sum(self.channels_out[1:])


@dataclass(frozen=True)
class Architecture:
    """Shape of a potential. Hashable, so that it can be a static argument of `jax.jit`."""

    species: tuple[str, ...]
    cutoff: float
    knots: int
    message_channels: int
    layers: tuple[Layer, ...]
    readout: tuple[int, ...]

    @classmethod
    def build(
        cls,
        species: tuple[str, ...],
        cutoff: float,
        l_max: int,
        n_layers: int,
        channels: tuple[int, ...],
        message_channels: int,
        knots: int,
        readout: tuple[int, ...],
    ) -> Architecture:
        """The usual stack: scalars in, degrees up to `l_max` between layers, scalars out.

        `channels[l]` is the number of node features of degree l.
        """
        layers = []
        for t in range(n_layers):
            l_in = 0 if t == 0 else l_max
            l_out = 0 if t == n_layers - 1 else l_max
            layers.append(Layer(l_in, l_out, channels[: l_in + 1], channels[: l_out + 1]))
        return cls(species, cutoff, knots, message_channels, tuple(layers), readout)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Architecture:
        """From the JSON document of a `.qdml` file."""
        found = document["architecture"]
        return cls(
            species=tuple(document["species"]),
            cutoff=float(found["cutoff"]),
            knots=found["knots"],
            message_channels=found["message_channels"],
            layers=tuple(
                Layer(x["l_in"], x["l_out"], tuple(x["channels_in"]), tuple(x["channels_out"]))
                for x in found["layers"]
            ),
            readout=tuple(found["readout"]),
        )

    def document(self) -> dict[str, Any]:
        """The `architecture` object of the file."""
        return {
            "kind": "cartesian-summed",
            "cutoff": self.cutoff,
            "knots": self.knots,
            "message_channels": self.message_channels,
            "layers": [
                {
                    "l_in": x.l_in,
                    "l_out": x.l_out,
                    "channels_in": list(x.channels_in),
                    "channels_out": list(x.channels_out),
                }
                for x in self.layers
            ],
            "readout": list(self.readout),
        }
