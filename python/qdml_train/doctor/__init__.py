# SPDX-License-Identifier: MIT
"""The data doctor: one small function per check of labelled frames, run by `checks.run_checks`."""
