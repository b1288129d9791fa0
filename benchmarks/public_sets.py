# SPDX-License-Identifier: MIT
"""Fits of two public sets, held-out errors beside the published ones: acetylacetone and silicon.

Each is one YAML in examples/ and takes the time written there (30 and 10 minutes on two quiet
cores). The data are read from ../shared/data or QDML_SHARED_DATA. Results go to
results/public_sets.json with the training time; a row from a short run says so by its time.

Usage: python benchmarks/public_sets.py [acac] [mlearn-si] [--time-budget 2m] [--under-load]
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from support import machine  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "public_sets.json"
SHARED = Path(os.environ.get("QDML_SHARED_DATA", ROOT.parent / "shared" / "data"))

# RMSE of total energies (meV) and of force components (meV/Å), trained on the 500 frames at 300 K.
ACAC_SOURCE = "arXiv:2206.07697 (MACE), as quoted in the README of ../shared/data"
ACAC = {
    "NequIP": {"300K": (0.81, 5.90), "600K": (6.04, 27.8)},
    "MACE": {"300K": (0.9, 5.1), "600K": (4.6, 22.4)},
    "BOTNet": {"300K": (0.89, 6.3), "600K": (6.2, 29.8)},
}


def mlearn_frames(path: Path) -> list[Atoms]:
    """Frames of a set of mlearn: energies in eV and forces in eV/Å.

    The stresses are left out: the files do not say in which order their shear components stand.
    """
    frames = []
    for entry in json.loads(lzma.decompress(path.read_bytes())):
        structure, outputs = entry["structure"], entry["outputs"]
        symbols = [site["species"][0]["element"] for site in structure["sites"]]
        atoms = Atoms(
            symbols,
            [site["xyz"] for site in structure["sites"]],
            cell=structure["lattice"]["matrix"],
            pbc=True,
        )
        atoms.calc = SinglePointCalculator(
            atoms, energy=outputs["energy"], forces=np.array(outputs["forces"], dtype=float)
        )
        atoms.info["origin"] = entry["group"]
        frames.append(atoms)
    return frames


def prepare_mlearn(folder: Path) -> None:
    """Write the frames of mlearn's JSON as the extended xyz that examples/mlearn-si.yaml names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("training", "test"):
        frames = mlearn_frames(SHARED / "mlearn_si" / f"Si_{name}.json.xz")
        ase.io.write(folder / f"{name}.extxyz", frames, format="extxyz")


def acac_rows(evaluation: dict[str, Any]) -> dict[str, dict[str, float]]:
    """RMSE in the units of the papers: total energies in meV, forces in meV/Å."""
    rows = {}
    for name, row in evaluation["summary"]["by_source"].items():
        if name.startswith("test/"):
            key = "300K" if "300K" in name else "600K"
            n_atoms = row["n_atoms"] // row["n_frames"]
            rows[key] = {
                "energy_rmse_mev": round(n_atoms * row["energy_rmse_mev_per_atom"], 3),
                "force_rmse_mev_per_angstrom": round(row["force_rmse_mev_per_angstrom"], 3),
            }
    return rows


def mlearn_rows(evaluation: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Errors of the 25 test frames, all and by group."""
    summary = evaluation["summary"]
    rows = {"all": summary["by_split"]["test"]}
    groups = {k.removeprefix("test/"): v for k, v in summary["by_origin"].items()
              if k.startswith("test/")}  # fmt: skip
    return rows | groups


SETS = {
    "acac": {
        "what": "acetylacetone trained on 500 frames at 300 K; RMSE of the test sets",
        "folder": "acac",
        "config": "acac.yaml",
        "rows": acac_rows,
        "published": ACAC,
        "source": ACAC_SOURCE,
    },
    "mlearn-si": {
        "what": "silicon of Zuo et al. 2020; errors of the published test frames",
        "folder": "mlearn_si",
        "config": "mlearn-si.yaml",
        "rows": mlearn_rows,
        "published": None,
        "source": "doi:10.1021/acs.jpca.9b08723 gives mean absolute errors; not copied here, "
        "because the table itself was not at hand",
    },
}


def run_set(name: str, overrides: list[str]) -> dict[str, Any]:
    """Fit and evaluate one set from the top of the repository; returns its entry of the results."""
    from qdml_train.workflow import run_fit
    from rich.console import Console

    chosen = SETS[name]
    config = ROOT / "examples" / chosen["config"]
    host = machine.describe()  # before the fit makes its own load
    evaluation = run_fit(config, overrides, False, False, Console(), nve_length=0.0)
    output = next((o.split("=", 1)[1] for o in overrides if o.startswith("output=")), None)
    fit = Path(output or f"fits/{name}")
    lines = [json.loads(line) for line in (fit / "metrics.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if line["kind"] == "epoch"]
    return {
        "what": chosen["what"],
        "training_seconds": lines[-1]["elapsed_s"],
        "epochs": epochs[-1]["epoch"],
        "steps": epochs[-1]["step"],
        "ended_by": lines[-1]["reason"],
        "overrides": overrides,
        "test": chosen["rows"](evaluation),
        "published": chosen["published"],
        "source_of_published": chosen["source"],
        "machine": host,
    }


def table(name: str, entry: dict[str, Any]) -> list[str]:
    """The lines of one set for the terminal."""
    minutes = entry["training_seconds"] / 60
    lines = [f"{name}: {entry['what']}", f"  trained for {minutes:.1f} min, {entry['steps']} steps"]
    for test, row in entry["test"].items():
        if name == "acac":
            mine = f"{row['energy_rmse_mev']:.2f} / {row['force_rmse_mev_per_angstrom']:.1f}"
            others = "; ".join(
                f"{who} {values[test][0]} / {values[test][1]}"
                for who, values in entry["published"].items()
            )
            lines.append(f"  {test}: energy meV / force meV/Å {mine}   published: {others}")
        else:
            lines.append(
                f"  {test}: {row['n_frames']} frames, energy MAE "
                f"{row['energy_mae_mev_per_atom']:.2f} meV/atom, force MAE "
                f"{row['force_mae_mev_per_angstrom']:.1f}, RMSE "
                f"{row['force_rmse_mev_per_angstrom']:.1f} meV/Å"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", help=f"of {', '.join(SETS)}; default all")
    parser.add_argument("--time-budget", help="instead of that of the YAML, such as 2m")
    parser.add_argument("--set", nargs="*", default=[], help="further section.key=value")
    parser.add_argument("--under-load", action="store_true", help="run beside other work")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    names = options.sets or list(SETS)
    unknown = sorted(set(names) - set(SETS))
    if unknown:
        raise SystemExit(f"unknown sets {', '.join(unknown)}; there are {', '.join(SETS)}")
    for name in names:
        if not (SHARED / SETS[name]["folder"]).is_dir():
            raise SystemExit(
                f"{SHARED / SETS[name]['folder']}: not there; set QDML_SHARED_DATA to the folder "
                "that holds it"
            )
    machine.require_quiet(machine.describe(), options.under_load)
    os.chdir(ROOT)
    content = json.loads(options.output.read_text()) if options.output.exists() else {}
    for name in names:
        if name == "mlearn-si":
            prepare_mlearn(ROOT / "fits" / "mlearn-si-data")
        overrides = list(options.set)
        if name == "acac":
            files = [str(SHARED / "acac" / f"test_MD_{t}K.xyz.xz") for t in (300, 600)]
            overrides = [f"data.train={SHARED / 'acac' / 'train_300K.xyz.xz'}",
                         f"data.test=[{', '.join(files)}]", *overrides]  # fmt: skip
        if options.time_budget:
            overrides.append(f"train.time_budget={options.time_budget}")
        entry = run_set(name, overrides)
        entry["overrides"] = [o for o in entry["overrides"] if not o.startswith("data.")]
        content[name] = entry
        machine.write(options.output, content)
        print("\n".join(table(name, entry)), flush=True)


if __name__ == "__main__":
    main()
