# SPDX-License-Identifier: MIT
"""ASE calculator on the native engine: `atoms.calc = qdml.Calculator("model.qdml")`."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from qdml.engine import Engine


class Calculator(AseCalculator):
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, ASE's order and sign) of a `.qdml` potential.

    `precision` is `mixed` (default: fp32 kernels, fp64 totals) or `double`; `device` is `auto` (a
    GPU where one can be used, else the CPU), `cpu` or `gpu`. `energies` sum to
    `energy`; `stresses` are the atoms' shares of `stress` and sum to it. Stress needs a cell with
    three vectors. Of a committee file these are averages, and `results` also has `forces_spread`
    [n], sqrt(Σ_m |F_m - F̄|² / M) in eV/Å, and `energy_spread`, the standard deviation of the
    members' energies in eV.

    Raises ModelFileError for a bad file, DataError for elements the model lacks.
    """

    implemented_properties: ClassVar[list[str]] = [
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
        "stresses",
    ]
    default_parameters: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        model: str | os.PathLike[str],
        precision: str = "mixed",
        device: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.engine = Engine(model, precision, device)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill `results`; called by ASE."""
        super().calculate(atoms, properties, system_changes)
        properties = properties or ["energy"]
        per_atom = bool({"energies", "stresses"} & set(properties))
        found = self.engine.compute(
            self.atoms.positions,
            self.engine.species_of(self.atoms.get_chemical_symbols()),
            self.atoms.cell.array,
            self.atoms.pbc,
            per_atom=per_atom,
        )
        self.results = {
            "energy": found.energy,
            "free_energy": found.energy,
            "forces": found.forces,
        }
        if found.member_energies is not None:
            self.results["forces_spread"] = found.forces_spread
            self.results["energy_spread"] = found.energy_spread
        has_volume = self.atoms.cell.rank == 3
        if has_volume:
            volume = self.atoms.get_volume()
            self.results["stress"] = full_3x3_to_voigt_6_stress(-found.virial / volume)
        if per_atom:
            self.results["energies"] = found.energies
            if has_volume:
                self.results["stresses"] = full_3x3_to_voigt_6_stress(-found.virials / volume)
