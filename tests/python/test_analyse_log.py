# SPDX-License-Identifier: MIT
"""The LAMMPS log reader on real logs, and the drift fit on lines of known slope."""

import re
from pathlib import Path

import numpy as np
import pytest
from qdml.analyse.drift import choose_section, fit_line, measure_drift, section_time
from qdml.analyse.logfile import read_log
from qdml.errors import DataError

LOGS = Path(__file__).parent / "data" / "lammps-logs"


def test_one_then_custom():
    log = read_log(LOGS / "one-then-custom.log")
    one, custom = log.sections
    assert log.version == "LAMMPS (22 Jul 2025 - Update 4)"
    assert log.pair_style == "lj/cut 8"
    assert log.complete
    assert list(one.columns) == ["Step", "Temp", "E_pair", "E_mol", "TotEng", "Press"]
    assert one.columns["Step"].tolist() == [0, 20, 40, 60, 80, 100]
    assert one.columns["TotEng"][-1] == -8.2989374
    assert (one.n_steps, one.n_atoms, one.n_ranks, one.n_threads) == (100, 108, 1, 1)
    assert one.loop_seconds == 0.0049571
    assert (one.timestep, one.timestep_is_default, one.units) == (0.002, False, "metal")
    assert one.ensemble == custom.ensemble == "NVE"
    assert custom.columns["Time"].tolist() == [0.2, 0.24, 0.28, 0.32]
    assert custom.loop_seconds == 0.0026856


def test_multi():
    (section,) = read_log(LOGS / "multi.log").sections
    assert section.columns["Step"].tolist() == [0, 20, 40, 60]
    assert section.columns["TotEng"].tolist() == [-8.2929, -8.2929, -8.2928, -8.2931]
    assert section.columns["Press"][0] == 502.1993
    assert section.columns["CPU"][1] == 0.001183702
    assert section.n_steps == 60


def test_yaml_and_ranks():
    (section,) = read_log(LOGS / "yaml-2-ranks.log").sections
    assert list(section.columns) == ["Step", "Time", "Temp", "TotEng"]
    assert section.columns["TotEng"][-1] == -8.2940534225796
    assert (section.n_ranks, section.n_threads, section.cpu_use) == (2, 2, 0.235)


def test_stages_and_their_ensembles():
    log = read_log(LOGS / "three-stages.log")
    assert [s.ensemble for s in log.sections] == ["minimisation", "thermostatted", "NVE"]
    assert [s.fixes for s in log.sections] == [[], ["nvt"], ["nve"]]
    assert all(s.timestep == 0.001 and s.timestep_is_default for s in log.sections)
    chosen = choose_section(log)
    assert chosen is log.sections[2]
    assert section_time(log, chosen)[[0, -1]].tolist() == pytest.approx([0.020, 0.060])


def test_stopped_run_keeps_its_table(tmp_path):
    text = (LOGS / "one-then-custom.log").read_text()
    cut = tmp_path / "cut.log"
    cut.write_text(text[: text.index("        80   7.47") + 12])
    log = read_log(cut)
    assert log.sections[0].columns["Step"].tolist() == [0, 20, 40, 60]
    assert log.sections[0].loop_seconds is None
    assert log.sections[0].n_atoms == 108
    assert not log.complete


def test_warning_inside_a_table_is_skipped(tmp_path):
    text = (LOGS / "three-stages.log").read_text()
    line = "        30   42.938363     -1.4931082    \n"
    assert line in text
    log = tmp_path / "warned.log"
    log.write_text(text.replace(line, line + "WARNING: Pair style slow (src/pair.cpp:1)\n"))
    assert len(read_log(log).sections[-1].columns["Step"]) == 9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello\n", "not a LAMMPS log"),
        ("LAMMPS (22 Jul 2025)\nunits metal\n", "no thermo output"),
        (
            "LAMMPS (22 Jul 2025)\nPer MPI rank memory allocation (min/avg/max) = 1\n"
            "   Temp TotEng\n 1 2\n",
            "without 'Step'",
        ),
    ],
)
def test_damaged_logs(tmp_path, text, message):
    path = tmp_path / "bad.log"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_log(path)


def test_missing_log():
    with pytest.raises(DataError, match="cannot read"):
        read_log(LOGS / "absent.log")


def test_fit_of_an_exact_line():
    t = np.linspace(3.0, 20.0, 50)
    slope, error, intercept, spread, inefficiency = fit_line(t, 2e-6 * t - 1e-3)
    assert slope == pytest.approx(2e-6, rel=1e-9)
    assert intercept == pytest.approx(-1e-3, rel=1e-9)
    assert error < 1e-15
    assert spread < 1e-15
    assert inefficiency >= 1


def test_standard_error_covers_the_truth():
    """Over 300 noisy lines the slope scatters as the standard error says, correlated noise too."""
    rng = np.random.default_rng(7)
    t = np.arange(2000) * 0.01
    for memory in (0.0, 0.9):
        slopes, errors = [], []
        for _ in range(300):
            noise = rng.normal(0, 1e-5, len(t))
            for k in range(1, len(t)) if memory else ():
                noise[k] += memory * noise[k - 1]
            slope, error, *_ = fit_line(t, 3e-6 * t + noise)
            slopes.append(slope)
            errors.append(error)
        # 300 samples: the mean is known to 6 % of the scatter, the scatter to 4 %
        assert abs(np.mean(slopes) - 3e-6) < 0.2 * np.std(slopes)
        assert np.mean(errors) == pytest.approx(np.std(slopes), rel=0.2)


def nve_log(path, slope, noise, n=500, units="metal", columns="Step Temp TotEng"):
    """A log of 108 atoms with 2 fs steps, printed every 10 steps: a test fixture, not a run."""
    rng = np.random.default_rng(3)
    head = (LOGS / "multi.log").read_text()
    head, tail = head[: head.index("-" * 12)], head[head.index("Loop time") :]
    head = head.replace("units metal", f"units {units}")
    energy = -900.0 + 108 * (slope * np.arange(n) * 0.02 + rng.normal(0, noise, n))
    rows = [f"{10 * k} 300 {e:.12g}" for k, e in enumerate(energy)]
    path.write_text(head + f"   {columns}\n" + "\n".join(rows) + "\n" + tail)
    return path


def test_drift_per_atom_and_ps(tmp_path):
    log = read_log(nve_log(tmp_path / "nve.log", 4e-6, 2e-6))
    drift = measure_drift(log, choose_section(log))
    assert drift.slope == pytest.approx(4e-6, abs=4 * drift.slope_error)
    assert drift.slope_error < 1e-7
    assert drift.fluctuation == pytest.approx(2e-6, rel=0.15)
    assert drift.length_ps == pytest.approx(9.98)
    assert drift.n_atoms == 108


def test_drift_refusals(tmp_path):
    log = read_log(nve_log(tmp_path / "lj.log", 0, 1e-6, units="lj"))
    with pytest.raises(DataError, match="units lj"):
        measure_drift(log, log.sections[0])
    log = read_log(nve_log(tmp_path / "e.log", 0, 1e-6, columns="Step Temp PotEng"))
    with pytest.raises(DataError, match="no total energy"):
        measure_drift(log, log.sections[0])
    log = read_log(LOGS / "three-stages.log")
    with pytest.raises(DataError, match="9 thermo lines"):
        measure_drift(log, choose_section(log))
    path = nve_log(tmp_path / "nan.log", 0, 1e-6)
    path.write_text(re.sub(r"\n100 300 \S+", "\n100 300 nan", path.read_text()))
    log = read_log(path)
    with pytest.raises(DataError, match="not finite at step 100"):
        measure_drift(log, log.sections[0])
