# SPDX-License-Identifier: MIT
"""Films of dots: arrays of one dot with its shell, ordered or random, as LAMMPS data.

`build_film` is the whole path: places of the dots (`arrays`, `packing`), turns and removal of
ligands (`assembly`, `removal`), checks (`contacts`); `output` writes.
"""

from qdml.film.assembly import Film, build_film

__all__ = ["Film", "build_film"]
