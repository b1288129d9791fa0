# SPDX-License-Identifier: MIT
"""`qdml build`: a charge-balanced quantum dot from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from qdml.build import PRESETS, DotResult, build_dot, exchange_ligands, preset
from qdml.build.output import output_paths, write_all
from qdml.build.reading import read_structures
from qdml.errors import ConfigError


def build(
    material: Annotated[
        str | None,
        typer.Argument(
            help="CdS CdSe CdTe ZnS ZnSe ZnTe InP PbS PbSe PbTe CsPbCl3 CsPbBr3 CsPbI3, an alloy "
            "(CdSe0.5S0.5) or core/shell (CdSe/CdS)."
        ),
    ] = None,
    diameter: Annotated[
        float | None, typer.Option("--diameter", "-d", help="Diameter of the cut, Å.")
    ] = None,
    ligands: Annotated[
        str | None,
        typer.Option(
            help="F Cl Br I HCOO acetate oleate butylthiolate octylphosphonate NH3 butylamine "
            "oleylamine butylammonium ..., smiles(CC(=[O:1])[O-:1]); mixed as Cl:3,Br:1 or "
            "HCOO,NH3:0.5; @chelating, @tilted. Default: Cl, or the halides of a perovskite."
        ),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            help="sphere, tetrahedron, truncated-tetrahedron, octahedron, cuboctahedron, cube, "
            "platelet; wurtzite: sphere, hexagonal-prism, platelet. Default: sphere, cube for "
            "perovskites."
        ),
    ] = None,
    facets: Annotated[
        str | None,
        typer.Option(
            help="Wulff shape by relative surface energies instead of --shape: "
            "100=1,111=1.15,-1-1-1=1.3."
        ),
    ] = None,
    structure: Annotated[
        str | None,
        typer.Option(help="zincblende, wurtzite (CdSe), rocksalt or perovskite. Default: usual."),
    ] = None,
    monolayers: Annotated[
        int | None, typer.Option(help="Thickness of a platelet, monolayers.")
    ] = None,
    core_diameter: Annotated[
        float | None, typer.Option(help="Diameter of the core of a core/shell dot, Å.")
    ] = None,
    shell_monolayers: Annotated[
        float | None, typer.Option(help="Shell thickness in (111) monolayers instead.")
    ] = None,
    remove_cations: Annotated[
        int, typer.Option(min=0, help="Surface cations to leave out as MX2 units (Z type).")
    ] = 0,
    remove_anions: Annotated[
        int, typer.Option(min=0, help="Surface anions to leave out; X ligands take their place.")
    ] = 0,
    fuse: Annotated[
        str | None, typer.Option(help="Two dots grown together along this direction, e.g. 100.")
    ] = None,
    fuse_distance: Annotated[
        float | None, typer.Option(help="Distance of their centers, Å. Default: touching.")
    ] = None,
    neck: Annotated[
        float | None, typer.Option(help="Diameter of the neck between them, Å. Default: none.")
    ] = None,
    center: Annotated[str, typer.Option(help="auto, anion, cation, bond, edge or hole.")] = "auto",
    lattice: Annotated[
        str, typer.Option(help="Lattice constant: pbe, experiment or a number in Å.")
    ] = "pbe",
    preset_name: Annotated[
        str | None, typer.Option("--preset", help=f"A published dot: {', '.join(PRESETS)}.")
    ] = None,
    exchange: Annotated[
        Path | None,
        typer.Option(help="Exchange the anions of this dot (extxyz) for --ligands instead."),
    ] = None,
    fraction: Annotated[
        float, typer.Option(help="Fraction of the anions that --exchange replaces.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Decides between equivalent sites.")] = 0,
    vacuum: Annotated[float, typer.Option(help="Vacuum on every side of the box, Å.")] = 10.0,
    output: Annotated[Path, typer.Option("--output", "-o", help="Name of the extxyz file.")] = Path(
        "dot.extxyz"
    ),
    picture: Annotated[bool, typer.Option(help="Write the PNG picture.")] = True,
) -> None:
    """Build a charge-balanced quantum dot with its ligand shell.

    Cuts the lattice, removes under-coordinated atoms, puts ligands on the empty anion sites of
    the surface until the formal charge is zero, and writes OUTPUT (extxyz) with a LAMMPS data
    file, a JSON summary and a picture beside it.

    Example: qdml build CdSe --diameter 20 --ligands Cl -o dot.extxyz
    """
    output_paths(output)  # a bad name is told before the work
    options = {
        "material": material,
        "diameter": diameter,
        "shape": shape,
        "facets": facets,
        "center": center,
        "structure": structure,
        "monolayers": monolayers,
        "core_diameter": core_diameter,
        "shell_monolayers": shell_monolayers,
        "remove_cations": remove_cations,
        "remove_anions": remove_anions,
        "fuse": fuse,
        "fuse_distance": fuse_distance,
        "neck": neck,
    }
    if exchange is not None:
        if ligands is None or material is not None or preset_name is not None:
            raise ConfigError(
                "--exchange takes a finished dot and --ligands, no material or preset: qdml build "
                "--exchange dot.extxyz --ligands oleate"
            )
        atoms = read_structures(exchange)[-1]
        result = exchange_ligands(atoms, ligands, fraction=fraction, seed=seed, vacuum=vacuum)
        _finish(result, output, picture)
        return
    if preset_name is not None:
        options = _with_preset(preset_name, options)
    if options["material"] is None or options["diameter"] is None:
        missing = "a material" if options["material"] is None else "--diameter"
        raise ConfigError(f"qdml build needs {missing}, for example: qdml build CdSe --diameter 20")
    result = build_dot(ligands=ligands, lattice=lattice, seed=seed, vacuum=vacuum, **options)
    _finish(result, output, picture)


def _finish(result: DotResult, output: Path, picture: bool) -> None:
    """Write the files, print the summary."""
    written = write_all(result, output, picture=picture)
    _print_summary(result, Console())
    typer.echo("wrote " + ", ".join(str(path) for path in written))


def _with_preset(name: str, options: dict) -> dict:
    """Options of a published dot. Raises: ConfigError when one was also given, differently."""
    fixed = preset(name)
    defaults = {"center": "auto", "remove_cations": 0, "remove_anions": 0}
    for key, value in options.items():
        default = defaults.get(key)
        if value not in (default, fixed.get(key, default)):
            wanted = fixed.get(key, default or "the default")
            raise ConfigError(
                f"preset {name} has {key.replace('_', ' ')} {wanted}, found {value}; leave out one"
            )
    return options | fixed


def _print_summary(result: DotResult, console: Console) -> None:
    """Show the summary as one table."""
    summary = result.summary
    values = summary.parameters
    table = Table(title=summary.formula, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    table.add_row("atoms", f"{summary.n_atoms}  ({_counts(summary.regions)})")
    table.add_row("formal charge", f"{summary.formal_charge:+d}" if summary.formal_charge else "0")
    steps = [f"{step['charge']:+d}  {step['step']}" for step in summary.charge_account]
    table.add_row("charge account", "\n".join(steps))
    if "lattice_constant" in values:
        table.add_row(
            "lattice",
            f"{values['lattice_constant']:g} Å ({values['lattice_level']}), "
            f"{values['shape']} centered on {values['center']}",
        )
    table.add_row(
        "diameter",
        f"{summary.diameter_core:.1f} Å across the core, "
        f"{summary.diameter_equivalent:.1f} Å by volume",
    )
    n_cations = sum(n for name, n in summary.facets.items() if name.startswith("cation"))
    for name, count in summary.facets.items():
        share = f"  {count / n_cations:.0%}" if name.startswith("cation") and n_cations else ""
        table.add_row(f"surface {name}", f"{count}{share}")
    for name, histogram in summary.coordination.items():
        text = ", ".join(f"{k}-fold {n}" for k, n in histogram.items())
        table.add_row(f"coordination {name}", text)
    shortest = ", ".join(f"{k} {v:.2f}" for k, v in summary.shortest_distances.items())
    table.add_row("shortest distances, Å", shortest)
    table.add_row("box, Å", " x ".join(f"{x:.2f}" for x in summary.box))
    console.print(table)


def _counts(histogram: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in histogram.items())
