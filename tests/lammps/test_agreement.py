# SPDX-License-Identifier: MIT
"""pair_style qdml equals the engine: boundaries, 1, 2 and 4 ranks, brick and tiled, precisions.

One LAMMPS run per number of ranks works through the whole table, because starting four ranks on two
cores costs more than all the structures together.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lammps_cases import CASES
from lammps_runner import Results, measure, read_results, run_ok, system, write_data

RANKS = (1, 2, 4)
PRECISIONS = ("double", "mixed")
# eV per atom and eV/Å. double: sums in another order (found 1e-14); mixed: fp32 kernels (1e-7).
TOLERANCE = {"double": 1e-10, "mixed": 5e-6}
VOIGT = [0, 1, 2, 5, 4, 3]  # LAMMPS xx yy zz xy xz yz from ASE xx yy zz yz xz xy


def key(case: str, layout: str, precision: str) -> str:
    return f"{list(CASES).index(case)}-{layout}-{precision}"


@pytest.fixture(scope="module")
def table(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Folder of results per number of ranks."""
    folders = {}
    for ranks in RANKS:
        folder = folders[ranks] = tmp_path_factory.mktemp(f"ranks{ranks}-")
        decks = []
        for name, case in CASES.items():
            write_data(folder / f"{key(name, '', '')}.data", case.atoms)
            for layout in case.layouts:
                for precision in PRECISIONS:
                    deck = system(
                        model,
                        f"{key(name, '', '')}.data",
                        boundary=case.boundary,
                        before=case.before,
                        tiled=layout == "tiled",
                        precision=precision,
                    )
                    decks.append("clear\n" + deck + measure(key(name, layout, precision)))
        run_ok(folder, "\n".join(decks), ranks)
    return folders


@pytest.fixture(scope="module")
def expected(model: Path) -> dict[str, Results]:
    """The engine's own numbers in double precision, without LAMMPS."""
    return {name: engine_results(model, case.atoms) for name, case in CASES.items()}


def engine_results(model: Path, atoms) -> Results:
    """Evaluate a periodic structure with the ASE calculator, in LAMMPS' order and signs."""
    from qdml import Calculator

    atoms = atoms.copy()
    atoms.calc = Calculator(model, precision="double")
    volume = atoms.get_volume()
    return Results(
        ids=np.arange(1, len(atoms) + 1),
        energy=atoms.get_potential_energy(),
        virial=-volume * atoms.get_stress()[VOIGT],
        positions=atoms.get_positions(),
        forces=atoms.get_forces(),
        energies=atoms.get_potential_energies(),
        virials=-volume * atoms.get_stresses()[:, VOIGT],
    )


def assert_equal(found: Results, wanted: Results, tolerance: float) -> None:
    n_atoms = len(wanted.ids)
    np.testing.assert_array_equal(found.ids, wanted.ids)
    assert abs(found.energy - wanted.energy) < tolerance * n_atoms
    np.testing.assert_allclose(found.forces, wanted.forces, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.virial, wanted.virial, rtol=0, atol=tolerance * n_atoms)
    np.testing.assert_allclose(found.energies, wanted.energies, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.virials, wanted.virials, rtol=0, atol=tolerance)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize(
    ("case", "layout"), [(case.name, layout) for case in CASES.values() for layout in case.layouts]
)
def test_lammps_equals_engine(table, expected, case, ranks, layout, precision):
    found = read_results(table[ranks], key(case, layout, precision))
    assert_equal(found, expected[case], TOLERANCE[precision])


@pytest.mark.parametrize("case", CASES)
def test_per_atom_values_sum_to_the_totals(table, case):
    for ranks in RANKS:
        found = read_results(table[ranks], key(case, "brick", "double"))
        assert found.energies.sum() == pytest.approx(found.energy, abs=1e-7)
        np.testing.assert_allclose(found.virials.sum(axis=0), found.virial, rtol=0, atol=1e-7)


def test_isolated_atoms_have_their_reference_energies(table, model):
    from qdml.modelfile import read_model

    tensors = read_model(model)[1]
    found = read_results(table[4], key("isolated atoms", "brick", "double"))
    np.testing.assert_allclose(found.energies, tensors["energy.reference"], rtol=1e-12)
    assert np.abs(found.forces).max() == 0


def test_some_ranks_have_no_atoms(table):
    """The table is only a test of empty ranks if the corner case leaves some of them empty."""
    log = (table[4] / "in.test.log").read_text().split("processors * 1 1")[1]
    assert "4 by 1 by 1 MPI processor grid" in log
    histogram = log.split("Nlocal:")[1].splitlines()
    assert "0 min" in histogram[0], histogram[0]


def test_cases_have_forces_to_compare(expected):
    """Zeros agree with zeros; only the isolated atoms may have them."""
    for name, results in expected.items():
        if name != "isolated atoms":
            assert np.abs(results.forces).max() > 0.02, name
            assert np.abs(results.virial).max() > 0.02, name
