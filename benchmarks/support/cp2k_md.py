# SPDX-License-Identifier: MIT
"""A few steps of molecular dynamics with CP2K on one core, timed by CP2K itself.

The input is that of `qdml label` with two changes: RUN_TYPE and a MOTION section. Orbitals are
extrapolated from step to step by CP2K's default for dynamics (ASPC, order 3).
"""

from __future__ import annotations

import re
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from ase import Atoms
from qdml.errors import LabelError
from qdml.label import cp2k
from qdml.label.queue import LabelOptions, make_task
from qdml.label.tasks import run_child

MOTION = """\
&MOTION
  &MD
    ENSEMBLE NVE
    STEPS {steps}
    TIMESTEP [fs] {timestep:g}
    TEMPERATURE [K] {temperature:g}
  &END MD
&END MOTION
"""
TEMPERATURE = 300.0  # K, of the first velocities
UNDISTURBED = 0.97  # CPU over elapsed time: below it, other work had the core meanwhile

_VERSION = re.compile(r"CP2K\| version string:\s+CP2K version (\S+)")
_ORBITALS = re.compile(r"Number of orbital functions:\s+(\d+)")
_VOLUME = re.compile(r"MD_INI\| Cell volume \[ang\^3\]\s+(\S+)")
_EXTRAPOLATION = re.compile(r"Extrapolation method: (\S+)")
_SCF_STEPS = re.compile(r"\*\*\* SCF run converged in\s+(\d+) steps")
_SECONDS = re.compile(r"MD\| CPU time per MD step \[s\]\s+(\S+)")
_MEMORY = re.compile(r"Estimated peak process memory after this step \[MiB\]\s+(\d+)")


def settings_of(level_of_theory: str) -> cp2k.Cp2kSettings:
    """The settings of `qdml label` that gave labels of this level of theory.

    Raises LabelError when no choice of the grid cutoff does.
    """
    found = re.search(r"CP2K (\S+), (\S+) Ry", level_of_theory)
    if found:
        settings = cp2k.Cp2kSettings(cutoff=float(found[2]))
        if settings.level_of_theory(found[1]) == level_of_theory:
            return settings
    raise LabelError(f"'{level_of_theory}' is not a level of theory of `qdml label --code cp2k`")


def md_input(single_point: str, steps: int, timestep: float) -> str:
    """The input of a single point as that of a run at constant energy; timestep in fs."""
    run_type = "RUN_TYPE ENERGY_FORCE"
    if single_point.count(run_type) != 1:
        raise LabelError(f"the input of a single point has no line {run_type}")
    motion = MOTION.format(steps=steps, timestep=timestep, temperature=TEMPERATURE)
    return single_point.replace(run_type, "RUN_TYPE MD") + motion


def parse(output: str) -> dict[str, Any]:
    """Times and SCF steps of a CP2K MD output.

    `step_seconds` [n] is the elapsed time CP2K prints for each MD step; that of the first holds the
    forces at the start, so `seconds_per_step` is the median from the second on. `scf_steps` [n + 1]
    begins with those of the start. Raises LabelError for fewer than two steps, an SCF that did not
    converge, and orbitals that were not extrapolated.
    """
    if "SCF run NOT converged" in output:
        raise LabelError("CP2K: the SCF did not converge")
    seconds = [float(s) for s in _SECONDS.findall(output)]
    if len(seconds) < 2:
        reason = cp2k.abort_reason(output)
        raise LabelError(f"CP2K: {len(seconds)} MD steps in the output, two at least; {reason}")
    scf_steps = [int(s) for s in _SCF_STEPS.findall(output)][: len(seconds) + 1]
    if len(scf_steps) != len(seconds) + 1:
        raise LabelError(f"CP2K: {len(scf_steps)} converged SCF runs for {len(seconds)} MD steps")
    methods = set(_EXTRAPOLATION.findall(output)[1:])
    if methods != {"ASPC"}:
        raise LabelError(f"CP2K: orbitals extrapolated by {', '.join(sorted(methods))}, not ASPC")
    return {
        "version": _VERSION.search(output)[1],
        "orbitals": int(_ORBITALS.search(output)[1]),
        "box_volume": float(_VOLUME.search(output)[1]),
        "step_seconds": seconds,
        "scf_steps": scf_steps,
        "seconds_per_step": statistics.median(seconds[1:]),
        "scf_steps_per_step": statistics.median(scf_steps[2:]),
        "peak_mib": max(int(m) for m in _MEMORY.findall(output)),
    }


def run(
    atoms: Atoms, settings: cp2k.Cp2kSettings, folder: Path, *,
    steps: int, timestep: float, command: str = "cp2k.psmp", time_limit: float = 6 * 3600.0,
) -> dict[str, Any]:  # fmt: skip
    """MD of a dot in the periodic box of its labels; what `parse` reads, and the settings.

    One process with one thread, on the core this process is bound to. time_limit in s; steps that
    were finished before it count. CP2K's files stay in `folder`, but for the orbitals.
    """
    task = make_task(atoms, 0, LabelOptions(settings=settings, command=command), folder)
    text = cp2k.write_input(
        task.atoms, settings, charge=task.charge, multiplicity=task.multiplicity
    )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "job.inp").write_text(md_input(text, steps, timestep))
    cpu_use, began = None, time.perf_counter()
    try:
        cpu = run_child([command, "-i", "job.inp", "-o", "job.out"], folder, time_limit)
        cpu_use = round(cpu / (time.perf_counter() - began), 3)
    except LabelError:  # the time limit
        if not (folder / "job.out").exists():
            raise
    finally:
        for orbitals in folder.glob("*.wfn*"):
            orbitals.unlink()
    output = folder / "job.out"
    if not output.exists():
        printed = (folder / "stdout").read_text(errors="replace").strip()[-300:]
        raise LabelError(f"CP2K wrote no output; it printed: {printed or 'nothing'}")
    result = parse(output.read_text(errors="replace"))
    return {
        "atoms": len(atoms),
        "electrons": cp2k.count_electrons(task.atoms, task.charge),
        **result,
        "level_of_theory": settings.level_of_theory(result["version"]),
        "eps_scf": settings.eps_scf,
        "timestep_fs": timestep,
        "cores": 1,
        "extrapolation": "ASPC",
        "cpu_use": cpu_use,
    }
