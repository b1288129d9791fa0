# SPDX-License-Identifier: MIT
"""Types and other pair styles: NULL, hybrid, repeated elements, gaps in IDs, real units."""

from __future__ import annotations

import numpy as np
import pytest
from lammps_cases import CASES
from lammps_runner import Results, measure, read_results, run_ok, system, write_data

LJ = "pair_coeff * * {style} 0.05 2.5"


def evaluate(tmp_path, decks: dict[str, str], ranks: int = 2) -> dict[str, Results]:
    """Run several decks in one LAMMPS and read what each measured."""
    text = "\n".join("clear\n" + deck + measure(name) for name, deck in decks.items())
    run_ok(tmp_path, text, ranks)
    return {name: read_results(tmp_path, name) for name in decks}


def assert_sum(found: Results, parts: list[Results], atol: float = 1e-8) -> None:
    for field in ("energy", "virial", "forces", "energies", "virials"):
        total = sum(getattr(part, field) for part in parts)
        np.testing.assert_allclose(
            getattr(found, field), total, rtol=1e-12, atol=atol, err_msg=field
        )


def test_hybrid_overlay_adds_up(model, tmp_path):
    """Energy, forces, virials and per-atom values of both styles are sums, in either order."""
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    qdml = f"pair_coeff * * qdml {model} Cd Se Cl"
    lj = LJ.format(style="lj/cut")
    results = evaluate(
        tmp_path,
        {
            "qdml": system(model, "a.data"),
            "lj": system(model, "a.data", pair="pair_style lj/cut 5.5\npair_coeff * * 0.05 2.5"),
            "first": system(
                model,
                "a.data",
                pair=f"pair_style hybrid/overlay qdml precision double lj/cut 5.5\n{qdml}\n{lj}",
            ),
            "last": system(
                model,
                "a.data",
                pair=f"pair_style hybrid/overlay lj/cut 5.5 qdml precision double\n{lj}\n{qdml}",
            ),
            "zero": system(
                model,
                "a.data",
                tiled=True,
                pair=f"pair_style hybrid/overlay zero 7.0 qdml precision double\n"
                f"pair_coeff * * zero\n{qdml}",
            ),
        },
    )
    assert abs(results["lj"].energy) > 0.1
    assert_sum(results["first"], [results["qdml"], results["lj"]])
    assert_sum(results["last"], [results["qdml"], results["lj"]])
    assert_sum(results["zero"], [results["qdml"]])


@pytest.mark.parametrize("ranks", [1, 4])
def test_null_types_are_left_to_the_other_style(model, tmp_path, ranks):
    """With Cl as NULL the dot is evaluated as if its chlorine were not there."""
    atoms = CASES["dot, periodic vacuum"].atoms
    is_cl = atoms.numbers == 17
    write_data(tmp_path / "all.data", atoms)
    write_data(tmp_path / "without.data", atoms[~is_cl])
    results = evaluate(
        tmp_path,
        {
            "without": system(model, "without.data"),
            "null": system(
                model,
                "all.data",
                pair=f"pair_style hybrid/overlay qdml precision double zero 6.0\n"
                f"pair_coeff * * qdml {model} Cd Se NULL\npair_coeff * * zero",
            ),
            "plain": system(
                model,
                "all.data",
                pair=f"pair_style hybrid qdml precision double zero 6.0\n"
                f"pair_coeff * * qdml {model} Cd Se NULL\npair_coeff * 3 zero",
            ),
        },
        ranks,
    )
    without = results["without"]
    for name in ("null", "plain"):
        found = results[name]
        assert found.energy == pytest.approx(without.energy, abs=1e-8)
        np.testing.assert_allclose(found.forces[~is_cl], without.forces, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.virial, without.virial, rtol=0, atol=1e-8)
        np.testing.assert_allclose(found.energies[~is_cl], without.energies, rtol=0, atol=1e-9)
        assert np.abs(found.forces[is_cl]).max() == 0
        assert np.abs(found.energies[is_cl]).max() == 0


def test_two_types_of_one_element(model, tmp_path):
    """More types than species of the model, in another order than its species."""
    atoms = CASES["slab"].atoms
    types = np.array([{48: 2, 34: 1, 17: 4}[z] for z in atoms.numbers])
    types[np.flatnonzero(types == 2)[::2]] = 3
    types[np.flatnonzero(types == 1)[::3]] = 5
    write_data(tmp_path / "plain.data", atoms)
    write_data(tmp_path / "split.data", atoms, types, n_types=5)
    results = evaluate(
        tmp_path,
        {
            "plain": system(model, "plain.data"),
            "split": system(model, "split.data", elements="Se Cd Cd Cl Se"),
        },
    )
    assert_sum(results["split"], [results["plain"]])


def test_gaps_in_the_atom_ids(model, tmp_path):
    """Deleted atoms leave gaps; nothing may be indexed by ID."""
    atoms = CASES["dot, periodic vacuum"].atoms
    gone = np.arange(4, len(atoms), 7)
    left = np.delete(np.arange(len(atoms)), gone)
    write_data(tmp_path / "all.data", atoms)
    write_data(tmp_path / "left.data", atoms[left])
    names = " ".join(str(i + 1) for i in gone)
    results = evaluate(
        tmp_path,
        {
            "left": system(model, "left.data"),
            "gaps": system(model, "all.data")
            + f"group gone id {names}\ndelete_atoms group gone compress no\n",
        },
    )
    assert results["gaps"].ids[-1] > len(left)
    np.testing.assert_array_equal(results["gaps"].ids, left + 1)
    assert_sum(results["gaps"], [results["left"]])


def test_real_units_are_converted(model, tmp_path):
    write_data(tmp_path / "a.data", CASES["triclinic"].atoms)
    decks = {u: system(model, "a.data", units=u) for u in ("metal", "real")}
    results = evaluate(tmp_path, decks)
    factor = 23.060549  # kcal/mol per eV, as LAMMPS converts potential files
    assert results["real"].energy == pytest.approx(factor * results["metal"].energy, rel=1e-12)
    np.testing.assert_allclose(
        results["real"].forces, factor * results["metal"].forces, rtol=1e-10, atol=1e-10
    )
    np.testing.assert_allclose(
        results["real"].energies, factor * results["metal"].energies, rtol=1e-12
    )
    # `virial` is made of the pressure as if in bar, real has atm; LAMMPS' constants have six digits
    np.testing.assert_allclose(
        results["real"].virial * 1.01325, results["metal"].virial, rtol=1e-5, atol=1e-6
    )


def test_potential_and_precision_given_again(model, tmp_path):
    """A second pair_style or pair_coeff replaces the first; the last one counts."""
    write_data(tmp_path / "a.data", CASES["triclinic"].atoms)
    double = system(model, "a.data")
    twice = system(model, "a.data", precision="mixed")
    twice += f"pair_coeff * * {model} Se Cd Cl\nrun 0\npair_coeff * * {model} Cd Se Cl\n"
    twice += "pair_style qdml precision double\n"
    results = evaluate(tmp_path, {"double": double, "twice": twice})
    assert_sum(results["twice"], [results["double"]], atol=1e-10)
