# SPDX-License-Identifier: MIT
"""One source of frames as the configuration names it: files, keys, units, weights, level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    field_validator,
    model_serializer,
    model_validator,
)

from qdml_train import units
from qdml_train.section import Section

SYSTEMS = {
    "eV": {"energy": "eV", "length": "Å"},
    "cp2k": {"energy": "Hartree", "length": "Å", "force": "Hartree/Bohr", "stress": "GPa"},
    "atomic": {"energy": "Hartree", "length": "Bohr"},
    "real": {"energy": "kcal/mol", "length": "Å"},
}
"""Short names of unit systems, as `data.train[].units` accepts them."""


class Keys(Section):
    """Names of the labels in the file; without a name `X`, `REF_X` and `dft_X` are looked for."""

    energy: str | None = Field(None, description="name of the energy, such as E_dft")
    forces: str | None = Field(None, description="name of the forces")
    stress: str | None = Field(None, description="name of the stress, 6 or 9 numbers")
    virial: str | None = Field(None, description="name of the virial -V σ, instead of a stress")


class Units(Section):
    """Units of the numbers in the file."""

    energy: str = Field("eV", description="eV, Hartree, Ry, kcal/mol or kJ/mol")
    length: str = Field("Å", description="Å or Bohr; of positions and cells")
    force: str | None = Field(None, description="such as Hartree/Bohr; default energy/length")
    stress: str | None = Field(None, description="eV/Å³, GPa, kB, bar, ...; default energy/length³")
    stress_sign: Literal["tension", "compression"] = Field(
        "tension", description="what a positive stress means: tension (ASE) or compression (VASP)"
    )

    @field_validator("energy", "length", "force", "stress")
    @classmethod
    def _known(cls, value: str | None, info: Any) -> str | None:
        table = getattr(units, info.field_name.upper())
        return None if value is None else units.canonical(value, table)

    @property
    def force_name(self) -> str:
        """Unit of forces, spelled out."""
        return self.force or f"{self.energy}/{self.length}"

    @property
    def stress_name(self) -> str:
        """Unit of stresses, spelled out."""
        return self.stress or f"{self.energy}/{self.length}³"

    @property
    def factors(self) -> dict[str, float]:
        """Factors to eV, Å, eV/Å and eV/Å³; the stress with its sign."""
        sign = -1.0 if self.stress_sign == "compression" else 1.0
        return {
            "energy": units.ENERGY[self.energy],
            "length": units.LENGTH[self.length],
            "force": units.FORCE[self.force_name],
            "stress": sign * units.STRESS[self.stress_name],
        }


class Weights(Section):
    """Weights of the labels of a source in the loss; a label of weight 0 need not be there."""

    energy: float = Field(1.0, ge=0, description="weight of the energies in the loss")
    forces: float = Field(1.0, ge=0, description="weight of the forces in the loss")
    stress: float = Field(1.0, ge=0, description="weight of the stresses in the loss")


def _units(value: Any) -> Any:
    if isinstance(value, str):
        if value not in SYSTEMS:
            raise ValueError(f"unknown units '{value}'; known: {', '.join(SYSTEMS)}, or a mapping")
        return SYSTEMS[value]
    return value


def _weights(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return dict.fromkeys(("energy", "forces", "stress"), value)
    return value


class Source(Section):
    """Files of one kind: what is in them and how they count."""

    file: Path | None = Field(None, description="file of frames; * and ? name several")
    pos: Path | None = Field(None, description="CP2K positions, NAME-pos-1.xyz, instead of file")
    frc: Path | None = Field(None, description="CP2K forces, NAME-frc-1.xyz; default beside pos")
    cell: Path | list[float] | list[list[float]] | None = Field(
        None, description="periodic cell of CP2K files: NAME-1.cell, 3 lengths or 3 vectors"
    )
    format: str | None = Field(None, description="ASE's name of the format, where it is not clear")
    index: str = Field(":", description="which frames, as Python slices: 100:, ::5")
    keys: Keys = Field(Keys(), description="names of the labels in the file")
    units: Annotated[Units, BeforeValidator(_units, str | Units)] = Field(
        Units(), description="eV, cp2k, atomic, real, or a mapping"
    )
    weights: Annotated[Weights, BeforeValidator(_weights, float | Weights)] = Field(
        Weights(), description="one number, or one per label"
    )
    level_of_theory: str = Field("", description="of these labels, where the frames do not say")
    origin: str = Field("", description="origin of these frames, instead of their own")
    labels: Path | None = Field(
        None, description="a .qdml file that gives the labels, instead of those of the frames"
    )
    e0: Literal["shared", "fit", "base"] | dict[str, float] = Field(
        "shared", description="data.e0, or own for another level: fit, base (train.from), numbers"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """A path alone is a source, and CP2K pairs are in CP2K's units."""
        if isinstance(value, str | Path):
            value = {"file": value}
        if isinstance(value, dict) and "pos" in value:
            value = {"units": "cp2k", **value}
        if isinstance(value, dict) and value.get("labels") is not None:
            value = {"e0": "fit", **value}  # a teacher's energies have a zero of their own
        return value

    @field_validator("index", mode="before")
    @classmethod
    def _slice(cls, value: Any) -> Any:
        parts = str(value).split(":")
        if not 2 <= len(parts) <= 3 or not all(p.strip().lstrip("-").isdigit() or not p.strip()
                                               for p in parts):  # fmt: skip
            raise ValueError("expected a Python slice such as ':', '100:' or '::5'")
        return str(value)

    @model_validator(mode="after")
    def _one_place(self) -> Source:
        if (self.file is None) == (self.pos is None):
            raise ValueError("a source has either 'file' or 'pos' (with 'frc')")
        if self.frc is not None and self.pos is None:
            raise ValueError("'frc' belongs to 'pos'; give both")
        if self.cell is not None and not isinstance(self.cell, Path):
            rows = [len(x) if isinstance(x, list) else 1 for x in self.cell]
            if rows not in ([1, 1, 1], [3, 3, 3]):
                raise ValueError("'cell' is a file, 3 lengths, or 3 vectors of 3 numbers, in Å")
        return self

    @model_serializer(mode="wrap")
    def _dump(self, handler: Any) -> Any:
        """A source of nothing but a file is written as its path; else only what was set."""
        content = handler(self)
        default = {"keys": Keys(), "units": Units(), "weights": Weights()}
        kept = {
            key: value
            for key, value in content.items()
            if key in ("file", "pos") or getattr(self, key) != default.get(key, _DEFAULT.get(key))
        }
        kept = {key: value for key, value in kept.items() if value is not None}
        return kept["file"] if set(kept) == {"file"} else kept

    def __str__(self) -> str:
        return str(self.file or self.pos)

    @property
    def slice(self) -> slice:
        """`index` as a slice."""
        return slice(*(int(p) if p.strip() else None for p in self.index.split(":")))


_DEFAULT = {name: field.default for name, field in Source.model_fields.items()}
