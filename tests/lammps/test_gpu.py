# SPDX-License-Identifier: MIT
"""`pair_style qdml device ...`: the emulated CUDA engine under LAMMPS; refusals."""

from __future__ import annotations

import numpy as np
import pytest
from lammps_cases import CASES
from lammps_runner import measure, read_results, run, run_ok, system, write_data

CHOSEN = ("cell below the cutoff", "dot in a corner", "isolated atoms")


def pair(model, device: str, precision: str) -> str:
    return f"pair_style qdml precision {precision} device {device}\npair_coeff * * {model} Cd Se Cl"


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("family", ["model", "path_file"])
def test_gpu_equals_cpu(emulated_device, request, tmp_path, family, ranks):
    model = request.getfixturevalue(family)
    decks = []
    for number, name in enumerate(CHOSEN):
        case = CASES[name]
        write_data(tmp_path / f"{number}.data", case.atoms)
        for device, precision in (("cpu", "double"), ("gpu", "double"), ("gpu", "mixed")):
            deck = system(
                model,
                f"{number}.data",
                boundary=case.boundary,
                before=case.before,
                pair=pair(model, device, precision),
            )
            decks.append("clear\n" + deck + measure(f"{number}-{device}-{precision}"))
    output = run_ok(tmp_path, "\n".join(decks), ranks)
    assert f"device gpu ({emulated_device}" in output
    for number in range(len(CHOSEN)):
        expected = read_results(tmp_path, f"{number}-cpu-double")
        for precision, tolerance in {"double": 1e-10, "mixed": 5e-6}.items():
            found = read_results(tmp_path, f"{number}-gpu-{precision}")
            scale = tolerance * max(1.0, np.abs(expected.forces).max())
            assert abs(found.energy - expected.energy) < scale * len(expected.ids)
            for field in ("forces", "virial", "energies", "virials"):
                np.testing.assert_allclose(
                    getattr(found, field), getattr(expected, field), rtol=0, atol=10 * scale
                )


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("family", ["model", "path_file"])
def test_steps_on_the_device_follow_those_on_the_cpu(
    emulated_device, request, tmp_path, family, ranks
):
    """A run that rebuilds its list: recorded steps, new neighbours, changing ghosts."""
    model = request.getfixturevalue(family)
    write_data(tmp_path / "a.data", CASES["triclinic"].atoms)
    ends = []
    for device in ("cpu", "gpu"):
        deck = system(model, "a.data", pair=pair(model, device, "double"))
        deck += "neighbor 0.3 bin\nneigh_modify every 2 delay 0 check no\n"
        deck += "velocity all create 900 4\n"
        run_ok(tmp_path, deck + "fix f all nve\nrun 7\n" + measure(device), ranks)
        ends.append(read_results(tmp_path, device))
    np.testing.assert_allclose(ends[1].positions, ends[0].positions, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ends[1].forces, ends[0].forces, rtol=0, atol=1e-7)


@pytest.mark.parametrize("halo", ["fp32", "int16"])
def test_features_go_to_mpi_from_the_card(emulated_device, model, tmp_path, monkeypatch, halo):
    """The same bits as through the host's memory, over steps with new lists."""
    if not emulated_device:
        pytest.skip("needs an MPI that takes addresses on a card")
    monkeypatch.setenv("QDML_MPI_DEVICE_MEMORY", "1")
    write_data(tmp_path / "a.data", CASES["triclinic"].atoms)
    ends, outputs = [], []
    for memory in ("host", "device"):
        words = f"device gpu halo {halo} mpi {memory}"
        pair_text = f"pair_style qdml {words}\npair_coeff * * {model} Cd Se Cl"
        deck = system(model, "a.data", pair=pair_text)
        deck += "neighbor 0.3 bin\nneigh_modify every 2 delay 0 check no\n"
        deck += "velocity all create 900 4\n"
        outputs.append(run_ok(tmp_path, deck + "fix f all nve\nrun 5\n" + measure(memory), 2))
        ends.append(read_results(tmp_path, memory))
    assert f"halo {halo}, from the GPU's memory): 4 exchanges" in outputs[1]
    assert "from the GPU's memory" not in outputs[0]
    np.testing.assert_array_equal(ends[1].forces, ends[0].forces)


@pytest.mark.parametrize(
    ("device", "setting", "message"),
    [
        ("gpu", "0", "mpi device needs an MPI that takes addresses on a GPU"),
        ("cpu", "1", "mpi device needs features on GPUs; use 'device gpu'"),
    ],
)
def test_mpi_from_a_card_is_refused_where_it_cannot_be(
    emulated_device, model, tmp_path, monkeypatch, device, setting, message
):
    monkeypatch.setenv("QDML_MPI_DEVICE_MEMORY", setting)
    write_data(tmp_path / "a.data", CASES["isolated atoms"].atoms)
    pair_text = f"pair_style qdml device {device} mpi device\npair_coeff * * {model} Cd Se Cl"
    done = run(tmp_path, system(model, "a.data", pair=pair_text) + "run 0\n", 2)
    assert done.returncode != 0
    errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
    assert len(errors) == 1, done.stdout[-2000:]
    assert message in errors[0]


def test_mpi_from_a_card_needs_one_on_every_rank(model, tmp_path, monkeypatch):
    monkeypatch.setenv("QDML_DEVICE_LIBRARY", str(tmp_path / "nothing.so"))
    write_data(tmp_path / "a.data", CASES["isolated atoms"].atoms)
    pair_text = f"pair_style qdml device auto mpi device\npair_coeff * * {model} Cd Se Cl"
    done = run(tmp_path, system(model, "a.data", pair=pair_text) + "run 0\n", 2)
    assert done.returncode != 0
    assert "mpi device needs a GPU on every rank, found one on 0 of 2" in done.stdout


def test_short_distances_are_found_on_the_device(emulated_device, wary, tmp_path):
    """Warnings and the per-atom quantities of fix pair are those of the CPU."""
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    outputs, columns = [], []
    for device in ("cpu", "gpu"):
        deck = system(wary, "a.data", pair=pair(wary, device, "double"))
        deck += "fix p all pair 1 qdml nearest 0 extrapolation 0\nrun 0\n"
        deck += f"write_dump all custom {device}.dump id f_p[1] f_p[2] modify sort id\n"
        output = run_ok(tmp_path, deck, 2)
        outputs.append([line for line in output.splitlines() if "closer than in" in line])
        columns.append(np.loadtxt(tmp_path / f"{device}.dump", skiprows=9))
    assert outputs[0] == outputs[1]
    assert outputs[0]
    np.testing.assert_allclose(columns[1], columns[0], rtol=1e-12)


def test_lists_that_lammps_thins_out_are_lammps_own(emulated_device, model, tmp_path):
    """neigh_modify exclude takes pairs out of the list: the engine must not find them again."""
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    energies = []
    for device in ("cpu", "gpu"):
        deck = system(model, "a.data", pair=pair(model, device, "double"))
        run_ok(tmp_path, deck + "neigh_modify exclude type 2 2\n" + measure(device))
        energies.append(read_results(tmp_path, device).energy)
    assert energies[1] == pytest.approx(energies[0], rel=1e-10)


def test_a_committee_shares_the_device(emulated_device, committee, tmp_path):
    """Averages and spread; the others are evaluated on some steps only, with their own lists."""
    write_data(tmp_path / "a.data", CASES["cell below the cutoff"].atoms)
    files = " ".join(str(path) for path in committee)
    ends = []
    for device in ("cpu", "gpu"):
        commands = f"pair_style qdml precision double device {device} members first every 3\n"
        commands += f"pair_coeff * * {files} Cd Se Cl"
        deck = system(committee[0], "a.data", pair=commands)
        deck += "compute s all pair qdml\nthermo_style custom step pe c_s[1] c_s[2]\nthermo 3\n"
        deck += "neigh_modify every 1 delay 0 check no\nvelocity all create 500 4\n"
        output = run_ok(tmp_path, deck + "fix f all nve\nrun 6\n")
        lines = output[output.index("c_s[1]") :].splitlines()[1:4]
        ends.append(np.array([[float(word) for word in line.split()] for line in lines]))
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("told", "card"), [("3", 1), ("2", 0), ("many", 0), (None, 0)])
def test_the_rank_on_the_node_picks_the_card(
    emulated_device, model, tmp_path, monkeypatch, told, card
):
    if not emulated_device:
        pytest.skip("needs the emulation's two cards")
    monkeypatch.setenv("QDML_EMULATED_DEVICES", "2")
    if told:
        monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_RANK", told)
    write_data(tmp_path / "a.data", CASES["isolated atoms"].atoms)
    deck = system(model, "a.data", pair=pair(model, "gpu", "mixed"))
    assert f"device gpu (emulated device {card})" in run_ok(tmp_path, deck + "run 0\n")


def test_a_missing_card_is_one_message_on_all_ranks(model, tmp_path, monkeypatch):
    monkeypatch.setenv("QDML_DEVICE_LIBRARY", str(tmp_path / "nothing.so"))
    write_data(tmp_path / "a.data", CASES["isolated atoms"].atoms)
    done = run(tmp_path, system(model, "a.data", pair=pair(model, "gpu", "mixed")) + "run 0\n", 2)
    assert done.returncode != 0
    errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
    assert len(errors) == 1, done.stdout[-2000:]
    assert "no GPU can be used: the library libqdml_cuda.so was not found" in errors[0]
    output = run_ok(
        tmp_path, system(model, "a.data", pair=pair(model, "auto", "mixed")) + "run 0\n", 2
    )
    assert "precision mixed, device cpu (" in output


def test_a_device_without_room_stops_with_the_numbers(
    emulated_device,
    model,
    tmp_path,
    monkeypatch,
):
    if not emulated_device:
        pytest.skip("a real card has more memory than this test can fill")
    monkeypatch.setenv("QDML_EMULATED_MEMORY", "600000")
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    done = run(tmp_path, system(model, "a.data", pair=pair(model, "gpu", "double")) + "run 0\n")
    assert done.returncode != 0
    assert f"the memory of {emulated_device} does not suffice" in done.stdout
