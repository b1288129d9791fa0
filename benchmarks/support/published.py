# SPDX-License-Identifier: MIT
"""Published times of other codes, to set beside ours: on other machines, with other models."""

from __future__ import annotations

import math

# name -> (atoms, µs per atom and step) of single GPUs. The first three: ASE calculators, fp32, Si
# diamond, neighbour list included, mitkotak/matbench-speed, 2026; the others from pull requests
# 6001 and 6023 of deepmd-kit: light models, and for the former not a LAMMPS loop.
PUBLISHED = {
    "SevenNet-l3i5 with cuEquivariance, H100": ((1000, 48.0), (64000, 10.7)),
    "NequIP-OAM-L with OpenEquivariance, H100": ((1000, 26.4), (32768, 18.5)),
    "Nequix-MP-1, H100": ((1000, 18.0), (64000, 12.2)),
    "DPA4-mini, RTX PRO 6000": ((8000, 0.53),),
    "DPA4C in LAMMPS, RTX 4090": ((26879, 0.10),),
}
LIKE_SEVENNET = ("SevenNet-l3i5 with cuEquivariance, H100",)


def ratios(atoms: int, us_per_atom: float, is_sevennet: bool) -> dict[str, float]:
    """Published time over ours, each at its size nearest to ours; of SevenNet its own only."""
    found = {}
    for name, points in PUBLISHED.items():
        if is_sevennet == (name in LIKE_SEVENNET):
            size, time = min(points, key=lambda point: abs(math.log(point[0] / atoms)))
            found[f"{name}, {size} atoms"] = round(time / us_per_atom, 2)
    return found
