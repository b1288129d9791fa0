"""CP2K input text and the reading of its output for one single point (energy, forces, stress)."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import Bohr, GPa, Hartree

from qdml.errors import DataError, LabelError

# Valence electrons of the GTH-PBE pseudopotentials that have a DZVP-MOLOPT-SR-GTH basis
# (BASIS_MOLOPT and POTENTIAL of CP2K 2023.1).
VALENCE = {
    "H": 1, "B": 3, "C": 4, "N": 5, "O": 6, "F": 7, "Na": 9, "Mg": 10, "Al": 3, "Si": 4, "P": 5,
    "S": 6, "Cl": 7, "K": 9, "Ca": 10, "Cu": 11, "Zn": 12, "Ga": 13, "Ge": 4, "As": 5, "Se": 6,
    "Br": 7, "Ag": 11, "Cd": 12, "In": 13, "Sn": 4, "Sb": 5, "Te": 6, "I": 7, "Cs": 9, "Hg": 12,
    "Pb": 4, "Bi": 5,
}  # fmt: skip


@dataclass(frozen=True)
class Cp2kSettings:
    """The level of theory and its numerical settings; the defaults are the project's own.

    cutoff, rel_cutoff in Ry; eps_scf and eps_default as CP2K defines them (dimensionless).
    Diagonalisation with Broyden mixing needs about 12 SCF steps on these materials where orbital
    transformation (OT) needs 31-58, with forces equal within 0.6 meV/A; OT is the second try.
    max_scf is of diagonalisation: none of 728 shipped frames it converged took more than 43 steps.
    """

    functional: str = "PBE"
    basis: str = "DZVP-MOLOPT-SR-GTH"
    potential: str = "GTH-PBE"
    cutoff: float = 300.0
    rel_cutoff: float = 40.0
    xc_deriv: str = "SPLINE2"
    eps_default: float = 1.0e-10
    eps_scf: float = 3.0e-6
    max_scf: int = 45
    mixing_alpha: float = 0.4
    n_broyden: int = 8

    def level_of_theory(self, version: str) -> str:
        """One line that names the Hamiltonian; equal lines mean frames that may be pooled."""
        return (
            f"{self.functional}/{self.basis}/{self.potential}, CP2K {version}, "
            f"{self.cutoff:g} Ry, REL {self.rel_cutoff:g}, XC_DERIV {self.xc_deriv}"
        )


@dataclass(frozen=True)
class Cp2kResult:
    """What one CP2K output says; energy eV, forces [n, 3] eV/A, stress [6] eV/A^3 (ASE) or None."""

    energy: float
    forces: np.ndarray
    stress: np.ndarray | None
    scf_steps: int
    version: str


def count_electrons(atoms: Atoms, charge: int = 0) -> int:
    """Valence electrons of a frame with GTH-PBE pseudopotentials.

    Raises DataError for an element without basis or pseudopotential in `VALENCE`.
    """
    missing = sorted(set(atoms.get_chemical_symbols()) - set(VALENCE))
    if missing:
        raise DataError(
            f"no DZVP-MOLOPT-SR-GTH basis or GTH-PBE pseudopotential for {', '.join(missing)}; "
            f"known elements: {' '.join(VALENCE)}"
        )
    return sum(VALENCE[s] for s in atoms.get_chemical_symbols()) - charge


def write_input(
    atoms: Atoms,
    settings: Cp2kSettings,
    *,
    charge: int = 0,
    multiplicity: int = 1,
    stress: bool = False,
    solver: str = "diagonalization",
    restart: str | None = None,
    kpoints: tuple[int, int, int] = (1, 1, 1),
    project: str = "job",
) -> str:
    """Text of a CP2K ENERGY_FORCE input for a fully periodic frame.

    solver is `diagonalization` (Broyden mixing) or `ot`; restart names a wavefunction file to
    start from, None starts from atomic densities. stress adds the analytical stress tensor. kpoints
    is a mesh that contains Gamma, of which one of each pair k, -k is computed.
    """
    cell = "\n".join(
        f"      {name} " + " ".join(f"{x:.12f}" for x in vector)
        for name, vector in zip("ABC", atoms.cell.array, strict=True)
    )
    coordinates = "\n".join(
        f"      {symbol} " + " ".join(f"{x:.12f}" for x in position)
        for symbol, position in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)
    )
    kinds = "\n".join(
        f"    &KIND {symbol}\n"
        f"      BASIS_SET {settings.basis}\n"
        f"      POTENTIAL {settings.potential}-q{VALENCE[symbol]}\n"
        f"    &END KIND"
        for symbol in dict.fromkeys(atoms.get_chemical_symbols())
    )
    guess = "RESTART" if restart else "ATOMIC"
    restart_line = f"    WFN_RESTART_FILE_NAME {restart}\n" if restart else ""
    spin = "    UKS TRUE\n" if multiplicity > 1 else ""
    return f"""&GLOBAL
  PROJECT {project}
  RUN_TYPE ENERGY_FORCE
  PRINT_LEVEL LOW
&END GLOBAL
&FORCE_EVAL
  METHOD QUICKSTEP
{"  STRESS_TENSOR ANALYTICAL" if stress else ""}
  &DFT
    BASIS_SET_FILE_NAME BASIS_MOLOPT
    POTENTIAL_FILE_NAME POTENTIAL
{restart_line}    CHARGE {charge}
    MULTIPLICITY {multiplicity}
{spin}    &MGRID
      CUTOFF {settings.cutoff:g}
      REL_CUTOFF {settings.rel_cutoff:g}
    &END MGRID
    &QS
      METHOD GPW
      EPS_DEFAULT {settings.eps_default:.1E}
    &END QS
    &POISSON
      PERIODIC XYZ
      POISSON_SOLVER PERIODIC
    &END POISSON
    &XC
      &XC_FUNCTIONAL {settings.functional}
      &END XC_FUNCTIONAL
      &XC_GRID
        XC_DERIV {settings.xc_deriv}
      &END XC_GRID
    &END XC
{_kpoint_section(kpoints)}    &SCF
      SCF_GUESS {guess}
      EPS_SCF {settings.eps_scf:.1E}
{_scf_solver(settings, solver)}
      &PRINT
        &RESTART_HISTORY OFF
        &END RESTART_HISTORY
      &END PRINT
    &END SCF
  &END DFT
  &SUBSYS
    &CELL
{cell}
      PERIODIC XYZ
    &END CELL
    &COORD
{coordinates}
    &END COORD
{kinds}
  &END SUBSYS
  &PRINT
    &FORCES ON
      NDIGITS 12
    &END FORCES
{"    &STRESS_TENSOR ON" + chr(10) + "    &END STRESS_TENSOR" if stress else ""}
  &END PRINT
&END FORCE_EVAL
"""


def reduced_mesh(mesh: tuple[int, int, int]) -> list[tuple[tuple[int, ...], int]]:
    """Points of a mesh that contains Gamma and how often each counts, as (indices, weight).

    The states at k and -k are complex conjugates (time reversal), so one of each pair is enough.
    """
    weights: dict[tuple[int, ...], int] = {}
    for point in itertools.product(*(range(n) for n in mesh)):
        opposite = tuple(-index % n for index, n in zip(point, mesh, strict=True))
        kept = min(point, opposite)
        weights[kept] = weights.get(kept, 0) + 1
    return sorted(weights.items())


def _kpoint_section(mesh: tuple[int, int, int]) -> str:
    """Explicit list of the mesh: CP2K's own Monkhorst-Pack meshes of even size leave out Gamma."""
    points = reduced_mesh(mesh)
    if len(points) == 1:
        return ""
    n_points = sum(weight for _, weight in points)
    lines = "\n".join(
        "      KPOINT "
        + " ".join(f"{index / n:.8f}" for index, n in zip(point, mesh, strict=True))
        + f" {weight / n_points:.8f}"
        for point, weight in points
    )
    return f"""    &KPOINTS
      SCHEME GENERAL
      UNITS B_VECTOR
{lines}
      WAVEFUNCTIONS COMPLEX
    &END KPOINTS
"""


def _scf_solver(settings: Cp2kSettings, solver: str) -> str:
    """The part of the SCF section that chooses how the orbitals are found."""
    if solver == "diagonalization":
        return f"""      MAX_SCF {settings.max_scf}
      &DIAGONALIZATION
      &END DIAGONALIZATION
      &MIXING
        METHOD BROYDEN_MIXING
        ALPHA {settings.mixing_alpha:g}
        NBROYDEN {settings.n_broyden}
      &END MIXING"""
    if solver == "ot":
        return """      MAX_SCF 20
      &OT
        MINIMIZER DIIS
        PRECONDITIONER FULL_SINGLE_INVERSE
      &END OT
      &OUTER_SCF
        EPS_SCF 3.0E-6
        MAX_SCF 6
      &END OUTER_SCF"""
    raise ValueError(f"unknown SCF solver '{solver}'")


_FLOAT = r"[-+]?\d+\.\d*(?:[EeDd][-+]?\d+)?"
_ENERGY = re.compile(rf"ENERGY\| Total FORCE_EVAL.*?({_FLOAT})\s*$", re.M)
_FORCE = re.compile(rf"^\s+(\d+)\s+\d+\s+[A-Z][a-z]?\s+({_FLOAT})\s+({_FLOAT})\s+({_FLOAT})\s*$")
_STRESS = re.compile(rf"^ STRESS\|\s+[xyz]\s+({_FLOAT})\s+({_FLOAT})\s+({_FLOAT})\s*$", re.M)
_VERSION = re.compile(r"CP2K\| version string:\s+CP2K version (\S+)")
_STEPS = re.compile(r"\*\*\* SCF run converged in\s+(\d+) steps")
_OUTER_STEPS = re.compile(r"outer SCF loop converged in\s+\d+ iterations or\s+(\d+) steps")


def parse_output(text: str, n_atoms: int, *, stress: bool = False) -> Cp2kResult:
    """Energy, forces and stress from the text of a CP2K ENERGY_FORCE output.

    CP2K prints hartree, hartree/bohr and GPa with the opposite sign of stress to ASE; the result is
    in eV, eV/A and eV/A^3 with the sign of ASE. Raises LabelError when the SCF did not converge or
    a section is missing, and names it.
    """
    if "SCF run NOT converged" in text and "outer SCF loop converged" not in text:
        raise LabelError("CP2K: the SCF did not converge")
    if "outer SCF loop FAILED to converge" in text:
        raise LabelError("CP2K: the SCF did not converge")
    energy = _ENERGY.search(text)
    if energy is None:
        raise LabelError("CP2K: no total energy in the output; " + abort_reason(text))
    marker = text.find("ATOMIC FORCES in [a.u.]")
    if marker < 0:
        raise LabelError("CP2K: no forces in the output; " + abort_reason(text))
    forces = []
    for line in text[marker:].splitlines():
        match = _FORCE.match(line)
        if match:
            forces.append([float(match[i]) for i in (2, 3, 4)])
        elif "SUM OF ATOMIC FORCES" in line:
            break
    if len(forces) != n_atoms:
        raise LabelError(f"CP2K: forces of {len(forces)} atoms in the output, expected {n_atoms}")
    tensor = None
    if stress:
        rows = _STRESS.findall(text[text.find("STRESS| Analytical") :])
        if len(rows) < 3:
            raise LabelError("CP2K: no stress tensor in the output")
        gpa = np.array(rows[:3], dtype=float)
        tensor = -gpa[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] * GPa
    steps = _OUTER_STEPS.search(text) or _STEPS.search(text)
    version = _VERSION.search(text)
    return Cp2kResult(
        energy=float(energy[1]) * Hartree,
        forces=np.array(forces) * Hartree / Bohr,
        stress=tensor,
        scf_steps=int(steps[1]) if steps else 0,
        version=version[1] if version else "unknown",
    )


def abort_reason(text: str) -> str:
    """The message of CP2K's abort box, or the last printed line."""
    box = re.findall(r"^ \*\s+(?:\\|/|\||___|O|\[ABORT\])?\s*(.*?)\s*\*$", text, re.M)
    words = " ".join(part for part in box if re.search(r"[a-z]{3}", part))
    if words:
        return words[:300]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"last line: {lines[-1][:200]}" if lines else "the output is empty"


def read_output(path: Path, n_atoms: int, *, stress: bool = False) -> Cp2kResult:
    """`parse_output` of a file."""
    return parse_output(path.read_text(errors="replace"), n_atoms, stress=stress)
