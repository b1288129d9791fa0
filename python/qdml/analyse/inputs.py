# SPDX-License-Identifier: MIT
"""What a report is made from: the given paths, what was read from them, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdml.analyse.curves import Curves, read_metrics
from qdml.analyse.drift import choose_section
from qdml.analyse.frames import Reference, read_reference
from qdml.analyse.logfile import LammpsLog, RunSection, read_log
from qdml.analyse.parity import Evaluation, read_evaluation, read_json
from qdml.analyse.smoke import Smoke, read_smoke
from qdml.analyse.trajectory import Trajectory, read_trajectory
from qdml.errors import DataError

FORCE_LIMIT = 120.0
"""meV/Å, root mean square over the components of held-out frames."""

ENERGY_LIMIT = 5.0
"""meV/atom, root mean square over held-out frames."""

DRIFT_LIMIT = 1e-5
"""eV/atom/ps of an NVE run."""

FIT_FILES = {"findings": "findings.json", "metrics": "metrics.jsonl",
             "evaluation": "evaluation.json", "nve": "nve.json", "config": "config.yaml",
             "model": "model.qdml"}  # fmt: skip
"""What a report reads in the output folder of a fit or an evaluation."""

TEMPERATURE_WINDOW = 150.0
"""K; DFT frames this near the temperature of the run are compared with it."""


@dataclass
class Paths:
    """Command-line input; None or empty where an option was not given."""

    fit: Path | None = None
    trajectory: Path | None = None
    log: Path | None = None
    reference: list[Path] = field(default_factory=list)
    stride: int = 1
    skip: int = 0
    species: list[str] | None = None
    model: Path | None = None  # where it is not model.qdml of the fit


@dataclass
class Inputs:
    """Everything that was read; None where it does not exist. missing: name -> reason.

    section: the run of the log that is reported, None where it has none of two thermo lines.
    """

    paths: Paths
    curves: Curves | None = None
    evaluation: Evaluation | None = None
    findings: list[dict[str, Any]] | None = None
    smoke: Smoke | None = None
    config: str | None = None
    model_path: Path | None = None
    log: LammpsLog | None = None
    section: RunSection | None = None
    blew_up: bool = False
    trajectory: Trajectory | None = None
    reference: Reference | None = None
    missing: dict[str, str] = field(default_factory=dict)


def read_inputs(paths: Paths) -> Inputs:
    """Read all that exists.

    Raises DataError when nothing was given, a given path does not exist, or a file is damaged.
    Options not given, and files a fit has not written yet, are recorded in `missing` instead.
    """
    given = [paths.fit, paths.trajectory, paths.log, *paths.reference]
    if not any(given):
        raise DataError(
            "nothing to report on: give at least one of --fit, --trajectory, --log, --reference"
        )
    for path in filter(None, given):
        if not path.exists():
            raise DataError(f"{path}: does not exist; correct the path or leave the option out")
    inputs = Inputs(paths)
    _read_fit(inputs)
    if paths.log:
        inputs.log = read_log(paths.log)
        try:
            inputs.section = choose_section(inputs.log)
        except DataError as error:
            inputs.missing["run"] = str(error)
    else:
        inputs.missing["log"] = "--log was not given"
    if paths.trajectory:
        inputs.trajectory = read_trajectory(
            paths.trajectory, stride=paths.stride, skip=paths.skip, species=paths.species
        )
    else:
        inputs.missing["trajectory"] = "--trajectory was not given"
    if paths.reference:
        inputs.reference = read_reference(paths.reference)
    else:
        inputs.missing["reference"] = "--reference was not given"
    return inputs


def _read_fit(inputs: Inputs) -> None:
    folder = inputs.paths.fit
    if folder is None:
        inputs.missing.update(dict.fromkeys(FIT_FILES, "--fit was not given"))
        return
    if not folder.is_dir():
        raise DataError(f"{folder}: is a file; --fit takes the output folder of a fit")
    found = {key: folder / name for key, name in FIT_FILES.items() if (folder / name).is_file()}
    for key, name in FIT_FILES.items():
        if key not in found:
            inputs.missing[key] = f"{folder}/{name} does not exist"
    if not found:
        raise DataError(
            f"{folder}: holds none of {', '.join(FIT_FILES.values())}; --fit takes the output "
            "folder of 'python -m qdml_train fit'"
        )
    if "findings" in found:
        inputs.findings = _read_findings(found["findings"])
    if "nve" in found:
        inputs.smoke = read_smoke(read_json(found["nve"]), found["nve"])
    if "metrics" in found:
        inputs.curves = read_metrics(found["metrics"])
    if "evaluation" in found:
        inputs.evaluation = read_evaluation(found["evaluation"])
    if "config" in found:
        inputs.config = found["config"].read_text(errors="replace")
    inputs.model_path = inputs.paths.model or found.get("model")
    if inputs.model_path is not None:
        inputs.missing.pop("model", None)


def _read_findings(path: Path) -> list[dict[str, Any]]:
    """Findings of the data check. Raises DataError for anything else."""
    content = read_json(path)
    keys = {"level", "check", "message", "fix"}
    if not isinstance(content, list) or not all(
        isinstance(f, dict) and keys <= set(f) for f in content
    ):
        raise DataError(
            f"{path}: expected a list of findings with {', '.join(sorted(keys))}; write it with "
            "'python -m qdml_train check data -o findings.json'"
        )
    return content
