"""The labelling queue: resumable after a kill, honest about failures, open to any executor."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from qdml.errors import DataError, LabelError
from qdml.label.frames import frame_key
from qdml.label.queue import LabelOptions, label_frames
from qdml.label.store import LabelStore, complete_frames
from qdml.label.tasks import LabelResult
from qdml.label.warm import WavefunctionLibrary, rms_displacement
from qdml.sample.cells import strained, zincblende

PYTHON = Path(__file__).resolve().parents[2] / "python"


def water_frames(n_frames: int) -> list[Atoms]:
    rng = np.random.default_rng(0)
    frames = []
    for index in range(n_frames):
        atoms = molecule("H2O")
        atoms.positions += rng.normal(0, 0.03, atoms.positions.shape)
        atoms.info.update(origin="mol-H2O", split="train", number=index)
        frames.append(atoms)
    return frames


class Instant:
    """An executor that answers at once with what `answer` makes of the task."""

    def __init__(self, answer) -> None:
        self.answer = answer
        self.tasks = []

    def submit(self, function, task):
        self.tasks.append(task)
        future: Future = Future()
        future.set_result(self.answer(task))
        return future


def succeed(task) -> LabelResult:
    n_atoms = len(task.atoms)
    return LabelResult(task.key, energy=-1.5, forces=np.full((n_atoms, 3), 0.25), scf_steps=9)


GFN1 = LabelOptions(code="gfn1-xtb", workers=2)


def test_gfn1_labels_are_the_derivative_of_the_energy_and_say_what_they_are(tmp_path):
    output = tmp_path / "out.extxyz"
    frames = water_frames(1)
    step = 1e-3
    for sign in (1, -1):
        moved = frames[0].copy()
        moved.positions[1, 1] += sign * step
        frames.append(moved)
    summary = label_frames(frames, output, GFN1)
    assert (summary.total, summary.labelled, summary.failures) == (3, 3, {})
    by_key = {f.info["frame_key"]: f for f in ase.io.read(output, ":")}
    middle, plus, minus = (by_key[frame_key(frame)] for frame in frames)
    slope = (plus.get_potential_energy() - minus.get_potential_energy()) / (2 * step)
    assert middle.get_forces()[1, 1] == pytest.approx(-slope, abs=2e-4)
    assert "GFN1-xTB" in middle.info["level_of_theory"]
    assert "not a production label" in middle.info["level_of_theory"]
    assert middle.info["origin"] == "mol-H2O"
    assert middle.info["converged"]
    assert "stress" not in middle.calc.results


def test_gfn1_stress_is_the_strain_derivative(tmp_path):
    cell = Atoms("H2", [[0, 0, 0], [0.1, 0, 0.8]], cell=[4.0, 4.2, 4.5], pbc=True)
    size = 1e-3
    frames = [cell, *(strained(cell, np.diag([0, 0, s])) for s in (size, -size))]
    output = tmp_path / "out.extxyz"
    label_frames(frames, output, LabelOptions(code="gfn1-xtb", workers=1))
    middle, plus, minus = ase.io.read(output, ":")
    slope = (plus.get_potential_energy() - minus.get_potential_energy()) / (2 * size)
    assert middle.get_stress()[2] == pytest.approx(slope / cell.get_volume(), rel=5e-3)


def test_a_second_run_skips_what_is_done_and_labels_what_is_new(tmp_path):
    output = tmp_path / "out.extxyz"
    frames = water_frames(5)
    label_frames(frames[:3], output, GFN1, executor=Instant(succeed))
    before = output.read_bytes()
    executor = Instant(succeed)
    summary = label_frames(frames + frames[:1], output, GFN1, executor=executor)
    assert (summary.total, summary.already_done, summary.labelled) == (5, 3, 2)
    assert [task.key for task in executor.tasks] == [frame_key(f) for f in frames[3:]]
    assert output.read_bytes().startswith(before)
    assert sorted(f.info["number"] for f in ase.io.read(output, ":")) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("cut", [3, 40, 250])
def test_a_half_written_last_frame_is_cut_off_and_labelled_again(tmp_path, cut):
    output = tmp_path / "out.extxyz"
    frames = water_frames(3)
    label_frames(frames, output, GFN1, executor=Instant(succeed))
    whole = output.read_bytes()
    output.write_bytes(whole[:-cut])
    executor = Instant(succeed)
    summary = label_frames(frames, output, GFN1, executor=executor)
    assert summary.cut_bytes > 0
    assert (summary.already_done, summary.labelled) == (2, 1)
    assert output.read_bytes() == whole


def test_damage_before_the_end_is_refused(tmp_path):
    with pytest.raises(DataError, match="byte 0: expected a number of atoms, found b'rubbish'"):
        complete_frames(b"rubbish\n", "x")
    output = tmp_path / "out.extxyz"
    ase.io.write(output, water_frames(1))
    with pytest.raises(DataError, match="frame 0 has no frame_key"):
        LabelStore(output)


def test_unconverged_frames_stay_out_and_are_told(tmp_path):
    output = tmp_path / "out.extxyz"
    frames = water_frames(3)
    bad = frame_key(frames[1])

    def answer(task):
        if task.key == bad:
            return LabelResult(task.key, reason="CP2K: the SCF did not converge")
        return succeed(task)

    summary = label_frames(frames, output, GFN1, executor=Instant(answer))
    assert summary.labelled == 2
    assert summary.failures[bad]["reason"] == "CP2K: the SCF did not converge"
    assert bad not in {f.info["frame_key"] for f in ase.io.read(output, ":")}
    record = json.loads((tmp_path / "out.extxyz.failed.jsonl").read_text())
    assert (record["frame_key"], record["origin"]) == (bad, "mol-H2O")
    # not tried again unless asked to
    executor = Instant(succeed)
    again = label_frames(frames, output, GFN1, executor=executor)
    assert executor.tasks == []
    assert (again.skipped_failed, list(again.failures)) == (1, [bad])
    retry = LabelOptions(code="gfn1-xtb", retry_failed=True)
    assert label_frames(frames, output, retry, executor=Instant(succeed)).labelled == 1
    assert label_frames(frames, output, GFN1, executor=Instant(succeed)).failures == {}


def test_labels_come_back_through_ase_at_full_precision(tmp_path):
    rng = np.random.default_rng(1)
    forces, stress = rng.normal(size=(64, 3)), rng.normal(size=6)

    def answer(task):
        return LabelResult(
            task.key, energy=-48362.40443456789, forces=forces, stress=stress, seconds=12.345
        )

    output = tmp_path / "out.extxyz"
    options = LabelOptions(command=sys.executable)
    label_frames([zincblende()], output, options, executor=Instant(answer))
    frame = ase.io.read(output)
    assert frame.get_potential_energy() == -48362.40443456789
    np.testing.assert_allclose(frame.get_forces(), forces, atol=5e-9)
    np.testing.assert_allclose(frame.get_stress(), stress, rtol=1e-12)
    assert frame.pbc.all()
    assert frame.info["periodic_calculation"]
    assert frame.info["label_seconds"] == 12.35 or frame.info["label_seconds"] == 12.34


def test_stress_is_asked_for_bulk_only(tmp_path):
    executor = Instant(succeed)
    frames = [zincblende(), molecule("H2O")]
    options = LabelOptions(workers=1)
    label_frames(frames, tmp_path / "out.extxyz", options, executor=executor)
    assert [task.stress for task in executor.tasks] == [True, False]


def test_the_queue_keeps_no_more_tasks_in_flight_than_workers(tmp_path):
    class Counting:
        def __init__(self) -> None:
            self.futures, self.most = [], 0

        def submit(self, function, task):
            future: Future = Future()
            self.futures.append(future)
            self.most = max(self.most, sum(not f.done() for f in self.futures))
            threading.Timer(0.02, future.set_result, [succeed(task)]).start()
            return future

    executor = Counting()
    options = LabelOptions(code="gfn1-xtb", workers=3)
    label_frames(water_frames(8), tmp_path / "out.extxyz", options, executor=executor)
    assert executor.most == 3


def test_tasks_travel_to_other_processes(tmp_path):
    # what executorlib, Parsl and ProcessPoolExecutor ask of a task: pickle there, result back
    output = tmp_path / "out.extxyz"
    frames = water_frames(3)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        summary = label_frames(frames, output, GFN1, executor=executor)
    assert summary.labelled == 3, summary.failures
    here = tmp_path / "here.extxyz"
    label_frames(frames, here, GFN1)
    for path in (output, here):
        assert len(ase.io.read(path, ":")) == 3
    energies = [
        {f.info["number"]: f.get_potential_energy() for f in ase.io.read(path, ":")}
        for path in (output, here)
    ]
    assert energies[0] == pytest.approx(energies[1], abs=1e-9)


def test_stopping_keeps_what_is_finished(tmp_path):
    stop = threading.Event()

    def answer(task):
        if len(executor.tasks) == 3:
            stop.set()
        return succeed(task)

    executor = Instant(answer)
    output = tmp_path / "out.extxyz"
    options = LabelOptions(code="gfn1-xtb", workers=1)
    summary = label_frames(water_frames(6), output, options, executor=executor, stop=stop)
    assert summary.stopped
    assert len(ase.io.read(output, ":")) == summary.labelled == 2


def start_label(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "qdml.cli.main", "label", *arguments],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(PYTHON), OMP_NUM_THREADS="1", **environment),
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.02)


def test_a_killed_run_is_continued_by_the_same_command(tmp_path):
    frames = water_frames(60)
    ase.io.write(tmp_path / "frames.extxyz", frames)
    output = tmp_path / "out.extxyz"
    arguments = ("frames.extxyz", "-o", "out.extxyz", "--code", "gfn1-xtb", "--workers", "1")
    process = start_label(tmp_path, *arguments)
    wait_for(lambda: output.exists() and output.read_text().count("frame_key") >= 3)
    process.kill()
    process.wait()
    process.stderr.close()
    n_done = len(LabelStore(output).keys)
    assert 3 <= n_done < 60
    process = start_label(tmp_path, *arguments)
    _, printed = process.communicate(timeout=120)
    assert process.returncode == 0, printed
    assert f"{n_done} of 60 frames done before" in printed
    assert "NOT a production label" in printed
    labelled = ase.io.read(output, ":")
    assert sorted(f.info["number"] for f in labelled) == list(range(60))


def test_a_full_disk_loses_nothing(tmp_path):
    # a limit on the size of a file stops a write in its middle, as a full disk does
    frames = water_frames(8)
    output = tmp_path / "out.extxyz"
    label_frames(frames[:3], output, LabelOptions(workers=1), executor=Instant(succeed))
    before = output.read_bytes()
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from qdml.label.store import LabelStore\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 50}, {len(before) + 50}))\n"
        "store = LabelStore(Path(sys.argv[1]))\n"
        "import ase.io\n"
        "frame = ase.io.read(sys.argv[1], 0)\n"
        "frame.info['frame_key'] = 'k0'\n"
        "store.append(frame)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(output)], capture_output=True, text=True, check=False
    )
    assert "LabelError" in done.stderr
    assert "cannot write the next frame (File too large); the frames before it" in done.stderr
    assert output.read_bytes() == before  # the half frame is gone
    summary = label_frames(frames, output, LabelOptions(workers=1), executor=Instant(succeed))
    assert (summary.already_done, summary.labelled) == (3, 5)


def test_a_folder_that_cannot_be_written_ends_the_run_not_the_frame(tmp_path):
    output = tmp_path / "out.extxyz"
    program = tmp_path / "cp2k"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    options = LabelOptions(command=str(program), workers=1)
    (tmp_path / "out.extxyz.work").mkdir()
    key = frame_key(water_frames(1)[0])
    (tmp_path / "out.extxyz.work" / key).write_text("a file where the folder belongs")
    with pytest.raises(LabelError, match=r"cannot write .*finished frames are safe"):
        label_frames(water_frames(1), output, options)
    assert not (tmp_path / "out.extxyz.failed.jsonl").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_cleanly_and_kills_the_programs(tmp_path, number):
    # an external program that never ends, and a child of it: both must go
    program = tmp_path / "endless"
    program.write_text("#!/bin/sh\necho $$ > pids\nsleep 600 & echo $! >> pids\nwait\n")
    program.chmod(0o755)
    ase.io.write(tmp_path / "frames.extxyz", water_frames(2))
    process = start_label(
        tmp_path, "frames.extxyz", "-o", "out.extxyz", "--workers", "1", "--command", str(program)
    )

    def pids() -> list[int]:
        found = list((tmp_path / "out.extxyz.work").glob("*/pids"))
        return [int(word) for word in found[0].read_text().split()] if found else []

    wait_for(lambda: len(pids()) == 2)
    running = pids()
    process.send_signal(number)
    _, printed = process.communicate(timeout=20)
    assert process.returncode == 130, printed
    assert "stopped; the same command continues" in printed
    assert "Traceback" not in printed

    def gone(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
        except FileNotFoundError:
            return True

    wait_for(lambda: all(gone(pid) for pid in running), 10.0)
    assert not (tmp_path / "out.extxyz.failed.jsonl").exists()


def test_a_program_over_the_time_limit_is_a_failure_with_that_reason(tmp_path):
    program = tmp_path / "endless"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    options = LabelOptions(command=str(program), workers=1, time_limit=0.3)
    summary = label_frames(water_frames(1), tmp_path / "out.extxyz", options)
    (record,) = summary.failures.values()
    assert record["reason"] == "no result within the time limit of 0.3 s"


def test_a_program_without_output_is_a_failure_with_what_it_printed(tmp_path):
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\necho cannot find BASIS_MOLOPT\nexit 1\n")
    program.chmod(0o755)
    options = LabelOptions(command=str(program), workers=1)
    summary = label_frames(water_frames(1), tmp_path / "out.extxyz", options)
    (record,) = summary.failures.values()
    assert record["reason"] == "CP2K wrote no output; it printed: cannot find BASIS_MOLOPT"


OUTPUTS = Path(__file__).parent / "data"
ABORT = (
    " *******************************************************************************\n"
    " * [ABORT]                                                                     *\n"
    " *  \\___/      Bad number of electrons and multiplicity                        *\n"
    " *******************************************************************************\n"
)


@pytest.mark.parametrize(
    ("fault", "reason", "n_runs"),
    [
        # Both solvers are tried before a frame is given up.
        ("unconverged", "CP2K: the SCF did not converge", 2),
        ("abort", "Bad number of electrons and multiplicity", 1),
    ],
)
def test_an_open_shell_frame_that_fails_stops_no_other(tmp_path, fault, reason, n_runs):
    """H2+ among H2: a stand-in for CP2K that fails where the input asks for two spins."""
    (tmp_path / "abort").write_text(ABORT)
    failed = OUTPUTS / "cp2k_h2_unconverged.out" if fault == "unconverged" else tmp_path / "abort"
    program = tmp_path / "cp2k"
    program.write_text(
        f"#!/bin/sh\ngrep -q 'UKS TRUE' job.inp || exec cp '{OUTPUTS}/cp2k_h2_stress.out' job.out\n"
        f"echo >> ../open-shell-runs\ncp '{failed}' job.out\n"
    )
    program.chmod(0o755)
    frames = [Atoms("H2", [[0, 0, 0], [0, 0, d]]) for d in (0.70, 0.72, 0.74, 0.76, 0.78)]
    frames[2].info.update(charge=1, multiplicity=2, origin="mol-H2-cation")
    output = tmp_path / "out.extxyz"
    options = LabelOptions(command=str(program), workers=1)
    summary = label_frames(frames, output, options)
    assert (summary.labelled, summary.stopped) == (4, False)
    ((key, record),) = summary.failures.items()
    assert key == frame_key(frames[2])
    assert (record["origin"], record["formula"]) == ("mol-H2-cation", "H2")
    assert reason in record["reason"]
    assert json.loads((tmp_path / "out.extxyz.failed.jsonl").read_text()) == record
    labelled = ase.io.read(output, ":")
    assert [f.info["frame_key"] for f in labelled] == [
        frame_key(f) for f in frames if f is not frames[2]
    ]
    assert all(np.isfinite(f.get_forces()).all() for f in labelled)
    work = tmp_path / "out.extxyz.work"
    assert len((work / "open-shell-runs").read_text().splitlines()) == n_runs
    # What failed stays to look at; what was finished is tidied up.
    text = (work / record["folder"] / "job.inp").read_text()
    assert "MULTIPLICITY 2" in text
    assert "CHARGE 1" in text
    assert [p.name for p in work.glob("k*")] == [record["folder"]]


def test_an_open_shell_frame_that_says_no_multiplicity_is_told_before_the_first_run(tmp_path):
    frames = [*water_frames(2), Atoms("OH", [[0, 0, 0], [0, 0, 1]], info={"origin": "mol-OH"})]
    executor = Instant(succeed)
    options = LabelOptions(command=sys.executable)
    with pytest.raises(DataError, match=r"frame 2 \(mol-OH\): 7 valence electrons need a spin"):
        label_frames(frames, tmp_path / "out.extxyz", options, executor=executor)
    assert executor.tasks == []
    assert not (tmp_path / "out.extxyz").exists()


def test_a_missing_cp2k_is_told_before_anything_starts(tmp_path):
    options = LabelOptions(command="cp2k-that-is-not-there")
    with pytest.raises(DataError, match="'cp2k-that-is-not-there' not found; install CP2K"):
        label_frames(water_frames(1), tmp_path / "out.extxyz", options)
    with pytest.raises(DataError, match="unknown code 'vasp'; choose one of cp2k, gfn1-xtb"):
        label_frames(water_frames(1), tmp_path / "out.extxyz", LabelOptions(code="vasp"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent.extxyz", "-o", "o.extxyz"), "absent.extxyz: no such file"),
        (("odd.extxyz", "-o", "o.extxyz", "--command", "true"), "need a spin multiplicity"),
        (("text.extxyz", "-o", "o.extxyz"), "text.extxyz: line 1 is 'this is no structure'"),
    ],
)
def test_the_command_answers_bad_input_with_exit_code_2(tmp_path, arguments, message):
    ase.io.write(tmp_path / "odd.extxyz", Atoms("Cl"))
    (tmp_path / "text.extxyz").write_text("this is no structure\n")
    process = start_label(tmp_path, *arguments)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 2
    assert message in " ".join(printed.split())
    assert "Traceback" not in printed


def test_displacement_ignores_translation_and_lattice_vectors():
    first = zincblende()
    second = first.copy()
    second.positions += [0.3, 0.2, -0.1]
    second.positions[5] += second.cell[0]
    assert rms_displacement(first, second) == pytest.approx(0.0, abs=1e-9)
    second.positions[7, 0] += 0.8
    # 0.8 A of one atom in 64, less the common translation
    assert rms_displacement(first, second) == pytest.approx(0.8 * np.sqrt(63) / 64, rel=1e-6)
    assert rms_displacement(first, zincblende(repeat=1)) == np.inf
    assert rms_displacement(first, strained(first, 0.2 * np.eye(3))) == np.inf


def test_the_library_offers_the_nearest_wavefunction_of_the_same_system(tmp_path):
    library = WavefunctionLibrary(tmp_path / "w", keep=2)
    frames = [zincblende() for _ in range(4)]
    for index, frame in enumerate(frames):
        frame.positions[0, 0] += 0.4 * index
    for index in (0, 1, 3):
        (tmp_path / "job.wfn").write_text(str(index))
        library.add(f"key{index}", frames[index], 0, 1, str(tmp_path / "job.wfn"))
    # keep=2: the oldest is gone
    assert sorted(p.name for p in (tmp_path / "w").glob("*.wfn")) == ["key1.wfn", "key3.wfn"]
    for found in (library, WavefunctionLibrary(tmp_path / "w", keep=2)):  # also after a restart
        path, distance = found.nearest(frames[0], 0, 1)
        assert Path(path).name == "key1.wfn"
        assert distance == pytest.approx(0.4 * np.sqrt(63) / 64, rel=1e-6)
        assert found.nearest(frames[0], 1, 1) is None
        assert found.nearest(frames[0], 0, 3) is None
        assert found.nearest(molecule("H2O"), 0, 1) is None


def test_the_queue_hands_the_nearest_wavefunction_to_the_task(tmp_path):
    def answer(task):
        result = succeed(task)
        Path(task.folder).mkdir(parents=True)
        wavefunction = Path(task.folder) / "job-RESTART.wfn"
        wavefunction.write_text(task.key)
        result.wavefunction = str(wavefunction)
        return result

    frames = water_frames(3)
    executor = Instant(answer)
    options = LabelOptions(workers=1)
    label_frames(frames, tmp_path / "a.extxyz", options, executor=executor)
    assert executor.tasks[0].warm_start is None
    assert executor.tasks[1].warm_start.endswith(f"{frame_key(frames[0])}.wfn")
    cold = Instant(answer)
    options = LabelOptions(workers=1, warm_start=False)
    label_frames(frames, tmp_path / "b.extxyz", options, executor=cold)
    assert [task.warm_start for task in cold.tasks] == [None] * 3
