# SPDX-License-Identifier: MIT
"""Stages of benchmarks/gpu.py that measure: ceilings of the card, steps, kernels."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from support import counts, published
from support.gpu_checks import INP, INP_SEVENNET, SMALL_PATHS
from support.gpu_session import Session, Skipped, find_program, json_line

# the presets of steps.cpp: l_max, channels, layers; read-out of 16
PRESETS = {
    "fast": (1, 32, 3),
    "std": (2, 64, 3),
    "accurate": (3, 32, 4),
    "accurate-l3": (3, 64, 4),
    "small": (1, 16, 2),
}
# model, precision, atoms; the first rows matter most should the time run out
ROWS = [
    ("std", "mixed", 1000),
    ("std", "mixed", 100000),
    (INP_SEVENNET, "mixed", 1000),
    (INP_SEVENNET, "mixed", 10000),
    ("std", "mixed", 10000),
    ("fast", "mixed", 100000),
    ("accurate", "mixed", 100000),
    (INP_SEVENNET, "mixed", 100000),
    ("std", "mixed", 200),
    ("std", "mixed", 1000000),
    ("fast", "mixed", 1000),
    ("accurate", "mixed", 1000),
    ("std", "double", 10000),
    ("fast", "mixed", 10000),
    ("accurate", "mixed", 10000),
    ("fast", "mixed", 200),
    ("accurate", "mixed", 200),
    (INP_SEVENNET, "mixed", 200),
    ("fast", "mixed", 1000000),
    ("accurate", "mixed", 1000000),
    ("accurate-l3", "mixed", 10000),
    ("accurate-l3", "mixed", 100000),
]
ON_CPU = 1000  # atoms of the rows that are also timed on this machine's CPU
PROFILED = [
    ("std", "mixed", 100000),
    ("std", "mixed", 1000),
    (INP_SEVENNET, "mixed", 10000),
    ("accurate", "mixed", 100000),
    ("fast", "mixed", 100000),
]
EMULATED_ROWS = [("small", "mixed", 8), (SMALL_PATHS, "mixed", 8)]
SECONDS = {"gpu": 1.5, "cpu": 1.0, "emulated": 0.1}  # of steps that are timed
ROW_LIMIT = 45.0  # s of one row, its start and its crystal included
SOURCE = Path(__file__).with_name("ceilings.cu")


def ceilings(session: Session) -> str:
    """What the card can do: multiply-adds, bandwidths, launches (ceilings.cu)."""
    if session.options.emulated:
        raise Skipped("no card")
    compiler = find_program("nvcc")
    if compiler is None:
        raise Skipped("no nvcc")
    program = session.build / "ceilings"
    options = ["-O3", "-std=c++17", "-arch=native"]
    session.run([compiler, *options, SOURCE, "-o", program], 60)
    found = json.loads(json_line(session.run([program], 30)))
    session.document["ceilings"] = found
    return ", ".join(f"{name} {value}" for name, value in found.items() if name != "card")


def architecture(model: str) -> dict[str, Any] | None:
    """What counts.py needs of a preset; None for the file of a potential."""
    if model not in PRESETS:
        return None
    l_max, channels, n_layers = PRESETS[model]
    degrees = [0, *[l_max] * (n_layers - 1), 0]
    layers = [
        {
            "l_in": degrees[t],
            "l_out": degrees[t + 1],
            "channels_in": [channels] * (degrees[t] + 1),
            "channels_out": [channels] * (degrees[t + 1] + 1),
        }
        for t in range(n_layers)
    ]
    return {"message_channels": channels, "layers": layers, "readout": [16]}


def finish(row: dict[str, Any], ceilings: dict[str, Any]) -> dict[str, Any]:
    """Add time and bytes per atom, the share of the floors and what others have published.

    floor: the products of edges and channels in the card's measured multiply-adds (kernels.md
    2.4); floor_with_linears: those of the linear maps too. No floor is known for Clebsch-Gordan
    paths.
    """
    ns = 1e3 * row["median_us_per_atom"]
    row["ns_per_atom_step"] = round(ns, 3)
    row["ms_per_step"] = round(1e-6 * ns * row["atoms"], 5)
    row["bytes_per_atom"] = round(row["memory_bytes"] / row["atoms"])
    if row["device"] == "cpu":
        return row
    arch = architecture(row["model"])
    rate = ceilings.get("fp64_tera_fma" if row["precision"] == "double" else "fp32_tera_fma")
    if arch and rate:
        total = counts.fma_per_atom(arch, row["neighbours"])
        edges = total - counts.node_fma(arch)
        for name, fma in (("floor", edges), ("floor_with_linears", total)):
            row[f"{name}_ns"] = round(1e-3 * fma / rate, 3)
            row[f"percent_of_{name}"] = round(100 * row[f"{name}_ns"] / ns, 2)
    is_sevennet = row["model"] == INP_SEVENNET
    row["times_published"] = published.ratios(row["atoms"], 1e-3 * ns, is_sevennet)
    return row


def describe_row(row: dict[str, Any]) -> str:
    """One line of the table on the terminal."""
    name = f"  {Path(row['model']).stem:20s} {row['precision']:6s} {row['atoms']:8d}"
    if "error" in row:
        return f"{name} {row['error'].splitlines()[-1][:100]}"
    percent = row.get("percent_of_floor")
    share = f"{percent:6.1f} % of the floor" if percent else ""
    return (
        f"{name} {row['device']:20s} {row['ns_per_atom_step']:12.1f} ns/atom-step "
        f"{row['ms_per_step']:10.3f} ms {row['bytes_per_atom']:8d} B/atom {share}"
    )


def measure(
    session: Session, device: str, model: str, precision: str, atoms: int, **variables: str
) -> dict[str, Any]:
    """One run of qdml_steps; a fault is in the row."""
    seconds = SECONDS["emulated" if session.options.emulated else device]
    command = [session.steps, device, precision, model, str(atoms), str(seconds)]
    command += INP if model == INP_SEVENNET else ()
    row: dict[str, Any] = {"model": model, "precision": precision, "atoms": atoms, "device": device}
    try:
        output = session.run(command, ROW_LIMIT, **session.engine_variables(), **variables)
        row = json.loads(json_line(output))
    except (RuntimeError, ValueError) as fault:
        return row | {"error": str(fault)}
    if not row["repeats"]:
        row["error"] = "steps of the same positions differ"
    return finish(row, session.document.get("ceilings", {}))


def speed(session: Session) -> str:
    """Rows of qdml_steps on the card, those of 1,000 atoms on the CPU as well."""
    plan = [("gpu", *spec) for spec in (EMULATED_ROWS if session.options.emulated else ROWS)]
    plan += [("cpu", *spec[1:]) for spec in plan if session.options.emulated or spec[3] == ON_CPU]
    rows = session.document["rows"]
    rows.clear()
    for spec in plan:
        try:
            rows.append(measure(session, *spec))
        except Skipped:
            break
        session.say(describe_row(rows[-1]))
        session.store()
    failed = [describe_row(row) for row in rows if "error" in row]
    found = f"{len(rows)} of {len(plan)} rows"
    if failed:
        raise RuntimeError("\n".join([f"{found}, {len(failed)} failed", *failed]))
    if not rows:
        raise Skipped("no time left")
    return found


def stage_name(kernel: str) -> str:
    """The stage of counts.py that a call of the profile belongs to, or nothing."""
    if kernel == "linear":
        return "linear"
    found = re.fullmatch(r"(forward|backward|first_gradient) (\d)-(\d)", kernel)
    if not found:
        return ""
    way = "forward" if found[1] == "forward" else "backward"
    return f"{way} {'first' if found[2] == '0' else 'last' if found[3] == '0' else 'middle'}"


def kernels(
    profile: dict[str, Any], row: dict[str, Any], ceilings: dict[str, Any]
) -> list[dict[str, Any]]:
    """Device time of each call of the table, µs per step, longest first, with its floor."""
    steps, total = row["steps"] + 1, sum(entry["milliseconds"] for entry in profile.values())
    arch, rate = architecture(row["model"]), ceilings.get("fp32_tera_fma")
    floors = counts.stage_fma(arch, row["neighbours"]) if arch else {}
    found = []
    for name, entry in sorted(profile.items(), key=lambda item: -item[1]["milliseconds"]):
        us = 1e3 * entry["milliseconds"] / steps
        kernel = {
            "name": name,
            "calls_per_step": round(entry["calls"] / steps, 2),
            "us_per_step": round(us, 3),
            "ns_per_atom_step": round(1e3 * us / row["atoms"], 4),
            "percent_of_all": round(100 * entry["milliseconds"] / total, 2) if total else 0.0,
        }
        fma = floors.get(stage_name(name))
        if fma and rate and us > 0:
            kernel["percent_of_floor"] = round(0.1 * fma / rate / kernel["ns_per_atom_step"], 2)
        found.append(kernel)
    return found


def profile(session: Session) -> str:
    """Times of the kernels, each between two events (QDML_CUDA_PROFILE), without graphs."""
    found = session.document["profile"] = []
    target = session.build / "profile.json"
    plan = EMULATED_ROWS if session.options.emulated else PROFILED
    for spec in plan:
        target.unlink(missing_ok=True)
        try:
            row = measure(session, "gpu", *spec, QDML_CUDA_PROFILE=str(target))
        except Skipped:
            break
        if "error" not in row:
            calls = json.loads(target.read_text())
            row = {
                name: row[name] for name in ("model", "precision", "atoms", "neighbours", "steps")
            }
            row["kernels"] = kernels(calls, row, session.document.get("ceilings", {}))
            longest = row["kernels"][:6]
            text = ", ".join(f"{k['name']} {k['percent_of_all']:.0f} %" for k in longest)
            session.say(f"  {Path(row['model']).stem:20s} {row['atoms']:8d} {text}")
        found.append(row)
        session.store()
    failed = [row["error"] for row in found if "error" in row]
    if failed:
        raise RuntimeError("\n".join(failed))
    if not found:
        raise Skipped("no time left")
    return f"{len(found)} of {len(plan)} models"
