# SPDX-License-Identifier: MIT
"""Ligands from SMILES with marked anchors, shaped by RDKit (optional extra `smiles`)."""

from __future__ import annotations

import numpy as np

from qdml.build.chains import Molecule
from qdml.errors import ConfigError

N_CONFORMERS = 8
SEED = 7
EXAMPLE = "smiles(CCCC(=[O:1])[O-:1])"


def molecules_from_smiles(text: str) -> tuple[list[Molecule], int, int]:
    """Conformers, formal charge and number of donors of a SMILES.

    The binding atoms carry a map number (`[O-:1]`, one atom or two); they come first, in the frame
    of `Ligand`: donors in the plane z = 0, on x when there are two, the rest above.
    Raises: ConfigError without RDKit, for SMILES that RDKit cannot read or embed, without an
    anchor or with more than two, and for charges other than -1, 0 and 1.
    """
    try:
        from rdkit import Chem, RDLogger
        from rdkit.Chem import AllChem
    except ImportError:
        raise ConfigError(
            f"ligand smiles({text}) needs RDKit; install it with: pip install 'qdml[smiles]'"
        ) from None
    RDLogger.DisableLog("rdApp.*")
    molecule = Chem.MolFromSmiles(text)
    if molecule is None:
        raise ConfigError(f"ligand smiles({text}): RDKit cannot read this SMILES")
    anchors = [a.GetIdx() for a in molecule.GetAtoms() if a.GetAtomMapNum()]
    if not 1 <= len(anchors) <= 2:
        raise ConfigError(
            f"ligand smiles({text}) marks {len(anchors)} anchor atoms, 1 or 2 expected; write a "
            f"map number on the atoms that bind, for example {EXAMPLE}"
        )
    radicals = [a.GetSymbol() for a in molecule.GetAtoms() if a.GetNumRadicalElectrons()]
    if radicals:
        raise ConfigError(
            f"ligand smiles({text}): {radicals[0]} in brackets lacks hydrogens or a charge; write "
            "them out, for example [NH2:1] or [O-:1]"
        )
    charge = Chem.GetFormalCharge(molecule)
    if charge not in (-1, 0, 1) or "." in text:
        raise ConfigError(
            f"ligand smiles({text}) must be one molecule of charge -1 (X type), 0 (L type) or +1 "
            f"(on Cs sites); found charge {charge:+d}"
        )
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(0)
    whole = Chem.AddHs(molecule)
    ids = AllChem.EmbedMultipleConfs(whole, N_CONFORMERS, randomSeed=SEED)
    if len(ids) == 0:
        raise ConfigError(f"ligand smiles({text}): RDKit finds no three-dimensional shape")
    order = [*anchors, *(i for i in range(whole.GetNumAtoms()) if i not in anchors)]
    row = {atom: k for k, atom in enumerate(order)}
    symbols = [whole.GetAtomWithIdx(i).GetSymbol() for i in order]
    bonds = [(row[b.GetBeginAtomIdx()], row[b.GetEndAtomIdx()]) for b in whole.GetBonds()]
    result = []
    for conformer in ids:
        positions = whole.GetConformer(conformer).GetPositions()[order]
        result.append(Molecule(symbols, list(_in_frame(positions, len(anchors))), bonds))
    result.sort(key=lambda m: -np.mean([p[2] for p in m.positions]))
    return result[:5], charge, len(anchors)


def _in_frame(positions: np.ndarray, n_donors: int) -> np.ndarray:
    """Positions [n, 3] moved and turned into the frame of `Ligand`."""
    moved = positions - positions[:n_donors].mean(axis=0)
    up = moved.mean(axis=0)
    if n_donors == 2:
        x = moved[0] / np.linalg.norm(moved[0])
        up = up - (up @ x) * x
    if np.linalg.norm(up) < 1e-6:
        up = np.array([0.0, 0.0, 1.0])
    z = up / np.linalg.norm(up)
    if n_donors == 1:
        x = np.cross(z, [1.0, 0.0, 0.0] if abs(z[0]) < 0.9 else [0.0, 1.0, 0.0])
        x /= np.linalg.norm(x)
    return moved @ np.array([x, np.cross(z, x), z]).T
