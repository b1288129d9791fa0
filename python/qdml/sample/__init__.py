"""Frames worth labelling: cells, slabs, dots, molecules, dimers, and the choice among them."""
# SPDX-License-Identifier: MIT
