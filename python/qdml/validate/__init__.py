# SPDX-License-Identifier: MIT
"""Check a potential against its own DFT level, literature and dynamics of a dot."""
