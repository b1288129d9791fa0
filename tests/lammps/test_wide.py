# SPDX-License-Identifier: MIT
"""`exchange wide`, where every rank evaluates the features of its ghosts, equals `exchange layer`.

The engine's own numbers without LAMMPS are the reference; test_agreement.py holds `layer` to them.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from lammps_cases import CASES
from lammps_runner import BAR, measure, read_columns, read_results, run, run_ok, system, write_data
from test_agreement import TOLERANCE, assert_equal, engine_results

RANKS = (1, 2, 4, 8)
# Three cutoffs of 5 Å: LAMMPS refuses tiled communication across a shorter periodic edge.
ROWS = [
    ("bulk", "brick"),
    ("triclinic", "brick"),
    ("slab", "brick"),
    ("dot, periodic vacuum", "tiled"),
    ("isolated atoms", "tiled"),
    ("cell below the cutoff", "brick"),
    ("dot in a corner", "brick"),
    ("dot in a corner", "tiled"),
]
CENTROID = (
    "compute cent all centroid/stress/atom NULL virial\n"
    "dump c all custom 1 {name}.cent id c_cent[*]\n"
    "dump_modify c sort id format float %.17g\n"
)


def pair(files, words: str = "precision double exchange wide") -> str:
    """pair_style and pair_coeff of one file or of several."""
    names = " ".join(map(str, files)) if isinstance(files, tuple) else str(files)
    return f"pair_style qdml {words}\npair_coeff * * {names} Cd Se Cl"


def deck(files, words: str = "precision double exchange wide", case: str = "bulk") -> str:
    return system(files, "a.data", boundary=CASES[case].boundary, pair=pair(files, words))


def key(model: str, row: int, precision: str) -> str:
    return f"{model}-{row}-{precision}"


@pytest.fixture(scope="module")
def files(model, path_file) -> dict[str, Path]:
    return {"cartesian": model, "paths": path_file}


@pytest.fixture(scope="module")
def table(files, tmp_path_factory) -> dict[int, Path]:
    """Folder of results per number of ranks, one LAMMPS each."""
    folders = {}
    for ranks in RANKS:
        folder = folders[ranks] = tmp_path_factory.mktemp(f"wide{ranks}-")
        decks = []
        for row, (name, layout) in enumerate(ROWS):
            case = CASES[name]
            write_data(folder / f"{row}.data", case.atoms)
            for family, path in files.items():
                for precision in ("double", "mixed"):
                    place = key(family, row, precision)
                    decks.append(
                        system(
                            path,
                            f"{row}.data",
                            boundary=case.boundary,
                            before=case.before,
                            tiled=layout == "tiled",
                            pair=pair(path, f"precision {precision} exchange wide"),
                        )
                        + measure(place)
                    )
        run_ok(folder, "clear\n".join(decks), ranks)
    return folders


@pytest.fixture(scope="module")
def expected(files) -> dict[str, dict]:
    names = {name for name, _ in ROWS}
    return {
        family: {name: engine_results(path, CASES[name].atoms) for name in names}
        for family, path in files.items()
    }


@pytest.mark.parametrize("precision", ["double", "mixed"])
@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("family", ["cartesian", "paths"])
@pytest.mark.parametrize("row", range(len(ROWS)), ids=[f"{a}, {b}" for a, b in ROWS])
def test_a_wide_shell_equals_the_engine(table, expected, row, family, ranks, precision):
    found = read_results(table[ranks], key(family, row, precision))
    wanted = expected[family][ROWS[row][0]]
    if ROWS[row][0] != "isolated atoms":
        assert np.abs(wanted.forces).max() > 0.02
    assert_equal(found, wanted, TOLERANCE[precision])


@pytest.mark.parametrize("family", ["cartesian", "paths"])
def test_centroid_virials_equal_those_with_exchange(files, tmp_path, family):
    write_data(tmp_path / "a.data", CASES["slab"].atoms)
    found = {}
    for name, ranks in (("layer", 1), ("layer", 4), ("wide", 1), ("wide", 4)):
        place = f"{name}{ranks}"
        commands = deck(files[family], f"precision double exchange {name}", "slab")
        run_ok(tmp_path, commands + CENTROID.format(name=place) + measure(place), ranks)
        found[place] = -read_columns(tmp_path / f"{place}.cent")[0][:, 1:] / BAR
    virial = read_results(tmp_path, "layer1").virial
    total = found["layer1"].sum(axis=0)
    np.testing.assert_allclose(total[:6], virial, rtol=0, atol=1e-7)
    np.testing.assert_allclose(total[6:], virial[3:], rtol=0, atol=1e-7)
    for other in ("layer4", "wide1", "wide4"):
        np.testing.assert_allclose(found[other], found["layer1"], rtol=0, atol=1e-8)
    # not the symmetric half-and-half division
    assert np.abs(found["layer1"][:, 3:6] - found["layer1"][:, 6:]).max() > 1e-3


def test_hot_atoms_change_ranks_and_shells(model, tmp_path):
    """Twenty hot steps with a thin skin, against one rank with exchange."""
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    hot = (
        "velocity all create 1500 8127 mom yes rot no\nfix move all nve\ntimestep 0.002\n"
        "neighbor 0.3 bin\nneigh_modify every 1 delay 0 check yes\n"
    )
    for name, ranks in (("layer", 1), ("wide", 4)):
        words = f"precision double exchange {name}"
        output = run_ok(tmp_path, deck(model, words) + hot + measure(name, steps=20), ranks)
        assert int(output.split("Neighbor list builds =")[1].split()[0]) >= 1
    layer, wide = read_results(tmp_path, "layer"), read_results(tmp_path, "wide")
    assert np.abs(layer.positions - CASES["bulk"].atoms.positions).max() > 0.1
    np.testing.assert_allclose(wide.positions, layer.positions, rtol=0, atol=1e-9)


@pytest.mark.parametrize("words", ["", "members first every 2", "memory 30"])
def test_committees_of_any_depth_and_cutoff(committee, path_file, tmp_path, words):
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    members = (*committee, path_file)
    spread = (
        "fix s all pair 2 qdml force_spread 0\nfix move all nve\n"
        "dump s all custom 2 {name}.spread id f_s\ndump_modify s sort id format float %.17g\n"
    )
    for name, ranks in (("layer", 1), ("wide", 4)):
        commands = deck(members, f"precision double exchange {name} {words}")
        run_ok(tmp_path, commands + spread.format(name=name) + measure(name, steps=4), ranks)
    layer, wide = read_results(tmp_path, "layer"), read_results(tmp_path, "wide")
    assert_equal(wide, layer, 1e-9)
    found, wanted = (read_columns(tmp_path / f"{n}.spread")[-1] for n in ("wide", "layer"))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)
    assert wanted[:, 1].min() > 0.01


def test_null_types_and_exclusions(model, tmp_path):
    """Atoms of other potentials and pairs that LAMMPS leaves out are no part of any shell."""
    write_data(tmp_path / "a.data", CASES["slab"].atoms)
    parts = []
    for name in ("layer", "wide"):
        null = (
            f"pair_style hybrid/overlay qdml precision double exchange {name} zero 6.0\n"
            f"pair_coeff * * qdml {model} Cd Se NULL\npair_coeff * * zero"
        )
        parts.append(system(model, "a.data", boundary="p p f", pair=null) + measure(f"null-{name}"))
        excluded = deck(model, f"precision double exchange {name}", "slab")
        parts.append(excluded + "neigh_modify exclude type 1 3\n" + measure(f"exclude-{name}"))
    run_ok(tmp_path, "clear\n".join(parts), ranks=2)
    for what in ("null", "exclude"):
        layer, wide = (read_results(tmp_path, f"{what}-{name}") for name in ("layer", "wide"))
        assert_equal(wide, layer, 1e-10)
    plain = engine_results(model, CASES["slab"].atoms)
    assert np.abs(layer.forces - plain.forces).max() > 1e-3


def test_minimisation_in_a_wide_shell(model, tmp_path):
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    for name, ranks in (("layer", 1), ("wide", 2)):
        commands = deck(model, f"exchange {name}") + "minimize 0 0 4 100\n"
        run_ok(tmp_path, commands + measure(name), ranks)
    layer, wide = read_results(tmp_path, "layer"), read_results(tmp_path, "wide")
    assert np.abs(layer.positions - CASES["bulk"].atoms.positions).max() > 1e-3
    np.testing.assert_allclose(wide.positions, layer.positions, rtol=0, atol=1e-7)


def ghosts(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"a rank has at most (\d+) ghosts", text)]


def test_messages_and_the_ghosts_that_are_given_back(model, tmp_path):
    """What is exchanged is printed for both; a later pair_style gets LAMMPS' own ghosts again."""
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    commands = deck(model, "exchange layer") + "run 0\n"
    for words in ("exchange wide", "exchange layer"):
        commands += pair(model, words) + "\nrun 0\n"
    output = run_ok(tmp_path, commands, ranks=2)
    before, wide, after = ghosts(output)
    assert before == after
    assert wide > 3 * before
    assert "exchange wide: no features travel" in output
    assert "within 15.00 A" in output
    assert "within 15.60 A (brick communication): 0 exchanges and 0 bytes per ghost" in output
    layers = re.search(r"evaluates the layers for at most (\d+), (\d+), (\d+) atoms", output)
    rows = [int(n) for n in layers.groups()]
    assert 32 <= rows[2] < 40
    assert rows[2] + wide > rows[0] > rows[1] > rows[2]
    mebibytes = re.findall(r"forces of ghosts: ([\d.]+) MiB by the busiest", output)
    assert len(mebibytes) == 3
    assert float(mebibytes[1]) == pytest.approx(wide * 48 / 2**20, abs=0.051)


REFUSED = {
    "exchange sideways": ("", "exchange 'sideways' is not known; expected layer or wide"),
    "exchange wide halo int16": ("", "halo int16 and exchange wide exclude each other"),
    "exchange wide device gpu": ("", "exchange wide is evaluated on the CPU only"),
    "exchange wide": ("", "use 'comm_modify mode single'"),
    "exchange wide halo fp32": (
        "comm_style tiled",
        "Communication cutoff for comm_style tiled cannot exceed periodic box length",
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_a_wide_shell_cannot_do_is_refused(model, tmp_path, words):
    before, message = REFUSED[words]
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    commands = system(model, "a.data", before=before, pair=pair(model, words))
    if "mode single" in message:
        commands += "neighbor 0.6 multi\ncomm_modify mode multi\n"
    done = run(tmp_path, commands + "run 0\n", ranks=2)
    assert done.returncode != 0
    errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
    assert len(errors) == 1, done.stdout[-2000:]
    assert message in errors[0]


def test_restart_files_keep_the_keyword(model, tmp_path):
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    run_ok(tmp_path, deck(model) + "run 0\nwrite_restart a.restart\n", ranks=2)
    output = run_ok(tmp_path, "read_restart a.restart\nrun 0\n", ranks=2)
    assert "exchange wide: no features travel" in output
