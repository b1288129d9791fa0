# SPDX-License-Identifier: MIT
"""Write sevennet.qdml and sevennet.json: a tiny random SevenNet model and its own forces.

Run where torch and sevenn are installed: `python tests/golden/make_sevennet.py`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "python"))

import sevennet_models  # noqa: E402
from qdml.modelfile import write_model  # noqa: E402
from qdml_train.imports.sevennet import convert  # noqa: E402


def main() -> None:
    model, config = sevennet_models.build("parity")
    imported = convert(model, config, "random weights for tests", knots=200)
    write_model(FOLDER / "sevennet.qdml", imported.document, imported.tensors)
    atoms = sevennet_models.structure()
    energy, forces = sevennet_models.evaluate(model, atoms, config["cutoff"])
    reference = {
        "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.array.tolist(),
        "energy": energy,
        "forces": forces.tolist(),
    }
    (FOLDER / "sevennet.json").write_text(json.dumps(reference, indent=1) + "\n")
    print(energy, abs(forces).max(), imported.table_value_error, imported.table_slope_error)


if __name__ == "__main__":
    main()
