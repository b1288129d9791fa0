# SPDX-License-Identifier: MIT
"""Time of the engine per atom and step, and side by side with `nequip` and JAX, in one run.

    python benchmarks/engine.py [--nequip-python VENV/bin/python]

Random potentials of the presets on rattled zinc-blende CdSe with 45 neighbours: sizes, threads,
precisions and instruction sets of libqdml; then, at equal size and on one core, a whole LAMMPS
step, the same file in JAX, and the PyTorch package. Prints tables; writes engine.json
and engine.png to benchmarks/results. Started again, a stopped run goes on where it was.
docs/benchmarks.md says what is counted.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from support import figure, machine, peak, rows, structures

ISAS = ("baseline", "avx2", "avx512")  # narrow to wide


def available_isas(model: Path) -> list[str]:
    """Instruction sets this processor and this build of libqdml can run."""
    import os

    from qdml.engine import Engine
    from qdml.errors import QdmlError

    found = []
    for isa in ISAS:
        os.environ["QDML_ISA"] = isa
        try:
            Engine(model)
            found.append(isa)
        except QdmlError:
            pass
    del os.environ["QDML_ISA"]
    return found


def resumable(path: Path, document: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of an unfinished run on the same machine and source; nothing else may be mixed."""
    if not path.exists():
        return []
    old = json.loads(path.read_text())
    same = ("processor", "processor_family", "cores", "commit", "quiet")
    if old.get("finished") or any(old["machine"][k] != document["machine"][k] for k in same):
        return []
    return [r for r in old["rows"] if "error" not in r]


def measure_all(
    plan: list[dict[str, Any]], document: dict[str, Any], paths: dict[str, Path],
    options: argparse.Namespace, console: Console,
) -> None:  # fmt: skip
    """Run what is not yet there; the results file is complete after every row."""
    old = {rows.key(r): r for r in document["rows"]}
    document["rows"] = []
    spent = guessed = 0.0
    for number, row in enumerate(plan, 1):
        name = f"{row['kind']} {row.get('mode', '')} {row['model']} {row['atoms']} atoms"
        name += f" {row['threads']} threads {row['isa']} {row['precision']}"
        if rows.key(row) in old:
            document["rows"].append(old[rows.key(row)])
            continue
        left = sum(r["expected"] for r in plan[number - 1 :] if rows.key(r) not in old)
        pace = min(max(spent / guessed, 0.3), 30.0) if guessed > 10 else 1.0
        console.print(f"[{number}/{len(plan)}] {name} (about {left * pace / 60:.1f} min left)")
        began = time.perf_counter()
        result = rows.finish(
            rows.run(row, paths, options.nequip_python), paths, document["peak_gflops"]
        )
        spent += time.perf_counter() - began
        guessed += row["expected"]
        document["rows"].append({k: v for k, v in result.items() if k != "expected"})
        if "error" in result:
            console.print(f"        did not run: {result['error']}", markup=False)
        else:
            console.print(f"        {result['us_per_atom_step']:.2f} µs per atom and step")
        machine.write(options.output, document)


def compare(document: dict[str, Any], wanted: str | None) -> None:
    """Ratios of the side-by-side rows; the baseline is the fastest mode of nequip that ran."""
    side = [r for r in document["rows"] if r.get("side_by_side") and "error" not in r]
    if wanted is None:
        ran = {r["kind"] for r in side}
        wanted = "nequip" if "nequip" in ran else "jax"
    others = [r for r in side if wanted in (r["kind"], r.get("mode"))]
    if not others:
        return
    baseline = min(others, key=lambda r: r["us_per_atom_step"])
    document["baseline"] = figure.label(baseline)
    for r in side:
        r["speedup"] = baseline["us_per_atom_step"] / r["us_per_atom_step"]


def print_tables(document: dict[str, Any], console: Console) -> None:
    """The engine's rows, then the side-by-side rows."""
    state = "quiet" if document["machine"]["quiet"] else "NOT QUIET, no result"
    title = (
        f"libqdml, {document['machine']['processor']}, {document['machine']['cores']} cores, "
        f"load {document['machine']['load_at_start']} ({state}); counted arithmetic against the "
        f"register-only peak, GFLOP/s: {document['peak_gflops']}"
    )
    table = Table(title=title)
    for column in ("model", "atoms", "neighbours", "isa", "precision", "threads", "wall µs",
                   "CPU µs", "GFLOP/s", "% of peak"):  # fmt: skip
        table.add_column(column, justify="right")
    for r in document["rows"]:
        if r["kind"] != "engine" or r.get("side_by_side"):
            continue
        if "error" in r:
            table.add_row(r["model"], str(r["atoms"]), "", r["isa"], r["error"])
            continue
        table.add_row(
            r["model"], str(r["atoms"]), f"{r['neighbours']:.1f}", r["isa"], r["precision"],
            str(r["threads"]), f"{r['us_per_atom_step']:.2f}", f"{r['cpu_us_per_atom_step']:.2f}",
            f"{r['gflops']:.1f}", f"{r.get('percent_of_peak', float('nan')):.0f}",
        )  # fmt: skip
    console.print(table)
    side = Table(
        title="side by side: l_max 2, 64 channels, 3 layers, fp32 kernels, one core, energy and "
        f"forces; ratio against {document.get('baseline', 'nothing')}"
    )
    for column in ("what", "atoms", "neighbours", "wall µs per atom-step", "CPU µs", "ratio"):
        side.add_column(column)
    for r in document["rows"]:
        if not r.get("side_by_side"):
            continue
        if "error" in r:
            side.add_row(figure.label(r), "", "", f"did not run: {r['error']}")
            continue
        side.add_row(
            figure.label(r), str(r["atoms"]), f"{r.get('neighbours', 0):.1f}".replace("0.0", ""),
            f"{r['us_per_atom_step']:.1f}", f"{r['cpu_us_per_atom_step']:.1f}",
            f"{r['speedup']:.2f}x" if "speedup" in r else "",
        )  # fmt: skip
    console.print(side)


def print_stages(document: dict[str, Any], console: Console) -> None:
    """Stages of the rows on one thread, when libqdml was built with QDML_PROFILE."""
    for r in document["rows"]:
        if "stages" not in r or r["threads"] != 1 or r["isa"] != document["best_isa"]:
            continue
        table = Table(title=f"{r['model']}, {r['atoms']} atoms, {r['precision']}: stages")
        for column in ("stage", "µs per atom-step", "GFLOP/s", "% of peak"):
            table.add_column(column, justify="right")
        peak_gflops = document["peak_gflops"][r["isa"]][r["precision"]]
        for name, seconds in r["stages"].items():
            rate = r["stage_gflops"].get(name)
            table.add_row(
                name, f"{1e6 * seconds / r['atoms']:.2f}", f"{rate:.0f}" if rate else "",
                f"{100 * rate / peak_gflops:.0f}" if rate else "",
            )  # fmt: skip
        console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nequip-python", help="Python of an environment with torch and nequip")
    parser.add_argument(
        "--nequip-modes", nargs="+", choices=rows.NEQUIP_MODES, default=list(rows.NEQUIP_MODES)
    )
    parser.add_argument("--models", nargs="+", default=list(structures.MODELS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[96, 1000, 4000, 16000])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=2.0, help="least time measured per row")
    parser.add_argument("--baseline", help="jax, nequip or one of its modes; default nequip")
    parser.add_argument("--under-load", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--fresh", action="store_true", help="do not go on with a stopped run")
    parser.add_argument("--output", type=Path, default=machine.RESULTS / "engine.json")
    options = parser.parse_args()
    if unknown := set(options.sizes) - set(structures.SIZES):
        parser.error(f"sizes {sorted(unknown)}; choose from {list(structures.SIZES)}")
    console = Console(width=150)
    document: dict[str, Any] = {
        "what": "seconds per call (wall, cpu: median), µs per atom and step",
        "structure": f"zinc-blende CdSe, a {structures.LATTICE} Å, rattled {structures.RATTLE} Å, "
        f"cutoff {structures.CUTOFF} Å",
        "machine": machine.describe(),
        "finished": False,
        "rows": [],
    }
    machine.require_quiet(document["machine"], options.under_load)
    if not options.fresh:
        document["rows"] = resumable(options.output, document)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths: dict[str, Path] = {"structure": rows.write_structure(folder)}
        for model in options.models:
            path = structures.write_random_model(model, folder)
            if path is None:
                console.print(f"{model}: this qdml has no such l_max, left out")
            else:
                paths[model] = path
        presets = [m for m in options.models if m in paths]
        isas = available_isas(paths[presets[0]])
        document["best_isa"] = isas[-1]
        document["peak_gflops"] = {isa: peak.measure_peak(isa, folder) for isa in isas}
        plan = rows.plan(
            presets, options.sizes, isas, options.threads, options.seconds,
            options.nequip_python, options.nequip_modes,
        )  # fmt: skip
        measure_all(plan, document, paths, options, console)
    document["finished"] = True
    compare(document, options.baseline)
    machine.write(options.output, document)
    figure.draw(document, options.output.with_suffix(".png"))
    print_tables(document, console)
    print_stages(document, console)
    console.print(f"wrote {options.output} and {options.output.with_suffix('.png').name}")


if __name__ == "__main__":
    main()
