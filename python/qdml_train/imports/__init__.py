# SPDX-License-Identifier: MIT
"""Potentials of other programs converted to `.qdml`."""
