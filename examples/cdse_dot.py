# SPDX-License-Identifier: MIT
"""A published dot from end to end: fit, test forces, dynamics in LAMMPS, all beside its DFT run.

    python examples/cdse_dot.py [--quick] [--start 7net-0.qdml]

Cd68Se55(HCOO)26 at 300 K, 227 atoms. The DFT trajectory is fetched once with pip into the cache (it
is under GPL-3 and not part of qdml); without it nothing is done. The fit begins with a potential
that knows Cd, Se, O, C and H: the shipped one, or SevenNet-0 imported (docs/importing.md), as for
the published numbers. Needs the extra `train`, and `label` for the row of GFN1-xTB.

Every step is a command a user can type, and is printed before it runs. A step whose product is
there is not repeated, so a run that was stopped goes on where it was. At the end everything is on
one page: OUTPUT/page.html. --quick takes ten minutes and shows the way, not the numbers.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import run
from qdml.analyse import html

HERE = Path(__file__).resolve().parent
BENCHMARKS = HERE.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
from cdse_dot_forces import CACHE, ELEMENTS, WHEEL, cached_trajectory  # noqa: E402


@dataclass(frozen=True)
class Size:
    """How much of everything: frames to fit to, time of the fit, xTB frames, ps of both runs."""

    train: int
    time_budget: str
    xtb: int
    nvt: float
    nve: float


FULL = Size(train=60, time_budget="25m", xtb=5, nvt=10, nve=5)
QUICK = Size(train=20, time_budget="2m", xtb=1, nvt=1, nve=1)


def picture(path: Path, caption: str) -> str:
    """A PNG embedded in the page."""
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img alt="{html.text(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{html.text(caption)}</figcaption></figure>"
    )


def force_section(baselines: dict[str, Any], noise: dict[str, Any], folder: Path) -> str:
    """Test errors per element of all methods, and what of the fit's is noise of the DFT forces."""
    rows = [
        [name, row["frames"], *(1e3 * row["rmse"][s] if s in row["rmse"] else None
                                for s in ELEMENTS)]
        for name, row in baselines["rows"].items()
    ]  # fmt: skip
    rows += [
        [f"quoted: {name.replace('_', ' ')}", None,
         *(1e3 * row[s] if s in row else None for s in ELEMENTS)]
        for name, row in baselines["quoted"].items()
    ]  # fmt: skip
    without = noise["test_rmse_ev_per_angstrom"]["without_noise"]
    about = (
        f"RMSE per component in meV/Å on frames 3430-4904; the fit saw frames 0-2939. The DFT "
        f"forces carry a wave in the absolute position of O, period "
        f"{noise['spacing_angstrom']:.4f} Å, which no potential can learn; without it the fit "
        f"leaves {1e3 * without['O']:.0f} on O and {1e3 * without['all']:.0f} on all atoms."
    )
    return (
        html.paragraph(about)
        + html.table(["method", "frames", *ELEMENTS], rows)
        + picture(folder / "baselines.png", "Force errors on the test frames, logarithmic.")
        + picture(folder / "grid_noise.png", "The wave in what the fit leaves over on oxygen.")
    )


def dynamics_section(found: dict[str, Any], folder: Path) -> str:
    """Every number of the dot in motion beside DFT."""
    rows = [
        [row["name"], _shown(row.get("published"), " – "), _shown(row["dft"]),
         _shown(row["halves"]), _shown(row["md"]), _shown(row.get("md_halves")),
         "pass" if row["pass"] else "FAIL"]
        for row in found["rows"]
    ]  # fmt: skip
    about = (
        f"{found['nvt_ps']:g} ps at 300 K and {found['nve_ps']:g} ps at constant energy, after "
        f"2 ps (or as long as the run) to warm up; distances in Å, angles in degrees, shares of "
        f"atoms or formates. Drift {found['drift_ev_per_atom_ps']:.1e} eV/atom/ps."
    )
    head = ["", "published", "DFT", "its two halves", "potential", "its two halves", ""]
    return (
        html.paragraph(about)
        + html.table(head, rows)
        + picture(folder / "dynamics.png", "The potential (blue) beside DFT (orange).")
    )


def _shown(values: float | list[float] | None, between: str = ", ") -> str | None:
    """Numbers with four digits."""
    if values is None:
        return None
    values = values if isinstance(values, list) else [values]
    return between.join(f"{v:.4g}" for v in values)


def write_page(folder: Path, quick: bool) -> None:
    """OUTPUT/page.html from the results of all steps."""
    forces, baselines, noise, dynamics = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("forces", "baselines", "grid_noise", "dynamics")
    )
    passed = sum(row["pass"] for row in dynamics["rows"])
    frames = forces["frames"]
    summary = html.paragraph(
        f"{passed} of {len(dynamics['rows'])} numbers of the dynamics agree with DFT. Fit: "
        f"{frames['train']} frames, {forces['steps']} steps, {forces['training_seconds']:.0f} s, "
        f"ended by {forces['ended_by']}; SHA-256 {dynamics['hash'][:12]}."
    )
    if quick:
        summary += html.paragraph(
            "Made with --quick: a short fit and short runs, which show the way and not the "
            "numbers.", "note",
        )  # fmt: skip
    page = html.page(
        "Cd68Se55(HCOO)26 beside its DFT trajectory",
        summary,
        [
            ("Forces on the test frames", force_section(baselines, noise, folder)),
            ("Dynamics at 300 K", dynamics_section(dynamics, folder)),
        ],
        html.text(f"Positions of the DFT run: {WHEEL}, GPL-3. Written by examples/cdse_dot.py."),
    )
    (folder / "page.html").write_text(page, encoding="utf-8")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="fits/cdse-dot, or fits/cdse-dot-quick")
    parser.add_argument("--quick", action="store_true", help="ten minutes instead of 50")
    shipped = HERE.parent / "potentials" / "cdse" / "cdse-pbe-sevennet.qdml"
    parser.add_argument("--start", type=Path, default=shipped, help="potential the fit begins with")
    parser.add_argument("--ranks", default="2", help="of LAMMPS")
    parser.add_argument("--cache", type=Path, default=CACHE, help="of the DFT trajectory")
    options = parser.parse_args()
    name = "cdse-dot-quick" if options.quick else "cdse-dot"
    options.output = options.output or Path("fits") / name
    return options


def main() -> None:
    options = parse()
    size, out = QUICK if options.quick else FULL, options.output
    try:
        trajectory = cached_trajectory(options.cache)
    except SystemExit as reason:
        print(f"skipped: {reason}")
        return
    print(f"DFT trajectory: {trajectory}")
    out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")

    def step(title: str, script: str, made: str, arguments: list[Any]) -> None:
        command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
        run(title, [*command, "--output", str(out / made)], out / made)

    cache = ["--cache", options.cache]
    step(
        f"fine-tune {options.start.name} on the forces of {size.train} frames",
        "cdse_dot_forces.py", "forces.json",
        ["--config", HERE / "cdse-dot-fine-tune.yaml", "--train", size.train, "--fit", out / "fit",
         "--time-budget", size.time_budget, "--set", f"train.from={options.start}", *cache],
    )  # fmt: skip
    step(
        "how much of the error is grid noise of the DFT forces",
        "cdse_dot_grid_noise.py", "grid_noise.json", [out / "fit"],
    )  # fmt: skip
    step(
        "classical force field, pair spline, GFN1-xTB and the untouched start on the same frames",
        "cdse_dot_baselines.py", "baselines.json",
        ["--xtb", size.xtb, "--models", options.start, "--fits", out / "forces.json", *cache],
    )  # fmt: skip
    step(
        "dynamics in LAMMPS at 300 K and at constant energy",
        "cdse_dot_dynamics.py", "dynamics.json",
        [out / "fit" / "model.qdml", "--nvt", size.nvt, "--nve", size.nve, "--ranks",
         options.ranks, *cache],
    )  # fmt: skip
    write_page(out, options.quick)
    print(f"\nwrote {(out / 'page.html').resolve().as_uri()}")


if __name__ == "__main__":
    main()
