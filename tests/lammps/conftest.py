# SPDX-License-Identifier: MIT
"""Fixtures of the LAMMPS tests: marker, skip with its reason, a small random potential."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from qdml.errors import QdmlError
from qdml.lammps import find_lammps, find_mpirun, plugin_folder

# The random potentials are shared with the engine's tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

SPECIES = ("Cd", "Se", "Cl")


def missing() -> str | None:
    """Why LAMMPS with the plugin cannot run here, or None."""
    try:
        plugin_folder(), find_lammps(), find_mpirun()
    except QdmlError as error:
        return str(error)
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).resolve().parent
    reason = missing()
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.lammps)
            if reason:
                item.add_marker(pytest.mark.skip(reason=f"no LAMMPS with the plugin: {reason}"))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three layers, l up to 2, ZBL: every exchange and every term is used."""
    from models import random_model

    path = tmp_path_factory.mktemp("model") / "random.qdml"
    return random_model(path, SPECIES, l_max=2, channels=16, message_channels=16, layers=3, seed=7)


@pytest.fixture(scope="session")
def path_file(model: Path) -> Path:
    """A `clebsch-gordan` potential of three layers, both parities, ZBL, cutoff 4.5 Å."""
    from path_models import architecture, random_path_model

    features = ["16x0e", "16x0e+8x1o+4x2e", "16x0e+8x1o+4x1e", "16x0e"]
    arch = architecture(features, cutoff=4.5, readout=(8,))
    return random_path_model(model.parent / "paths.qdml", arch, seed=5, zbl=True)[0]


@pytest.fixture(scope="session")
def committee(model: Path) -> tuple[Path, ...]:
    """Three members that differ in size, cutoff and the order of their species."""
    from models import random_model

    folder = model.parent
    other = random_model(folder / "other.qdml", SPECIES, channels=16, message_channels=16, seed=8)
    small = random_model(
        folder / "small.qdml",
        ("Se", "Cl", "Cd"),
        l_max=1,
        channels=8,
        message_channels=32,
        layers=2,
        cutoff=4.2,
        seed=9,
    )
    return model, other, small


@pytest.fixture(scope="session")
def wary(model: Path) -> Path:
    """The random potential with training distances that the cases fall short of in part."""
    from qdml.modelfile import read_model, write_model

    path = model.parent / "wary.qdml"
    metadata, tensors = read_model(model)
    write_model(path, metadata | {"distances_seen": {"Cd-Se": 2.6, "Se-Se": 3.0}}, tensors)
    return path
