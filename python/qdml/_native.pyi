# SPDX-License-Identifier: MIT
"""Types of the compiled module (cpp/bindings/module.cpp). Units Å and eV."""

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

__version__: str

class Info(TypedDict):
    path: str
    hash: str
    metadata_json: str
    species: list[str]
    cutoff: float
    n_layers: int
    message_channels: int
    isa: str
    device: str
    architecture: str

def build_neighbor_list(
    positions: ArrayLike, cell: ArrayLike, pbc: Sequence[bool], cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]: ...

class Engine:
    def __init__(
        self, path: str, precision: str = "mixed", device: str = "auto", local_rank: int = 0
    ) -> None: ...
    def compute(
        self,
        positions: ArrayLike,
        species: ArrayLike,
        cell: ArrayLike,
        pbc: Sequence[bool],
        atom_energy: bool = False,
        atom_virial: bool = False,
    ) -> dict[str, Any]: ...
    def compute_graph(
        self,
        species: ArrayLike,
        row_start: ArrayLike,
        neighbor: ArrayLike,
        edge_vector: ArrayLike,
        exchange: Callable[[NDArray[Any]], None] | None = None,
        atom_energy: bool = False,
        atom_virial: bool = False,
    ) -> dict[str, Any]: ...
    def memory_estimate(self, n_local: int, n_ghost: int, n_edges: int) -> int: ...
    memory_limit: int
    @property
    def memory_allocated(self) -> int: ...
    @property
    def n_members(self) -> int: ...
    @property
    def max_exchange_width(self) -> int: ...
    @property
    def info(self) -> Info: ...
