# SPDX-License-Identifier: MIT
"""Build, check and measure the CUDA engine on a machine with a card, inside ten minutes.

    python benchmarks/gpu.py [--carried build/carry.tar.xz] [--minutes 9.5] [--stages build,speed]

Needs a C++ compiler, CMake and the CUDA toolkit; no network. LAMMPS comes in an archive that
benchmarks/carry_lammps.py packs elsewhere; its stage also needs numpy and scipy. Every stage ends
as passed, failed or skipped with its reason; gpu-CARD.json is written after each of them and after
each row, the output of every command goes to gpu.log: to $OUT where that is set, else to
benchmarks/results (the log to the build folder). Exit status 1 if a stage failed. `--emulated` runs
the same stages on the emulated card, to try the script out.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from support.gpu_checks import accuracy, build, contract, find_card, is_built, sanitizer
from support.gpu_outside import lammps, script
from support.gpu_session import ROOT, Session, Skipped, Stage
from support.gpu_speed import ceilings, profile, speed

__all__ = ["STAGES", "Session", "Skipped", "lammps", "main"]

CARRIED = ROOT / "build/carry.tar.xz"
# In the order they run: what each does, and the seconds of 570 that are kept for it. One that needs
# less leaves the rest to those after it.
STAGES: dict[str, tuple[Stage, float]] = {
    "card": (find_card, 10),
    "build": (build, 140),
    "ceilings": (ceilings, 15),
    "contract": (contract, 45),
    "accuracy": (accuracy, 30),
    "speed": (speed, 95),
    "profile": (profile, 15),
    "memcheck": (sanitizer("memcheck"), 30),
    "racecheck": (sanitizer("racecheck"), 30),
    "lammps": (lammps, 50),
    "dots": (script("dots"), 35),
    "jax": (script("jax"), 45),
    "training": (script("training"), 30),
}
ALL_SECONDS = 570.0


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--carried", type=Path, default=CARRIED, help="packed LAMMPS")
    parser.add_argument("--minutes", type=float, default=9.5, help="time for everything")
    parser.add_argument("--build", type=Path, default=ROOT / "build/gpu", help="build folder")
    parser.add_argument(
        "--results", type=Path, default=os.environ.get("OUT") or None,
        help="folder of the JSON file and the log; default: $OUT, else benchmarks/results",
    )  # fmt: skip
    parser.add_argument("--commit", help="of the source tree, where git is not at hand")
    parser.add_argument("--stages", default=",".join(STAGES), help="some of: %(default)s")
    parser.add_argument("--emulated", action="store_true", help="try the script without a card")
    options = parser.parse_args(words)
    options.stages = [name.strip() for name in options.stages.split(",") if name.strip()]
    if unknown := [name for name in options.stages if name not in STAGES]:
        parser.error(f"unknown stage {', '.join(unknown)}; there are {', '.join(STAGES)}")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Run the stages; without a card, a library or qdml_steps there is nothing more to do."""
    options = parse(words)
    session = Session(options)
    session.log.unlink(missing_ok=True)
    chosen = [name for name in STAGES if name == "card" or name in options.stages]
    scale = 60 * options.minutes / ALL_SECONDS
    for k, name in enumerate(chosen):
        kept = scale * sum(STAGES[later][1] for later in chosen[k + 1 :])
        passed = session.stage(name, STAGES[name][0], kept)
        if name == "card" and not passed:
            break
        if name == "build" and not passed and not is_built(session):
            break
    print(f"results in {session.path}, log in {session.log}")
    failed = [n for n, e in session.document["stages"].items() if e["status"] == "failed"]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
