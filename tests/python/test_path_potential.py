# SPDX-License-Identifier: MIT
"""Files of Clebsch-Gordan paths as the training code evaluates them, against the engine."""

from __future__ import annotations

import numpy as np
import path_models
import pytest
from qdml_train.predictor import EnginePotential, JaxPotential, engine_available
from train_helpers import cluster, crystal, frame

needs_engine = pytest.mark.skipif(not engine_available(), reason="native engine not installed")


@needs_engine
@pytest.mark.parametrize("name", ["both parities l 2", "SO(3) l 3"])
def test_jax_evaluates_path_files_like_the_engine(name, tmp_path):
    """Padded batches of clusters and cells with images, repulsion included: fp64 to rounding."""
    arch = path_models.architecture(**path_models.CASES[name])
    path, _, _ = path_models.random_path_model(
        tmp_path / "m.qdml", arch, zbl=True, species=("H", "C", "O")
    )
    frames = [frame(cluster(), 0), frame(crystal(), 1), frame(cluster(4, seed=5), 2)]
    expected = EnginePotential(path).predict(frames)
    for a, b in zip(JaxPotential.from_file(path).predict(frames), expected, strict=True):
        scale = max(1.0, float(np.abs(b.forces).max()))
        assert a.energy == pytest.approx(b.energy, rel=1e-10, abs=1e-10)
        np.testing.assert_allclose(a.forces, b.forces, atol=1e-10 * scale)
        if b.stress is not None:
            np.testing.assert_allclose(a.stress, b.stress, atol=1e-10 * scale)
