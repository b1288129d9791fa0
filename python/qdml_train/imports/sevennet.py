# SPDX-License-Identifier: MIT
"""Convert SevenNet checkpoints (NequIP-type models of the package `sevenn`) to `.qdml`.

All constants of e3nn (path weights, fan-in, second moments of activations), the convolution
denominator, the radial network and the cutoff function are folded into the tensors in float64.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from qdml.errors import DataError
from qdml.paths import KIND, n_gates

from qdml_train.imports.radial import (
    Dual,
    bessel,
    multiply,
    network,
    polynomial_cutoff,
    tabulate,
    xplor_cutoff,
)
from qdml_train.model.clebsch_gordan import wigner_3j

KNOTS = 500
"""Intervals of the radial tables. A multiple of 10, so that a switch-on at 0.9 rc is a knot."""


@dataclass(frozen=True)
class Imported:
    """What `write_model` needs, and what to tell the user."""

    document: dict[str, Any]
    tensors: dict[str, np.ndarray]
    table_value_error: float
    table_slope_error: float


def import_checkpoint(source: str, knots: int = KNOTS) -> Imported:
    """Read a checkpoint by path or by a name `sevenn` knows (7net-0, 7net-l3i5).

    Raises DataError when `sevenn` is missing, the file is unknown or the model has parts that the
    format cannot express (several modalities, biases, other activations); names the part.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from sevenn.checkpoint import SevenNetCheckpoint
            from sevenn.util import pretrained_name_to_path
    except ImportError as missing:
        raise DataError(
            f"reading SevenNet checkpoints needs torch and sevenn ({missing}); install "
            "'qdml[import-sevennet]' in an environment of its own"
        ) from missing
    path = Path(source)
    if not path.exists():
        try:
            path = Path(pretrained_name_to_path(source))
        except ValueError as unknown:
            raise DataError(f"{source}: no such file and no checkpoint sevenn knows") from unknown
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checkpoint = SevenNetCheckpoint(path)
        model = checkpoint.build_model()
    name = source if path.name != Path(source).name else path.name
    return convert(model, checkpoint.config, name, knots)


def convert(model: Any, config: Mapping[str, Any], name: str, knots: int = KNOTS) -> Imported:
    """Convert a built SevenNet model (torch, e3nn kernels) with its configuration.

    The weights are read in the model's own precision and widened to float64.
    """
    modules = dict(model._modules.items())
    _refuse(config.get("use_modality", False), "several modalities; choose a single-fidelity model")
    _refuse(config.get("use_bias_in_linear", False), "biases in its linear maps")
    type_map = {int(z): int(k) for z, k in config["_type_map"].items()}
    species = _symbols(type_map)
    natural = bool(config["is_parity"])
    cutoff, n_layers = float(config["cutoff"]), int(config["num_convolution_layer"])
    tensors: dict[str, np.ndarray] = {}
    embedding = _matrices(modules["onehot_to_feature_x"].linear)
    tensors["embedding.weight"] = embedding["0e"]
    scale = {"0e": 1.0}  # factor between SevenNet's features and ours, per irrep
    layers, errors = [], []
    for t in range(n_layers):
        layer, found, scale, error = _layer(modules, t, cutoff, knots, scale)
        if layers:
            layer["irreps_in"] = layers[-1]["irreps_out"]  # the same irreps, perhaps ordered anew
        layers.append(layer)
        errors.append(error)
        tensors |= {f"layers.{t}.{key}": value for key, value in found.items()}
    readout, maps = _readout(modules, scale["0e"])
    tensors |= {f"readout.{k}.weight": w for k, w in enumerate(maps)}
    rescale = modules["rescale_atomic_energy"]
    for key, values in (("reference", rescale.shift), ("scale", rescale.scale)):
        tensors[f"energy.{key}"] = np.broadcast_to(_array(values), (len(species),)).copy()
    value_error, slope_error = (max(e[k] for e in errors) for k in (0, 1))
    document = {
        "architecture": {
            "kind": KIND,
            "cutoff": cutoff,
            "knots": knots,
            "edge_parity": "natural" if natural else "even",
            "layers": layers,
            "readout": readout,
        },
        "species": species,
        "level_of_theory": "as the SevenNet checkpoint; see its documentation",
        "training": {
            "imported_from": f"SevenNet checkpoint {name}",
            "sevenn_version_of_checkpoint": str(config.get("version", "unknown")),
            "radial_table_error": {"value": value_error, "per_angstrom": slope_error},
        },
        "description": f"SevenNet {name}, converted by qdml",
    }
    return Imported(document, tensors, value_error, slope_error)


def _layer(
    modules: Mapping[str, Any],
    t: int,
    cutoff: float,
    knots: int,
    scale: Mapping[str, float],
) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, float], tuple[float, float]]:
    """One layer: its entry of the document, tensors, scale of its features, table errors."""
    convolution = modules[f"{t}_convolution"]
    gate = modules[f"{t}_equivariant_gate"].gate
    product = convolution.convolution
    irreps_in = _names(modules[f"{t}_self_interaction_1"].irreps_in)
    out, activation, factors = _gate(gate)
    repeated = len(_names(product.irreps_in1)) != len(product.irreps_in1)
    _refuse(repeated, "an irrep that comes twice in its features")
    paths = [
        [
            _name(product.irreps_in1[i.i_in1].ir),
            product.irreps_in2[i.i_in2].ir.l,
            _name(product.irreps_out[i.i_out].ir),
        ]
        for i in product.instructions
    ]
    for i in product.instructions:
        _refuse(i.connection_mode != "uvu" or not i.has_weight, "paths that are not uvu")
        _refuse(product.irreps_in2[i.i_in2].mul != 1, "several harmonics of one degree")
    _check_symbols(product)
    layer = {
        "irreps_in": _text(irreps_in),
        "irreps_message": _text(_names(product.irreps_in1)),
        "irreps_out": _text(out),
        "paths": paths,
        "self_connection": "none",
        "activation": activation,
    }
    tensors: dict[str, np.ndarray] = {}
    for name, weight in _matrices(modules[f"{t}_self_interaction_1"].linear).items():
        tensors[f"linear_in.{name}.weight"] = scale[name] * weight
    columns = _column_order(gate, layer)
    for name, weight in _matrices(modules[f"{t}_self_interaction_2"].linear).items():
        tensors[f"linear_out.{name}.weight"] = weight[:, columns[name]]
    intro = modules.get(f"{t}_self_connection_intro")
    if intro is not None:
        linear = hasattr(intro, "linear")
        layer["self_connection"] = "linear" if linear else "species"
        found = _matrices(intro.linear) if linear else _species_matrices(intro.fc_tensor_product)
        for name, weight in found.items():
            tensors[f"self_connection.{name}.weight"] = scale[name] * weight[..., columns[name]]
    # e3nn's factor of a path beyond sqrt(2 l_out + 1) x 3j, per channel
    lengths = [product.irreps_in1[i.i_in1].mul for i in product.instructions]
    extra = [
        i.path_weight / np.sqrt(2 * product.irreps_out[i.i_out].ir.l + 1)
        for i in product.instructions
    ]
    factor = np.repeat(extra, lengths) / float(_array(convolution.denominator)[0])
    function = _radial_network(modules["edge_embedding"], convolution.weight_nn, cutoff)
    table = tabulate(lambda r: tuple(x * factor for x in function(r)), cutoff, knots)  # type: ignore[arg-type]
    tensors["radial"] = table.values
    return layer, tensors, factors, (table.value_error, table.slope_error)


def _gate(gate: Any) -> tuple[list[tuple[str, int]], dict[str, str], dict[str, float]]:
    """Irreps after the gate, names of activations, and e3nn's second-moment factors per irrep."""
    activation = {"even": "silu", "odd": "tanh", "gate": "silu"}
    out, factors = [], {}
    for act, kind in ((gate.act_scalars, None), (gate.act_gates, "gate")):
        for function, (mul, ir) in zip(act.acts, act.irreps_in, strict=True):
            name, constant = _activation(function)
            activation[kind or ("even" if ir.p == 1 else "odd")] = name
            _refuse(kind == "gate" and ir.p != 1, "odd gates")
            if kind is None:
                out.append((_name(ir), mul))
                factors[_name(ir)] = constant
            else:
                factors["gate"] = constant
    gate_factor = factors.pop("gate", 1.0)
    for mul, ir in gate.irreps_gated:
        out.append((_name(ir), mul))
        factors[_name(ir)] = gate_factor
    return out, activation, factors


def _activation(function: Any) -> tuple[str, float]:
    """Name and factor of an activation that e3nn normalised to unit second moment."""
    inner, factor = getattr(function, "f", function), float(getattr(function, "cst", 1.0))
    if getattr(function, "_is_id", False):
        factor = 1.0
    name = getattr(inner, "__name__", str(inner))
    _refuse(name not in ("silu", "tanh"), f"the activation {name}")
    return name, factor


def _column_order(gate: Any, layer: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Columns of the pre-activations of SevenNet in the order of the file.

    e3nn's gate takes the scalars, then the gates, each in order of its irreps, and sorts irreps;
    channels of one irrep keep their order, which is the file's as well.
    """
    widths = {_name(ir): mul for mul, ir in gate.irreps_in}
    scalars = {_name(ir): mul for mul, ir in gate.irreps_scalars}
    expected = scalars.get("0e", 0) + n_gates(dict(layer))
    _refuse(bool(widths.get("0e", 0) != expected), "gates that are not scalars 0e")
    return {name: np.arange(width) for name, width in widths.items()}


def _readout(modules: Mapping[str, Any], scale: float) -> tuple[list[int], list[np.ndarray]]:
    """Hidden widths and weights; two linear maps without activation become one."""
    if "reduce_input_to_hidden" in modules:
        first = _matrices(modules["reduce_input_to_hidden"].linear)["0e"]
        last = _matrices(modules["reduce_hidden_to_energy"].linear)["0e"]
        return [], [scale * first @ last]
    net = modules["readout_FCN"].fcn
    maps, silu_scale = _network_weights(net)
    maps[0] = scale * maps[0]
    for k in range(1, len(maps)):
        maps[k] = silu_scale * maps[k]
    return [w.shape[1] for w in maps[:-1]], maps


def _radial_network(edge: Any, net: Any, cutoff: float) -> Any:
    """Bessel functions times cutoff through the radial network, as a function of r with slope."""
    weights, silu_scale = _network_weights(net)
    basis, switch = edge.basis_function, edge.cutoff_function
    roots, prefactor = _array(basis.coeffs), float(basis.prefactor)
    kind = type(switch).__name__
    _refuse(kind not in ("XPLORCutoff", "PolynomialCutoff"), f"the cutoff function {kind}")

    def function(r: np.ndarray) -> Dual:
        if kind == "XPLORCutoff":
            factor = xplor_cutoff(r, float(switch.r_on), cutoff)
        else:
            factor = polynomial_cutoff(r, cutoff, float(switch.p))
        return network(multiply(bessel(r, roots, prefactor), factor), weights, silu_scale)

    return function


def _network_weights(net: Any) -> tuple[list[np.ndarray], float]:
    """Weights of e3nn's FullyConnectedNet with its factors, and the factor of its silu."""
    maps, silu_scale = [], 1.0
    layers = list(net.children())
    for k, layer in enumerate(layers):
        fan_in = layer.h_in * layer.var_in
        if k + 1 < len(layers):
            name, silu_scale = _activation(layer.act)
            _refuse(name != "silu", f"the activation {name} in a network of scalars")
            _refuse(layer.var_out != 1, "a network with a variance other than 1")
        else:
            fan_in /= layer.var_out
        maps.append(_array(layer.weight) / np.sqrt(fan_in))
    return maps, silu_scale


def _matrices(linear: Any) -> dict[str, np.ndarray]:
    """e3nn Linear: per irrep the matrix [channels in, channels out], path weights folded."""
    inputs, outputs = _offsets(linear.irreps_in), _offsets(linear.irreps_out)
    result = {}
    for instruction, weight in zip(linear.instructions, linear.weight_views(), strict=True):
        _refuse(instruction.i_in < 0, "biases in its linear maps")
        ir, a, rows = inputs[instruction.i_in]
        _, b, columns = outputs[instruction.i_out]
        total = result.setdefault(_name(ir), np.zeros((rows, columns)))
        w = _array(weight) * instruction.path_weight
        total[a : a + w.shape[0], b : b + w.shape[1]] += w
    return result


def _species_matrices(product: Any) -> dict[str, np.ndarray]:
    """Self-connection of NequIP: per irrep [species, channels in, channels out]."""
    inputs, outputs = _offsets(product.irreps_in1), _offsets(product.irreps_out)
    result = {}
    for i, weight in zip(product.instructions, product.weight_views(), strict=True):
        _refuse(i.connection_mode != "uvw", "a self-connection that is not uvw")
        ir, a, rows = inputs[i.i_in1]
        _, b, columns = outputs[i.i_out]
        # for l_edge = 0 the 3j symbol is the unit matrix over sqrt(2 l + 1)
        w = np.moveaxis(_array(weight), 1, 0) * (i.path_weight / np.sqrt(2 * ir.l + 1))
        total = result.setdefault(_name(ir), np.zeros((w.shape[0], rows, columns)))
        total[:, a : a + w.shape[1], b : b + w.shape[2]] += w
    return result


def _offsets(irreps: Any) -> list[tuple[Any, int, int]]:
    """Per entry of e3nn irreps: (irrep, first channel among its kind, channels of its kind)."""
    total: dict[str, int] = {}
    found = []
    for mul, ir in irreps:
        found.append((ir, total.get(_name(ir), 0)))
        total[_name(ir)] = total.get(_name(ir), 0) + mul
    return [(ir, first, total[_name(ir)]) for ir, first in found]


def _check_symbols(product: Any) -> None:
    """Refuse a checkpoint whose own 3j symbols have other signs than ours."""
    for name, symbol in product.named_buffers():
        if "_w3j_" in name:
            degrees = [int(x) for x in name.rsplit("_w3j_", 1)[1].split("_")]
            difference = np.abs(_array(symbol) - wigner_3j(*degrees)).max()
            _refuse(difference > 1e-6, f"3j symbols {degrees} of another basis")


def _names(irreps: Any) -> list[tuple[str, int]]:
    total: dict[str, int] = {}
    for mul, ir in irreps:
        total[_name(ir)] = total.get(_name(ir), 0) + mul
    return list(total.items())


def _text(names: list[tuple[str, int]]) -> str:
    return "+".join(f"{channels}x{name}" for name, channels in names)


def _name(ir: Any) -> str:
    return f"{ir.l}{'e' if ir.p == 1 else 'o'}"


def _symbols(type_map: Mapping[int, int]) -> list[str]:
    from ase.data import chemical_symbols

    by_index = sorted(type_map, key=lambda z: type_map[z])
    return [chemical_symbols[z] for z in by_index]


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.detach().cpu().double().numpy())


def _refuse(found: bool, what: str) -> None:
    if found:
        raise DataError(f"the SevenNet checkpoint has {what}, which .qdml cannot express")
