# SPDX-License-Identifier: MIT
"""Write clebsch_gordan.hpp beside this script: `python generate_clebsch_gordan.py`.

The numbers come from python/qdml_train/model/clebsch_gordan.py, which states basis and signs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "python" / "qdml_train" / "model"))

from clebsch_gordan import MAX_DEGREE, coupling  # noqa: E402

HEADER = """// SPDX-License-Identifier: MIT
/// Non-zero Clebsch-Gordan coefficients of all paths up to degree 3; made by
/// generate_clebsch_gordan.py, do not edit.
///
/// e3nn's real basis (components of degree 1: x, y, z); 3j symbol times sqrt(2 l_out + 1).
#pragma once

namespace qdml {

struct CouplingEntry {
    int in, edge, out;  ///< components
    double value;
};

/// entries[size] of the path l_in x l_edge -> l_out, sorted by (out, in, edge).
template <int LIn, int LEdge, int LOut>
struct Coupling;
"""


def text() -> str:
    """The whole header."""
    parts = [HEADER]
    degrees = range(MAX_DEGREE + 1)
    for l_in, l_edge, l_out in ((a, b, c) for a in degrees for b in degrees for c in degrees):
        if not abs(l_in - l_edge) <= l_out <= l_in + l_edge:
            continue
        table = coupling(l_in, l_edge, l_out)
        found = sorted((c, a, b) for a, b, c in np.argwhere(table).tolist())
        entries = [f"{{{a}, {b}, {c}, {float(table[a, b, c])!r}}}" for c, a, b in found]
        lines, line = [], "       "
        for entry in entries:
            if len(line) + len(entry) + 2 > 99:
                lines.append(line)
                line = "       "
            line += f" {entry},"
        lines.append(line)
        body = "\n".join(lines)
        parts.append(
            f"\ntemplate <>\nstruct Coupling<{l_in}, {l_edge}, {l_out}> {{\n"
            f"    static constexpr int size = {len(entries)};\n"
            f"    static constexpr CouplingEntry entries[{len(entries)}] = {{\n"
            f"{body}\n    }};\n}};\n"
        )
    parts.append("\n}  // namespace qdml\n")
    return "".join(parts)


if __name__ == "__main__":
    (Path(__file__).parent / "clebsch_gordan.hpp").write_text(text())
