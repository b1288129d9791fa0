# SPDX-License-Identifier: MIT
"""What made the loss non-finite: each frame of the step on its own, array by array of the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np

from qdml_train.frames import Frame


@dataclass
class FrameFinding:
    """One frame alone, at the last good parameters."""

    frame: str
    origin: str
    n_atoms: int
    loss: float
    gradient_norm: float
    not_finite: list[str]  # parameter arrays whose gradient is not finite

    @property
    def guilty(self) -> bool:
        """Whether this frame alone gives a number that is not finite."""
        return not (np.isfinite(self.loss) and np.isfinite(self.gradient_norm))


def examine(
    frames: Sequence[Frame],
    gradient_of: Callable[[int], tuple[float, dict[str, Any]]],
) -> list[FrameFinding]:
    """Loss and gradient of every frame alone; `gradient_of(k)` gives both for frame k."""
    findings = []
    for k, frame in enumerate(frames):
        loss, gradient = gradient_of(k)
        arrays = {name: np.asarray(x, dtype=float) for name, x in gradient.items()}
        squares = sum(float((x**2).sum()) for x in arrays.values())
        findings.append(
            FrameFinding(
                frame=frame.where,
                origin=frame.origin,
                n_atoms=frame.n_atoms,
                loss=loss,
                gradient_norm=float(np.sqrt(squares)),
                not_finite=[n for n, x in arrays.items() if not np.isfinite(x).all()],
            )
        )
    return findings


def verdict(findings: list[FrameFinding], parameters: dict[str, Any]) -> str:
    """One sentence: the frame and parameters to look at."""
    guilty = [f for f in findings if f.guilty]
    if guilty:
        first = guilty[0]
        more = f" (and {len(guilty) - 1} more)" if len(guilty) > 1 else ""
        arrays = ", ".join(first.not_finite[:3]) or "none"
        if len(first.not_finite) > 3:
            arrays += f" and {len(first.not_finite) - 3} more"
        return f"{first.frame}{more} alone gives loss {first.loss:g}; gradients lost: {arrays}"
    name, size = max(
        ((n, float(np.abs(np.asarray(x)).max())) for n, x in parameters.items()),
        key=lambda pair: pair[1],
    )
    worst = max(findings, key=lambda f: f.gradient_norm)
    return (
        f"every frame alone is finite; the largest gradient ({worst.gradient_norm:.3g}) is that of "
        f"{worst.frame}, the largest parameter ({size:.3g}) lies in {name}"
    )


def write_autopsy(
    folder: Path, frames: Sequence[Frame], findings: list[FrameFinding], step: dict[str, Any]
) -> Path:
    """Write `diverged.json` (step and findings) and the frames as `diverged.extxyz`."""
    ase.io.write(folder / "diverged.extxyz", [f.atoms() for f in frames], format="extxyz")
    content = {**step, "frames": [asdict(f) for f in findings]}
    target = folder / "diverged.json"
    # JSON has no NaN: numbers that are not finite are written as text
    target.write_text(json.dumps(_printable(content), indent=1) + "\n")
    return target


def _printable(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _printable(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_printable(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value
