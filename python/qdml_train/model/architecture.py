# SPDX-License-Identifier: MIT
"""What a potential is made of: degrees and widths per layer, as the file's `architecture` says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from qdml import paths
from qdml.cartesian import SEPARATED, SUMMED, degree_terms


@dataclass(frozen=True)
class Layer:
    """Degrees and channels of one interaction layer."""

    l_in: int
    l_out: int
    channels_in: tuple[int, ...]
    channels_out: tuple[int, ...]

    @property
    def n_gates(self) -> int:
        """Gate scalars: one per output channel of degree 1 and higher."""
        return sum(self.channels_out[1:])

    def n_slots(self, degree: int, separated: bool) -> int:
        """Sums over neighbours per channel of an output degree: one, or one per message term."""
        return len(degree_terms(self.l_in, self.l_out, degree)) if separated else 1


@dataclass(frozen=True)
class Architecture:
    """Shape of a potential. Hashable, so that it can be a static argument of `jax.jit`."""

    species: tuple[str, ...]
    cutoff: float
    knots: int
    message_channels: int
    layers: tuple[Layer, ...]
    readout: tuple[int, ...]
    separated: bool = False
    """Each message term keeps its own sum up to `linear_out` (as in NequIP)."""

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
        separated: bool = False,
    ) -> Architecture:
        """The usual stack: scalars in, degrees up to `l_max` between layers, scalars out.

        `channels[l]` is the number of node features of degree l.
        """
        layers = []
        for t in range(n_layers):
            l_in = 0 if t == 0 else l_max
            l_out = 0 if t == n_layers - 1 else l_max
            layers.append(Layer(l_in, l_out, channels[: l_in + 1], channels[: l_out + 1]))
        return cls(species, cutoff, knots, message_channels, tuple(layers), readout, separated)

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
            separated=found["kind"] == SEPARATED,
        )

    def document(self) -> dict[str, Any]:
        """The `architecture` object of the file."""
        return {
            "kind": SEPARATED if self.separated else SUMMED,
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


@dataclass(frozen=True)
class PathArchitecture:
    """A potential of Clebsch-Gordan paths (imported ones); hashable by the text of its document."""

    species: tuple[str, ...]
    cutoff: float
    text: str

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> PathArchitecture:
        """From the JSON document of a `.qdml` file."""
        found = document["architecture"]
        text = json.dumps(found, sort_keys=True)
        return cls(tuple(document["species"]), float(found["cutoff"]), text)

    @cached_property
    def content(self) -> dict[str, Any]:
        """The `architecture` object; not to be changed."""
        return json.loads(self.text)

    def document(self) -> dict[str, Any]:
        """The `architecture` object of the file."""
        return json.loads(self.text)


AnyArchitecture = Architecture | PathArchitecture


def read_architecture(document: dict[str, Any]) -> AnyArchitecture:
    """The architecture of a checked `.qdml` document."""
    is_paths = document["architecture"]["kind"] == paths.KIND
    return (PathArchitecture if is_paths else Architecture).from_document(document)
