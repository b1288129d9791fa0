# SPDX-License-Identifier: MIT
"""Sections of the report on the LAMMPS run: energy and temperature, cost of a step."""

from __future__ import annotations

import math
from typing import Any

from qdml.analyse import figures_md, html
from qdml.analyse.drift import Drift, NotFiniteError, measure_drift
from qdml.analyse.inputs import DRIFT_LIMIT, Inputs
from qdml.analyse.logfile import TIME_UNIT_PS, RunSection
from qdml.analyse.sections_fit import Section, missing
from qdml.analyse.timing import compare, dft_cost, md_cost
from qdml.errors import DataError

BUSY = 0.9
"""A CPU use below this share means that the cores were shared or waiting."""

ENSEMBLES = {
    "NVE": "constant energy (NVE)",
    "thermostatted": "with a thermostat: its drift says nothing about the potential",
    "not stated": "ensemble not stated in the log",
}


def run_section(inputs: Inputs) -> tuple[str, dict[str, Any], Drift | None]:
    """Energy drift, temperature and the runs of the log.

    A run whose drift cannot be had (too short, no total energy, unit style lj) is still listed;
    the reason is kept in `inputs.missing`. Energies that are not finite are such a reason too.
    """
    log = inputs.log
    if log is None:
        return missing(inputs, "log", "the LAMMPS log"), {}, None
    rows = [_run_row(k, s) for k, s in enumerate(log.sections, start=1)]
    head = ["run", "ensemble", "fixes", "steps", "timestep (fs)", "atoms", "loop time (s)",
            "ranks", "threads", "CPU use", "ms per step"]  # fmt: skip
    runs = html.table(head, rows, f"Runs in {log.path.name}; pair_style {log.pair_style}")
    if not log.complete:
        text = "The log has no 'Total wall time' line: LAMMPS did not end by itself."
        runs += html.paragraph(text, "note")
    numbers: dict[str, Any] = {
        "pair_style": log.pair_style,
        "complete": log.complete,
        "runs": [dict(zip(head, row, strict=True)) for row in rows],
    }
    if inputs.section is None:
        return missing(inputs, "run", "molecular dynamics") + runs, numbers, None
    numbers["ensemble"] = inputs.section.ensemble
    numbers["timestep_fs"] = timestep_fs(inputs.section)
    numbers["temperature_mean"] = mean_temperature(inputs)
    try:
        drift = measure_drift(log, inputs.section)
    except DataError as error:
        inputs.missing["drift"] = str(error)
        inputs.blew_up = isinstance(error, NotFiniteError)
        return missing(inputs, "drift", "the energy drift") + runs, numbers, None
    numbers |= {
        "n_atoms": drift.n_atoms,
        "length_ps": drift.length_ps,
        "drift_ev_per_atom_per_ps": drift.slope,
        "drift_standard_error": drift.slope_error,
        "fluctuation_ev_per_atom": drift.fluctuation,
        "statistical_inefficiency": drift.inefficiency,
    }
    return _drift_html(drift) + runs, numbers, drift


def _drift_html(drift: Drift) -> str:
    """The sentence with the numbers, and the figure."""
    sentence = (
        f"{drift.n_atoms} atoms, {drift.length_ps:.4g} ps, {len(drift.time_ps)} thermo lines, "
        f"{ENSEMBLES[drift.ensemble]}. Drift {_micro(drift.slope)} ± {_micro(drift.slope_error)} "
        f"µeV/atom/ps (limit {_micro(DRIFT_LIMIT)}); fluctuation about the line "
        f"{_micro(drift.fluctuation)} µeV/atom."
    )
    if drift.temperature is not None:
        t = drift.temperature
        sentence += f" Temperature {t.mean():.0f} ± {t.std():.0f} K (mean, standard deviation)."
    caption = (
        "Total energy per atom less its first value, with the least-squares line; its standard "
        f"error counts one independent sample in {drift.inefficiency:.1f} thermo lines. "
        "Grey: drifts within the limit."
    )
    drawing = figures_md.draw_drift(drift, DRIFT_LIMIT)
    return html.paragraph(sentence) + html.figure(drawing, caption)


def mean_temperature(inputs: Inputs) -> float | None:
    """Mean temperature of the reported run in K."""
    if inputs.section is None or "Temp" not in inputs.section.columns:
        return None
    mean = float(inputs.section.columns["Temp"].mean())
    return mean if math.isfinite(mean) else None


def _micro(value: float) -> str:
    return html.number(1e6 * value, 2).replace("-", "−")


def timestep_fs(section: RunSection) -> float | None:
    """Timestep of a run in fs, None where its units are not physical."""
    unit = TIME_UNIT_PS.get(section.units or "")
    if unit is None or section.timestep is None:
        return None
    return section.timestep * unit * 1000


def _run_row(k: int, s: RunSection) -> list[Any]:
    per_step = None
    if s.loop_seconds and s.n_steps:
        per_step = 1000 * s.loop_seconds / s.n_steps
    fixes = None if s.fixes is None else ", ".join(s.fixes) or "none"
    return [str(k), s.ensemble, fixes, s.n_steps, timestep_fs(s), s.n_atoms, s.loop_seconds,
            s.n_ranks, s.n_threads,
            None if s.cpu_use is None else f"{100 * s.cpu_use:.0f} %", per_step]  # fmt: skip


def cost_section(inputs: Inputs) -> Section:
    """Time per MD step beside the DFT time per single point."""
    parts = []
    md = None
    if inputs.log is None:
        parts.append(missing(inputs, "log", "the LAMMPS log"))
    elif inputs.section is None:
        parts.append(missing(inputs, "run", "molecular dynamics"))
    else:
        md = md_cost(inputs.section)
        if md is None:
            parts.append(html.paragraph("The run has no 'Loop time' line, so its cost is not "
                                        "known.", "missing"))  # fmt: skip
    dft = []
    if inputs.reference is None:
        parts.append(missing(inputs, "reference", "the DFT frames"))
    else:
        for kind in ("dot", "slab", "bulk"):  # an atom or a molecule says little about a dot
            dft += [{"kind": kind, **row} for row in dft_cost(inputs.reference.of_kind(kind))]
        if not dft:
            text = "No DFT frame of a dot, slab or crystal records label_seconds."
            parts.append(html.paragraph(text, "missing"))
    ratios = compare(dft, md)
    if md:
        cores = "core" if md["cores"] == 1 else "cores"
        use = ""
        if md["cpu_use"] is not None and md["cpu_use"] < BUSY * md["n_threads"]:
            use = (
                f" LAMMPS had its cores for {100 * md['cpu_use']:.0f} % of that time: they were "
                "shared with other work, and an undisturbed run is faster."
            )
        parts.append(
            html.paragraph(
                f"One MD step of {md['n_atoms']} atoms took {1000 * md['seconds_per_step']:.3g} ms "
                f"on {md['cores']} {cores} (MPI ranks {md['n_ranks']}, threads per rank "
                f"{md['n_threads']}): "
                f"{1000 * md['core_seconds_per_step']:.3g} core milliseconds, "
                f"{md['core_microseconds_per_atom_step']:.3g} core µs per atom and step.{use}"
            )
        )
    if md or dft:
        caption = (
            "Core seconds: for MD the loop time times the cores it ran on, for DFT the CPU time of "
            "one core per single point as recorded when labelling (warm starts included)."
        )
        parts.append(html.figure(figures_md.draw_cost(dft, md), caption))
    if dft:
        parts.append(_cost_table(dft, ratios))
    if ratios and md:
        parts.append(
            html.paragraph(
                "Ratio: core seconds of one DFT single point over those of one MD step, each of "
                f"its own size ({md['n_atoms']} atoms in MD), nothing scaled. Per atom: both "
                "divided by their own number of atoms. The cost of DFT is not proportional to the "
                "number of atoms (vacuum, cubic terms; larger dots cost more per atom), so no time "
                "is claimed for a DFT step of the MD system itself."
            )
        )
    return "\n".join(parts), {"md": md, "dft": dft, "ratios": ratios}


def _cost_table(dft: list[dict[str, Any]], ratios: list[dict[str, Any]]) -> str:
    rows = []
    for k, row in enumerate(dft):
        ratio = ratios[k] if ratios else {}
        rows.append(
            [row["kind"], row["formula"], row["n_atoms"], row["n_frames"], row["n_warm_started"],
             row["median_core_seconds"], row["core_seconds_per_atom"], ratio.get("ratio"),
             ratio.get("ratio_per_atom")]
        )  # fmt: skip
    head = ["", "DFT system", "atoms", "frames", "warm-started", "core s per single point",
            "per atom", "ratio to an MD step", "ratio per atom"]  # fmt: skip
    return html.table(head, rows)
