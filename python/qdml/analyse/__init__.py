# SPDX-License-Identifier: MIT
"""Reports: what a fit and a LAMMPS run are worth, read from the files they leave behind."""
