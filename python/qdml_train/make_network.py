# SPDX-License-Identifier: MIT
"""The network of a fit: fresh, as the configuration describes it, or from a `.qdml` file."""

from __future__ import annotations

from qdml_train.config import Config
from qdml_train.dataset import Dataset
from qdml_train.model.architecture import Architecture
from qdml_train.model.network import FreshNetwork, Network
from qdml_train.model.tuned import TunedNetwork


def make_network(config: Config, dataset: Dataset) -> Network:
    """What is trained, for the species and statistics of these data."""
    model = config.model
    shifted = tuple(level.trained for level in dataset.levels)
    if dataset.start is not None:
        own = ("energy.reference", "zbl.r_max")
        tensors = {k: v for k, v in dataset.start.tensors.items() if k not in own}
        return TunedNetwork(
            architecture=dataset.start.architecture,
            frozen=tensors,
            head_only=config.train.tune == "head",
            n_bessel=model.bessel,
            radial_hidden=tuple(model.radial_hidden),
            shifted=shifted,
        )
    architecture = Architecture.build(
        species=dataset.species,
        cutoff=model.cutoff,
        l_max=model.l_max,
        n_layers=model.layers,
        channels=tuple(model.channels),
        message_channels=model.message_channels,
        knots=model.knots,
        readout=tuple(model.readout),
        separated=model.paths == "separated",
    )
    return FreshNetwork(
        architecture=architecture,
        avg_neighbors=dataset.avg_neighbors,
        energy_scale=dataset.scale,
        n_bessel=model.bessel,
        radial_hidden=tuple(model.radial_hidden),
        shifted=shifted,
    )
