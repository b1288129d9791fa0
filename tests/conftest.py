# SPDX-License-Identifier: MIT
"""What all folders of tests share: the CUDA engine in emulation, a device for any machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "build/tests/cpp/tests/emulation/libqdml_cuda_emulated.so"
NAME = "emulated device 0"


@pytest.fixture
def emulated_device(monkeypatch: pytest.MonkeyPatch) -> str:
    """Let this test's processes load the emulation as their GPU; returns the card's name.

    QDML_TEST_DEVICE, set by benchmarks/gpu.py, names the library of a real card instead.
    """
    real = os.environ.get("QDML_TEST_DEVICE")
    if real:
        monkeypatch.setenv("QDML_DEVICE_LIBRARY", real)
        return ""
    if not LIBRARY.exists():
        pytest.skip(f"no emulated GPU: {LIBRARY} is made by `make test-cpp`")
    monkeypatch.setenv("QDML_DEVICE_LIBRARY", str(LIBRARY))
    return NAME
