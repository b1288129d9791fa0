# SPDX-License-Identifier: MIT
"""Several devices and hosts give the curve of one; rematerialisation gives the gradient."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import qdml_train
from qdml.errors import ConfigError
from qdml_train.config import parse_config
from qdml_train.devices import device_mesh
from qdml_train.loss import count_labels
from tiny_fits import TINY, cluster_file, metrics, tiny_fit

SCRIPT = """
import json, sys
import jax
from qdml_train.devices import join_hosts
from tiny_fits import tiny_config
keys = json.loads(sys.argv[3])
config = tiny_config(sys.argv[1], __import__("pathlib").Path(sys.argv[2]), **keys)
join_hosts(config.train)
from qdml_train.dataset import load_dataset
from qdml_train.loop import Fit
from rich.console import Console
fit = Fit(config, load_dataset(config), Console(quiet=True))
fit.run()
print(jax.device_count(), jax.process_count(), fit.mesh.size if fit.mesh else 1)
"""
KEYS = {"accumulate": 2, "epochs": 4, "validate_every": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return cluster_file(tmp_path_factory.mktemp("lj"))


@pytest.fixture(scope="module")
def one_device(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    fit = tiny_fit(data, folder, **KEYS)
    fit.run()
    return fit, metrics(folder)


def start(data: Path, folder: Path, keys: dict, devices: int) -> subprocess.Popen:
    paths = [str(Path(qdml_train.__file__).parents[1]), str(Path(__file__).parent)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    command = [sys.executable, "-c", SCRIPT, str(data), str(folder), json.dumps(keys)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(process: subprocess.Popen) -> str:
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output


def same_curve(found: list[dict], expected: list[dict]) -> None:
    assert len(found) == len(expected) == 4
    for a, b in zip(found, expected, strict=True):
        assert a["step"] == b["step"]
        for part in ("train", "valid"):
            for key in ("loss", "force_rmse_mev_per_angstrom", "energy_rmse_mev_per_atom"):
                assert a[part][key] == pytest.approx(b[part][key], rel=1e-3)


def test_two_devices_give_the_curve_of_one(one_device, data, tmp_path):
    output = finished(start(data, tmp_path, KEYS, 2))
    assert output.split() == ["2", "1", "2"]
    same_curve(metrics(tmp_path), one_device[1])


def test_two_hosts_give_the_curve_of_one(one_device, data, tmp_path):
    """Two processes on this machine, as two hosts would be; the first writes, once."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    processes = []
    for k in range(2):
        hosts = {"coordinator": address, "processes": 2, "process": k}
        processes.append(start(data, tmp_path, {**KEYS, "distributed": hosts}, 1))
    outputs = [finished(p).split()[-3:] for p in processes]  # JAX itself talks before
    assert outputs == [["2", "2", "2"]] * 2
    same_curve(metrics(tmp_path), one_device[1])
    fit, _ = one_device
    again = tiny_fit(data, tmp_path, **KEYS)
    assert again.restore(), "the hosts' checkpoint fits a single process"
    assert again.progress.step == fit.progress.step


def section(**keys):
    return parse_config({"data": {"train": "x"}, "train": {"epochs": 1, **keys}}).train


def test_devices_that_cannot_be_had_are_refused():
    assert device_mesh(section()) is None
    with pytest.raises(ConfigError, match=r"train.devices: 64, but JAX finds \d"):
        device_mesh(section(devices=64))


def test_batches_that_cannot_be_divided_are_refused(monkeypatch):
    monkeypatch.setattr("jax.devices", lambda: ["a", "b", "c"])
    with pytest.raises(ConfigError, match="4 batches per step cannot be divided among 3 devices"):
        device_mesh(section(devices=3, accumulate=4))


# -- rematerialisation ----------------------------------------------------------------------------


def test_rematerialisation_keeps_the_gradient_and_less_memory(data, tmp_path):
    """Fewer bytes that JAX holds from the forward to the backward pass."""
    model = {**TINY, "l_max": 1, "layers": 4, "channels": [8, 8]}
    gradients, held = [], []
    for remat in (False, True):
        fit = tiny_fit(data, tmp_path / str(remat), model, remat=remat, kernels="jax")
        graphs, labels = fit.arrays(fit.epoch(0)[0])
        vector = fit.state.parameters
        gradients.append(np.asarray(fit.steps.gradient(vector, {}, graphs, labels)[0]))
        first = jax.tree.map(lambda x: x[0], (graphs, labels))
        held.append(bytes_between_passes(fit, vector, *first))
    scale = np.abs(gradients[0]).max()
    assert scale > 0
    assert np.abs(gradients[0] - gradients[1]).max() < 1e-4 * scale
    assert held[1] < 0.6 * held[0]


def bytes_between_passes(fit, vector, graphs, labels) -> int:
    def loss(v):
        steps = fit.steps
        return steps._loss(steps.unravel(v), {}, graphs, labels, count_labels(labels))[0]

    kept = jax.eval_shape(lambda v: jax.vjp(loss, v)[1], vector)
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(kept))
