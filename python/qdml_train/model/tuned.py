# SPDX-License-Identifier: MIT
"""A network that starts as the one of a `.qdml` file: every array is that of the file plus what
training adds.

The file holds tables, not the radial networks that made them. Their change is again the output of
a small network of Bessel functions, so that it stays smooth; its last layer starts at zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from qdml_train.model.architecture import AnyArchitecture, PathArchitecture
from qdml_train.model.network import SHIFT, Arrays
from qdml_train.model.radial import knot_inputs, knot_inputs_with_slope, radial_network

CHANGE = "change."
"""Prefix of the parameters that are added, in units of the array's root mean square."""


@dataclass
class TunedNetwork:
    """`Network` (network.py) around the tensors of a file, for the species of a fit."""

    architecture: AnyArchitecture
    frozen: dict[str, np.ndarray]  # all tensors but energy.reference and zbl.r_max, float64
    head_only: bool  # read-out and energy.scale alone are trained
    n_bessel: int
    radial_hidden: tuple[int, ...]
    shifted: tuple[bool, ...]  # levels whose E0 is trained

    def start(self, seed: int) -> dict[str, jax.Array]:
        """As `Network.start`: no change."""
        found: dict[str, jax.Array] = {}
        keys = iter(jax.random.split(jax.random.key(seed), 1024))
        for name, array in self.frozen.items():
            if name.endswith(".radial"):
                if not self.head_only:
                    widths = [self.n_bessel, *self.radial_hidden, int(np.prod(self._width(array)))]
                    last = len(widths) - 2
                    for k in range(last + 1):
                        shape = (widths[k], widths[k + 1])
                        weight = jax.random.normal(next(keys), shape)
                        found[f"{CHANGE}{name}.{k}"] = weight if k < last else jnp.zeros(shape)
            elif not self.head_only or name.startswith("readout.") or name == "energy.scale":
                found[CHANGE + name] = jnp.zeros(array.shape)
        if any(self.shifted):
            found[SHIFT] = jnp.zeros((len(self.shifted), len(self.architecture.species)))
        return found

    def tensors(self, parameters: Arrays, frozen: Arrays) -> dict[str, jax.Array]:
        """As `Network.tensors`."""
        tensors = {}
        for name, array in frozen.items():
            unit = root_mean_square(self.frozen[name])
            if CHANGE + name in parameters:
                tensors[name] = array + unit * parameters[CHANGE + name]
            elif f"{CHANGE}{name}.0" in parameters:
                tensors[name] = array + unit * self._radial_change(name, parameters)
            else:
                tensors[name] = array
        return tensors

    def _radial_change(self, name: str, parameters: Arrays) -> jax.Array:
        """Change of a radial table, of its shape."""
        n = len(self.radial_hidden) + 1
        weights = [parameters[f"{CHANGE}{name}.{k}"] for k in range(n)]
        architecture, shape = self.architecture, self.frozen[name].shape
        dtype = weights[0].dtype
        if not isinstance(architecture, PathArchitecture):
            inputs = knot_inputs(architecture.cutoff, architecture.knots, self.n_bessel)
            return radial_network(weights, jnp.asarray(inputs, dtype)).reshape(shape)
        # Hermite tables: values, and slopes times the distance of the knots
        inputs, slopes = knot_inputs_with_slope(architecture.cutoff, shape[0] - 1, self.n_bessel)
        values, derivatives = jax.jvp(
            lambda x: radial_network(weights, x),
            (jnp.asarray(inputs, dtype),),
            (jnp.asarray(slopes * (architecture.cutoff / (shape[0] - 1)), dtype),),
        )
        return jnp.stack([values, derivatives], axis=1)

    def _width(self, table: np.ndarray) -> tuple[int, ...]:
        """Radial functions of a layer: [terms, channels], or [functions] beside value and slope."""
        is_paths = isinstance(self.architecture, PathArchitecture)
        return table.shape[2:] if is_paths else table.shape[1:]


def root_mean_square(array: np.ndarray) -> float:
    """Unit of the changes of an array; 1 for one of zeros."""
    value = float(np.sqrt((np.asarray(array, dtype=float) ** 2).mean()))
    return value if value > 0 else 1.0


def changed_arrays(parameters: Mapping[str, object]) -> list[str]:
    """Names of the file's tensors that are trained."""
    names = {k.removeprefix(CHANGE) for k in parameters if k.startswith(CHANGE)}
    return sorted({n.rpartition(".")[0] if ".radial." in n else n for n in names})
