# SPDX-License-Identifier: MIT
"""Run the decks of lammps_plugin/verify and read what they leave behind."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qdml.errors import EngineError
from qdml.lammps import lammps_command, lammps_environment

DECKS = Path(__file__).resolve().parent / "decks"
BAR = 1.6021765e6  # bar per eV/Å³, LAMMPS' nktv2p in metal units
TIMEOUT = 600  # s, against a hang


class DeckFailed(EngineError):
    """LAMMPS did not end, or ended with an error."""


@dataclass(frozen=True)
class Point:
    """Energy, virial [6] (xx yy zz xy xz yz, bar Å³) and forces [n, 3] in the order of atom IDs."""

    energy: float
    virial: np.ndarray
    forces: np.ndarray


@dataclass(frozen=True)
class Decks:
    """A folder with structures NAME.data and the potential that the decks evaluate."""

    folder: Path
    model: Path
    species: list[str]

    def setting(self, data: str, **other: str) -> str:
        """Variables of one evaluation as LAMMPS commands; defaults are those of the reference."""
        variables = {
            "decks": str(DECKS),
            "data": f"{data}.data",
            "model": str(self.model),
            "elements": " ".join(self.species),
            "units": "metal",
            "boundary": "p p p",
            "precision": "double",
            "exchange": "layer",
            "layout": "brick",
        } | other
        return "".join(f'variable {name} string "{value}"\n' for name, value in variables.items())

    def run(self, name: str, commands: str, ranks: int = 1) -> str:
        """Run commands; returns what LAMMPS printed. Raises DeckFailed with its last lines."""
        (self.folder / f"in.{name}").write_text(commands)
        arguments = ["-in", f"in.{name}", "-log", f"log.{name}", "-nocite"]
        try:
            done = subprocess.run(
                lammps_command(arguments, ranks),
                cwd=self.folder,
                env=lammps_environment(1, ranks, shared_cores=True),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as fault:
            raise DeckFailed(f"in.{name} on {ranks} ranks did not end in {TIMEOUT} s") from fault
        if done.returncode != 0:
            errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
            raise DeckFailed(f"in.{name}: {errors[0] if errors else done.stdout[-300:]}")
        return done.stdout

    def include(self, deck: str) -> str:
        return f"include {DECKS}/in.{deck}\n"

    def columns(self, name: str) -> np.ndarray:
        """Rows of a dump with one frame, without the IDs: [n, columns]."""
        rows = (self.folder / name).read_text().split("ITEM: ATOMS")[1].splitlines()[1:]
        return np.array([row.split()[1:] for row in rows], dtype=float)

    def point(self, name: str) -> Point:
        """What in.point stored under `name`."""
        numbers = [float(x) for x in (self.folder / f"{name}.result").read_text().split()]
        return Point(numbers[0], np.array(numbers[2:]) * numbers[1], self.columns(f"{name}.forces"))
