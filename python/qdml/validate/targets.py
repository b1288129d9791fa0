# SPDX-License-Identifier: MIT
"""What a potential of each material is held to: literature values and the limits of acceptance."""

from __future__ import annotations

from dataclasses import dataclass, field

from qdml.build.materials import MATERIALS
from qdml.errors import ConfigError

LATTICE_LIMIT = 0.003
"""Relative error of the lattice constant against the potential's own DFT level."""

BULK_MODULUS_LIMIT = 0.05
ELASTIC_LIMIT = (0.10, 3.0)
"""Relative error or GPa, whichever is more, of an elastic constant on the same cells as DFT."""

OPTIC_LIMIT = (0.05, 5.0)
"""Relative error or cm-1, whichever is more, of a zone-centre mode, likewise."""

CURVE_LIMIT = 0.002
"""eV/atom, root mean square over the equation of state of +-6 % in volume."""

CURVE_RANGE = 0.061
FORCE_LIMITS = {
    "bulk": 0.020,
    "core": 0.040,
    "surface": 0.060,
    "ligand": 0.040,
    "facet": 0.060,
    "new ligand": 0.060,
}
"""eV/A, mean absolute error per component on held-out frames. A facet or a ligand no fit has seen
is judged as a surface: their frames are slabs and small molecules, all atoms counted."""

ENERGY_LIMIT = 0.002
"""eV/atom, mean absolute error on held-out frames."""

PHASE_TIE = 0.002
"""eV/atom: phases nearer to each other than the limit of the energy are not told apart."""

SHORTEST_RATIO = 0.75
"""Shortest distance of two elements that bond over the sum of their covalent radii."""

DRIFT_LIMIT = 1.0e-4
"""eV/atom/ps of a run at constant energy."""


@dataclass(frozen=True)
class Targets:
    """Literature of one material; lattice constants in A, moduli in GPa, wavenumbers in cm-1.

    pbe: plane-wave PBE; experiment: room temperature unless said. `phases` lists structures by
    rising PBE energy. dot: arguments of `qdml build` for the dot that is run. expansion: linear, in
    1e-6 / K; transitions: phases on heating.
    """

    lattice: tuple[float, float]
    bulk_modulus: tuple[str, str]
    elastic: dict[str, float] = field(default_factory=dict)
    optic: str = ""
    phases: tuple[str, ...] = ()
    dot: dict[str, object] = field(default_factory=dict)
    expansion: str = ""
    transitions: str = ""


# Values and sources as in the handbook data that `qdml.build.materials` names (Landolt-Börnstein /
# Madelung 2004; InP from the Ioffe data base; CsPbBr3 from Stoumpos 2013 and Møller 1958); ranges
# where sources differ. Elastic constants are of the structure at the top of `phases`.
_LITERATURE = {
    "CdSe": Targets(
        (6.205, 6.05), ("44-46", "53-55"), {}, "TO 169-172, LO 210-213",
        ("wurtzite", "zincblende", "rocksalt"), {"preset": "Cd68Se55Cl26"},
    ),
    "InP": Targets(
        (5.965, 5.869), ("59-61", "71-72"), {"C11": 101.1, "C12": 56.1, "C44": 45.6},
        "TO 304, LO 345", ("zincblende", "wurtzite", "rocksalt"), {"preset": "In31P20Cl33"},
        expansion="4.6",
    ),
    "PbSe": Targets(
        (6.21, 6.124), ("48-50", "50-54"), {"C11": 124.0, "C12": 19.0, "C44": 16.0},
        "TO 44-48, LO 133-135", ("rocksalt", "zincblende"), {"preset": "Pb79Se44Cl70"},
    ),
    "CsPbBr3": Targets(
        (6.00, 5.87), ("14", "15.5-23.5"), {}, "72, 127 (Raman)", ("tilted", "cubic"),
        {"preset": "Cs54Pb27Br108"}, transitions="Pnma < 361 K, P4/mbm < 403 K, Pm-3m",
    ),
}  # fmt: skip


def find_targets(material: str) -> Targets:
    """Literature of a material; ConfigError for one that is not covered."""
    if material not in _LITERATURE:
        raise ConfigError(
            f"no acceptance values for '{material}'; covered: {', '.join(_LITERATURE)}"
        )
    return _LITERATURE[material]


def lattice_start(material: str) -> float:
    """Lattice constant in A to start a relaxation from."""
    return MATERIALS[material].lattice_pbe
