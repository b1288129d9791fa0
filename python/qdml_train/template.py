# SPDX-License-Identifier: MIT
"""The commented configuration that `init` writes for given frames."""

from __future__ import annotations

import typing
from collections import Counter
from pathlib import Path

import yaml

from qdml_train.config import DataSection, ModelSection, Section, TrainSection
from qdml_train.frames import Frame

SHOWN = {
    "data": ("split", "e0", "max_force", "origin_weights", "use_energy", "use_stress"),
    "model": ("cutoff", "l_max", "layers", "channels", "message_channels", "zbl"),
    "train": ("batch_atoms", "learning_rate", "energy_weight", "force_weight", "stress_weight"),
}
"""Keys worth a line of their own; all others are listed by `docs/training.md`."""


def write_template(path: Path, frames: list[Frame], time_budget: str = "10m") -> str:
    """YAML text: what the data says as comments, the usual keys with their defaults explained."""
    elements = sorted({a.symbol for f in frames for a in f.atoms()})
    origins = Counter(f.origin for f in frames)
    lines = [
        f"# {path.name}: {len(frames)} frames, {sum(f.n_atoms for f in frames)} atoms, elements "
        f"{' '.join(elements)}",
        "# origins: " + ", ".join(f"{name} ({n})" for name, n in origins.items()),
        "# Run: python -m qdml_train fit THIS_FILE [section.key=value ...]",
        "data:",
        f"  train: {yaml.safe_dump(str(path)).splitlines()[0]}",
        *_section(DataSection, SHOWN["data"]),
        "model:",
        *_section(ModelSection, SHOWN["model"]),
        "train:",
        f"  time_budget: {time_budget}  # the schedule ends after this time; or epochs: 200",
        *_section(TrainSection, SHOWN["train"]),
        "output: fit  # folder of all results",
    ]
    levels = {f.level_of_theory for f in frames}
    if levels == {""}:
        lines.append('level_of_theory: ""  # the frames do not say; state functional and basis')
    return "\n".join(lines) + "\n"


def _section(section: type[Section], keys: tuple[str, ...]) -> list[str]:
    lines = []
    for key in keys:
        field = section.model_fields[key]
        value = yaml.safe_dump(field.get_default(), default_flow_style=True).splitlines()[0]
        text = field.description or ""
        choices = _choices(field.annotation)
        if choices and not text:
            text = " | ".join(choices)
        lines.append(f"  {key}: {value}" + (f"  # {text}" if text else ""))
    return lines


def _choices(annotation: object) -> list[str]:
    return [str(x) for x in typing.get_args(annotation) if isinstance(x, str)]
