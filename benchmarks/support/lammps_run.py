# SPDX-License-Identifier: MIT
"""Some steps of `pair_style qdml` on a structure, timed by LAMMPS itself.

Called as a program it is the wrapper of one rank: runs its arguments and writes the peak memory.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DECK = """\
units metal
atom_style atomic
boundary {boundary}
read_data system.data
pair_style qdml precision {precision} exchange {exchange}
pair_coeff * * {model} {elements}
neighbor 1.0 bin
neigh_modify every 10 delay 0 check no
velocity all create 300.0 1
fix nve all nve
timestep 0.0001
thermo {steps}
run {warm}
run {steps}
"""


def run_steps(
    atoms: Any, elements: list[str], model: Path, *, steps: int, warm: int = 10, ranks: int = 1,
    threads: int = 1, precision: str = "mixed", exchange: str = "layer",
    timeout: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Run `warm` and then `steps` timed NVE steps of an ASE structure on `ranks` MPI ranks of
    `threads` OpenMP threads each.

    Steps of 0.1 fs keep any potential, also a random one, near the structure; the neighbour list is
    rebuilt every ten steps whether needed or not. Directions without periodicity become free
    boundaries. `elements` are the LAMMPS types in order. Returns seconds per step of LAMMPS' loop,
    its split, and the peak memory of each rank in MB. Raises RuntimeError with LAMMPS' output.
    """
    import ase.io
    from qdml.lammps import find_lammps, lammps_command, lammps_environment

    atoms = atoms.copy()
    if not atoms.pbc.all():
        # a box around the atoms along the free directions; LAMMPS shrink-wraps it
        periodic = atoms.pbc.copy()
        atoms.center(vacuum=10.0, axis=[d for d in range(3) if not periodic[d]])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ase.io.write(
            folder / "system.data", atoms, format="lammps-data", specorder=elements, masses=True
        )
        deck = DECK.format(
            boundary=" ".join("p" if p else "s" for p in atoms.pbc),
            precision=precision, exchange=exchange, model=model.resolve(),
            elements=" ".join(elements), steps=steps, warm=warm,
        )  # fmt: skip
        (folder / "in.bench").write_text(deck)
        plain = lammps_command(["-in", "in.bench", "-nocite"], ranks)
        at = plain.index(str(find_lammps()))
        command = [*plain[:at], sys.executable, str(Path(__file__).resolve()), *plain[at:]]
        done = subprocess.run(
            command, cwd=folder, env=lammps_environment(threads=threads, ranks=ranks), check=False,
            capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip
        memory = sorted(float(p.read_text()) for p in folder.glob("peak-*.mb"))
    if done.returncode != 0:
        raise RuntimeError(f"LAMMPS failed:\n{done.stdout[-2000:]}{done.stderr[-500:]}")
    return parse(done.stdout) | {
        "peak_mb_per_rank": memory, "ranks": ranks, "threads": threads, "atoms": len(atoms),
        "exchange": exchange,
    }  # fmt: skip


def parse(output: str) -> dict[str, Any]:
    """Numbers of the last run in what LAMMPS printed."""
    loops = re.findall(r"Loop time of (\S+) on \d+ procs for (\d+) steps", output)
    seconds, steps = float(loops[-1][0]), int(loops[-1][1])
    split = {
        section.lower(): float(
            re.findall(rf"^{section}\s*\|\s*\S+\s*\|\s*(\S+)\s*\|", output, flags=re.M)[-1]
        )
        for section in ("Pair", "Neigh", "Comm")
    }
    sent = re.findall(r"times, (\d+) messages and ([\d.]+) MiB by the busiest rank", output)[-1]
    return {
        "steps": steps,
        "loop_seconds": seconds,
        "seconds_per_step": seconds / steps,
        "most_ghosts": int(re.findall(r"a rank has at most (\d+) ghosts", output)[-1]),
        "messages_per_evaluation": int(sent[0]),
        "mib_per_evaluation": float(sent[1]),
        "cpu_use": float(re.findall(r"([\d.]+)% CPU use", output)[-1]) / 100,
        **{f"{k}_seconds": v for k, v in split.items()},
    }


def as_rank() -> int:
    """Run the rest of the command line as this rank; write its peak memory to peak-PID.mb."""
    child = os.fork()
    if child == 0:
        os.execvp(sys.argv[1], sys.argv[1:])
    _, status, usage = os.wait4(child, 0)
    Path(f"peak-{child}.mb").write_text(f"{usage.ru_maxrss / 1024:.1f}")
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(as_rank())
