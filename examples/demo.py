# SPDX-License-Identifier: MIT
"""The main job on the bundled DFT data: check, fit, prove, build a dot, run LAMMPS, report.

Run by `make demo`; every step is a command a user can type, and is printed before it runs.
A step whose output is already there is not repeated, so an interrupted demo goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "potentials" / "cdse" / "data" / "cdse-pbe.extxyz.xz"


def run(title: str, command: list[str], made: Path, log: Path | None = None) -> None:
    """Run one step unless its product `made` exists; stop the demo if it fails."""
    print(f"\n== {title}\n   $ {shlex.join(command)}", flush=True)
    if made.exists():
        print(f"   {made} is there already; delete it to repeat this step")
        return
    start = time.monotonic()
    if log is None:
        result = subprocess.run(command, check=False)
    else:
        with log.open("w") as stream:
            result = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False)
    if result.returncode != 0 or not made.exists():
        if log is not None:
            print(log.read_text()[-3000:])
        print(f"stopped: the step above failed with exit code {result.returncode}")
        sys.exit(result.returncode or 1)
    print(f"   done in {time.monotonic() - start:.0f} s: {made}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-out"))
    parser.add_argument("--diameter", default="24", help="of the dot that LAMMPS runs, Å")
    parser.add_argument("--steps", default="10000", help="of the NVE run, 2 fs each")
    parser.add_argument("--config", type=Path, default=HERE / "cdse-demo.yaml")
    options = parser.parse_args()

    output = options.output
    output.mkdir(parents=True, exist_ok=True)
    fit = output / "fit"
    bin_folder = Path(sys.executable).parent
    qdml = str(bin_folder / "qdml")
    train = [sys.executable, "-m", "qdml_train"]
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    start = time.monotonic()

    checked = output / "check.txt"
    run("check the DFT frames", [*train, "check", str(DATA), "--output", str(checked)], checked)
    run(
        "fit, prove and export the potential",
        [*train, "fit", str(options.config), f"data.train={DATA}", f"output={fit}"],
        fit / "model.qdml",
    )
    dot = output / "dot.extxyz"
    run(
        "build a chloride-capped CdSe dot",
        [qdml, "build", "CdSe", "--diameter", options.diameter, "--ligands", "Cl", "-o", str(dot)],
        dot,
    )
    trajectory = output / "nve.lammpstrj"
    lammps_log = output / "nve.log"
    finished = output / "nve.data"
    variables = {
        "data": dot.with_suffix(".data"),
        "model": fit / "model.qdml",
        "trajectory": trajectory,
        "steps": options.steps,
        "final": finished,
    }
    run(
        f"20 ps of NVE in LAMMPS on 2 ranks (log: {lammps_log})",
        [
            *[qdml, "lmp", "-n", "2", "--", "-in", str(HERE / "in.nve"), "-log", str(lammps_log)],
            *[word for name, value in variables.items() for word in ("-var", name, str(value))],
        ],
        finished,
        log=output / "nve.screen",
    )
    report = output / "report.html"
    run(
        "report",
        [
            *[qdml, "analyse", "--fit", str(fit), "--trajectory", str(trajectory)],
            *["--log", str(lammps_log), "--reference", str(DATA), "-o", str(report)],
        ],
        report,
    )
    minutes = (time.monotonic() - start) / 60
    print(
        f"\nmake demo: fitted {fit / 'model.qdml'}, ran {options.steps} steps in LAMMPS and wrote"
    )
    print(f"{report.resolve().as_uri()} in {minutes:.1f} minutes")


if __name__ == "__main__":
    main()
