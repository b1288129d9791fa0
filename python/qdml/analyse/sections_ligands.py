# SPDX-License-Identifier: MIT
"""Table of how carboxylates bind, in the report of a run and of a validation."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdml.analyse import html
from qdml.analyse.carboxylate import BINDING_REACH, MODES, Binding


def binding_table(
    run: Binding | None, reference: np.ndarray | None = None, spacing: float | None = None
) -> tuple[str, dict[str, Any]]:
    """The table and its numbers; both empty where there are no carboxylates.

    run: modes along a trajectory, `spacing` ps between its frames (None: not known, no lifetimes).
    reference: shares over DFT dots, [5].
    """
    shares = {"MD": run.shares if run is not None else None, "DFT dots": reference}
    known = {name: s for name, s in shares.items() if s is not None}
    if not known:
        return "", {}
    rows = [[name, *(f"{100 * x:.1f}" for x in s)] for name, s in known.items()]
    by_mode = {name: dict(zip(MODES, s.tolist(), strict=True)) for name, s in known.items()}
    numbers: dict[str, Any] = {"binding_modes": by_mode}
    caption = (
        f"How carboxylates bind (share, %), an O bound to a cation closer than {BINDING_REACH} Å. "
        "Bridging: both O bound to different cations. Tilted: one cation shared and one more."
    )
    if run is not None and spacing is not None:
        life = [float(t) if np.isfinite(t) else None for t in run.lifetimes(spacing)]
        rows.append(["mean time until left, ps", *(html.number(t) for t in life)])
        numbers["binding_mode_lifetimes_ps"] = dict(zip(MODES, life, strict=True))
        caption += (
            f" Frames are {spacing:.3g} ps apart; a mode left for one of them counts as left, so "
            "times depend on it."
        )
    return html.table(["source", *MODES], rows, caption), numbers
