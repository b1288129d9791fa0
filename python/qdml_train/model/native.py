# SPDX-License-Identifier: MIT
"""Messages of a layer by the engine's own kernels: XLA custom calls with two derivatives, on CPUs.

The same functions as `message.message` and `paths.messages` with the sums over neighbours, which
stay the reference; `layout.py` says what differs between the two families.
With A(sent, table, vector) the sums and s = <G, A>, three kinds of call make up everything: A, the
gradient of s, and derivatives of both along a direction (u_sent, u_vector) by dual numbers. A is
linear in sent, table and G, so a direction in the table needs no call of its own. Third derivatives
do not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from qdml_train.model.layout import Layout

Array = jax.Array


@jax.tree_util.register_static
@dataclass(frozen=True)
class Wanted:
    """Arguments in which a derivative is asked for; the others cost nothing."""

    sent: bool
    table: bool
    vector: bool
    gradient: bool = False


class Inputs(NamedTuple):
    """Arguments of A and of the gradient of <G, A>."""

    sent: Array  # [A, ...] of the layout
    table: Array  # of the layout
    vector: Array  # [A, K, 3] r_ij, Å
    plan: Array  # bytes, `edge_plan` of the same vectors


@cache
def register() -> bool:
    """Make the calls known to JAX once; False where this build of qdml or this JAX has none."""
    try:
        from qdml import _native

        for name, handler in _native.ffi_targets().items():
            jax.ffi.register_ffi_target(name, handler, platform="cpu")
    except (ImportError, AttributeError, RuntimeError):  # no binding; an old JAX
        return False
    return True


def is_available() -> bool:
    """Whether computations of this process can use the kernels: they run where JAX's default is."""
    return jax.default_backend() == "cpu" and register()


def call(name: str, out: Any, *arguments: Array, **attributes: Any) -> Any:
    """One custom call, in the number type of the first argument."""
    register()
    suffix = {"float32": "_f32", "float64": "_f64"}[arguments[0].dtype.name]
    function = jax.ffi.ffi_call(f"qdml_{name}{suffix}", out, vmap_method="sequential")
    return function(*arguments, **attributes)


def edge_plan(
    vector: Array,
    neighbor: Array,
    reverse: Array,
    cutoff: float,
    knots: int,
    hermite: bool = False,
) -> Array:
    """Edges within the cutoff as the kernels read them, for all layers; bytes of no other use.

    `hermite`: the tables hold values and slopes at the knots, those of paths; else coefficients of
    cubic B-splines. Not differentiated: derivatives in `vector` go through `sums`.
    """
    from qdml import _native

    n_bytes = _native.edge_plan_bytes(*neighbor.shape, vector.dtype == jnp.float64)
    return call(
        "edge_plan",
        jax.ShapeDtypeStruct((n_bytes,), jnp.uint8),
        jax.lax.stop_gradient(vector),
        neighbor,
        reverse,
        cutoff=np.float64(cutoff),
        knots=np.int32(knots),
        hermite=np.bool_(hermite),
    )


def like(array: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def sums_like(layout: Layout, inputs: Inputs) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(layout.sums_shape(inputs.sent.shape), inputs.sent.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def sums(layout: Layout, sent: Array, table: Array, vector: Array, plan: Array) -> Array:
    """A of all atoms, as the layout has them. Arguments as in `Inputs`."""
    inputs = Inputs(sent, table, vector, plan)
    out = sums_like(layout, inputs)
    return call(layout.operation, out, sent, table, plan, **layout.attributes())


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def gradients(
    layout: Layout, wanted: Wanted, sent: Array, table: Array, vector: Array, plan: Array, g: Array
) -> dict[str, Array]:
    """Gradient of s = <G, A> in the arguments that are wanted, by their names."""
    attributes, found = layout.attributes(), {}
    if wanted.table:
        out = (like(sent), like(table))
        found["sent"], found["table"] = call(
            layout.operation + "_table_gradient", out, sent, table, plan, g, **attributes
        )
    if wanted.vector or not wanted.table:
        out = (like(sent), like(vector))
        found["sent"], found["vector"] = call(
            layout.operation + "_vector_gradient", out, sent, table, plan, g, **attributes
        )
    return {name: found[name] for name in ("sent", "table", "vector") if getattr(wanted, name)}


def tangent(layout: Layout, inputs: Inputs, u_sent: Array, u_vector: Array) -> Array:
    """Derivative of A along (u_sent, u_vector)."""
    sent, table, vector, plan = inputs
    out = sums_like(layout, inputs)
    arguments = (sent, table, plan, vector, u_sent, u_vector)
    return call(layout.operation + "_tangent", out, *arguments, **layout.attributes())


def second(
    layout: Layout, wanted: Wanted, inputs: Inputs, g: Array, u_sent: Array, u_vector: Array
) -> dict[str, Array]:
    """Derivative of `gradients` along (u_sent, u_vector) at fixed G."""
    sent, table, vector, plan = inputs
    attributes, found = layout.attributes(), {}
    arguments = (sent, table, plan, vector, u_sent, u_vector, g)
    if wanted.vector:
        out = (like(sent), like(vector))
        found["sent"], found["vector"] = call(
            layout.operation + "_vector_second", out, *arguments, **attributes
        )
    if wanted.table or (wanted.sent and not found):
        out = (like(sent), like(table))
        found["sent"], found["table"] = call(
            layout.operation + "_table_second", out, *arguments, **attributes
        )
    return found


def _sums_forward(layout: Layout, *primals: Any) -> Any:
    values = Inputs(*(p.value for p in primals))
    asked = Inputs(*(p.perturbed for p in primals))
    return sums(layout, *values), (values, Wanted(asked.sent, asked.table, asked.vector))


def _sums_backward(layout: Layout, residuals: Any, g: Any) -> Any:
    inputs, wanted = residuals
    if isinstance(g, SymbolicZero):
        return None, None, None, None
    found = gradients(layout, wanted, *inputs, g)
    return found.get("sent"), found.get("table"), found.get("vector"), None


def _gradients_forward(layout: Layout, wanted: Wanted, *primals: Any) -> Any:
    *values, g = (p.value for p in primals)
    asked = Inputs(*(p.perturbed for p in primals[:4]))
    deeper = Wanted(asked.sent, asked.table, asked.vector, primals[4].perturbed)
    return gradients(layout, wanted, *values, g), (Inputs(*values), g, deeper)


def _gradients_backward(layout: Layout, wanted: Wanted, residuals: Any, cotangents: Any) -> Any:
    """With u the cotangents of the gradients: the gradient of <u, gradient of s>."""
    inputs, g, asked = residuals
    u = {k: v for k, v in cotangents.items() if not isinstance(v, SymbolicZero)}
    found: dict[str, Array] = {}
    of_g = None
    if "sent" in u or "vector" in u:
        u_sent = u.get("sent", jnp.zeros_like(inputs.sent))
        u_vector = u.get("vector", jnp.zeros_like(inputs.vector))
        if asked.gradient:
            of_g = tangent(layout, inputs, u_sent, u_vector)
        found = second(layout, asked, inputs, g, u_sent, u_vector)
    if "table" in u:  # linear: the same with the direction in place of the table
        along = inputs._replace(table=layout.valid_table(u["table"]))
        if asked.gradient:
            more = sums(layout, *along)
            of_g = more if of_g is None else of_g + more
        if asked.sent or asked.vector:
            wanted = Wanted(asked.sent, False, asked.vector)
            for name, value in gradients(layout, wanted, *along, g).items():
                found[name] = found[name] + value if name in found else value
    return found.get("sent"), found.get("table"), found.get("vector"), None, of_g


sums.defvjp(_sums_forward, _sums_backward, symbolic_zeros=True)
gradients.defvjp(_gradients_forward, _gradients_backward, symbolic_zeros=True)
