# SPDX-License-Identifier: MIT
"""What is fixed about the messages of a layer, and how their arrays lie, for the calls of `native`.

Two families: Cartesian tensors (`CartesianLayout`) and Clebsch-Gordan paths (`PathLayout`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np
from qdml.cartesian import degree_terms


class Layout(Protocol):
    """Hashable; `operation` is the name that the calls begin with."""

    operation: str

    def attributes(self) -> dict[str, Any]:
        """Attributes of every call."""

    def sums_shape(self, sent: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of A for features of a shape."""

    def valid_table(self, table: jax.Array) -> jax.Array:
        """A direction in the table without the numbers that are zero by contract."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class CartesianLayout:
    """sent [A, (l_in+1)², C], table [knots+3, terms, C], sums [A, components, C]: as `received` of
    `potential.interaction`.

    The last three knots of a table are zero by contract and are given the gradient zero.
    """

    l_in: int
    l_out: int
    separated: bool
    cutoff: float  # Å
    n_slots: int  # neighbours per atom

    operation = "messages"

    def attributes(self) -> dict[str, Any]:
        return {
            "l_in": np.int32(self.l_in),
            "l_out": np.int32(self.l_out),
            "separated": np.bool_(self.separated),
            "cutoff": np.float64(self.cutoff),
            "n_slots": np.int32(self.n_slots),
        }

    def sums_shape(self, sent: tuple[int, ...]) -> tuple[int, ...]:
        n = sum(
            (2 * degree + 1)
            * (len(degree_terms(self.l_in, self.l_out, degree)) if self.separated else 1)
            for degree in range(self.l_out + 1)
        )
        return sent[0], n, sent[2]

    def valid_table(self, table: jax.Array) -> jax.Array:
        return table.at[-3:].set(0.0)

    def has_kernels(self, channels: int) -> bool:
        """Whether the engine has kernels for it."""
        from qdml import _native

        return _native.has_messages(self.l_in, self.l_out, channels)


@jax.tree_util.register_static
@dataclass(frozen=True)
class PathLayout:
    """sent [A, W], per irrep of the message its [2l+1, C]; table [K+1, 2, F], F the channels of all
    paths; sums [A, W'], per path its [2 l_out+1, C].
    """

    irreps: tuple[tuple[int, int], ...]  # degree and channels C
    paths: tuple[tuple[int, int, int], ...]  # irrep, degree of the edge, l_out
    cutoff: float  # Å
    n_slots: int  # neighbours per atom

    operation = "path_messages"

    @classmethod
    def of_layer(cls, layer: dict[str, Any], cutoff: float, n_slots: int) -> PathLayout:
        """From a layer of a file's architecture."""
        from qdml.paths import channels_of

        widths = channels_of(layer["irreps_message"])
        names = list(widths)
        return cls(
            tuple((int(name[0]), width) for name, width in widths.items()),
            tuple((names.index(p[0]), int(p[1]), int(p[2][0])) for p in layer["paths"]),
            float(cutoff),
            n_slots,
        )

    def attributes(self) -> dict[str, Any]:
        return {
            "irreps": np.array(self.irreps, np.int32).ravel(),
            "paths": np.array(self.paths, np.int32).ravel(),
            "cutoff": np.float64(self.cutoff),
            "n_slots": np.int32(self.n_slots),
        }

    def sums_shape(self, sent: tuple[int, ...]) -> tuple[int, ...]:
        return sent[0], sum((2 * out + 1) * self.irreps[k][1] for k, _, out in self.paths)

    def split_sums(self, sums: jax.Array) -> list[jax.Array]:
        """One array [A, 2 l_out+1, C] per path."""
        found, stop = [], 0
        for k, _, out in self.paths:
            start, stop = stop, stop + (2 * out + 1) * self.irreps[k][1]
            found.append(sums[:, start:stop].reshape(len(sums), 2 * out + 1, self.irreps[k][1]))
        return found

    def valid_table(self, table: jax.Array) -> jax.Array:
        return table

    def has_kernels(self) -> bool:
        """Whether the engine has kernels for it."""
        from qdml import _native

        return _native.has_path_messages(np.ravel(self.irreps), np.ravel(self.paths))
