# SPDX-License-Identifier: MIT
"""The potential in JAX: pure functions of the tensors of a `.qdml` file."""
