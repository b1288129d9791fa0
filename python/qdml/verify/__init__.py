# SPDX-License-Identifier: MIT
"""`qdml verify`: does LAMMPS with this plugin and this potential give right numbers here?"""
