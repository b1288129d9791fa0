# SPDX-License-Identifier: MIT
"""Couplings and harmonics against e3nn-jax; the generated header; checks of the architecture."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import path_models
import pytest
from qdml.errors import ModelFileError
from qdml.modelfile import read_model, tensor_shapes, write_model
from qdml.paths import parse_irreps

TRIANGLES = [
    (a, b, c) for a in range(4) for b in range(4) for c in range(4) if abs(a - b) <= c <= a + b
]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def couplings():
    return pytest.importorskip("qdml_train.model.clebsch_gordan")


@pytest.mark.parametrize("degree", range(4))
def test_harmonics_are_those_of_e3nn(couplings, degree):
    e3nn = pytest.importorskip("e3nn_jax")
    jax = pytest.importorskip("jax")
    x = np.random.default_rng(degree).normal(size=(20, 3))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    with jax.enable_x64(True):
        expected = e3nn.spherical_harmonics(
            e3nn.Irreps([(1, (degree, 1))]), e3nn.IrrepsArray("1e", unit), True, "component"
        ).array
    found = np.stack(couplings.harmonics(unit, degree), axis=-1)
    np.testing.assert_allclose(found, np.asarray(expected), atol=1e-12)


@pytest.mark.parametrize("path", TRIANGLES, ids=str)
@pytest.mark.parametrize("parity", [1, -1])
def test_paths_are_tensor_products_of_e3nn(couplings, path, parity):
    e3nn = pytest.importorskip("e3nn_jax")
    jax = pytest.importorskip("jax")
    l_in, l_edge, l_out = path
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 2 * l_in + 1)), rng.normal(size=(5, 2 * l_edge + 1))
    with jax.enable_x64(True):
        product = e3nn.tensor_product(
            e3nn.IrrepsArray(e3nn.Irreps([(1, (l_in, parity))]), x),
            e3nn.IrrepsArray(e3nn.Irreps([(1, (l_edge, (-1) ** l_edge))]), y),
            filter_ir_out=[e3nn.Irrep(l_out, parity * (-1) ** l_edge)],
            irrep_normalization="component",
        ).array
    found = np.einsum("ea,eb,abm->em", x, y, couplings.coupling(*path))
    np.testing.assert_allclose(found, np.asarray(product), atol=1e-12)


def test_the_header_of_the_engine_is_the_generated_one():
    script = ROOT / "cpp" / "src" / "paths" / "generate_clebsch_gordan.py"
    spec = importlib.util.spec_from_file_location("generate_clebsch_gordan", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # the last digit of a coefficient is that of the processor's linear algebra
    number = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
    found, kept = module.text(), script.with_name("clebsch_gordan.hpp").read_text()
    assert number.sub("x", "".join(found.split())) == number.sub("x", "".join(kept.split()))
    values = [[float(x) for x in number.findall(text)] for text in (found, kept)]
    np.testing.assert_allclose(*values, rtol=4e-15)


def good() -> dict:
    return path_models.architecture(["8x0e", "8x0e+4x1o", "8x0e"], l_edge=1)


def test_a_good_file_comes_back(tmp_path):
    path, arch, tensors = path_models.random_path_model(tmp_path / "m.qdml", good())
    document, found = read_model(path)
    assert document["format"] == 2
    assert document["architecture"] == arch
    for name, values in tensors.items():
        np.testing.assert_array_equal(found[name], values)


BAD = {
    "cutoff": ("cutoff", -1.0),
    "knots": ("knots", 0),
    "edge_parity": ("edge_parity", "odd"),
    "layers": ("layers", []),
    "readout": ("readout", [0]),
    "irreps_in": ("layers.0.irreps_in", "8x1o"),
    "irreps_text": ("layers.1.irreps_message", "8x0f"),
    "irreps_twice": ("layers.1.irreps_message", "8x0e+4x0e"),
    "irreps_degree": ("layers.0.irreps_out", "8x0e+4x4e"),
    "irreps_message": ("layers.0.irreps_message", "8x0e+4x1e"),
    "irreps_before": ("layers.1.irreps_in", "8x0e+5x1o"),
    "no_gates": ("layers.0.irreps_out", "4x1o"),
    "last_layer": ("layers.1.irreps_out", "8x0e+4x1o"),
    "paths": ("layers.0.paths", []),
    "path_entry": ("layers.0.paths.0", ["0e", 0]),
    "path_triangle": ("layers.1.paths.1", ["1o", 3, "0e"]),
    "path_parity": ("layers.0.paths.1", ["0e", 1, "0e"]),
    "unreached": ("layers.0.paths", [["0e", 0, "0e"]]),
    "self_connection": ("layers.0.self_connection", "nequip"),
    "activation": ("layers.0.activation.even", "relu"),
    "odd_activation": ("layers.0.activation.odd", "silu"),
}


def edited(architecture: dict, key: str, value: object) -> None:
    *path, last = [int(k) if k.isdigit() else k for k in key.split(".")]
    for k in path:
        architecture = architecture[k]
    architecture[last] = value


def stored(tmp_path, architecture: dict, tensors: dict) -> Path:
    """A file that python would not write: the document is changed behind its checks."""
    path = tmp_path / "bad.qdml"
    write_model(path, {"architecture": good(), "species": ["Cd"], "level_of_theory": ""}, tensors)
    data = path.read_bytes()

    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    document = json.loads(header["__metadata__"]["qdml"])
    document["architecture"] = architecture
    header["__metadata__"]["qdml"] = json.dumps(document)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    return path


@pytest.mark.parametrize("name", list(BAD))
def test_both_readers_refuse_what_cannot_be(tmp_path, name):
    from qdml.engine import Engine

    tensors = path_models.random_tensors(np.random.default_rng(0), good(), 1, zbl=False)
    architecture = good()
    edited(architecture, *BAD[name])
    path = stored(tmp_path, architecture, tensors)
    for read in (read_model, Engine):
        with pytest.raises(ModelFileError) as refused:
            read(path)
        assert refused.value.code == "value_invalid", str(refused.value)


def test_both_readers_need_zeros_at_the_cutoff(tmp_path):
    from qdml.engine import Engine

    tensors = path_models.random_tensors(np.random.default_rng(0), good(), 1, zbl=False)
    path = stored(tmp_path, good(), tensors)
    data = bytearray(path.read_bytes())
    shapes = tensor_shapes(good(), 1)
    names = list(shapes)
    before = sum(int(np.prod(shapes[n])) for n in names[: names.index("layers.0.radial") + 1])
    start = 8 + int.from_bytes(data[:8], "little") + 8 * (before - 1)
    data[start : start + 8] = np.float64(1e-3).tobytes()
    path.write_bytes(data)
    for read in (read_model, Engine):
        with pytest.raises(ModelFileError) as refused:
            read(path)
        assert refused.value.code == "radial_not_zero_at_cutoff"


@pytest.mark.parametrize("text", ["", "8x0e+", "0x0e", "8x4e", "x0e", "8x0e 4x1o", "5000x0e"])
def test_malformed_irreps(text):
    with pytest.raises(ValueError, match="not like"):
        parse_irreps(text)
