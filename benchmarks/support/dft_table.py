# SPDX-License-Identifier: MIT
"""Results of `dft_timing.py`: kept by material, extended by a power law, as rows and Markdown."""

from __future__ import annotations

from typing import Any

import numpy as np

AIM = 1e5  # DFT time over that of the potential
MARKS = {"measured": "", "extrapolated": " (extrapolated)", "interpolated": " (interpolated)"}


def power_law(atoms: Any, seconds: Any) -> tuple[float, float]:
    """(a, b) of t = a n^b by least squares of the logarithms; at least two sizes."""
    b, log_a = np.polyfit(np.log(atoms), np.log(seconds), 1)
    return float(np.exp(log_a)), float(b)


def is_done(record: dict[str, Any] | None, steps: int, timestep: float, quiet: bool) -> bool:
    """Whether a stored DFT measurement spares another one.

    One of a quiet machine is never given up for one of a busy machine, and always taken over it.
    """
    if record is None or record["timestep_fs"] != timestep:
        return False
    if record["quiet"] != quiet:
        return bool(record["quiet"])
    return len(record["step_seconds"]) >= steps


def stored(entry: dict[str, Any], dot: str, level: str) -> dict[str, Any] | None:
    """The DFT measurement of a dot at a level of theory, if there is one."""
    same = (r for r in entry.get("dft", []) if r["dot"] == dot and r["level_of_theory"] == level)
    return next(same, None)


def add_dft(entry: dict[str, Any], record: dict[str, Any]) -> None:
    """Add a measurement; it takes the place of one of the same dot and level of theory."""
    old = stored(entry, record["dot"], record["level_of_theory"])
    entry["dft"] = [r for r in entry.get("dft", []) if r is not old] + [record]


def finish(entry: dict[str, Any]) -> None:
    """Fit the law of a material and make its rows: every dot with every potential.

    entry: `level_of_theory`, `dots` (dot, atoms, neighbours), `models`, `qdml` and `dft`
    measurements, which stay as they are; DFT of another level of theory does not enter.
    """
    level = entry["level_of_theory"]
    measured = {r["dot"]: r for r in entry.get("dft", []) if r["level_of_theory"] == level}
    sizes = sorted((r["atoms"], r["seconds_per_step"]) for r in measured.values())
    entry["law"] = None
    if len({n for n, _ in sizes}) > 1:
        a, b = power_law(*zip(*sizes, strict=True))
        entry["law"] = {
            "form": "seconds per MD step = a atoms^b", "a": a, "b": b, "n_sizes": len(sizes),
            "smallest": sizes[0][0], "largest": sizes[-1][0],
        }  # fmt: skip
    entry["rows"] = [
        row(entry, dot, model["file"], measured.get(dot["dot"]))
        for dot in sorted(entry["dots"], key=lambda d: d["atoms"])
        for model in entry["models"]
    ]


def row(
    entry: dict[str, Any], dot: dict[str, Any], model: str, record: dict[str, Any] | None
) -> dict[str, Any]:
    """One line of the table; `dft` says where its DFT time is from: measured or the law."""
    law, atoms = entry["law"], dot["atoms"]
    seconds, source = None, None
    if record:
        seconds, source = record["seconds_per_step"], "measured"
    elif law:
        seconds = law["a"] * atoms ** law["b"]
        inside = law["smallest"] < atoms < law["largest"]
        source = "interpolated" if inside else "extrapolated"
    mine = [r for r in entry["qdml"] if r["dot"] == dot["dot"] and r["model"] == model]
    one = next((r for r in mine if r["cores"] == 1), None)
    both = min(
        (r for r in mine if r["cores"] > 1), key=lambda r: r["seconds_per_step"], default=None
    )
    return {
        **dot,
        "model": model,
        "dft": source,
        "dft_seconds": seconds,
        "scf_steps_per_step": record["scf_steps_per_step"] if record else None,
        "box_volume": record["box_volume"] if record else None,
        "qdml_seconds": one and one["seconds_per_step"],
        "qdml_seconds_both_cores": both and both["seconds_per_step"],
        "both_cores_by": both and ("ranks" if both["ranks"] > 1 else "threads"),
        "ratio": seconds / one["seconds_per_step"] if seconds and one else None,
        "quiet": entry["qdml_machine"]["quiet"] and (record is None or record["quiet"]),
    }


def is_quiet(document: dict[str, Any]) -> bool:
    """Whether nothing in the file was measured beside other work."""
    entries = document["materials"].values()
    return all(e["qdml_machine"]["quiet"] for e in entries) and all(
        r["quiet"] for e in entries for r in e.get("dft", [])
    )


def processors(entry: dict[str, Any]) -> set[str]:
    """Every processor that the times of a material come from: one, or ratios mean little."""
    machines = [entry["qdml_machine"], *(r["machine"] for r in entry.get("dft", []))]
    return {f"{m['processor']} ({m['processor_family']})" for m in machines}


def law_in_words(law: dict[str, Any] | None) -> str:
    """The law with what it was fitted to."""
    if law is None:
        return "fewer than two sizes measured by DFT: nothing extrapolated"
    return (
        f"DFT s per step = {law['a']:.3g} atoms^{law['b']:.2f}, fitted to {law['n_sizes']} dots of "
        f"{law['smallest']} to {law['largest']} atoms"
    )


def size_in_words(model: dict[str, Any]) -> str:
    """Layers, l_max and channels of a potential."""
    channels = "+".join(str(c) for c in model["channels"])
    return f"{model['layers']} layers, l_max {model['l_max']}, {channels} channels"


def rounded(value: float, digits: int = 3) -> str:
    """A number of that many significant digits, without exponent."""
    return f"{float(f'{value:.{digits}g}'):,.10g}"


def cells(line: dict[str, Any]) -> list[str]:
    """A row as the strings of the printed and of the Markdown table; the law gives two digits."""
    mark = MARKS[line["dft"]] if line["dft"] else ""
    digits = 3 if line["dft"] == "measured" else 2
    scf = f", {line['scf_steps_per_step']:g} SCF" if line["scf_steps_per_step"] else ""

    def number(value: float | None, digits: int = 3, after: str = "") -> str:
        return "-" if value is None else rounded(value, digits) + after

    def milliseconds(value: float | None, after: str = "") -> str:
        return "-" if value is None else f"{1e3 * value:.3f}{after}"

    by = f" ({line['both_cores_by']})" if line["both_cores_by"] else ""
    return [
        line["dot"], str(line["atoms"]), f"{line['neighbours']:.1f}",
        number(line["box_volume"], 5), number(line["dft_seconds"], digits, scf + mark),
        line["model"].removesuffix(".qdml"), milliseconds(line["qdml_seconds"]),
        milliseconds(line["qdml_seconds_both_cores"], by), number(line["ratio"], digits, mark),
    ]  # fmt: skip


COLUMNS = (
    "dot", "atoms", "neighbours", "DFT box Å³", "DFT s per step", "potential", "qdml ms, one core",
    "qdml ms, both cores", "DFT / qdml",
)  # fmt: skip


def markdown(document: dict[str, Any]) -> str:
    """The whole file as a page: a table per material, with what stands behind it."""
    lines = ["# One MD step: DFT and pair_style qdml", "", document["what"], ""]
    if not is_quiet(document):
        lines += ["**NOT QUIET: other work ran beside some of these, so they are no results.**", ""]
    for name, entry in document["materials"].items():
        lines += [f"## {name}", "", "| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
        lines += ["| " + " | ".join(cells(r)) + " |" for r in entry["rows"]]
        lines += ["", f"{law_in_words(entry['law'])}. Level of theory: {entry['level_of_theory']}."]
        lines += [
            f"`{m['file']}` (SHA-256 `{m['sha256'][:12]}`): {size_in_words(m)}, cutoff "
            f"{m['cutoff']:g} Å, {m['precision']} precision."
            for m in entry["models"]
        ]
        dates = sorted(
            {entry["qdml_machine"]["date"], *(r["machine"]["date"] for r in entry["dft"])}
        )
        lines += [f"Measured {', '.join(dates)} on {'; '.join(sorted(processors(entry)))}.", ""]
    return "\n".join(lines)
