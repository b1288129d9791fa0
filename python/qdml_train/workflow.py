# SPDX-License-Identifier: MIT
"""What `fit` and `export` do from beginning to end: data, training, proof, evaluation, summary."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from qdml.analyse.calibration import spread_factors
from qdml.analyse.parity import parse_evaluation
from qdml.committee import read_members, write_committee
from qdml.errors import ConfigError, DataError, EngineError
from qdml.modelfile import read_file
from rich.console import Console

from qdml_train import checkpoint
from qdml_train.config import Config, load_config
from qdml_train.dataset import Dataset, load_dataset
from qdml_train.devices import is_writer, join_hosts
from qdml_train.dryrun import measure, report
from qdml_train.evaluate import error_row, error_table, frame_records
from qdml_train.export import export_model, file_document, file_tensors, proof_line
from qdml_train.frames import Frame
from qdml_train.levels import shifted_frames
from qdml_train.loop import Fit
from qdml_train.model.network import shift_of
from qdml_train.monitor import describe, duration
from qdml_train.predictor import JaxPotential
from qdml_train.report_checks import print_findings
from qdml_train.results import FILES, NVE_LENGTH, write_results
from qdml_train.spread import combine
from qdml_train.step import Parameters


def run_fit(
    path: Path,
    overrides: list[str],
    resume: bool,
    unproven: bool,
    console: Console,
    nve_length: float = NVE_LENGTH,
) -> dict[str, Any]:
    """Train, export, evaluate; returns the evaluation. Raises QdmlError with the reason.

    nve_length is that of the short run behind the fit in ps, 0 for none.
    """
    start = time.monotonic()
    config = load_config(path, overrides)
    join_hosts(config.train)
    if not is_writer():
        console = Console(quiet=True)
    dataset = load_examined(config, console)
    if not resume and is_writer():
        remove_previous(config.output)
    fit = Fit(config, dataset, console)
    if fit.restore():
        console.print(
            f"resumed at epoch {fit.progress.epoch}, step {fit.progress.step}, after "
            f"{duration(fit.progress.elapsed)} of training"
        )
    members = f", committee of {len(fit.seeds)}" if len(fit.seeds) > 1 else ""
    if fit.mesh is not None:
        members += f", {fit.mesh.size} devices"
    members += f", messages by {'the engine' if fit.steps.use_native else 'JAX'}"
    console.print(
        f"model: {fit.n_parameters} parameters{members}; batches (atoms, neighbours, frames) "
        + " ".join(str(tuple(s)) for s in fit.shapes()),
        highlight=False,
        soft_wrap=True,
    )
    reason = fit.run()
    console.print(
        f"training ended by {reason} after {fit.progress.epoch} epochs, {fit.progress.step} steps, "
        f"{duration(fit.progress.elapsed)}; best epoch {fit.progress.best_epoch}",
        highlight=False,
        soft_wrap=True,
    )
    if not is_writer():
        return {}
    models = write_potentials(fit, config.output / "model.qdml", unproven, console)
    evaluation = evaluate_fit(fit, models, console, nve_length)
    if len(models) > 1:
        calibrate_committee(fit, config.output / "model.qdml", evaluation, console)
    rows = evaluation["summary"]["by_split"]
    part = "test" if "test" in rows else "valid"
    found = rows[part] | {"virial_rmse_mev_per_atom": None}
    console.print(
        f"fit: {models[0]} in {duration(time.monotonic() - start)}; {part} RMSE "
        f"{describe(found)} over "
        f"{found['n_frames']} frames",
        highlight=False,
        soft_wrap=True,
    )
    return evaluation


def load_examined(config: Config, console: Console) -> Dataset:
    """The data of a fit, checked by the doctor, with what was found and chosen printed."""
    dataset = load_dataset(config, examine=True)
    print_findings(dataset.findings, console, "WARN")
    for message in dataset.messages:
        console.print(f"data: {message}", highlight=False, markup=False, soft_wrap=True)
    e0 = ", ".join(f"{s} {v:.3f}" for s, v in zip(dataset.species, dataset.e0.values, strict=True))
    console.print(
        f"data: E0 by {dataset.e0.method}: {e0} eV; force rms {dataset.scale:.3f} eV/Å; "
        f"{dataset.avg_neighbors:.1f} neighbours within {config.model.cutoff:g} Å",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return dataset


def dry_run_fit(path: Path, overrides: list[str], console: Console) -> dict[str, Any]:
    """Load the data, compile and time a step of every shape, print the cost; writes nothing."""
    config = load_config(path, overrides)
    fit = Fit(config, load_examined(config, console), console)
    return report(fit, measure(fit), console)


def remove_previous(folder: Path) -> None:
    """Start over: take away what an earlier fit wrote into this folder, and nothing else."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    written = ("metrics.jsonl", "diverged.json", "diverged.extxyz", *FILES)
    for path in (*(folder / name for name in written), *folder.glob("model*.qdml")):
        path.unlink(missing_ok=True)


def write_potentials(fit: Fit, path: Path, unproven: bool, console: Console) -> list[Path]:
    """Export every member: `path`, or in a committee `path` with -0, -1, ... before the ending.

    Returns these files. A committee is written into one file as well, `path` with -committee.
    """
    members = fit.best_members
    if len(members) == 1:
        write_potential(fit, members[0], path, fit.seeds[0], unproven, console)
        return [path]
    paths = [path.with_name(f"{path.stem}-{k}{path.suffix}") for k in range(len(members))]
    for member, target, seed in zip(members, paths, fit.seeds, strict=True):
        write_potential(fit, member, target, seed, unproven, console)
    together = committee_path(path)
    packed = [member for target in paths for member in read_members(target)]
    write_committee(together, packed, [p.name for p in paths], fit.config.description)
    console.print(f"export: {together}, all members", highlight=False, soft_wrap=True)
    return paths


def committee_path(path: Path) -> Path:
    """The file of all members beside those of one each."""
    return path.with_name(f"{path.stem}-committee{path.suffix}")


def calibrate_committee(fit: Fit, path: Path, evaluation: dict[str, Any], console: Console) -> None:
    """Write the factors of the spreads into the committee's file, from the validation frames."""
    together = committee_path(path)
    try:
        # else it validates on its training frames, where a spread says nothing of the error
        if all(frame.part == "train" for frame in fit.dataset.valid):
            raise DataError("no validation frames")
        factors = spread_factors(parse_evaluation(evaluation), "valid")
    except DataError as reason:
        console.print(f"export: spreads are not calibrated: {reason}", highlight=False)
        return
    document = read_file(together)[0]
    write_committee(
        together, read_members(together), description=document["description"],
        spread_factors=factors,
    )  # fmt: skip
    console.print(
        f"export: {together}, spreads times {factors['forces']:.2f} (forces) and "
        f"{factors['energy']:.2f} (energy), from the validation frames",
        highlight=False,
        soft_wrap=True,
    )


def write_potential(
    fit: Fit, parameters: Parameters, path: Path, seed: int, unproven: bool, console: Console
) -> None:
    """Export averaged weights with the proof over the validation frames."""
    dataset, config = fit.dataset, fit.config
    architecture = fit.network.architecture
    tensors = file_tensors(parameters, fit.network, dataset)
    training: dict[str, Any] = {
        "seed": seed,
        "epochs": fit.progress.epoch,
        "steps": fit.progress.step,
        "best_epoch": fit.progress.best_epoch,
        "training_seconds": round(fit.progress.elapsed),
        "n_parameters": fit.n_parameters,
    }
    document = file_document(architecture, dataset, training, config.description)
    frames = on_one_scale(fit, parameters, dataset.valid)
    try:
        if frames:
            training |= validation_errors(document, tensors, frames)
            document = file_document(architecture, dataset, training, config.description)
        _, proof = export_model(path, document, tensors, frames, unproven)
    except EngineError:
        console.print("[bold red]export: NOT PROVEN, nothing written[/]")
        raise
    console.print(f"export: {path}", highlight=False, soft_wrap=True)
    console.print(f"export: {proof_line(proof)}", highlight=False, soft_wrap=True)


def validation_errors(
    document: dict[str, Any], tensors: dict[str, Any], frames: list[Frame]
) -> dict[str, float | None]:
    """Expected errors for the file's card: of the exported numbers over the validation frames."""
    results = JaxPotential(document, tensors).predict(frames)
    combined = [combine([result]) for result in results]
    errors = error_row(frame_records(frames, ["valid"] * len(frames), combined))
    return {key: errors[key] for key in ("energy_rmse_mev_per_atom", "force_rmse_mev_per_angstrom")}


def on_one_scale(fit: Fit, parameters: Parameters, frames: list[Frame]) -> list[Frame]:
    """Frames with energies as the exported file gives them, whatever their level of theory."""
    levels = range(len(fit.dataset.levels))
    shifts = [shift_of(fit.network, parameters, k) for k in levels]
    return shifted_frames(frames, fit.dataset.species, shifts)


def evaluate_fit(
    fit: Fit, models: list[Path], console: Console, nve_length: float
) -> dict[str, Any]:
    """Evaluate on all frames of the fit, write the report, print the held-out tables."""
    folder, dataset = fit.folder, fit.dataset
    parts = [("train", dataset.train), ("valid", dataset.valid), ("test", dataset.test)]
    frames = on_one_scale(fit, fit.best_parameters, [f for _, part in parts for f in part])
    splits = [name for name, part in parts for _ in part]
    evaluation = write_results(
        folder, models, frames, splits, dataset.findings, console, nve_length, f"Fit {folder.name}"
    )
    summary = evaluation["summary"]
    console.print(error_table("errors by split", summary["by_split"]))
    held_out = "test/" if dataset.test else "valid/"
    for key in ("by_origin", "by_element", "by_region"):
        rows = {k: v for k, v in summary[key].items() if k.startswith(held_out)}
        if rows:
            console.print(error_table(f"errors {key.replace('_', ' ')}", rows))
    return evaluation


def export_fit(folder: Path, output: Path | None, unproven: bool, console: Console) -> None:
    """Export from the newest checkpoint of a fit's folder."""
    config_path = folder / "config.yaml"
    if not config_path.exists() or not checkpoint.checkpoints(folder / "checkpoints"):
        raise ConfigError(
            f"{folder}: no config.yaml with checkpoints; give the output folder of a fit"
        )
    config: Config = load_config(config_path, [f"output={folder}"])
    fit = Fit(config, load_dataset(config), console)
    fit.restore()
    write_potentials(fit, output or folder / "model.qdml", unproven, console)
