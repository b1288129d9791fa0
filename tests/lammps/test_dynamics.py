# SPDX-License-Identifier: MIT
"""Moving atoms: migration between ranks, list rebuilds, conservation, minimisation, threads."""

from __future__ import annotations

import numpy as np
import pytest
from lammps_cases import CASES, crystal, rattled
from lammps_runner import measure, read_results, run_ok, system, write_data

# Hot and with a thin skin, so that atoms change ranks and lists are rebuilt within a few steps.
HOT = """
velocity all create 1500 8127 mom yes rot no
fix move all nve
timestep 0.002
neighbor 0.3 bin
neigh_modify every 1 delay 0 check yes
"""


def thermo_column(text: str, name: str) -> np.ndarray:
    """Values of one thermo column of the last run in the screen output."""
    lines = text.splitlines()
    head = max(i for i, line in enumerate(lines) if line.split()[:1] == ["Step"])
    column = lines[head].split().index(name)
    values = []
    for line in lines[head + 1 :]:
        if line.startswith("Loop time"):
            break
        values.append(float(line.split()[column]))
    return np.array(values)


@pytest.mark.parametrize("precision", ["double", "mixed"])
@pytest.mark.parametrize("case", ["bulk", "dot, shrink-wrapped"])
def test_atoms_that_change_ranks(model, tmp_path, case, precision):
    """20 steps give the same positions and forces on one rank and on four."""
    write_data(tmp_path / "start.data", CASES[case].atoms)
    runs = {}
    for name, ranks, tiled in (("serial", 1, False), ("brick", 4, False), ("tiled", 4, True)):
        deck = system(
            model,
            "start.data",
            boundary=CASES[case].boundary,
            tiled=tiled,
            precision=precision,
        )
        output = run_ok(tmp_path, deck + HOT + measure(name, steps=20), ranks)
        runs[name] = read_results(tmp_path, name)
        assert int(output.split("Neighbor list builds =")[1].split()[0]) >= 1
    # Neighbour rows are in the order of atom IDs, so the decomposition changes roundings only;
    # 20 hot steps enlarge them by about a hundred.
    tolerance = 1e-9 if precision == "double" else 1e-4
    moved = np.abs(runs["serial"].positions - CASES[case].atoms.positions).max()
    assert moved > 0.1
    for name in ("brick", "tiled"):
        difference = np.abs(runs[name].positions - runs["serial"].positions).max()
        assert difference < tolerance, (name, difference)
        assert np.abs(runs[name].forces - runs["serial"].forces).max() < 100 * tolerance


def test_skin_does_not_change_the_numbers(model, tmp_path):
    """Pairs between the cutoff and the edge of the list do not count, whatever the skin."""
    write_data(tmp_path / "start.data", CASES["bulk"].atoms)
    decks = []
    for name, skin in (("thin", 0.0), ("thick", 2.5)):
        deck = system(model, "start.data") + f"neighbor {skin} bin\n"
        decks.append("clear\n" + deck + measure(name))
    run_ok(tmp_path, "\n".join(decks), ranks=2)
    thin, thick = (read_results(tmp_path, name) for name in ("thin", "thick"))
    assert thick.energy == pytest.approx(thin.energy, rel=1e-14)
    np.testing.assert_allclose(thick.forces, thin.forces, rtol=0, atol=1e-11)


def test_nve_conserves_energy(model, tmp_path):
    write_data(tmp_path / "start.data", rattled(crystal((2, 2, 2)), 1))
    deck = (
        system(model, "start.data", precision="mixed")
        + """
minimize 0 1e-3 100 400
velocity all create 300 8127 mom yes rot no
fix move all nve
timestep 0.001
thermo_style custom step temp pe etotal
thermo_modify format float %.12g
thermo 10
run 200
"""
    )
    output = run_ok(tmp_path, deck)
    total = thermo_column(output, "TotEng") / 64
    potential = thermo_column(output, "PotEng") / 64
    assert len(total) == 21
    assert np.ptp(potential) > 5e-3  # energy does flow between the two forms
    assert np.ptp(total) < 2e-4
    assert abs(np.polyfit(np.arange(21) * 0.01, total, 1)[0]) < 5e-4  # eV/atom/ps


RELAX = """
thermo_style custom step pe fnorm press
thermo 100
minimize 0 1e-5 1000 5000
print "cell fixed: done"
fix cell all box/relax iso 0.0 vmax 0.002
minimize 0 1e-4 1000 5000
"""


@pytest.mark.parametrize("precision", ["double", "mixed", "mixed minimize mixed"])
def test_minimisation_converges_with_fixed_and_free_cell(model, tmp_path, precision):
    """By forces and pressure, not by giving up.

    Near a minimum the line search compares energies to digits that fp32 kernels do not have, so
    `precision mixed` minimises in double too; `minimize mixed` shows what happens otherwise.
    """
    write_data(tmp_path / "start.data", rattled(crystal((1, 1, 1)), 1))
    output = run_ok(tmp_path, system(model, "start.data", precision=precision) + RELAX)
    for part in output.split("cell fixed: done"):
        if "minimize" in precision:
            assert "Stopping criterion = linesearch alpha is zero" in part
        else:
            assert "Stopping criterion = force tolerance" in part, part[-2500:]
    assert ("this minimisation runs in double precision" in output) == (precision == "mixed")
    if "minimize" not in precision:
        assert abs(thermo_column(output, "Press")[-1]) < 1  # bar


def test_threads_do_not_change_the_numbers(model, tmp_path):
    write_data(tmp_path / "start.data", CASES["slab"].atoms)
    for threads in (1, 2):
        deck = system(model, "start.data", boundary="p p f", precision="mixed")
        output = run_ok(tmp_path, deck + measure(f"threads{threads}"), threads=threads)
        assert f"1 rank(s) with {threads} thread(s) each" in output
    one, two = ((tmp_path / f"threads{n}.dump").read_bytes() for n in (1, 2))
    assert one == two
