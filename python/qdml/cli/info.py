# SPDX-License-Identifier: MIT
"""`qdml info`: what a potential file says of itself, and what a structure file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from qdml.describe import describe_architecture, describe_features
from qdml.modelfile import content_hash, read_file

ERRORS = {
    "energy_rmse_mev_per_atom": "energy RMSE, meV/atom",
    "force_rmse_mev_per_angstrom": "force RMSE, meV/Å",
}


def info(
    model: Annotated[
        Path,
        typer.Argument(help="The .qdml file, or a structure (.xyz, .extxyz).", show_default=False),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Describe a .qdml file: elements, architecture, level of theory, errors, hash.

    For a structure: composition, molecules, formal charge. A file with fewer atoms than lines,
    or more, is refused; a charge that is not zero hints at missing atoms.

    \b
    Example:
      qdml info model.qdml
      qdml info dot.extxyz
    """
    if model.suffix in {".xyz", ".extxyz"}:
        _structure(model, as_json)
        return
    document, tensors = read_file(model)
    summary = summarise(model, document, sum(a.size for a in tensors.values()), tensors)
    if as_json:
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))
    else:
        Console().print(as_table(summary))


def _structure(path: Path, as_json: bool) -> None:
    """Print what the last frame of a structure file holds."""
    from qdml.build.reading import formal_charge, read_structures

    frames = read_structures(path)
    atoms = frames[-1]
    charge = formal_charge(atoms)
    shown = {
        "file": str(path),
        "frames": len(frames),
        "formula": atoms.get_chemical_formula(),
        "atoms": len(atoms),
        "formal_charge": charge.total,
        "parts": [{"name": name, "number": n, "charge": q} for name, n, q in charge.parts],
    }
    if as_json:
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    table = Table(title=str(path), show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("frames", f"{len(frames)} (the last one is described)")
    table.add_row("formula", f"{shown['formula']}, {len(atoms)} atoms")
    table.add_row("oxidation numbers", str(charge))
    verdict = "unknown: an element without an oxidation number here"
    if charge.total is not None:
        verdict = f"{charge.total:+d}: not neutral, atoms may be missing; {charge.remedy()}"
    if charge.total == 0:
        verdict = "0"
    table.add_row("formal charge", verdict)
    Console().print(table)


def summarise(
    path: Path, document: dict[str, Any], n_numbers: int, tensors: dict[str, Any]
) -> dict[str, Any]:
    """The document with the hash, the size and the reference energies (eV, averages) beside it."""
    references = tensors["energy.reference"].reshape(-1, len(document["species"])).mean(axis=0)
    reference = zip(document["species"], references.tolist(), strict=True)
    return {
        "file": str(path),
        "hash": content_hash(path),
        "bytes": path.stat().st_size,
        "numbers": n_numbers,
        "zbl": "zbl.r_max" in tensors,
        "reference_energy": dict(reference),
        **document,
    }


def as_table(summary: dict[str, Any]) -> Table:
    """Rows for people; lengths in Å, energies in eV."""
    a, training = summary["architecture"], summary["training"]
    table = Table(title=summary["file"], show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows = {
        "elements": ", ".join(summary["species"]),
        "level of theory": summary["level_of_theory"] or "not stated",
        "description": summary["description"] or "-",
        "architecture": describe_architecture(a),
        "node features": describe_features(a),
        "short range": "ZBL" if summary["zbl"] else "no ZBL term",
        "reference energies": ", ".join(
            f"{s} {e:.6f} eV" for s, e in summary["reference_energy"].items()
        ),
    }
    for key, label in ERRORS.items():
        if isinstance(training.get(key), int | float):
            rows[label] = f"{training[key]:.2f}"
    other = {k: v for k, v in training.items() if k not in ERRORS}
    if other:
        rows["training"] = "\n".join(f"{k}: {v}" for k, v in other.items())
    if summary["distances_seen"]:
        rows["shortest distances seen"] = ", ".join(
            f"{pair} {r:.2f} Å" for pair, r in summary["distances_seen"].items()
        )
    if "spread_factors" in summary:
        factors = summary["spread_factors"]
        rows["spreads"] = (
            f"times {factors['energy']:.3g} (energy) and {factors['forces']:.3g} (forces)"
        )
    for k, member in enumerate(summary.get("members", []), 1):
        told = [f"SHA-256 {member['hash']}" if member["hash"] else "without a file of its own"]
        told += [
            f"{label} {member['training'][key]:.2f}"
            for key, label in ERRORS.items()
            if isinstance(member["training"].get(key), int | float)
        ]
        told += [member["description"]] if member["description"] else []
        rows[f"member {k}"] = "\n".join(told)
    proof = summary["proof"]
    rows["export proof"] = (
        ", ".join(f"{k}: {v}" for k, v in proof.items()) if proof else "none in the file"
    )
    rows["fine-tuned from"] = summary["parent"] or "-"
    rows["written by"] = f"{summary['tool']}, format {summary['format']}"
    rows["size"] = f"{summary['bytes'] / 1e6:.2f} MB, {summary['numbers']} numbers"
    rows["SHA-256"] = summary["hash"]
    for label, value in rows.items():
        table.add_row(label, value)
    return table
