# SPDX-License-Identifier: MIT
"""How much of the force error on Cd68Se55(HCOO)26 is the grid noise of its DFT forces.

    python benchmarks/cdse_dot_grid_noise.py [FIT_FOLDER]

Reads the evaluation that cdse_dot_forces.py left. The wave (support/grid_noise.py) is found and
fitted in what the potential leaves over on *training* frames, and taken from the DFT forces of the
*test* frames. JSON and PNG to benchmarks/results/cdse_dot_grid_noise.*
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import ase.io
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from ase.data import atomic_numbers
from cdse_dot_forces import CACHE, ELEMENTS
from qdml.modelfile import content_hash
from support import grid_noise, machine

PROBE = "O"
"""Its hard pseudopotential makes the noise largest."""


def leftovers(fit: Path, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Elements [n], positions [n, 3] and DFT - predicted forces [n, 3] of all atoms of a split."""
    frames = json.loads((fit / "evaluation.json").read_text())["frames"]
    structures = ase.io.read(fit.parent / "cdse-dot-forces.extxyz", ":")
    parts = []
    for frame in (f for f in frames if f["split"] == split):
        atoms = structures[frame["index"]]
        if atoms.numbers.tolist() != frame["numbers"]:
            raise SystemExit(f"{fit}: evaluated frames are not those of {fit.parent}")
        forces = frame["forces"]
        left = np.array(forces["reference"]) - np.array(forces["predicted"])
        parts.append((atoms.numbers, atoms.positions, left))
    return tuple(np.concatenate(p) for p in zip(*parts, strict=True))


def rms(values: np.ndarray) -> float:
    """Root mean square of components."""
    return float(np.sqrt((values**2).mean()))


def draw(probe: tuple, found: dict, spacing: float, path: Path) -> None:
    """The scan, the error on oxygen folded into one period, and errors with and without noise."""
    position, left = probe
    figure, (one, two, three) = plt.subplots(1, 3, figsize=(15, 4))
    spacings, amplitude = grid_noise.scan(position, left, 0.05, 0.3, 6000)
    one.plot(spacings, 1e3 * amplitude, color="#2b6cb0", linewidth=0.7)
    one.set(
        xlabel="period in the position of the atom (Å)",
        ylabel="amplitude, root sum over x, y, z (meV/Å)",
    )
    one.set_title(f"DFT − potential on {PROBE}, training frames", fontsize=10)
    phase = (position[:, 0] / spacing) % 1
    two.plot(phase, 1e3 * left[:, 0], ".", color="#9a9a9a", markersize=2)
    bins = np.linspace(0, 1, 21)
    of_bin = np.digitize(phase, bins) - 1
    means = [1e3 * left[of_bin == k, 0].mean() for k in range(20)]
    two.plot((bins[1:] + bins[:-1]) / 2, means, "o-", color="#d55e00", markersize=4)
    two.set(xlabel=f"x / {spacing:.4f} Å, fractional part", ylabel="DFT − potential, x (meV/Å)")
    two.set_title(f"the same along x, {PROBE}: means in orange", fontsize=10)
    x = np.arange(len(ELEMENTS))
    for k, (key, colour) in enumerate((("raw", "#9a9a9a"), ("without_noise", "#2b6cb0"))):
        three.bar(x + 0.4 * k - 0.2, [1e3 * found[key][s] for s in ELEMENTS], 0.38, color=colour,
                  label=key.replace("_", " "))  # fmt: skip
    three.set_xticks(x, ELEMENTS)
    three.set_ylabel("test force RMSE (meV/Å)")
    three.set_title("test frames, the wave of the training frames taken off", fontsize=10)
    three.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fit", type=Path, nargs="?", default=CACHE / "cdse-dot-fit")
    default = machine.RESULTS / "cdse_dot_grid_noise.json"
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    numbers, position, left = leftovers(options.fit, "train")
    probe = numbers == atomic_numbers[PROBE]
    spacing, contrast = grid_noise.find_spacing(position[probe], left[probe])
    test_numbers, test_position, test_left = leftovers(options.fit, "test")
    cleaned, amplitude = test_left.copy(), {}
    for symbol in ELEMENTS:
        of_train, of_test = (n == atomic_numbers[symbol] for n in (numbers, test_numbers))
        coefficients = grid_noise.fit(position[of_train], left[of_train], spacing)
        amplitude[symbol] = float(np.sqrt((coefficients**2).sum(axis=1).mean()))
        cleaned[of_test] -= grid_noise.noise(test_position[of_test], coefficients, spacing)
    by_element = {
        key: {s: rms(values[test_numbers == atomic_numbers[s]]) for s in ELEMENTS}
        | {"all": rms(values)}
        for key, values in (("raw", test_left), ("without_noise", cleaned))
    }
    document = {
        "what": __doc__.splitlines()[0],
        "hash": content_hash(options.fit / "model.qdml"),
        "spacing_angstrom": round(spacing, 5),
        "cutoff_ry": round(grid_noise.cutoff_of(spacing), 1),
        "peak_over_median_of_the_scan": round(contrast, 1),
        "amplitude_ev_per_angstrom": {s: round(a, 4) for s, a in amplitude.items()},
        "test_rmse_ev_per_angstrom": by_element,
        "date": machine.describe()["date"],
    }
    print(f"period {spacing:.4f} Å (a grid of {document['cutoff_ry']:.0f} Ry), "
          f"{contrast:.0f} times the median of the scan")  # fmt: skip
    print(f"{'test RMSE, meV/Å':20}" + "".join(f"{s:>8}" for s in (*ELEMENTS, "all")))
    for key, row in by_element.items():
        print(f"{key.replace('_', ' '):20}" + "".join(f"{1e3 * v:8.1f}" for v in row.values()))
    machine.write(options.output, document)
    draw((position[probe], left[probe]), by_element, spacing, options.output.with_suffix(".png"))
    print(f"wrote {options.output} and its figure")


if __name__ == "__main__":
    main()
