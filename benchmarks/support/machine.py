# SPDX-License-Identifier: MIT
"""The machine a time was measured on, and whether it was quiet; results as JSON beside it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "results"
QUIET_LOAD = 0.3  # one-minute load average above which other work shares the cores


def processor_entry() -> dict[str, str]:
    """What the kernel says of the first processor."""
    cpuinfo = Path("/proc/cpuinfo")
    found: dict[str, str] = {}
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else []:
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    return found


def commit() -> str:
    """Short hash of the source tree, with + when files differ from it; empty without git."""
    folder = Path(__file__).resolve().parents[2]
    try:
        git = ["git", "-C", str(folder)]
        head = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            [*git, "diff", "--quiet", "HEAD", "--", "cpp", "lammps_plugin", "python"], check=False
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if changed.returncode else "")


def describe() -> dict[str, Any]:
    """What a time means nothing without; `quiet` is judged by the load before the first row."""
    load = os.getloadavg()[0]
    entry = processor_entry()
    # vendor, family and model tell apart virtual machines that hide the name
    family = " ".join(entry.get(k, "?") for k in ("vendor_id", "cpu family", "model", "stepping"))
    flags = set(entry.get("flags", "").split())
    return {
        "processor": entry.get("model name") or platform.processor(),
        "processor_family": family,
        "vector_instructions": sorted(flags & {"sse2", "avx2", "fma", "avx512f", "avx512vl"}),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "load_at_start": round(load, 2),
        "quiet": load <= QUIET_LOAD,
    }


def require_quiet(machine: dict[str, Any], under_load: bool) -> None:
    """Stop when other work runs, unless the caller accepts results marked `not quiet`."""
    if not machine["quiet"] and not under_load:
        raise SystemExit(
            f"load average {machine['load_at_start']} > {QUIET_LOAD}: other work shares the cores, "
            "times would mean nothing. Wait a minute after it ended, or give --under-load to "
            "measure all the same; the results are then marked 'not quiet'"
        )


def write(path: Path, document: dict[str, Any]) -> None:
    """Write JSON in one step, so that a stopped run leaves the last complete state."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(document, indent=1) + "\n")
    partial.replace(path)
