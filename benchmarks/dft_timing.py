# SPDX-License-Identifier: MIT
"""One MD step of CP2K against one of `pair_style qdml` on the same dots and the same core.

    python benchmarks/dft_timing.py [CdSe InP PbSe CsPbBr3] [--dft-sizes 35 149] [--no-dft]

Dots of `qdml build` from about 35 to about 700 atoms, relaxed by the largest shipped potential of
the material. qdml: whole LAMMPS steps with every shipped potential, on one core and on both. DFT:
a few steps of CP2K's dynamics at the very settings of the labels, on one core, for the dots CP2K
can do here; the others from a power law, marked `extrapolated`. A finished DFT run is kept at once,
so a stopped script goes on. JSON, Markdown and PNG to benchmarks/results/dft_timing.*
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms
from ase.neighborlist import neighbor_list
from ase.optimize import FIRE
from qdml import Calculator
from qdml.build import build_dot
from qdml.build.dot import preset
from qdml.errors import LabelError, StructureError
from qdml.modelfile import content_hash, n_members, read_file
from qdml.paths import parse_irreps
from qdml.sample.thermal import shaken
from rich.console import Console
from rich.table import Table
from support import cp2k_md, dft_table, machine
from support.figure import draw_dft_timing
from support.lammps_run import run_steps

ROOT = Path(__file__).resolve().parents[1]
PRECISION = "mixed"
CORES = 2  # of the second qdml column
RELAX_STEPS, RELAX_FMAX = 200, 0.05  # eV/Å


@dataclass(frozen=True)
class Dot:
    """A dot by its formula; arguments of `build_dot`, or none where the formula is a preset.

    `by_dft`: CP2K runs it unless --dft-sizes says otherwise.
    """

    name: str
    arguments: dict[str, Any] | None = None
    by_dft: bool = False

    @property
    def atoms(self) -> int:
        """Number of atoms, from the formula."""
        return len(Atoms(self.name))

    def build(self, material: str) -> Atoms:
        """The dot as built, without a box. Raises StructureError when another one comes out."""
        arguments = self.arguments or preset(self.name)
        dot = build_dot(**{"material": material, **arguments}).atoms
        if dot.symbols.formula.count() != Atoms(self.name).symbols.formula.count():
            raise StructureError(f"{material} {arguments} gave {dot.symbols}, not {self.name}")
        return Atoms(dot.get_chemical_symbols(), dot.positions)


# Published dots where their names are presets. DFT runs two sizes far apart: the power law through
# dots of nearly equal size would be one of their boxes.
SERIES = {
    "CdSe": (
        Dot("Cd16Se13Cl6", by_dft=True),
        Dot("Cd68Se55Cl26", by_dft=True),
        Dot("Cd176Se147Cl58"),
        Dot("Cd336Se297Cl78", {"diameter": 33.5, "center": "anion"}),
    ),
    "InP": (
        Dot("In16P13Cl9", {"diameter": 10.0, "center": "anion"}, by_dft=True),
        Dot("In31P20Cl33", by_dft=True),
        Dot("In107P73Cl102"),
        Dot(
            "In261P204Cl171",
            {"diameter": 30.0, "center": "cation", "shape": "truncated-tetrahedron"},
        ),
    ),
    "PbSe": (
        Dot("Pb13Se6Cl14", {"diameter": 8.0, "center": "cation", "shape": "cube"}, by_dft=True),
        Dot("Pb19Se6Cl26"),
        Dot("Pb79Se44Cl70", by_dft=True),
        Dot("Pb200Se140Cl120"),
        Dot("Pb321Se242Cl158", {"diameter": 33.0, "center": "cation"}),
    ),
    "CsPbBr3": (
        Dot("Cs12Pb4Br20", {"diameter": 9.0}, by_dft=True),
        Dot("Cs20Pb8Br36"),
        Dot("Cs54Pb27Br108", by_dft=True),
        Dot("Cs112Pb64Br240", {"diameter": 30.0, "center": "hole"}),
        Dot("Cs200Pb125Br450", {"diameter": 35.0, "center": "cation"}),
    ),
}


def dots_for_dft(material: str, sizes: list[int] | None) -> list[Dot]:
    """Dots CP2K runs, smallest first: those of these numbers of atoms, or the usual ones."""
    chosen = [d for d in SERIES[material] if (d.by_dft if sizes is None else d.atoms in sizes)]
    return sorted(chosen, key=lambda d: d.atoms)


def potentials(material: str) -> list[Path]:
    """The shipped potentials of a material, the smallest first; a committee repeats one of them."""
    files = (ROOT / "potentials" / material.lower()).glob("*.qdml")
    alone = [path for path in files if n_members(read_file(path)[0]) == 1]
    return sorted(alone, key=lambda p: p.stat().st_size)


def describe_model(path: Path) -> dict[str, Any]:
    """What the time of a potential depends on, and its hash."""
    document, tensors = read_file(path)
    architecture = document["architecture"]
    widest = architecture["layers"][0]
    if "irreps_out" in widest:
        channels = {i.degree: i.channels for i in parse_irreps(widest["irreps_out"])}
        channels = [channels[degree] for degree in sorted(channels)]
    else:
        channels = widest["channels_out"]
    return {
        "file": path.name,
        "sha256": content_hash(path),
        "kind": architecture["kind"],
        "layers": len(architecture["layers"]),
        "l_max": len(channels) - 1,
        "channels": channels,
        "cutoff": architecture["cutoff"],
        "numbers": sum(t.size for t in tensors.values()),
        "precision": PRECISION,
        "level_of_theory": document["level_of_theory"],
    }


def relaxed(dot: Dot, material: str, model: Path, folder: Path) -> Atoms:
    """The dot relaxed by a potential; kept, so that DFT and qdml always see the same atoms."""
    path = folder / f"{dot.name}.extxyz"
    if not path.exists():
        frame = shaken(dot.build(material), 3)  # off the symmetry of the construction
        frame.calc = Calculator(model)
        FIRE(frame, logfile=None, maxstep=0.1).run(fmax=RELAX_FMAX, steps=RELAX_STEPS)
        frame.calc = None
        frame.info["relaxed_by"] = f"{model.name} {content_hash(model)[:12]}"
        folder.mkdir(parents=True, exist_ok=True)
        ase.io.write(path, frame)
    return ase.io.read(path)


@contextlib.contextmanager
def on_one_core() -> Iterator[None]:
    """Bind this process, and what it starts, to one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def time_qdml(
    atoms: Atoms, model: Path, ranks: int, threads: int, seconds: float, repeats: int
) -> dict[str, Any]:
    """Median over `repeats` LAMMPS runs of at least `seconds` and ten steps each."""
    elements = sorted(set(atoms.get_chemical_symbols()))
    one_core = on_one_core() if ranks * threads == 1 else contextlib.nullcontext()
    steps, runs = 10, []
    with one_core:
        for number in range(repeats + 1):
            found = run_steps(
                atoms, elements, model, steps=steps, ranks=ranks, threads=threads,
                precision=PRECISION,
            )  # fmt: skip
            if number:  # the first one tells how many steps fill the time
                runs.append(found)
            steps = max(10, min(20_000, int(seconds / found["seconds_per_step"])))
    each = [r["seconds_per_step"] for r in runs]
    return {
        "model": model.name, "ranks": ranks, "threads": threads, "cores": ranks * threads,
        "precision": PRECISION, "steps": runs[-1]["steps"],
        "seconds_per_step": statistics.median(each), "fastest": min(each), "slowest": max(each),
        "cpu_use": statistics.median(r["cpu_use"] for r in runs),
    }  # fmt: skip


def measure_qdml(
    entry: dict[str, Any], structures: dict[str, Atoms], models: list[Path],
    options: argparse.Namespace, console: Console,
) -> None:  # fmt: skip
    """All potentials on all dots: one core; both cores by two ranks and by two threads."""
    layouts = [(1, 1)]
    if len(os.sched_getaffinity(0)) >= CORES:
        layouts += [(CORES, 1), (1, CORES)]
    entry["qdml"] = []
    for name, atoms in structures.items():
        for model in models:
            for ranks, threads in layouts:
                found = time_qdml(atoms, model, ranks, threads, options.seconds, options.repeats)
                entry["qdml"].append({"dot": name, "atoms": len(atoms), **found})
                console.print(
                    f"{name}, {model.name}, {ranks} ranks of {threads} threads: "
                    f"{1e3 * found['seconds_per_step']:.3f} ms per step"
                )


def measure_dft(
    document: dict[str, Any], material: str, structures: dict[str, Atoms],
    described: dict[str, Any], options: argparse.Namespace, console: Console,
) -> None:  # fmt: skip
    """CP2K on the chosen dots that have no measurement yet; each is written when it is there."""
    entry = document["materials"][material]
    level = entry["level_of_theory"]
    settings = cp2k_md.settings_of(level)
    for dot in dots_for_dft(material, options.dft_sizes):
        old = None if options.fresh else dft_table.stored(entry, dot.name, level)
        if dft_table.is_done(old, options.dft_steps, options.timestep, described["quiet"]):
            console.print(f"{dot.name}: DFT measured before, {old['seconds_per_step']:.1f} s")
            continue
        console.print(f"{dot.name}: {options.dft_steps} MD steps of CP2K, {level}")
        atoms = structures[dot.name]
        try:
            with on_one_core():
                found = cp2k_md.run(
                    atoms, settings, options.work / f"cp2k-{dot.name}", steps=options.dft_steps,
                    timestep=options.timestep, command=options.cp2k,
                    time_limit=3600 * options.dft_hours,
                )  # fmt: skip
        except LabelError as error:
            console.print(f"    not measured: {error}", markup=False)
            continue
        if found["level_of_theory"] != level:
            console.print(f"labels have {level}, this is {found['level_of_theory']}: not kept")
            continue
        undisturbed = (found["cpu_use"] or 0.0) >= cp2k_md.UNDISTURBED
        record = {
            "dot": dot.name, **found, "relaxed_by": atoms.info["relaxed_by"],
            "quiet": described["quiet"] and undisturbed, "machine": described,
        }  # fmt: skip
        dft_table.add_dft(entry, record)
        write(document, options.output)
        console.print(
            f"    {found['seconds_per_step']:.1f} s per step (each: "
            f"{', '.join(f'{s:.1f}' for s in found['step_seconds'])}), SCF steps "
            f"{found['scf_steps']}, {found['peak_mib']} MiB, CPU use {found['cpu_use']}"
        )


def write(document: dict[str, Any], output: Path) -> None:
    """JSON, Markdown and figure, with laws and rows of what is measured by now."""
    for entry in document["materials"].values():
        dft_table.finish(entry)
    machine.write(output, document)
    output.with_suffix(".md").write_text(dft_table.markdown(document))
    draw_dft_timing(document, output.with_suffix(".png"))


def print_table(material: str, entry: dict[str, Any], console: Console) -> None:
    """The rows of a material."""
    table = Table(title=f"{material}: {dft_table.law_in_words(entry['law'])}")
    for column in dft_table.COLUMNS:
        table.add_column(column, justify="right")
    for line in entry["rows"]:
        table.add_row(*dft_table.cells(line))
    console.print(table)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("materials", nargs="*", metavar="MATERIAL", help="default: all four")
    parser.add_argument("--dft-sizes", type=int, nargs="+", help="atoms of the dots for CP2K")
    parser.add_argument("--dft-steps", type=int, default=5, help="MD steps, the first not counted")
    parser.add_argument("--dft-hours", type=float, default=6.0, help="limit for one dot")
    parser.add_argument("--no-dft", action="store_true", help="only what is stored of DFT")
    parser.add_argument(
        "--no-qdml", action="store_true", help="what is stored, where the potentials are the same"
    )
    parser.add_argument("--timestep", type=float, default=2.0, help="fs, of the DFT run")
    parser.add_argument("--seconds", type=float, default=1.0, help="of one LAMMPS run")
    parser.add_argument("--repeats", type=int, default=3, help="LAMMPS runs, the median counts")
    parser.add_argument("--cp2k", default="cp2k.psmp", help="the program, started without MPI")
    parser.add_argument("--fresh", action="store_true", help="measure DFT again")
    parser.add_argument("--under-load", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "dft_timing")
    parser.add_argument("--output", type=Path, default=machine.RESULTS / "dft_timing.json")
    options = parser.parse_args()
    options.materials = options.materials or list(SERIES)
    if unknown := set(options.materials) - set(SERIES):
        parser.error(f"no dots of {', '.join(sorted(unknown))}; choose from {', '.join(SERIES)}")
    known = sorted({d.atoms for m in options.materials for d in SERIES[m]})
    if unknown := set(options.dft_sizes or []) - set(known):
        parser.error(f"no dot of {sorted(unknown)} atoms; choose from {known}")
    if options.dft_steps < 2:
        parser.error("--dft-steps: two at least, because the first is not counted")
    return options


def main() -> None:
    options = parse_options()
    console = Console(width=170)
    described = machine.describe()
    machine.require_quiet(described, options.under_load)
    document: dict[str, Any] = {"materials": {}}
    if options.output.exists():
        document = json.loads(options.output.read_text())
    document["what"] = (
        "Seconds per MD step. DFT: median of CP2K's own times of the steps after the first, one "
        "core, periodic box with 8 Å between images. qdml: LAMMPS' loop time over its steps, lists "
        "rebuilt every ten. DFT / qdml: both on one core."
    )
    structures: dict[str, dict[str, Atoms]] = {}
    for material in options.materials:  # qdml first: minutes, and CP2K would warm the cores
        models = potentials(material)
        found = [describe_model(m) for m in models]
        levels = {m["level_of_theory"] for m in found}
        if len(levels) != 1:
            raise SystemExit(f"{material}: potentials of {len(levels)} levels of theory: {levels}")
        entry = document["materials"].setdefault(material, {"dft": []})
        structures[material] = {
            d.name: relaxed(d, material, models[-1], options.work) for d in SERIES[material]
        }
        if options.no_qdml and entry.get("models") == found:
            continue
        entry |= {
            "level_of_theory": levels.pop(),
            "qdml_machine": described,
            "models": found,
            "dots": [
                {"dot": name, "atoms": len(atoms), "neighbours": neighbours(atoms, found[-1])}
                for name, atoms in structures[material].items()
            ],
        }
        measure_qdml(entry, structures[material], models, options, console)
        write(document, options.output)
    for material in () if options.no_dft else options.materials:
        measure_dft(document, material, structures[material], described, options, console)
    for material in options.materials:
        print_table(material, document["materials"][material], console)
    state = "" if dft_table.is_quiet(document) else " (NOT QUIET, no result)"
    console.print(f"wrote {options.output}, its .md and its .png{state}")


def neighbours(atoms: Atoms, model: dict[str, Any]) -> float:
    """Mean number of neighbours of an atom within the cutoff."""
    return round(len(neighbor_list("i", atoms, model["cutoff"])) / len(atoms), 2)


if __name__ == "__main__":
    main()
