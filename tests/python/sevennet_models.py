# SPDX-License-Identifier: MIT
"""Tiny SevenNet models with random weights and their own energies and forces, in float64.

Needs torch and sevenn; imported only where they are installed.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import sevenn._keys as KEY
import torch
from ase import Atoms
from sevenn._const import DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG
from sevenn.atom_graph_data import AtomGraphData
from sevenn.model_build import build_E3_equivariant_model
from sevenn.train.dataload import unlabeled_atoms_to_graph

SPECIES = {48: 0, 34: 1, 17: 2}  # Cd, Se, Cl

# What each model covers: parity and self-connection per species, or SO(3) and one linear map.
MODELS: dict[str, dict[str, Any]] = {
    "parity": {
        KEY.LMAX: 1,
        KEY.SELF_CONNECTION_TYPE: "nequip",
        KEY.CUTOFF_FUNCTION: {"cutoff_function_name": "poly_cut", "poly_cut_p_value": 6},
    },
    "so3": {
        KEY.LMAX: 3,
        KEY.IS_PARITY: False,
        KEY.SELF_CONNECTION_TYPE: "linear",
        KEY.CUTOFF_FUNCTION: {"cutoff_function_name": "XPLOR", "cutoff_on": 3.6},
    },
}


def build(name: str, seed: int = 0) -> tuple[Any, dict[str, Any]]:
    """Model of torch and its configuration: 4 channels, 3 layers, 4 Å."""
    config = deepcopy(DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG) | {
        KEY.CUTOFF: 4.0,
        KEY.NODE_FEATURE_MULTIPLICITY: 4,
        KEY.CONVOLUTION_WEIGHT_NN_HIDDEN_NEURONS: [8],
        KEY.RADIAL_BASIS: {"radial_basis_name": "bessel", "bessel_basis_num": 4},
        KEY.CONV_DENOMINATOR: 3.0,
        KEY.NUM_SPECIES: len(SPECIES),
        KEY.TYPE_MAP: SPECIES,
        KEY.SHIFT: [-1.5, -3.0, -2.0],
        KEY.SCALE: [1.2, 1.7, 0.9],
    }
    config |= MODELS[name]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(seed)
        model = build_E3_equivariant_model(config).double().eval()
    finally:
        torch.set_default_dtype(before)
    return model, config


def evaluate(model: Any, atoms: Atoms, cutoff: float) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/Å) of SevenNet itself in float64."""
    graph = AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, cutoff)).to_dict()
    data = {
        k: v.double() if torch.is_tensor(v) and v.is_floating_point() else v
        for k, v in graph.items()
    }

    def widen(module: Any, _: Any, out: dict[str, Any]) -> dict[str, Any]:
        # sevenn makes the one-hot vectors in single precision
        for key in (module.key_output, module.key_additional_output):
            out[key] = out[key].double()
        return out

    hook = model._modules["onehot_idx_to_onehot"].register_forward_hook(widen)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        model.set_is_batch_data(False)
        out = model(data)
    finally:
        torch.set_default_dtype(before)
        hook.remove()
    return float(out[KEY.PRED_TOTAL_ENERGY]), out[KEY.PRED_FORCE].detach().numpy()


def structure(seed: int = 0) -> Atoms:
    """Eight atoms of Cd, Se and Cl in a triclinic periodic cell, at least 1.8 Å apart."""
    cell = np.array([[5.4, 0.3, 0.2], [0.4, 5.2, 0.5], [0.3, -0.2, 5.6]])
    grid = np.array(np.meshgrid(*[[0.1, 0.6]] * 3)).reshape(3, -1).T
    x = grid @ cell + np.random.default_rng(seed).uniform(-0.2, 0.2, (8, 3))
    return Atoms("CdSeClCdSeClCdSe", positions=x, cell=cell, pbc=True)
