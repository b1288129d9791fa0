# SPDX-License-Identifier: MIT
"""Fitting of qdml potentials with JAX (`python -m qdml_train`)."""
