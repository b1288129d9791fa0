# SPDX-License-Identifier: MIT
"""Section of the report on structure: distances and coordination, core and surface, MD and DFT."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from qdml.analyse import figures_md, html
from qdml.analyse.carboxylate import binding_modes, mean_shares
from qdml.analyse.frames import near_temperature
from qdml.analyse.inputs import TEMPERATURE_WINDOW, Inputs
from qdml.analyse.rdf import SMOOTHING, Distances, collect, first_shell_limit, overlap
from qdml.analyse.sections_fit import Section, missing
from qdml.analyse.sections_ligands import binding_table
from qdml.analyse.sections_md import mean_temperature, timestep_fs
from qdml.analyse.surface import REGIONS, Roles, find_roles
from qdml.modelfile import read_file

MIN_FRAMES = 3
"""Fewer DFT frames near the run's temperature than this: all of the kind are compared."""


def distance_section(inputs: Inputs) -> Section:
    """Distances and coordination of the run beside the DFT frames."""
    parts = [missing(inputs, key, what) for key, what in
             (("trajectory", "the LAMMPS trajectory"), ("reference", "the DFT frames"))
             if key in inputs.missing]  # fmt: skip
    frames = inputs.trajectory.frames if inputs.trajectory else []
    dots = inputs.reference.of_kind("dot") if inputs.reference else []
    symbols = {s for atoms in [*frames[:1], *(() if frames else dots)] for s in atoms.symbols}
    if not symbols:
        parts.append(html.paragraph("Neither a trajectory nor DFT frames of dots.", "missing"))
        return "\n".join(parts), {}
    roles = find_roles(symbols)
    sources, notes = _collect_sources(inputs, roles, mean_temperature(inputs), symbols)
    if inputs.trajectory:
        t = inputs.trajectory
        cut = " The last frame was cut off and is left out." if t.cut else ""
        notes.insert(0, f"MD: {len(t.frames)} of {t.n_seen} frames of {t.path.name}.{cut}")
    parts.append(html.paragraph(" ".join(notes)))
    if roles is None:
        reason = "no cation and chalcogenide or pnictide among the elements"
        text = f"Core and surface are not told apart: {reason}."
        parts.append(html.paragraph(text, "missing"))
        columns = [("all atoms", "core")]
    else:
        parts.append(html.paragraph(roles.definition, "note"))
        columns = [("core", "core"), ("surface", "surface")]
        parts.append(_region_table(sources))
    pairs = _pairs_to_draw(roles, symbols)
    caption = (
        "Neighbours per Å of one central atom, n(r) = ⟨dN/dr⟩ (solid), and their running number "
        "(dotted, right scale). No volume enters, so a dot, a slab and a crystal compare directly. "
        f"Lines are smoothed by a Gaussian of {SMOOTHING} Å; the tables are not."
    )
    parts.append(html.figure(figures_md.draw_distances(sources, pairs, columns), caption))
    numbers: dict[str, Any] = {"notes": notes, "definition": roles.definition if roles else None}
    numbers["first_shell"] = _shells(sources, pairs, columns)
    parts.append(_shell_table(numbers["first_shell"]))
    if roles is not None:
        parts.append(_coordination(inputs, sources, roles, numbers))
        parts.append(_carboxylates(frames, dots, inputs, roles, numbers))
    table, numbers["shortest"] = _shortest(inputs, sources)
    parts.append(table)
    numbers["n_r"] = {
        name: {f"{a}/{region}/{b}": d.density(a, region, b).round(5).tolist()
               for (a, region, b) in sorted(d.histogram)}
        for name, d in sources.items()
    }  # fmt: skip
    numbers["r"] = next(iter(sources.values())).r.round(4).tolist()
    return "\n".join(parts), numbers


def _collect_sources(
    inputs: Inputs, roles: Roles | None, temperature: float | None, symbols: set[str]
) -> tuple[dict[str, Distances], list[str]]:
    """Distances of the run and of each kind of DFT frame, with a sentence on what each holds."""
    sources, notes = {}, []
    if inputs.trajectory:
        sources["MD"] = collect(inputs.trajectory.frames, roles)
    for name, kind in (("DFT dots", "dot"), ("DFT slabs", "slab"), ("DFT bulk", "bulk")):
        if not inputs.reference:
            continue
        every = inputs.reference.of_kind(kind)
        # dots with other ligands are another surface: compared only where there is nothing closer
        every = [f for f in every if set(f.symbols) <= symbols] or every
        near = near_temperature(every, temperature, TEMPERATURE_WINDOW)
        chosen = near if len(near) >= MIN_FRAMES else every
        if not chosen:
            notes.append(f"{name}: no frames.")
            continue
        which = (
            f"within {TEMPERATURE_WINDOW:.0f} K of the run" if chosen is near
            else "of all temperatures and rattles"
        )  # fmt: skip
        formulas = sorted({f.get_chemical_formula() for f in chosen})
        shown = ", ".join(formulas[:4]) + (", …" if len(formulas) > 4 else "")
        notes.append(f"{name}: {len(chosen)} frames {which} ({shown}).")
        sources[name] = collect(chosen, roles)
    return sources, notes


def _region_table(sources: dict[str, Distances]) -> str:
    rows = []
    for name, found in sources.items():
        mean = np.mean(found.region_atoms, axis=0)
        rows.append([name, found.n_frames, *(float(value) for value in mean)])
    return html.table(["source", "frames", *REGIONS], rows, "Atoms per frame in each region (mean)")


def _pairs_to_draw(roles: Roles | None, symbols: set[str]) -> list[tuple[str, str]]:
    if roles is None:
        ordered = sorted(symbols)
        return [(a, b) for k, a in enumerate(ordered) for b in ordered[k:]][:8]
    pairs = [(c, a) for c in roles.cations for a in roles.anions]
    pairs += [(a, c) for c in roles.cations for a in roles.anions]
    pairs += [(x, x) for x in (*roles.cations, *roles.anions)]
    pairs += [(c, x) for c in roles.cations for x in roles.donors]
    return pairs[:8]


def _shells(
    sources: dict[str, Distances], pairs: list[tuple[str, str]], columns: list[tuple[str, str]]
) -> list[dict[str, Any]]:
    """First-shell numbers of each bonded pair and region, and the overlap with the run."""
    rows = []
    for a, b in pairs:
        if a == b:
            continue
        for _, region in columns:
            for name, found in sources.items():
                shell = found.shell(a, region, b)
                if shell is None:
                    continue
                shared = None
                if name != "MD" and "MD" in sources:
                    inside = found.r < first_shell_limit(a, b)
                    shared = overlap(
                        sources["MD"].density(a, region, b)[inside],
                        found.density(a, region, b)[inside],
                    )
                rows.append({"pair": f"{a}-{b}", "region": region, "source": name, **shell,
                             "overlap_with_md": shared})  # fmt: skip
    return rows


def _shell_table(rows: list[dict[str, Any]]) -> str:
    cells = [
        [row["pair"], row["region"], row["source"], f"{row['mean']:.3f}", f"{row['sd']:.3f}",
         f"{row['neighbours_per_atom']:.2f}",
         "–" if row["overlap_with_md"] is None else f"{row['overlap_with_md']:.3f}"]
        for row in rows
    ]  # fmt: skip
    head = ["bond", "centre", "source", "mean (Å)", "sd (Å)", "per atom", "overlap with MD"]
    caption = (
        "Bonded neighbours. Overlap: shared area of the two normalised first-shell distributions, "
        "1 = identical; it means little where the DFT frames are few, strained or another dot."
    )
    return html.table(head, cells, caption)


def _coordination(
    inputs: Inputs, sources: dict[str, Distances], roles: Roles, numbers: dict[str, Any]
) -> str:
    symbols = [s for s in (*roles.cations, *roles.anions)]
    shares = {
        s: {name: d.coordination_shares(s) for name, d in sources.items()
            if s in d.per_frame and name in ("MD", "DFT dots")}
        for s in symbols
    }  # fmt: skip
    shares = {s: by_source for s, by_source in shares.items() if by_source}
    numbers["coordination_shares"] = {
        s: {name: values.tolist() for name, values in by_source.items()}
        for s, by_source in shares.items()
    }
    time, over_time = np.empty(0), {s: np.empty((0, 13)) for s in shares}
    if inputs.trajectory:
        time = trajectory_time(inputs)
        for s in shares:
            counts = np.array(sources["MD"].per_frame[s], dtype=float)
            over_time[s] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    caption = (
        "Top: distribution of coordination numbers, bonds to lattice and ligand atoms counted. "
        "Bottom: the same along the run; steady bands mean that no bond is lost for good."
    )
    return html.figure(figures_md.draw_coordination(shares, time, over_time), caption)


def _carboxylates(
    frames: list[Atoms], dots: list[Atoms], inputs: Inputs, roles: Roles, numbers: dict[str, Any]
) -> str:
    """Table of the binding modes of the run and of DFT dots; empty without carboxylates."""
    binding = binding_modes(frames, roles.cations)
    time = trajectory_time(inputs) if inputs.section is not None and len(frames) > 1 else None
    spacing = None if time is None else float(time[-1] / (len(time) - 1))
    table, found = binding_table(binding, mean_shares(dots, roles.cations), spacing)
    numbers |= found
    return table


def trajectory_time(inputs: Inputs) -> np.ndarray:
    """Time of each kept frame in ps from the first, [n_frames]; frame numbers without a log."""
    assert inputs.trajectory is not None
    steps = inputs.trajectory.steps
    if inputs.section is not None:
        timestep = timestep_fs(inputs.section)
        if timestep is not None:
            return (steps - steps[0]) * timestep / 1000
    return np.arange(len(steps), dtype=float)


def _shortest(
    inputs: Inputs, sources: dict[str, Distances]
) -> tuple[str, dict[str, dict[str, Any]]]:
    """Shortest distance of each pair in the run, the DFT frames and the model's training data."""
    seen = read_file(inputs.model_path)[0]["distances_seen"] if inputs.model_path else {}
    pairs = sorted({pair for found in sources.values() for pair in found.shortest})
    rows, numbers = [], {}
    for pair in pairs:
        a, b = pair.split("-")
        run = sources["MD"].shortest.get(pair) if "MD" in sources else None
        frames = [d.shortest[pair] for n, d in sources.items() if n != "MD" and pair in d.shortest]
        trained = seen.get(pair, seen.get(f"{b}-{a}"))
        radii = covalent_radii[atomic_numbers[a]] + covalent_radii[atomic_numbers[b]]
        verdict = None
        if run is not None and trained is not None:
            verdict = "closer than trained" if run < trained else "within"
        numbers[pair] = {"md": run, "dft": min(frames, default=None), "trained": trained,
                         "covalent": float(radii)}  # fmt: skip
        rows.append([pair, *(_angstrom(v) for v in numbers[pair].values()), verdict])
    head = ["pair", "MD (Å)", "DFT frames compared (Å)", "training data of the model (Å)",
            "sum of covalent radii (Å)", "MD beside training"]  # fmt: skip
    return html.table(head, rows, "Shortest distance of each pair of elements"), numbers


def _angstrom(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"
