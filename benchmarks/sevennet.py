# SPDX-License-Identifier: MIT
"""SevenNet's PyTorch calculator against the engine: agreement and time on one core, in one run.

Example: python benchmarks/sevennet.py 7net-0 --repeats 5
Needs the extra `import-sevennet`; the potential is converted on the spot.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and the engine start threads

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import read
from qdml.calculator import Calculator
from qdml.modelfile import write_model
from qdml_train.imports.sevennet import import_checkpoint


def structures(repeat: int, files: list[Path]) -> dict[str, Atoms]:
    """Rattled bulk cells, repeated, and the structures of files."""
    perovskite = Atoms(
        "CsPbBr3",
        scaled_positions=[(0, 0, 0), (0.5,) * 3, (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
        cell=[5.95] * 3,
        pbc=True,
    )
    found = {
        "CdSe": bulk("CdSe", "zincblende", 6.10, cubic=True),
        "InP": bulk("InP", "zincblende", 5.87, cubic=True),
        "PbSe": bulk("PbSe", "rocksalt", 6.12, cubic=True),
        "CsPbBr3": perovskite,
    }
    found = {name: atoms.repeat(repeat) for name, atoms in found.items()}
    found |= {path.stem: read(path) for path in files}
    for atoms in found.values():
        atoms.rattle(0.05, seed=1)
    return found


def timed(atoms: Atoms, calculator: object, repeats: int) -> tuple[float, np.ndarray, float]:
    """Energy, forces and the median processor time of one evaluation in s; the first warms up."""
    atoms = atoms.copy()
    atoms.calc = calculator
    times = []
    for _ in range(repeats + 1):
        atoms.calc.reset()
        start = time.process_time()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        times.append(time.process_time() - start)
    return energy, forces, median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", default="7net-0")
    parser.add_argument("--repeat", type=int, default=2, help="cells along each axis")
    parser.add_argument("--repeats", type=int, default=5, help="timed evaluations")
    parser.add_argument("--structure", type=Path, action="append", default=[], help="more of them")
    options = parser.parse_args()
    import torch
    from sevenn.calculator import SevenNetCalculator

    torch.set_num_threads(1)
    imported = import_checkpoint(options.checkpoint)
    theirs = SevenNetCalculator(options.checkpoint, device="cpu")
    print(f"{options.checkpoint}; one core; processor time, median of {options.repeats}")
    print("structure atoms  |dE|/|E|  max|dF| eV/Å  PyTorch µs/atom  engine µs/atom  ratio")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "imported.qdml"
        write_model(path, imported.document, imported.tensors)
        ours = Calculator(path)
        for name, atoms in structures(options.repeat, options.structure).items():
            energy, forces, slow = timed(atoms, theirs, options.repeats)
            energy_here, forces_here, fast = timed(atoms, ours, options.repeats)
            print(
                f"{name:9} {len(atoms):5d}  {abs(energy_here - energy) / abs(energy):8.1e}  "
                f"{np.abs(forces_here - forces).max():12.1e}  {1e6 * slow / len(atoms):15.0f}  "
                f"{1e6 * fast / len(atoms):14.0f}  {slow / fast:5.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
