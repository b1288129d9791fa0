# SPDX-License-Identifier: MIT
"""Keywords of the pair style: what travels to ghosts, short distances, memory, start message."""

from __future__ import annotations

import re

import numpy as np
import pytest
from lammps_cases import CASES
from lammps_runner import measure, read_columns, read_results, run, run_ok, system, write_data


def deck(model, words: str, case: str = "bulk", elements: str = "Cd Se Cl") -> str:
    pair = f"pair_style qdml {words}\npair_coeff * * {model} {elements}"
    return system(model, "a.data", boundary=CASES[case].boundary, pair=pair)


def test_halo_int16_halves_the_bytes_and_keeps_the_forces(model, tmp_path):
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    outputs = {}
    for name, words in (("exact", "precision double"), ("fp32", ""), ("int16", "halo int16")):
        outputs[name] = run_ok(tmp_path, deck(model, words) + measure(name), ranks=2)
    sizes = {
        name: int(re.search(r"(\d+) bytes per ghost", text).group(1))
        for name, text in outputs.items()
    }
    # three rows of 9 components and one of scalars, 16 channels; int16: a scale of 4 bytes each
    assert sizes == {"exact": 448 * 8, "fp32": 448 * 4, "int16": 448 * 2 + 4 * 4}
    assert "halo int16" in outputs["int16"]
    assert "halo fp64" in outputs["exact"]
    results = {name: read_results(tmp_path, name) for name in sizes}
    error = {
        name: np.abs(results[name].forces - results["exact"].forces).max()
        for name in ("fp32", "int16")
    }
    assert error["fp32"] < 5e-6
    assert 1e-6 < error["int16"] < 2e-4  # eV/Å, the forces are about 0.3
    # pairs of opposite forces stay opposite whatever the features are
    assert np.abs(results["int16"].forces.sum(axis=0)).max() < 1e-9


def test_rows_travel_once_and_only_where_they_are_needed(model, tmp_path):
    """A far wider ghost shell, with several images of one atom, sends the same bytes."""
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    sent, results = [], []
    for name, words in (("narrow", ""), ("broad", "comm_modify cutoff 14\n")):
        text = run_ok(tmp_path, deck(model, "precision double") + words + measure(name), ranks=2)
        found = re.search(r"at most (\d+) ghosts, sends (\d+) messages with ([\d.]+) MiB", text)
        sent.append((int(found.group(1)), int(found.group(2)), float(found.group(3))))
        results.append(read_results(tmp_path, name))
    assert sent[1][0] > 2 * sent[0][0]
    assert sent[1][1:] == sent[0][1:]
    # each rank needs every atom of the other in each of the four exchanges: one message, one row
    n_other = len(results[0].ids) / 2
    assert sent[0][1] == 4
    assert sent[0][2] == pytest.approx(n_other * 448 * 8 / 2**20, rel=0.3, abs=0.05)
    np.testing.assert_array_equal(results[1].forces, results[0].forces)


@pytest.mark.parametrize("ranks", [1, 2])
def test_short_distances_are_reported_once_per_pair(wary, tmp_path, ranks):
    atoms = CASES["bulk"].atoms
    write_data(tmp_path / "a.data", atoms)
    distances = atoms.get_all_distances(mic=True) + 10 * np.eye(len(atoms))
    is_cd = atoms.numbers == 48
    cd_se = np.where(is_cd[:, None] & ~is_cd[None, :], distances, 10)
    i, j = np.unravel_index(cd_se.argmin(), cd_se.shape)
    output = run_ok(tmp_path, deck(wary, "") + "fix move all nve\nthermo 1\nrun 3\n", ranks)
    warnings = [line for line in output.splitlines() if "closer than in the training" in line]
    assert len(warnings) == 1, output  # Se-Se never comes below 3 Å, Cd-Cd is not stated
    first, second = sorted((i + 1, j + 1))
    assert f"step 0: atoms closer than in the training data: Cd-Se {cd_se.min():.3f} Å" in output
    assert f"(atom IDs {first} and {second}), shortest in the training data 2.600 Å" in output
    assert "closer than" not in run_ok(tmp_path, deck(wary, "extrapolation off") + "run 0\n", ranks)


def test_short_distances_can_stop_all_ranks(wary, tmp_path):
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    done = run(tmp_path, deck(wary, "extrapolation error") + "run 0\n", ranks=2)
    assert done.returncode != 0
    errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
    assert len(errors) == 1, done.stdout[-2000:]
    assert "the forces cannot be trusted" in errors[0]


def test_nearest_distance_and_extrapolation_of_each_atom(wary, tmp_path):
    """Through fix pair, with both kinds of its trigger; above 1 is closer than in training."""
    atoms = CASES["dot, shrink-wrapped"].atoms
    write_data(tmp_path / "a.data", atoms)
    run_ok(
        tmp_path,
        deck(wary, "", "dot, shrink-wrapped")
        + """
fix seen all pair 1 qdml nearest 0 extrapolation 1 energy 0
compute eatom all pe/atom
dump out all custom 1 seen.dump id f_seen[1] f_seen[2] f_seen[3] c_eatom
dump_modify out sort id format float %.12g
run 0
""",
        ranks=2,
    )
    table = read_columns(tmp_path / "seen.dump")[0]
    distances = atoms.get_all_distances() + 100 * np.eye(len(atoms))
    np.testing.assert_allclose(table[:, 1], distances.min(axis=1), rtol=1e-9)
    seen = np.zeros((100, 100))
    seen[48, 34] = seen[34, 48] = 2.6
    seen[34, 34] = 3.0
    ratio = np.where(distances < 5.0, seen[np.ix_(atoms.numbers, atoms.numbers)] / distances, 0)
    np.testing.assert_allclose(table[:, 2], ratio.max(axis=1), rtol=1e-9)
    assert (table[:, 2] > 1).any()
    assert (table[:, 2] < 1).any()
    np.testing.assert_allclose(table[:, 3], table[:, 4], rtol=1e-11)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("foo", "no per-atom quantity 'foo'; it has energy, nearest, extrapolation"),
        ("force_spread", "force_spread needs a committee"),
    ],
)
def test_unknown_per_atom_quantities_are_refused(model, tmp_path, field, message):
    write_data(tmp_path / "a.data", CASES["isolated atoms"].atoms)
    done = run(tmp_path, deck(model, "") + f"fix f all pair 1 qdml {field} 0\nrun 0\n", ranks=2)
    assert done.returncode != 0
    assert message in done.stdout


def test_memory_is_a_limit(model, tmp_path):
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    assert "(work arrays bound to 50 MiB)" in run_ok(tmp_path, deck(model, "memory 50") + "run 0\n")
    done = run(tmp_path, deck(model, "memory 0.25") + "run 0\n", ranks=2)
    assert done.returncode != 0
    found = re.search(r"edges need at least (\d+) bytes, the limit is (\d+)", done.stdout)
    assert found, done.stdout[-2000:]
    assert int(found.group(1)) > int(found.group(2)) == 2**18


@pytest.mark.parametrize("family", ["model", "path_file"])
def test_edges_in_chunks_give_the_same_numbers(request, tmp_path, family):
    """The least limit that is accepted, on two ranks, against none."""
    file = request.getfixturevalue(family)
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    run_ok(tmp_path, deck(file, "precision double") + measure("whole"), ranks=2)
    limit = 0.01
    # the two ranks name one number each, and MPI may end a run before its message is through
    for _ in range(8):
        done = run(
            tmp_path,
            deck(file, f"precision double memory {limit:.9f}") + measure("chunks"),
            ranks=2,
        )
        needs = re.findall(r"edges need at least (\d+) bytes", done.stdout)
        if done.returncode == 0:
            break
        if needs:
            limit = max(float(n) for n in needs) / 2**20 + 1e-6
    assert done.returncode == 0, done.stdout[-2000:]
    whole, chunks = read_results(tmp_path, "whole"), read_results(tmp_path, "chunks")
    assert abs(chunks.energy - whole.energy) < 1e-9
    for field in ("forces", "virial", "energies", "virials"):
        wanted = getattr(whole, field)
        np.testing.assert_allclose(getattr(chunks, field), wanted, rtol=0, atol=1e-9)


def test_start_and_end_messages(model, tmp_path):
    """File, identity, types, precision, device, exchange and memory are stated at the start."""
    from qdml.modelfile import content_hash

    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    output = run_ok(
        tmp_path, deck(model, "", elements="Cd Se Se") + "fix m all nve\nrun 2\n", ranks=2
    )
    assert f"pair qdml: {model} (hash {content_hash(model)[:12]})" in output
    assert "cartesian-summed, l_max 2, 16 channels, 3 layers, 5 Å" in output
    assert "types: 1 = Cd 2 = Se 3 = Se" in output
    assert re.search(r"precision mixed, device cpu \((baseline|avx2|avx512)\), libqdml", output)
    assert "2 rank(s) with 1 thread(s) each" in output
    assert "exchange layer by layer, halo fp32" in output
    assert "brick communication" in output
    assert "bytes per ghost and step" in output
    assert re.search(r"needs about \d+\.\d MiB", output)
    end = re.search(
        r"pair qdml: 3 evaluations; exchanged per evaluation: 4 times, (\d+) mess", output
    )
    assert int(end.group(1)) >= 4
