# SPDX-License-Identifier: MIT
"""Sections of the report on what a potential can be trusted with: spread, proof, short run."""

from __future__ import annotations

from typing import Any

from qdml.analyse import figures_eval, figures_md, html
from qdml.analyse.calibration import calibration, spread_and_error
from qdml.analyse.figures import SPLIT_NAMES
from qdml.analyse.inputs import Inputs
from qdml.analyse.sections_fit import Section, missing
from qdml.analyse.smoke import CLOSEST, DRIFT_LIMIT
from qdml.modelfile import n_members, read_file


def calibration_section(inputs: Inputs) -> Section | None:
    """Spread of a committee against its error; None where the evaluation has no committee."""
    evaluation = inputs.evaluation
    members = evaluation.head.get("members") if evaluation else None
    if evaluation is None or not members:
        return None
    split = evaluation.held_out() or evaluation.split[0]
    spread, error = spread_and_error(evaluation, split)
    found = calibration(spread, error)
    names = ", ".join(m["model"] for m in members)
    numbers: dict[str, Any] = {"members": members, "split": split, "forces": found}
    first = f"{len(members)} members: {names}. Energies and forces of this page are their means."
    if found is None:
        text = f"{len(spread)} atoms of {SPLIT_NAMES[split]} frames are too few for bins of spread."
        return html.paragraph(first) + html.paragraph(text, "missing"), numbers
    rank = found["rank_correlation"]
    sentence = (
        f"{found['n_atoms']:,} atoms of {SPLIT_NAMES[split]} frames. Spread s = √(Σ|F_m − F|²/M), "
        "as force_spread of the pair style; error e = |F − F_reference|. The spread has to be "
        f"multiplied by {html.number(found['factor'])} to be as large as the error. "
        f"Miscalibration area {html.number(found['area'])} as it is, "
        f"{html.number(found['area_scaled'])} after that (0 perfect, 0.5 worst). Expected "
        f"normalised calibration error {html.number(found['ence'])}, after scaling "
        f"{html.number(found['ence_scaled'])}. Rank correlation of spread and error "
        f"{html.number(rank)}."
    )
    caption = (
        "Left: error of the mean force against the spread, atom by atom and in bins of equal "
        "numbers of atoms. Right: share of force components inside the central interval of a "
        "Gaussian of that width, against the probability of the interval."
    )
    drawing = figures_eval.draw_reliability(spread, error, found)
    return html.paragraph(first) + html.paragraph(sentence) + html.figure(drawing, caption), numbers


PROOF_NAMES = {"energy": "largest |dE| (eV)", "force": "largest |dF| (eV/Å)"}


def proof_section(inputs: Inputs) -> Section:
    """What the exporter proved: the engine against the training code, from the file itself."""
    if inputs.model_path is None:
        return missing(inputs, "model", "the potential"), {}
    document, _ = read_file(inputs.model_path)
    several = n_members(document) > 1
    proofs = [m["proof"] for m in document["members"]] if several else [document["proof"]]
    if not all(isinstance(proof, dict) for proof in proofs):
        text = "NOT PROVEN: the file records no comparison of the engine with the training code."
        return html.paragraph(text, "missing"), {"proof": None}
    rows = [
        [f"member {k}, {key}" if several else key,
         *(float(value[name]) if name in value else None for name in PROOF_NAMES)]
        for k, proof in enumerate(proofs, 1)
        for key, value in proof.items()
        if isinstance(value, dict)
    ]  # fmt: skip
    proof = {f"member {k}": p for k, p in enumerate(proofs, 1)} if several else proofs[0]
    n_frames = proofs[0].get("frames", "?")
    text = (
        f"Before the file was written the engine read it and computed {n_frames} "
        "frames; the training code (JAX, double precision) computed the same. Differences:"
    )
    table = html.table(["engine", *PROOF_NAMES.values()], rows)
    return html.paragraph(text) + table, {"proof": proof}


def smoke_section(inputs: Inputs) -> Section:
    """The short NVE run of one frame."""
    smoke = inputs.smoke
    if smoke is None:
        return missing(inputs, "nve", "a short NVE run"), {}
    numbers = {k: v for k, v in vars(smoke).items() if k not in ("energy", "temperature")}
    numbers.pop("time_ps")
    mean = sum(smoke.temperature) / len(smoke.temperature) if smoke.temperature else None
    numbers["temperature_mean"] = mean
    sentence = (
        f"{smoke.state}. {smoke.formula} ({smoke.n_atoms} atoms, {smoke.frame}), "
        f"{smoke.length_ps:.3g} ps in steps of {smoke.timestep_fs:g} fs through the engine, "
        f"velocities of {smoke.start_temperature:g} K, no thermostat; mean temperature "
        f"{html.number(mean)} K. Nearest approach {smoke.pair or 'none'}: "
        f"{html.number(smoke.closest)} of the sum of covalent radii (limit {CLOSEST:g}); bonded "
        f"parts {smoke.parts_before} before, {smoke.parts_after} after."
    )
    parts = [html.paragraph(sentence)]
    if smoke.reasons:
        parts.append(html.paragraph("; ".join(smoke.reasons).capitalize() + ".", "missing"))
    drift = smoke.as_drift()
    if drift is not None:
        caption = (
            "Total energy per atom less its first value, with the least-squares line, and "
            "temperature. Grey: drifts within the limit."
        )
        drawing = figures_md.draw_drift(drift, DRIFT_LIMIT, label="NVE run")
        parts.append(html.figure(drawing, caption))
    return "\n".join(parts), numbers
