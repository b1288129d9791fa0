# SPDX-License-Identifier: MIT
"""The commented configuration that `init` writes for given frames, with reasons for its numbers."""

from __future__ import annotations

import math
import typing
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from ase.data import chemical_symbols

from qdml_train.config import PRESETS, Config, DataSection, ModelSection, Section, TrainSection
from qdml_train.frames import Frame
from qdml_train.neighbors import build_neighbors
from qdml_train.schema import MODELINE

SHOWN = {
    "data": ("split", "e0", "max_force", "origin_weights", "use_stress", "accept"),
    "model": ("zbl",),
    "train": ("learning_rate", "energy_weight", "force_weight", "stress_weight", "huber"),
}
"""Keys worth a line of their own; all others are listed by `docs/training.md`."""

BATCH_ATOMS = 160  # rows that keep a core or a small GPU busy
FEW_NUMBERS, MANY_NUMBERS = 30_000, 1_000_000  # force components


@dataclass(frozen=True)
class Proposal:
    """A value and why."""

    value: float | int | str
    reason: str


def propose_cutoff(frames: list[Frame]) -> Proposal:
    """Twice the usual nearest distance, so that second neighbours count; between 5 and 6 Å."""
    nearest, counts = [], []
    for frame in frames[:: max(1, len(frames) // 50)]:
        edges = build_neighbors(frame, 6.0)
        if len(edges.center):
            first = edges.slot == 0  # rows are ordered by distance
            nearest.append(np.linalg.norm(edges.vector[first], axis=1))
            counts.append((np.linalg.norm(edges.vector, axis=1), frame.n_atoms))
    if not nearest:
        return Proposal(5.5, "no two atoms within 6 Å in these frames; the default")
    usual = float(np.median(np.concatenate(nearest)))
    cutoff = min(max(math.ceil(4.0 * usual) / 2.0, 5.0), 6.0)
    within = sum(int((r < cutoff).sum()) for r, _ in counts) / sum(n for _, n in counts)
    return Proposal(
        cutoff,
        f"Å; nearest neighbours at {usual:.2f} Å, second ones within twice that; "
        f"{within:.0f} neighbours per atom",
    )


def propose_batch(frames: list[Frame]) -> Proposal:
    """Room for the largest frame, and enough steps per epoch."""
    largest = max(f.n_atoms for f in frames)
    total = sum(f.n_atoms for f in frames)
    rows = max(largest, min(BATCH_ATOMS, max(32, total // 10)))
    rows = -(-rows // 8) * 8
    return Proposal(
        rows,
        f"atom rows of a batch: the largest frame has {largest}; about {-(-total // rows)} steps "
        "per epoch",
    )


def propose_preset(frames: list[Frame]) -> Proposal:
    """The size of the network by the number of force components to learn from."""
    n = 3 * sum(f.n_atoms for f in frames if f.forces is not None)
    if n < FEW_NUMBERS:
        name, reason = "fast", "few: a larger network would not gain from them"
    elif n < MANY_NUMBERS:
        name, reason = "std", "enough for the standard size"
    else:
        name, reason = "accurate", "many: degree 3 and a fourth layer pay"
    return Proposal(name, f"{n} force components, {reason}; fast, std or accurate")


def write_template(path: Path, frames: list[Frame], time_budget: str = "10m") -> str:
    """YAML text: what the data says as comments, the usual keys with their defaults explained."""
    atoms = Counter(chemical_symbols[z] for f in frames for z in f.numbers)
    origins = Counter(f.origin for f in frames)
    labels = ", ".join(
        f"{kind} {sum(getattr(f, kind) is not None for f in frames)}"
        for kind in ("energy", "forces", "stress")
    )
    cells = sum(bool(f.pbc.all()) for f in frames)
    cutoff, batch, preset = propose_cutoff(frames), propose_batch(frames), propose_preset(frames)
    values = ", ".join(f"{k} {v}" for k, v in PRESETS[str(preset.value)].items())
    lines = [
        MODELINE,
        f"# {path.name}: {len(frames)} frames ({cells} periodic), {sum(atoms.values())} atoms: "
        + ", ".join(f"{symbol} {n}" for symbol, n in atoms.most_common()),
        f"# labels: {labels}; units: {frames[0].provenance or 'eV and Å'}",
        "# origins: " + ", ".join(f"{name} ({n})" for name, n in origins.items()),
        "# Run: python -m qdml_train fit THIS_FILE [section.key=value ...]   (--dry-run: its cost)",
        "data:",
        f"  train: {yaml.safe_dump(str(path)).splitlines()[0]}"
        "  # or a list of sources with own keys, units, weights",
        *_section(DataSection, SHOWN["data"]),
    ]
    if not any(f.energy is not None for f in frames):
        lines.append("  use_energy: false  # the frames have no energies: forces only")
    lines += [
        "model:",
        f"  preset: {preset.value}  # {preset.reason}",
        f"  # {preset.value}: {values}; any of these keys given here wins",
        f"  cutoff: {cutoff.value:g}  # {cutoff.reason}",
        *_section(ModelSection, SHOWN["model"]),
        "train:",
        f"  time_budget: {time_budget}  # the schedule ends after this time; or epochs: 200",
        f"  batch_atoms: {batch.value}  # {batch.reason}",
        *_section(TrainSection, SHOWN["train"]),
        "output: fit  # folder of all results",
    ]
    if {f.level_of_theory for f in frames} == {""}:
        lines.append('level_of_theory: ""  # the frames do not say; state functional and basis')
    lines += ["", "# All other keys and their defaults:", *_others()]
    return "\n".join(lines) + "\n"


def _section(section: type[Section], keys: tuple[str, ...]) -> list[str]:
    lines = []
    for key in keys:
        field = section.model_fields[key]
        value = yaml.safe_dump(field.get_default(), default_flow_style=True).splitlines()[0]
        text = field.description or ""
        choices = _choices(field.annotation)
        if choices:
            text += f" ({' | '.join(choices)})" if text else " | ".join(choices)
        lines.append(f"  {field.alias or key}: {value}" + (f"  # {text}" if text else ""))
    return lines


def _others() -> list[str]:
    """Every key without a line of its own, commented out with its default."""
    named = {"data": {"train"}, "model": {"preset", "cutoff"}, "train": {"time_budget", "epochs"}}
    preset_keys = set(PRESETS["std"])
    lines = []
    for name, kind in (("data", DataSection), ("model", ModelSection), ("train", TrainSection)):
        rest = tuple(
            key
            for key in kind.model_fields
            if key not in (*SHOWN[name], *named[name], "batch_atoms", "use_energy")
            and not (name == "model" and key in preset_keys)
        )
        lines += [f"# {name}:", *(f"#{line}" for line in _section(kind, rest))]
    lines.append(f'# description: ""  # {Config.model_fields["description"].description}')
    return lines


def _choices(annotation: object) -> list[str]:
    return [str(x) for x in typing.get_args(annotation) if isinstance(x, str)]
