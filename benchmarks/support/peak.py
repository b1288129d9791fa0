# SPDX-License-Identifier: MIT
"""Measured peak of one core per instruction set: peak.cpp, compiled and run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

FLAGS = {  # the flags of cpp/CMakeLists.txt
    "baseline": ["-DBYTES=16"],
    "avx2": ["-DBYTES=32", "-mavx2", "-mfma"],
    "avx512": ["-DBYTES=64", "-mavx512f", "-mavx512vl", "-mprefer-vector-width=512"],
}


def measure_peak(isa: str, folder: Path) -> dict[str, float]:
    """GFLOP/s of a register-only loop: `mixed` in fp32, `double` in fp64. Needs a compiler."""
    program = folder / f"peak-{isa}"
    compiler = os.environ.get("CXX", "c++")
    source = Path(__file__).with_name("peak.cpp")
    options = ["-O3", "-std=c++17", "-ffp-contract=fast", *FLAGS[isa]]
    subprocess.run([compiler, *options, str(source), "-o", str(program)], check=True)
    done = subprocess.run([str(program)], check=True, capture_output=True, text=True)
    single, double = (float(x) for x in done.stdout.split())
    return {"mixed": single, "double": double}
