# SPDX-License-Identifier: MIT
"""The configuration of a fit: one YAML file, every key known, errors that name the nearest key."""

from __future__ import annotations

import difflib
import re
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from ase.data import atomic_numbers
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from qdml.errors import ConfigError

from qdml_train.section import Section
from qdml_train.source import Source

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(value: Any) -> Any:
    """Seconds from 90, '90s', '6m', '4h' or '1.5d'; anything else is left to the validator."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9.]+)\s*([smhd]?)\s*", value)
        if match:
            return float(match.group(1)) * _UNITS[match.group(2) or "s"]
    return value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | Path | dict | Source) else value


Duration = Annotated[float, BeforeValidator(parse_duration, float | str), Field(gt=0)]
Sources = Annotated[list[Source], BeforeValidator(_as_list, str | Source | list[str | Source])]

PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"l_max": 1, "layers": 3, "channels": [32, 32], "message_channels": 32},
    "std": {"l_max": 2, "layers": 3, "channels": [64, 64, 64], "message_channels": 64},
    "accurate": {"l_max": 3, "layers": 4, "channels": [32, 32, 32, 32], "message_channels": 32},
}
"""Values of `model` keys behind `model.preset`; keys given beside it win."""


class DataSection(Section):
    """Which frames, how they are divided, and what their energies are measured from."""

    train: Sources = Field(min_length=1, description="files of frames; divided by `split`")
    valid: Sources = Field([], description="files of which every frame validates")
    test: Sources = Field([], description="files of which every frame tests")
    split: Literal[
        "auto", "info", "origins", "blocks", "files", "groups", "size", "random", "none"
    ] = Field("auto", description="how frames are divided; auto: info if there, else blocks")
    group: str | None = Field(None, description="split: groups; info key of the group")
    split_seed: int = Field(1, ge=0, description="split: random; choice of the frames")
    valid_origins: list[str] = Field([], description="split: origins; these validate")
    test_origins: list[str] = Field([], description="split: origins; these test")
    test_temperatures: list[float] = Field([], description="split: origins; these test, K")
    valid_fraction: float = Field(0.1, ge=0, lt=1, description="part that validates")
    test_fraction: float = Field(0.0, ge=0, lt=1, description="part that tests")
    train_fraction: float = Field(
        1.0, gt=0, le=1, description="part of the training frames of every origin that is used"
    )
    e0: Literal["auto", "isolated", "fit", "base"] | dict[str, float] = Field(
        "fit",
        description="reference energies, eV: isolated atoms, least squares, numbers, or base "
        "(those of train.from)",
    )
    elements: list[str] | None = Field(
        None, description="frames with any other element are left out; null: all are kept"
    )
    max_force: float = Field(20.0, gt=0, description="training frames beyond are left out, eV/Å")
    origin_weights: dict[str, float] = Field(
        {}, description="weight of all labels of origins, by pattern such as dimer-*"
    )
    use_energy: bool = Field(True, description="false: fit forces only")
    use_stress: bool = Field(True, description="false: ignore stress labels")
    accept: list[str] = Field([], description="checks whose FAIL does not stop the fit, by name")

    @field_validator("elements")
    @classmethod
    def _elements(cls, value: list[str] | None) -> list[str] | None:
        for symbol in value or []:
            if symbol not in atomic_numbers:
                raise ValueError(f"'{symbol}' is not a chemical symbol")
        if value == []:
            raise ValueError("an empty list leaves out every frame; null keeps all")
        return value


class ModelSection(Section):
    """Size of the network."""

    preset: Literal["fast", "std", "accurate"] | None = Field(
        None, description="values for the keys below; keys given beside it win"
    )
    cutoff: float = Field(5.5, gt=0, le=20, description="Å")
    l_max: int = Field(2, ge=0, le=3, description="highest degree of features and messages")
    paths: Literal["summed", "separated"] = Field(
        "summed", description="terms of one degree share a sum, or keep their own as in NequIP"
    )
    layers: int = Field(3, ge=1, le=8, description="interaction layers")
    channels: list[int] = Field(
        [32, 32, 16], min_length=1, max_length=4, description="node features of degree 0, 1, 2, 3"
    )
    message_channels: int = Field(32, ge=16, multiple_of=16, description="of every degree")
    knots: int = Field(48, ge=8, le=1024, description="spline intervals from 0 to the cutoff")
    bessel: int = Field(8, ge=2, le=64, description="inputs of the radial network")
    radial_hidden: list[int] = Field([32, 32], description="hidden widths of the radial network")
    readout: list[int] = Field([32], description="hidden widths of the read-out")
    zbl: bool = Field(True, description="screened nuclear repulsion at short range")

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {**PRESETS.get(str(value.get("preset")), {}), **value}
        return value


class Hosts(Section):
    """Processes of a fit over several hosts, where JAX cannot find them out itself."""

    coordinator: str = Field(description="host:port of process 0")
    processes: int = Field(ge=1, description="number of processes")
    process: int = Field(ge=0, description="number of this process, different on every host")


class TrainSection(Section):
    """Loss, optimiser and schedule."""

    time_budget: Duration | None = Field(
        None, description="the schedule ends after this time: 90s, 6m, 4h"
    )
    epochs: int | None = Field(None, ge=1, description="the schedule ends after so many epochs")
    batch_atoms: int = Field(160, ge=1, description="atom rows of a batch")
    batch_frames: int = Field(8, ge=1, description="most frames of a batch")
    start: Path | None = Field(
        None, alias="from", description="a .qdml file to start from, instead of random weights"
    )
    tune: Literal["all", "head"] = Field(
        "all", description="with from: train all weights, or read-out, scales and E0 alone"
    )
    accumulate: int = Field(1, ge=1, description="batches whose gradients make one step")
    optimizer: Literal["adamw", "muon", "schedule_free"] = Field(
        "adamw", description="how gradients become steps"
    )
    kernels: Literal["auto", "native", "jax"] = Field(
        "auto", description="messages by the engine's kernels (CPU) or by JAX; auto: where they run"
    )
    remat: bool = Field(False, description="compute layers again instead of keeping them: memory")
    devices: int | None = Field(
        None, ge=1, description="that share the batches of a step; default all that divide them"
    )
    distributed: Literal["auto"] | Hosts | None = Field(
        None, description="several hosts: auto (Slurm, Open MPI), or coordinator and numbers"
    )
    learning_rate: float = Field(0.01, gt=0, description="after the warm-up; 0.001 with from")
    warmup: float = Field(0.02, ge=0, lt=1, description="fraction of the schedule")
    final_learning_rate: float = Field(0.01, ge=0, le=1, description="relative, end of the cosine")
    weight_decay: float = Field(0.0, ge=0, description="decoupled, per unit of rate")
    clip: float = Field(10.0, gt=0, description="largest norm of the gradient")
    ema: float = Field(0.99, ge=0, lt=1, description="decay of the averaged weights per step")
    energy_weight: float = Field(0.05, ge=0, description="of (energy per atom / 10 meV)²")
    force_weight: float = Field(1.0, ge=0, description="of (force / 100 meV/Å)²")
    stress_weight: float = Field(0.1, ge=0, description="of (virial per atom / 100 meV)²")
    element_weights: dict[str, float] = Field(
        {}, description="weight of the forces on an element, default 1 each"
    )
    huber: float = Field(
        1.0, gt=0, description="residual (units above) where the loss turns linear"
    )
    seed: int = Field(1, ge=0, description="of start values and batch order")
    committee: int = Field(1, ge=1, le=64, description="members trained together, seeds in a row")
    validate_every: int = Field(1, ge=1, description="epochs")
    patience: int | None = Field(None, ge=1, description="validations without gain before stopping")
    checkpoint_every: Duration = Field(60.0, description="time between checkpoints")

    @model_validator(mode="before")
    @classmethod
    def _gentle(cls, value: Any) -> Any:
        """A fit from a file takes smaller steps, so that it does not forget the file."""
        if isinstance(value, dict) and value.get("from") is not None:
            return {"learning_rate": 0.001, **value}
        return value

    @field_validator("element_weights")
    @classmethod
    def _elements(cls, value: dict[str, float]) -> dict[str, float]:
        for symbol, weight in value.items():
            if symbol not in atomic_numbers:
                raise ValueError(f"'{symbol}' is not a chemical symbol")
            if weight < 0:
                raise ValueError(f"the weight of {symbol} is negative")
        return value


class Config(Section):
    """The whole file."""

    data: DataSection
    model: ModelSection = ModelSection()
    train: TrainSection = TrainSection()
    output: Path = Field(Path("fit"), description="folder for all results")
    level_of_theory: str = Field("", description="of the labels, where the frames do not say")
    description: str = Field("", description="free text kept in the potential")

    @property
    def needs(self) -> tuple[str, ...]:
        """Labels that the loss uses and every frame must have."""
        energy = self.data.use_energy and self.train.energy_weight > 0
        forces = self.train.force_weight > 0
        return ("energy",) * energy + ("forces",) * forces


def load_config(path: str | Path, overrides: list[str] = ()) -> Config:
    """Read a YAML file and apply `section.key=value` overrides (values are YAML too).

    Raises ConfigError naming the key, what is wrong, and the nearest valid key.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: no such file; 'python -m qdml_train init data.extxyz' writes one"
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected sections data, model, train; found {content!r:.60}")
    for override in overrides:
        _apply(content, override)
    return parse_config(content, str(path))


def parse_config(content: dict[str, Any], name: str = "configuration") -> Config:
    """Validate a nested dictionary; `name` is how messages call it."""
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(e, name) for e in error.errors())) from error
    if len(config.model.channels) < config.model.l_max + 1:
        raise ConfigError(
            f"{name}: model.channels has {len(config.model.channels)} numbers, l_max "
            f"{config.model.l_max} needs {config.model.l_max + 1} (one per degree)"
        )
    if config.train.time_budget is None and config.train.epochs is None:
        raise ConfigError(f"{name}: set train.time_budget (such as 6m) or train.epochs")
    if config.train.start is None:
        if config.train.tune != "all":
            raise ConfigError(f"{name}: train.tune belongs to train.from, which is not given")
        return config
    # the file decides what the model is
    from qdml_train.start import model_keys

    keys = model_keys(config.train.start, content.get("model") or {})
    return config.model_copy(update={"model": config.model.model_copy(update=keys)})


def dump_config(config: Config) -> str:
    """The complete configuration as YAML, defaults filled in."""
    return yaml.safe_dump(config.model_dump(mode="json", by_alias=True), sort_keys=False, width=100)


def _apply(content: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise ConfigError(f"'{override}' is not of the form section.key=value")
    node = content
    for part in parts[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise ConfigError(f"'{override}': {part} is not a section")
    try:
        node[parts[-1]] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"'{override}': the value is not YAML ({error})") from error


def _explain(error: Any, name: str) -> str:
    location = [str(part) for part in error["loc"]]
    key = ".".join(location)
    if error["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        near = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        # the key may be right but in the wrong section
        elsewhere = [
            f"{section}.{location[-1]}"
            for section, field in Config.model_fields.items()
            if (kind := section_of(field.annotation)) and location[-1] in kind.model_fields
        ]
        prefix = ".".join(location[:-1])
        nearest = elsewhere or [f"{prefix}.{n}" if prefix else n for n in near]
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"known: {', '.join(known)}"
        return f"{name}: unknown key '{key}'; {hint}"
    if error["type"] == "missing":
        return f"{name}: key '{key}' is missing"
    return f"{name}: {key} = {error['input']!r}: {error['msg']}"


def section_of(annotation: Any) -> type[Section] | None:
    """The section a key holds, also inside list[...] or with None."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    found = (section_of(a) for a in typing.get_args(annotation))
    return next((kind for kind in found if kind), None)


def _known_keys(location: list[str]) -> list[str]:
    section: type[Section] | None = Config
    for part in location:
        if part.isdigit():  # an entry of a list
            continue
        field = section.model_fields.get(part)
        section = section_of(field.annotation) if field else None
        if section is None:
            return []
    return key_names(section)


def key_names(section: type[Section]) -> list[str]:
    """The keys of a section as they are written in YAML."""
    return [field.alias or name for name, field in section.model_fields.items()]
