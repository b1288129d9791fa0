# SPDX-License-Identifier: MIT
"""Centroid virials: nine components that sum to the virial and give the exact heat flux."""

from __future__ import annotations

import numpy as np
import pytest
from lammps_cases import CASES
from lammps_runner import BAR, measure, read_columns, read_results, run_ok, system, write_data


@pytest.mark.parametrize("family", ["model", "path_file"])
@pytest.mark.parametrize("case", ["triclinic", "slab"])
def test_centroid_virials_sum_to_the_virial_on_any_ranks(request, tmp_path, case, family):
    model = request.getfixturevalue(family)
    write_data(tmp_path / "a.data", CASES[case].atoms)
    found = {}
    for name, ranks, precision in (
        ("serial", 1, "double"),
        ("parallel", 4, "double"),
        ("mixed", 2, "mixed"),
    ):
        deck = system(model, "a.data", boundary=CASES[case].boundary, precision=precision)
        deck += (
            "compute cent all centroid/stress/atom NULL virial\n"
            f"dump c all custom 1 {name}.cent id c_cent[*]\n"
            "dump_modify c sort id format float %.17g\n"
        )
        run_ok(tmp_path, deck + measure(name), ranks)
        found[name] = -read_columns(tmp_path / f"{name}.cent")[0][:, 1:] / BAR
        virial = read_results(tmp_path, name).virial
        total = found[name].sum(axis=0)
        atol = 1e-7 if precision == "double" else 1e-3
        np.testing.assert_allclose(total[:6], virial, rtol=0, atol=atol)
        np.testing.assert_allclose(total[6:], virial[3:], rtol=0, atol=atol)
    np.testing.assert_allclose(found["parallel"], found["serial"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(found["mixed"], found["serial"], rtol=0, atol=2e-4)
    # not the symmetric half-and-half division
    assert np.abs(found["serial"][:, 3:6] - found["serial"][:, 6:]).max() > 0.01


@pytest.mark.parametrize("family", ["model", "path_file"])
def test_heat_flux_moves_the_barycenter_of_the_energy(request, tmp_path, family):
    """J of compute heat/flux equals d/dt Σ x_i e_i of a dot that moves freely, and only with the
    centroid virial: the half-and-half division of compute stress/atom is off by per cents."""
    model = request.getfixturevalue(family)
    case = CASES["dot, shrink-wrapped"]
    write_data(tmp_path / "a.data", case.atoms)
    step = 1e-4  # ps
    deck = (
        system(model, "a.data", boundary=case.boundary)
        + f"""
velocity all create 600 4711
fix move all nve
timestep {step}
compute ke all ke/atom
compute pe all pe/atom
compute centroid all centroid/stress/atom NULL virial
compute plain all stress/atom NULL virial
compute exact all heat/flux ke pe centroid
compute wrong all heat/flux ke pe plain
dump out all custom 1 out.dump id xu yu zu c_ke c_pe
dump_modify out sort id format float %.17g
thermo_style custom step c_exact[1] c_exact[2] c_exact[3] c_wrong[1] c_wrong[2] c_wrong[3]
thermo_modify format float %.12g
thermo 1
run 2
"""
    )
    output = run_ok(tmp_path, deck, ranks=2)
    first, _, last = read_columns(tmp_path / "out.dump")
    moments = [(f[:, 1:4] * (f[:, 4] + f[:, 5])[:, None]).sum(axis=0) for f in (first, last)]
    expected = (moments[1] - moments[0]) / (2 * step)
    row = next(
        x.split() for x in output.splitlines() if x.split()[:1] == ["1"] and len(x.split()) == 7
    )
    exact, wrong = np.array(row[1:4], float), np.array(row[4:7], float)
    size = np.linalg.norm(exact - wrong)
    assert size > 0.5  # eV Å/ps
    np.testing.assert_allclose(exact, expected, rtol=0, atol=1e-2 * size)
