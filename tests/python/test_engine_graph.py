# SPDX-License-Identifier: MIT
"""Neighbour lists against vesin, a divided graph against the whole, threads, instruction sets."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import models
import numpy as np
import pytest
import vesin
from qdml.engine import Engine, build_neighbor_list
from qdml.errors import DataError, EngineError

CELL = np.array([[9.0, 0.5, 0.0], [-1.0, 8.0, 0.4], [0.3, 0.2, 10.0]])


def box(n: int, seed: int, cell: np.ndarray = CELL) -> tuple[np.ndarray, np.ndarray]:
    """Rattled grid of n atoms in `cell` (Å) and their species."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(n ** (1 / 3)))
    grid = np.array(np.meshgrid(*[np.arange(side)] * 3)).reshape(3, -1).T[:n] / side
    return grid @ cell + rng.normal(scale=0.15, size=(n, 3)), rng.integers(0, 3, n)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return models.random_model(tmp_path_factory.mktemp("models") / "m.qdml", cutoff=4.0)


@pytest.mark.parametrize("cutoff", [2.0, 4.5, 11.0])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("shear", [0.0, 1.3])
def test_neighbors_are_those_of_vesin(cutoff, periodic, shear):
    x, _ = box(30, seed=1)
    cell = CELL.copy()
    cell[2] += shear * cell[0]
    x[::3] += 2 * cell[1]  # some atoms outside of the cell
    start, neighbor, shift, vector = build_neighbor_list(x, cell, [periodic] * 3, cutoff)
    center = np.repeat(np.arange(len(x)), np.diff(start))
    ours = np.column_stack([center, neighbor, shift])
    i, j, s, d = vesin.NeighborList(cutoff=cutoff, full_list=True).compute(
        points=x, box=cell, periodic=periodic, quantities="ijSD"
    )
    theirs = np.column_stack([i, j, s])
    a, b = np.lexsort(ours.T), np.lexsort(theirs.T)
    np.testing.assert_array_equal(ours[a], theirs[b])
    np.testing.assert_allclose(vector[a], d[b], atol=1e-12)


def test_bad_positions_are_an_engine_error():
    x = np.zeros((2, 3))
    x[1, 2] = np.inf
    with pytest.raises(EngineError, match="atom 1 is not finite") as info:
        build_neighbor_list(x, np.eye(3), [False] * 3, 3.0)
    assert info.value.code == "value_invalid"


def test_two_atoms_at_one_place_are_an_engine_error(model):
    with pytest.raises(EngineError, match="same place"):
        Engine(model).compute(np.zeros((2, 3)), [0, 1])


def test_unknown_elements_are_named(model):
    with pytest.raises(DataError, match="also has In, P"):
        Engine(model).species_of(["Cd", "P", "In", "P"])


def test_wrong_shapes_are_refused(model):
    engine = Engine(model)
    with pytest.raises(ValueError, match="positions"):
        engine.compute(np.zeros((2, 2)), [0, 1])
    with pytest.raises(ValueError, match="species"):
        engine.compute(np.zeros((2, 3)), [0])
    with pytest.raises(ValueError, match="precision"):
        Engine(model, "single")


def test_memory_limit_is_kept_and_refused_by_name(model):
    x, species = box(200, seed=5, cell=CELL * 1.8)
    engine = Engine(model, "double")
    expected = engine.compute(x, species, CELL * 1.8, [True] * 3)
    whole = engine.memory_allocated
    engine.memory_limit = int(0.95 * whole)
    found = engine.compute(x, species, CELL * 1.8, [True] * 3)
    assert 0 < engine.memory_allocated <= engine.memory_limit < whole
    assert found.energy == pytest.approx(expected.energy, abs=1e-9)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-10)
    engine.memory_limit = 1000
    with pytest.raises(EngineError, match=r"200 local atoms.*need at least") as info:
        engine.compute(x, species, CELL * 1.8, [True] * 3)
    assert info.value.code == "memory_limit"
    with pytest.raises(EngineError, match="-5 bytes"):
        engine.memory_limit = -5


class Rank:
    """Local atoms, their ghosts (one per image seen) and edges of one part of a periodic box."""

    def __init__(self, mine, neighbors, species):
        start, neighbor, shift, vector = neighbors
        self.owner, self.row = list(mine), {(i, 0, 0, 0): k for k, i in enumerate(mine)}
        rows, self.start, edges = [], [0], []
        for i in mine:
            for e in range(start[i], start[i + 1]):
                key = (int(neighbor[e]), *map(int, shift[e]))
                if key not in self.row:
                    self.row[key] = len(self.owner)
                    self.owner.append(key[0])
                rows.append(self.row[key])
                edges.append(vector[e])
            self.start.append(len(rows))
        self.neighbor, self.vector = rows, np.array(edges).reshape(-1, 3)
        self.n_local, self.species = len(mine), species[self.owner]


def check_domains(model, precision: str, expected_widths: list[int]) -> None:
    """Evaluate a box whole and in three domains, one of them empty; all sums must agree."""
    x, species = box(60, seed=2)
    neighbors = build_neighbor_list(x, CELL, [True] * 3, 4.0)
    expected = Engine(model, precision).compute(x, species, CELL, [True] * 3, per_atom=True)
    left = x[:, 0] < 4.5
    ranks = [Rank(m, neighbors, species) for m in (np.flatnonzero(left), np.flatnonzero(~left), [])]
    barrier, board, found, widths = threading.Barrier(len(ranks)), {}, {}, [[] for _ in ranks]

    def work(k):
        rank = ranks[k]

        def exchange(rows):
            widths[k].append(rows.shape[1])
            for i in range(rank.n_local):
                board[rank.owner[i]] = rows[i].copy()
            barrier.wait(60)
            for i in range(rank.n_local, len(rank.owner)):
                rows[i] = board[rank.owner[i]]
            barrier.wait(60)

        found[k] = Engine(model, precision).compute_graph(
            rank.species, rank.start, rank.neighbor, rank.vector, exchange, per_atom=True
        )

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(ranks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert widths == [expected_widths] * 3
    forces, virials = np.zeros((60, 3)), np.zeros((60, 3, 3))
    for k, rank in enumerate(ranks):
        np.add.at(forces, rank.owner, found[k].forces)
        np.add.at(virials, rank.owner, found[k].virials)
    assert sum(f.energy for f in found.values()) == pytest.approx(expected.energy, abs=1e-9)
    np.testing.assert_allclose(forces, expected.forces, atol=1e-10)
    np.testing.assert_allclose(virials, expected.virials, atol=1e-10)
    np.testing.assert_allclose(sum(f.virial for f in found.values()), expected.virial, atol=1e-9)


@pytest.mark.parametrize("precision", ["double", "mixed"])
def test_domains_with_ghosts_equal_the_whole(model, precision):
    check_domains(model, precision, [32 * 9, 32 * 9, 32, 32 * 9])


SCRIPT = """
import sys, numpy as np
sys.path.insert(0, sys.argv[1])
from test_engine_graph import CELL, box
from qdml.engine import Engine
x, species = box(150, 3, CELL * 1.6)
engine = Engine(sys.argv[2], sys.argv[3])
found = engine.compute(x, species, CELL * 1.6, [True] * 3)
print(engine.info["isa"], np.float64(found.energy).tobytes().hex(), found.forces.tobytes().hex())
"""


def run(model, precision, **environment) -> tuple[str, np.ndarray]:
    """Evaluate in a fresh process, where thread count and instruction set are read."""
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(model), precision]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    isa, energy, forces = done.stdout.split()
    return isa, np.frombuffer(bytes.fromhex(energy + forces))


def test_threads_change_no_bit(model):
    one = run(model, "mixed", OMP_NUM_THREADS="1")[1]
    for n in ("2", "5"):
        np.testing.assert_array_equal(run(model, "mixed", OMP_NUM_THREADS=n)[1], one)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_instruction_sets_agree(model, isa):
    best, expected = run(model, "double")
    assert 0.1 < np.abs(expected[1:]).max() < 100
    order = ["baseline", "avx2", "avx512"]
    if order.index(isa) > order.index(best):
        pytest.skip(f"this processor has {best} at most")
    for precision, tolerance in (("double", 1e-9), ("mixed", 1e-4)):
        used, found = run(model, precision, QDML_ISA=isa)
        assert used == isa
        np.testing.assert_allclose(found[1:], expected[1:], atol=tolerance)
