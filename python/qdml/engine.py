# SPDX-License-Identifier: MIT
"""The native engine for numpy arrays: energy, forces and virial of a structure.

Units Å and eV; conventions in docs/conventions.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qdml.errors import DataError, EngineError
from qdml.modelfile import spread_factors

try:
    from qdml import _native
except ImportError as missing:  # a source tree without the compiled part
    _native = None  # type: ignore[assignment]
    _reason = str(missing)


def native() -> Any:
    """The compiled module, or an `EngineError` that says how to get it."""
    if _native is None:
        raise EngineError(
            f"the compiled engine cannot be imported ({_reason}); install qdml with `pip install .`"
        )
    return _native


@dataclass(frozen=True)
class Prediction:
    """Result of one evaluation; n atoms.

    Of a committee these are averages; `member_energies` [m] and `member_forces` [m, n, 3] are those
    of the members, None of a single potential. `energy_factor` and `forces_factor` are the
    `spread_factors` of its file, 1 where it has none.

    `virial` is W = sum_i x_i F_i (eV, [3, 3]); stress is -W / volume. `energies` [n] and
    `virials` [n, 3, 3] are None unless asked for, and sum to `energy` and `virial`.
    """

    energy: float
    forces: NDArray[np.float64]
    virial: NDArray[np.float64]
    energies: NDArray[np.float64] | None = None
    virials: NDArray[np.float64] | None = None
    member_energies: NDArray[np.float64] | None = None
    member_forces: NDArray[np.float64] | None = None
    energy_factor: float = 1.0
    forces_factor: float = 1.0

    @property
    def energy_spread(self) -> float | None:
        """Standard deviation of the members' energies times its factor, eV; None of one."""
        if self.member_energies is None:
            return None
        return self.energy_factor * float(self.member_energies.std())

    @property
    def forces_spread(self) -> NDArray[np.float64] | None:
        """[n] sqrt(Σ_m |F_m - F̄|² / M) times its factor, eV/Å; None of a single potential."""
        if self.member_forces is None:
            return None
        squares = ((self.member_forces - self.forces) ** 2).sum(axis=2).mean(axis=0)
        return self.forces_factor * np.sqrt(squares)


class Engine:
    """A potential loaded for evaluation; `precision` is `mixed` (fp32 kernels) or `double`.

    The file may be a committee of `n_members`. `device` is `auto` (a GPU where one can be used,
    else the CPU), `cpu` or `gpu`; `info["device"]` says which it became. Raises ModelFileError when
    the file is refused, EngineError (`device_unavailable`) for `gpu` where there is none. One
    Engine may be used by one thread at a time.
    """

    def __init__(
        self, path: str | os.PathLike[str], precision: str = "mixed", device: str = "auto"
    ) -> None:
        self._engine = native().Engine(os.fspath(path), precision, device)
        self.precision = precision
        self.info: dict[str, Any] = self._engine.info
        self.metadata: dict[str, Any] = json.loads(self.info["metadata_json"])
        self.symbols: list[str] = self.info["species"]
        self.cutoff: float = self.info["cutoff"]
        self.n_members: int = self._engine.n_members
        self.spread_factors: dict[str, float] = spread_factors(self.metadata)

    @property
    def memory_limit(self) -> int:
        """Bound of the work arrays in bytes; 0, the default, is none.

        Under a bound the arrays over edges are made for as many atoms at a time as fit, which is
        slower. EngineError (`memory_limit`) in compute when even the features do not fit,
        `value_invalid` for a negative number.
        """
        return self._engine.memory_limit

    @memory_limit.setter
    def memory_limit(self, n_bytes: int) -> None:
        self._engine.memory_limit = n_bytes

    @property
    def memory_allocated(self) -> int:
        """Bytes of the work arrays as they are allocated now; weights are not counted."""
        return self._engine.memory_allocated

    def species_of(self, symbols: Sequence[str]) -> NDArray[np.int32]:
        """Model indices of chemical symbols; DataError names the elements the model lacks."""
        index = {symbol: i for i, symbol in enumerate(self.symbols)}
        unknown = sorted(set(symbols) - set(index))
        if unknown:
            raise DataError(
                f"{self.info['path']} knows {', '.join(self.symbols)}, the structure also has "
                f"{', '.join(unknown)}; use a potential fitted with these elements"
            )
        return np.array([index[s] for s in symbols], dtype=np.int32)

    def compute(
        self,
        positions: ArrayLike,
        species: ArrayLike,
        cell: ArrayLike | None = None,
        pbc: Sequence[bool] = (False, False, False),
        per_atom: bool = False,
    ) -> Prediction:
        """Evaluate positions [n, 3] (Å) with model indices `species` [n] in `cell` [3, 3] (Å).

        Rows of `cell` are its vectors; rows of non-periodic directions are ignored.
        """
        cell = np.zeros((3, 3)) if cell is None else np.asarray(cell, dtype=float)
        periodic = [bool(p) for p in pbc]
        found = self._engine.compute(positions, species, cell, periodic, per_atom, per_atom)
        return self._prediction(found)

    def compute_graph(
        self,
        species: ArrayLike,
        row_start: ArrayLike,
        neighbor: ArrayLike,
        edge_vector: ArrayLike,
        exchange: Callable[[NDArray[Any]], None] | None = None,
        per_atom: bool = False,
    ) -> Prediction:
        """Evaluate a neighbour list made elsewhere: rows of the local atoms, ghosts after them.

        species [n_total], row_start [n_local + 1], neighbor [n_edges], edge_vector [n_edges, 3]
        (r_ij, Å). `exchange(rows)` fills the ghost rows of an array [n_total, width] in place.
        Forces have n_total rows: those of ghosts belong to their owners.
        """
        found = self._engine.compute_graph(
            species, row_start, neighbor, edge_vector, exchange, per_atom, per_atom
        )
        return self._prediction(found)

    def _prediction(self, found: dict[str, Any]) -> Prediction:
        return Prediction(
            found["energy"],
            found["forces"],
            found["virial"],
            found.get("atom_energy"),
            found.get("atom_virial"),
            found.get("member_energies"),
            found.get("member_forces"),
            self.spread_factors["energy"],
            self.spread_factors["forces"],
        )


def build_neighbor_list(
    positions: ArrayLike, cell: ArrayLike, pbc: Sequence[bool], cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """All directed edges shorter than `cutoff` (Å), grouped by center, images counted one by one.

    Returns row_start [n + 1], neighbor [n_edges], shift [n_edges, 3] and edge_vector
    [n_edges, 3] = x_j - x_i + shift · cell, each row sorted by distance.
    """
    return native().build_neighbor_list(positions, cell, [bool(p) for p in pbc], float(cutoff))
