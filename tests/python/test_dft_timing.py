# SPDX-License-Identifier: MIT
"""DFT timing: choice of dots, input and output of CP2K's dynamics, the law, marks, kept results."""

from __future__ import annotations

import argparse
import copy
import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from qdml.committee import read_members, write_committee
from qdml.errors import LabelError, StructureError
from qdml.label import cp2k
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import dft_timing
from support import cp2k_md, dft_table, figure

# Lines of a real run: H2O, three steps of 1 fs, CP2K 2023.1, on a busy machine.
OUTPUT = """\
 CP2K| version string:                                       CP2K version 2023.1
 Number of orbital functions:                                                 23
 Extrapolation method: initial_guess
  *** SCF run converged in    13 steps ***
 MD_INI| Potential energy [hartree]                          -0.172184942727E+02
 MD_INI| Cell volume [bohr^3]                                 5.466151012303E+03
 MD_INI| Cell volume [ang^3]                                  8.100000000000E+02
 Number of orbital functions:                                                 23
 Extrapolation method: ASPC
  *** SCF run converged in     8 steps ***
 MD| ***************************************************************************
 MD| Step number                                                               1
 MD| Time [fs]                                                          1.000000
 MD| Conserved quantity [hartree]                            -0.172155741039E+02
 MD| ---------------------------------------------------------------------------
 MD|                                          Instantaneous             Averages
 MD| CPU time per MD step [s]                    189.295987           189.295987
 MD| Energy drift per atom [K]           0.737175495733E+01   0.000000000000E+00
 MD| Temperature [K]                             246.950802           246.950802
 MD| ***************************************************************************
 MD| Estimated peak process memory after this step [MiB]                     717
 Extrapolation method: ASPC
  *** SCF run converged in     8 steps ***
 MD| Step number                                                               2
 MD| CPU time per MD step [s]                     33.792251           111.544119
 MD| Estimated peak process memory after this step [MiB]                     717
 Extrapolation method: ASPC
  *** SCF run converged in     8 steps ***
 MD| Step number                                                               3
 MD| CPU time per MD step [s]                     33.191140            85.426459
 MD| Estimated peak process memory after this step [MiB]                     717
 MEMORY| Estimated peak process memory [MiB]                                 717
"""


def test_times_are_those_of_each_step_after_the_first():
    found = cp2k_md.parse(OUTPUT)
    assert found["step_seconds"] == [189.295987, 33.792251, 33.191140]
    # the first holds the forces at the start; the second column is the running average
    assert found["seconds_per_step"] == pytest.approx((33.792251 + 33.191140) / 2)
    assert found["scf_steps"] == [13, 8, 8, 8]
    assert found["scf_steps_per_step"] == 8
    assert (found["version"], found["orbitals"]) == ("2023.1", 23)
    assert (found["box_volume"], found["peak_mib"]) == (810.0, 717)


def test_steps_that_were_finished_before_a_stop_count():
    stopped = OUTPUT[: OUTPUT.index(" MD| Step number" + " " * 63 + "3")]
    found = cp2k_md.parse(stopped)
    assert found["seconds_per_step"] == 33.792251
    assert found["scf_steps"] == [13, 8, 8]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("SCF run converged in     8", "SCF run NOT converged in 60"), "did not converge"),
        (("method: ASPC", "method: PREVIOUS_WF"), "PREVIOUS_WF, not ASPC"),
        ((OUTPUT[OUTPUT.index(" MD| Step number") :], " stopped\n"), "0 MD steps.*stopped"),
        (("converged in    13", "converged after 13"), "3 converged SCF runs for 3 MD steps"),
    ],
)
def test_outputs_without_a_time_are_refused(change, message):
    with pytest.raises(LabelError, match=message):
        cp2k_md.parse(OUTPUT.replace(*change))


def test_input_is_that_of_the_labels_but_for_the_run_type_and_the_motion():
    water = molecule("H2O", cell=np.diag([9.0, 10.0, 9.0]), pbc=True)
    label = cp2k.write_input(water, cp2k.Cp2kSettings(cutoff=500.0))
    lines = cp2k_md.md_input(label, 4, 2.0).splitlines()
    assert set(label.splitlines()) - set(lines) == {"  RUN_TYPE ENERGY_FORCE"}
    added = [line.strip() for line in lines if line not in label.splitlines()]
    assert added == [
        "RUN_TYPE MD", "&MOTION", "&MD", "ENSEMBLE NVE", "STEPS 4", "TIMESTEP [fs] 2",
        "TEMPERATURE [K] 300", "&END MD", "&END MOTION",
    ]  # fmt: skip
    with pytest.raises(LabelError, match="no line RUN_TYPE"):
        cp2k_md.md_input(label.replace("ENERGY_FORCE", "ENERGY"), 4, 2.0)


@pytest.fixture
def water_run(tmp_path):
    """Run a script in the place of CP2K for H2O; it finds the real output as `real.out`."""
    (tmp_path / "real.out").write_text(OUTPUT)

    def call(script: str, time_limit: float = 60.0) -> dict:
        program = tmp_path / "cp2k"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        water = Atoms("OH2", molecule("H2O").positions)
        return cp2k_md.run(
            water, cp2k.Cp2kSettings(), tmp_path / "work", steps=3, timestep=1.0,
            command=str(program), time_limit=time_limit,
        )  # fmt: skip

    call.folder = tmp_path / "work"
    return call


def test_a_run_is_in_the_box_of_the_labels_on_one_thread(water_run):
    found = water_run('cp ../real.out job.out; touch job-RESTART.wfn; echo "$OMP_NUM_THREADS"')
    assert found["seconds_per_step"] == pytest.approx(33.4916955)
    assert (found["atoms"], found["electrons"], found["cores"]) == (3, 8, 1)
    assert found["level_of_theory"] == cp2k.Cp2kSettings().level_of_theory("2023.1")
    assert 0.0 <= found["cpu_use"] <= 1.1
    text = (water_run.folder / "job.inp").read_text()
    assert "RUN_TYPE MD" in text
    assert "SCF_GUESS ATOMIC" in text
    assert "B 0.000000000000 10.000000000000 0.000000000000" in text
    assert (water_run.folder / "stdout").read_text() == "1\n"
    assert not list(water_run.folder.glob("*.wfn"))


def test_steps_before_the_time_limit_count(water_run):
    found = water_run("cp ../real.out job.out; exec sleep 60", time_limit=1.0)
    assert (len(found["step_seconds"]), found["cpu_use"]) == (3, None)


def test_cp2k_that_writes_nothing_is_told_with_what_it_printed(water_run):
    with pytest.raises(LabelError, match="wrote no output; it printed: no license"):
        water_run("echo no license")


@pytest.mark.parametrize("material", list(dft_timing.SERIES))
def test_settings_are_those_of_the_labels_of_the_shipped_potentials(material):
    for path in dft_timing.potentials(material):
        level = dft_timing.describe_model(path)["level_of_theory"]
        settings = cp2k_md.settings_of(level)
        assert settings.level_of_theory("2023.1") == level
        assert settings.cutoff == (500.0 if material == "InP" else 300.0)


@pytest.mark.parametrize("level", ["PBE/def2-SVP, CP2K 2023.1, 300 Ry", "GFN1-xTB, tblite 0.4"])
def test_another_level_of_theory_is_refused(level):
    with pytest.raises(LabelError, match="not a level of theory of"):
        cp2k_md.settings_of(level)


@pytest.mark.parametrize("material", list(dft_timing.SERIES))
def test_dots_reach_from_35_to_700_atoms_and_dft_runs_two_sizes_far_apart(material):
    sizes = [d.atoms for d in dft_timing.SERIES[material]]
    assert sizes == sorted(set(sizes))
    assert 30 <= sizes[0] <= 40
    assert 600 <= sizes[-1] <= 800
    small, large = (d.atoms for d in dft_timing.dots_for_dft(material, None))
    assert small == sizes[0]
    assert 2 * small < large < 200  # beyond, CP2K takes hours and more than 15 GB


def test_sizes_of_the_command_line_choose_the_dots_of_dft():
    chosen = dft_timing.dots_for_dft("CdSe", [381, 35, 84])
    assert [d.name for d in chosen] == ["Cd16Se13Cl6", "Cd176Se147Cl58"]
    assert [d.name for d in dft_timing.dots_for_dft("InP", [381, 35, 84])] == ["In31P20Cl33"]


CUT = [(m, d) for m, dots in dft_timing.SERIES.items() for d in dots if d.arguments]


@pytest.mark.parametrize(("material", "dot"), CUT, ids=[d.name for _, d in CUT])
def test_builder_gives_the_dots_that_are_no_presets(material, dot):
    atoms = dot.build(material)
    assert len(atoms) == dot.atoms
    assert not atoms.pbc.any()


def test_a_dot_that_comes_out_otherwise_is_refused():
    dot = dft_timing.Dot("Cd16Se13Cl7", {"diameter": 11.0, "center": "anion"})
    with pytest.raises(StructureError, match="gave Cd16Se13Cl6, not Cd16Se13Cl7"):
        dot.build("CdSe")


def test_potentials_are_described_by_what_their_time_depends_on():
    fast, sevennet = (dft_timing.describe_model(p) for p in dft_timing.potentials("InP"))
    assert (fast["file"], fast["layers"], fast["l_max"]) == ("inp-pbe-fast.qdml", 3, 2)
    assert fast["channels"] == [32, 32, 16]
    assert (sevennet["layers"], sevennet["l_max"]) == (5, 3)
    assert sevennet["channels"] == [128, 64, 32, 32]
    assert fast["sha256"] != sevennet["sha256"]


def test_neighbours_within_the_cutoff():
    chain = Atoms("Cd3", [[0, 0, 0], [2, 0, 0], [4, 0, 0]])
    assert dft_timing.neighbours(chain, {"cutoff": 3.0}) == pytest.approx(4 / 3, abs=0.01)


def test_power_law_is_found_again():
    n = np.array([8.0, 28.0, 64.0])
    assert dft_table.power_law(n, 0.5 * n**2.2) == pytest.approx((0.5, 2.2))


QUIET = {
    "quiet": True, "processor": "A", "processor_family": "a 1", "date": "2026-11-28", "commit": "c",
}  # fmt: skip
MODEL = {
    "file": "a-fast.qdml", "sha256": "0" * 64, "layers": 3, "l_max": 2, "channels": [32, 32, 16],
    "cutoff": 5.0, "precision": "mixed",
}  # fmt: skip


def dft(dot: str, atoms: int, seconds: float, *, quiet: bool = True, level: str = "PBE") -> dict:
    return {
        "dot": dot, "atoms": atoms, "seconds_per_step": seconds, "level_of_theory": level,
        "step_seconds": [3 * seconds] + 2 * [seconds], "timestep_fs": 2.0, "quiet": quiet,
        "scf_steps_per_step": 10, "box_volume": 4000.0, "machine": QUIET,
    }  # fmt: skip


def entry(sizes: tuple[int, ...], measured: list[dict]) -> dict:
    """A material whose potential takes 10 µs per atom on one core, and 6 and 7 on two."""
    layouts = ((1, 1, 10e-6), (2, 1, 7e-6), (1, 2, 6e-6))
    found = {
        "level_of_theory": "PBE",
        "qdml_machine": QUIET,
        "models": [MODEL],
        "dots": [{"dot": f"M{n}", "atoms": n, "neighbours": 16.0} for n in sizes],
        "dft": measured,
        "qdml": [
            {
                "dot": f"M{n}", "atoms": n, "model": MODEL["file"], "cores": ranks * threads,
                "ranks": ranks, "threads": threads, "seconds_per_step": seconds * n,
            }
            for n in sizes
            for ranks, threads, seconds in layouts
        ],
    }  # fmt: skip
    dft_table.finish(found)
    return found


@pytest.fixture
def document() -> dict:
    # seconds = 0.01 atoms^2 at 40 and 160 atoms; M100 and M600 come from the law
    measured = [dft("M40", 40, 16.0), dft("M160", 160, 256.0)]
    return {
        "what": "Seconds per MD step.",
        "materials": {"CdSe": entry((600, 40, 100, 160), measured), "InP": entry((38,), [])},
    }


def test_rows_say_where_their_dft_time_is_from(document):
    rows = document["materials"]["CdSe"]["rows"]
    assert [(r["atoms"], r["dft"]) for r in rows] == [
        (40, "measured"), (100, "interpolated"), (160, "measured"), (600, "extrapolated"),
    ]  # fmt: skip
    assert [r["dft_seconds"] for r in rows] == pytest.approx([16.0, 100.0, 256.0, 3600.0])
    # both on one core; 3600 s over 6 ms
    assert rows[-1]["ratio"] == pytest.approx(6e5)
    assert rows[-1]["box_volume"] is None
    assert (rows[0]["qdml_seconds"], rows[0]["both_cores_by"]) == (40e-5, "threads")
    assert rows[0]["qdml_seconds_both_cores"] == pytest.approx(24e-5)


def test_measured_time_counts_where_the_law_has_another():
    measured = [dft("M40", 40, 16.0), dft("M80", 80, 100.0), dft("M160", 160, 256.0)]
    found = entry((40, 80, 160), measured)
    assert [r["dft_seconds"] for r in found["rows"]] == [16.0, 100.0, 256.0]
    assert found["law"]["a"] * 80 ** found["law"]["b"] != pytest.approx(100.0, rel=0.05)


@pytest.mark.parametrize(
    "measured",
    [[], [dft("M40", 40, 16.0)], [dft("M40", 40, 16.0), dft("M160", 160, 256.0, level="PBE0")]],
)
def test_nothing_is_extrapolated_from_fewer_than_two_sizes_of_the_level(measured):
    found = entry((40, 160), measured)
    assert found["law"] is None
    assert (found["rows"][1]["dft"], found["rows"][1]["ratio"]) == (None, None)


def test_numbers_have_three_digits_and_no_exponent():
    found = [dft_table.rounded(x) for x in (1_043_572.0, 80.04, 1.2345, 0.0)]
    assert found == ["1,040,000", "80", "1.23", "0"]
    assert dft_table.rounded(929_002.0, 2) == "930,000"


def test_page_marks_what_is_not_measured(document):
    lines = dft_table.markdown(document).splitlines()
    line = {n: next(x for x in lines if x.startswith(f"| M{n} ")) for n in (40, 100, 600, 38)}
    assert "| 16, 10 SCF | a-fast | 0.400 | 0.240 (threads) | 40,000 |" in line[40]
    assert "| 100 (interpolated) |" in line[100]
    assert "| 3,600 (extrapolated) |" in line[600]
    assert line[600].endswith("| 600,000 (extrapolated) |")
    assert line[38].endswith("| - |")
    text = "\n".join(lines)
    assert "0.01 atoms^2.00, fitted to 2 dots of 40 to 160 atoms" in text
    assert "3 layers, l_max 2, 32+32+16 channels, cutoff 5 Å" in text
    assert "NOT QUIET" not in text
    document["materials"]["CdSe"]["dft"][0]["quiet"] = False
    assert "NOT QUIET" in dft_table.markdown(document)


def test_figure_is_open_where_the_law_is_used(document):
    drawn, axis = plt.subplots()
    figure.draw_material(axis, "CdSe", document["materials"]["CdSe"])
    lines = {line.get_label(): line for line in axis.lines}
    measured, beyond = lines["DFT (CP2K), measured"], lines["DFT, extrapolated or interpolated"]
    assert list(measured.get_xdata()) == [40, 160]
    assert measured.get_markerfacecolor() == figure.DFT_COLOUR
    assert list(beyond.get_xdata()) == [100, 600]
    assert beyond.get_markerfacecolor() == "none"
    assert lines["power law, exponent 2.00, of 2 sizes"].get_linestyle() == "--"
    aim = lines["DFT / 100,000"]
    assert aim.get_ydata()[-1] == pytest.approx(3600.0 / 1e5)
    plt.close(drawn)


def test_files_of_all_materials_are_written_and_only_one_entry_changes(document, tmp_path):
    before = copy.deepcopy(document["materials"]["CdSe"])
    found = document["materials"]["InP"]
    dft_table.add_dft(found, dft("M38", 38, 20.0))
    dft_timing.write(document, tmp_path / "dft_timing.json")
    assert found["rows"][0]["dft"] == "measured"
    assert document["materials"]["CdSe"] == before
    assert {p.name for p in tmp_path.iterdir()} == {
        f"dft_timing.{e}" for e in ("json", "md", "png")
    }
    assert plt.imread(tmp_path / "dft_timing.png").shape[1] > 1000


def test_a_new_measurement_takes_the_place_of_its_own_dot_and_level_only():
    found = {"dft": [dft("M40", 40, 1.0), dft("M80", 80, 2.0), dft("M40", 40, 3.0, level="PBE0")]}
    dft_table.add_dft(found, dft("M40", 40, 9.0))
    assert [(r["dot"], r["seconds_per_step"]) for r in found["dft"]] == [
        ("M80", 2.0), ("M40", 3.0), ("M40", 9.0),
    ]  # fmt: skip
    assert dft_table.stored(found, "M40", "PBE")["seconds_per_step"] == 9.0
    assert dft_table.stored(found, "M600", "PBE") is None


@pytest.mark.parametrize(
    ("was_quiet", "steps", "timestep", "quiet", "done"),
    [
        (True, 3, 2.0, True, True),
        (True, 4, 2.0, True, False),  # more steps wanted than there are
        (True, 4, 2.0, False, True),  # but not from a busy machine
        (True, 3, 1.0, True, False),
        (False, 3, 2.0, True, False),  # a busy one is made again as soon as it can be
        (False, 3, 2.0, False, True),
    ],
)
def test_what_is_not_measured_again(was_quiet, steps, timestep, quiet, done):
    record = dft("M40", 40, 1.0, quiet=was_quiet)
    assert dft_table.is_done(record, steps, timestep, quiet) is done
    assert not dft_table.is_done(None, steps, timestep, quiet)


class Cp2k:
    """Stands for CP2K: notes what it is asked for; answers in turn, or raises."""

    def __init__(self, *answers: dict | BaseException) -> None:
        self.answers, self.asked = list(answers), []

    def run(self, atoms: Atoms, *_: object, **__: object) -> dict:
        self.asked.append(len(atoms))
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        found = dft("", len(atoms), 20.0) | {"scf_steps": [20, 9, 9, 9], "peak_mib": 700} | answer
        return {k: v for k, v in found.items() if k not in ("dot", "quiet", "machine")}


LEVEL = cp2k.Cp2kSettings().level_of_theory("2023.1")


@pytest.fixture
def measure(monkeypatch, tmp_path):
    """Run the DFT part for two dots of CdSe with a given CP2K; what is in the file afterwards."""
    path = tmp_path / "dft_timing.json"
    options = argparse.Namespace(
        dft_sizes=[35, 149], dft_steps=3, dft_hours=1.0, timestep=2.0, fresh=False, cp2k="cp2k",
        work=tmp_path, output=path,
    )  # fmt: skip
    names = {"Cd16Se13Cl6": 35, "Cd68Se55Cl26": 149}
    start = entry((), [])
    start |= {"level_of_theory": LEVEL, "dots": [], "dft": []}
    for name, n in names.items():
        start["dots"].append({"dot": name, "atoms": n, "neighbours": 16.0})

    def call(program: Cp2k) -> list[dict]:
        monkeypatch.setattr(dft_timing.cp2k_md, "run", program.run)
        document = {"what": "", "materials": {"CdSe": copy.deepcopy(start)}}
        if path.exists():
            document = json.loads(path.read_text())
        structures = {name: Atoms(name, info={"relaxed_by": "a"}) for name in names}
        console = Console(quiet=True)
        dft_timing.measure_dft(document, "CdSe", structures, QUIET, options, console)
        return json.loads(path.read_text())["materials"]["CdSe"]["dft"]

    call.path = path
    return call


ANSWER = {"level_of_theory": LEVEL, "cpu_use": 0.99}


def test_stopped_dft_goes_on_with_what_is_not_there(measure):
    with pytest.raises(KeyboardInterrupt):
        measure(Cp2k(ANSWER, KeyboardInterrupt()))
    kept = json.loads(measure.path.read_text())["materials"]["CdSe"]["dft"]
    assert [r["dot"] for r in kept] == ["Cd16Se13Cl6"]
    assert kept[0]["quiet"]
    again = Cp2k(ANSWER)
    assert [r["atoms"] for r in measure(again)] == [35, 149]
    assert again.asked == [149]


def test_dft_that_other_work_disturbed_is_not_quiet_and_made_again(measure):
    found = measure(Cp2k(ANSWER | {"cpu_use": 0.9}, ANSWER))
    assert [r["quiet"] for r in found] == [False, True]
    again = Cp2k(ANSWER)
    assert all(r["quiet"] for r in measure(again))
    assert again.asked == [35]


def test_dot_without_convergence_or_of_another_version_leaves_the_others(measure):
    found = measure(Cp2k(LabelError("the SCF did not converge"), ANSWER))
    assert [r["atoms"] for r in found] == [149]
    other = cp2k.Cp2kSettings().level_of_theory("2024.1")
    found = measure(Cp2k(ANSWER | {"level_of_theory": other}))
    assert [r["atoms"] for r in found] == [149]


def test_committees_are_not_timed_beside_their_members(tmp_path, monkeypatch):
    folder = tmp_path / "potentials" / "pbse"
    folder.mkdir(parents=True)
    shipped = dft_timing.ROOT / "potentials" / "pbse" / "pbse-pbe-fast.qdml"
    (folder / "a.qdml").write_bytes(shipped.read_bytes())
    write_committee(folder / "both.qdml", read_members(shipped) * 2)
    monkeypatch.setattr(dft_timing, "ROOT", tmp_path)
    assert [path.name for path in dft_timing.potentials("PbSe")] == ["a.qdml"]
