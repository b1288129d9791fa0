# SPDX-License-Identifier: MIT
"""Films and fused pairs: places, turns, neutral removal, overlap, files, messages."""

import json
from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.io import read
from qdml.build import build_dot, preset
from qdml.build.distances import close_pairs
from qdml.build.reading import formal_charge, molecules_of
from qdml.cli.main import make_app, run_guarded
from qdml.errors import ConfigError, DataError, StructureError
from qdml.film import build_film
from qdml.film.arrays import ordered_places
from qdml.film.output import write_film
from qdml.film.packing import packing_fraction, random_places
from qdml.film.removal import rows_to_remove, shell_of
from scipy.spatial import cKDTree

OXIDATION = {"Cd": 2, "Se": -2, "Cl": -1}


@pytest.fixture(scope="module")
def dot():
    return build_dot(**preset("Cd16Se13Cl6")).atoms


def neighbours(places, box, spacing):
    """Number of nearest neighbours of every place in the periodic box."""
    images = np.array(np.meshgrid(*[(-1, 0, 1)] * 3)).reshape(3, -1).T
    tree = cKDTree((places[:, None] + images * box).reshape(-1, 3))
    distance, _ = tree.query(places, k=14)
    assert distance[:, 1].min() == pytest.approx(spacing)
    return (distance[:, 1:] < 1.001 * spacing).sum(axis=1)


@pytest.mark.parametrize(
    ("array", "repeat", "n", "coordination", "fraction"),
    [
        ("square", (3, 3, 3), 27, 6, np.pi / 6),
        ("hexagonal", (2, 2, 2), 16, 12, np.pi / np.sqrt(18)),
        ("fcc", (2, 2, 2), 32, 12, np.pi / np.sqrt(18)),
        ("bcc", (2, 2, 2), 16, 8, np.pi * np.sqrt(3) / 8),
    ],
)
def test_ordered_arrays_have_their_neighbours_and_density(array, repeat, n, coordination, fraction):
    places, box = ordered_places(array, repeat, 30.0)
    assert len(places) == n
    assert set(neighbours(places, box, 30.0)) == {coordination}
    assert packing_fraction(n, 30.0, box) == pytest.approx(fraction)


def test_random_close_packing_is_dense_and_keeps_the_distance():
    places, box = random_places(60, 25.0, seed=1)
    wrapped = np.mod(places, box)
    distance, _ = cKDTree(wrapped, boxsize=box).query(wrapped, k=2)
    assert distance[:, 1].min() == pytest.approx(25.0)
    # 0.64 is the limit of a large random packing, 0.74 a crystal, 0.38 random addition.
    assert 0.57 < packing_fraction(60, 25.0, box) < 0.66
    again, _ = random_places(60, 25.0, seed=1)
    assert np.array_equal(places, again)
    assert not np.allclose(random_places(60, 25.0, seed=2)[0], places)


def whole_dot(film, k):
    """Positions of dot k relative to its place, put together across the faces."""
    offset = film.positions[film.dots == k] - film.places[k]
    edges = np.where(film.summary["periodic"], film.box, 1e9)
    return offset - np.round(offset / edges) * edges


@pytest.mark.parametrize("orientation", ["aligned", "random", 15.0])
def test_every_dot_is_a_turned_copy(dot, orientation):
    film = build_film(dot, "fcc", repeat=(2, 1, 1), orientation=orientation, seed=3)
    assert len(film.positions) == 8 * len(dot)
    own = dot.positions - dot.positions[:29].mean(axis=0)
    angles = []
    for k in range(8):
        turned = whole_dot(film, k)
        turn, *_ = np.linalg.lstsq(own, turned, rcond=None)
        assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-6)
        assert np.linalg.det(turn) == pytest.approx(1.0)
        assert own @ turn == pytest.approx(turned, abs=1e-6)
        angles.append(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))
    if orientation == "aligned":
        assert max(angles) < 1e-3
    elif orientation == "random":
        assert np.mean(angles) > 60  # the mean of all rotations is 126.5 degrees
    else:
        assert 0.1 < np.mean(angles) < 45


def test_a_film_at_the_automatic_spacing_has_no_clash(dot):
    film = build_film(dot, "bcc", repeat=(2, 2, 2), orientation="random")
    symbols = [film.symbols[k] for k in film.kinds]
    # Other dots are other molecules; pairs inside one dot are not the film's business.
    assert close_pairs(symbols, film.positions, film.dots) == []
    assert (film.positions >= 0).all()
    assert (film.positions < film.box).all()


@pytest.mark.parametrize(
    ("arguments", "unit"),
    [
        (preset("Cd16Se13Cl6"), {"Cd": 1, "Cl": 2}),
        (preset("In31P20Cl33"), {"In": 1, "Cl": 3}),
        (preset("Cs20Pb8Br36"), {"Cs": 1, "Br": 1}),
        (preset("Pb19Se6Cl26"), {"Pb": 1, "Cl": 2}),
    ],
)
def test_ligands_leave_in_neutral_units(arguments, unit):
    atoms = build_dot(**arguments).atoms
    shell = shell_of(atoms)
    rows = rows_to_remove(shell, 0.5, np.random.default_rng(0))
    gone = Counter(atoms.symbols[rows])
    n_units = next(gone[s] // n for s, n in unit.items())
    assert gone == {s: n_units * n for s, n in unit.items()}
    assert len(set(rows.tolist())) == len(rows)
    n_anions = n_units * list(unit.values())[1]
    assert abs(n_anions - 0.5 * len(shell.anions)) <= list(unit.values())[1] / 2
    kept = np.setdiff1d(np.arange(len(atoms)), rows)
    assert formal_charge(atoms[kept]).total == 0


def test_removal_keeps_every_dot_neutral(dot):
    film = build_film(dot, "square", repeat=(2, 2, 1), remove=0.4, vacuum=10.0)
    assert film.summary["atoms_removed_with_ligands"] == 4 * 3
    for k in range(4):
        symbols = [film.symbols[i] for i in film.kinds[film.dots == k]]
        assert sum(OXIDATION[s] for s in symbols) == 0
        assert Counter(symbols) == {"Cd": 15, "Se": 13, "Cl": 4}
    gone = [tuple(np.round(whole_dot(film, k), 3).ravel()) for k in range(4)]
    assert len(set(gone)) > 1  # not the same ligands everywhere


def test_a_slab_has_its_vacuum(dot):
    film = build_film(dot, "hexagonal", repeat=(2, 2, 1), vacuum=15.0)
    assert film.positions[:, 2].min() == pytest.approx(15.0)
    assert film.box[2] - film.positions[:, 2].max() == pytest.approx(15.0)
    assert film.summary["periodic"] == [True, True, False]


def test_files_agree(dot, tmp_path):
    film = build_film(dot, "hexagonal", repeat=(2, 1, 1), vacuum=10.0, orientation="random")
    paths = write_film(film, tmp_path / "film.data")
    assert [p.name for p in paths] == ["film.data", "film.json", "film.png"]
    data = read(paths[0], format="lammps-data", atom_style="atomic", units="metal")
    assert data.get_chemical_symbols() == [film.symbols[k] for k in film.kinds]
    assert data.positions == pytest.approx(film.positions, abs=1e-5)  # five decimals
    assert data.cell.lengths() == pytest.approx(film.box)
    summary = json.loads(paths[1].read_text())
    assert summary["n_atoms"] == len(data) == 4 * len(dot)
    assert summary["lammps_types"] == ["Cd", "Se", "Cl"]
    assert paths[2].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_blocks_of_the_writer_join(tmp_path, monkeypatch, dot):
    film = build_film(dot, "fcc", repeat=(1, 1, 1))
    write_film(film, tmp_path / "one.data", picture=False)
    monkeypatch.setattr("qdml.build.output.BLOCK", 7)
    write_film(film, tmp_path / "many.data", picture=False)
    assert (tmp_path / "one.data").read_text() == (tmp_path / "many.data").read_text()


@pytest.mark.parametrize(
    ("array", "options", "error", "message"),
    [
        ("hexagon", {}, ConfigError, "did you mean 'hexagonal'"),
        ("square", {"repeat": (0, 2, 1)}, ConfigError, "film of no dots"),
        ("random", {"number": 0}, ConfigError, "film of no dots"),
        ("random", {}, ConfigError, "needs --number"),
        ("square", {"number": 3}, ConfigError, "--number belongs to random films"),
        ("hexagonal", {"repeat": (2, 2, 1)}, ConfigError, "an even number of layers"),
        ("fcc", {"spacing": 0.1}, ConfigError, "spacing 0.1"),
        ("fcc", {"remove": 1.5}, ConfigError, "between 0 and 1"),
        ("fcc", {"vacuum": -1.0}, ConfigError, "vacuum -1"),
        ("fcc", {"orientation": "up"}, ConfigError, "aligned, random, or a tilt"),
        ("fcc", {"repeat": (900, 900, 900)}, ConfigError, "is too large"),
        ("bcc", {"repeat": (2, 2, 2), "spacing": 12.0}, StructureError, "dots overlap at spacing"),
        ("square", {"repeat": (1, 1, 1), "spacing": 9.0}, StructureError, "box edge 9.0"),
    ],
)
def test_bad_films_are_told(dot, array, options, error, message):
    with pytest.raises(error, match=message):
        build_film(dot, array, **options)


def test_a_charged_dot_and_a_bare_dot_are_told(dot):
    with pytest.raises(DataError, match=r"formal charge \+1; a film needs 0; 1 Cl more would"):
        build_film(dot[:-1], "fcc")
    with pytest.raises(StructureError, match="no anionic ligand to remove"):
        build_film(dot[[0, 16]], "fcc", remove=0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.extxyz"], "no such file"),
        (["dot.extxyz", "--repeat", "0", "1", "1"], "film of no dots"),
        (["dot.extxyz", "-o", "film.xyz"], "must end in .data"),
        (["dot.extxyz", "--periodic", "--vacuum", "5"], "exclude each other"),
        (["dot.extxyz", "--spacing", "8"], "dots overlap"),
    ],
)
def test_mistakes_of_the_command_exit_2_without_files(
    dot, tmp_path, monkeypatch, capsys, arguments, message
):
    dot.write(tmp_path / "dot.extxyz")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stop:
        run_guarded(make_app(["film", *arguments]), ["film", *arguments])
    assert stop.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert [p.name for p in tmp_path.iterdir()] == ["dot.extxyz"]


def test_the_command_writes_a_monolayer(dot, tmp_path, capsys):
    dot.write(tmp_path / "dot.extxyz")
    words = ["film", str(tmp_path / "dot.extxyz"), "--repeat", "2", "1", "1", "--no-picture"]
    words += ["--orientation", "random", "-o", str(tmp_path / "film.data")]
    with pytest.raises(SystemExit) as stop:
        run_guarded(make_app(words), words)
    assert stop.value.code == 0
    assert "hexagonal film of 4 dots" in capsys.readouterr().out
    assert (tmp_path / "film.data").is_file()


def test_fused_pairs_are_one_crystal_and_neutral():
    single = build_dot("PbSe", 18.0, center="cation")
    pair = build_dot("PbSe", 18.0, fuse="100", fuse_distance=15.0)
    atoms = pair.atoms
    assert formal_charge(atoms).total == 0
    assert pair.summary.composition["Pb"] > 1.5 * single.summary.composition["Pb"]
    core = atoms.positions[atoms.arrays["ligand_index"] < 0]
    assert np.ptp(core, axis=0)[0] > np.ptp(core, axis=0)[1] + 10.0
    # One lattice: every coordinate is a multiple of half the lattice constant.
    phase = (core - core[0]) / (6.21 / 2)
    assert np.abs(phase - np.round(phase)).max() < 1e-6


def test_a_neck_joins_dots_that_do_not_touch():
    pair = build_dot("CdSe", 14.0, fuse="100", fuse_distance=22.0, neck=9.0)
    assert formal_charge(pair.atoms).total == 0
    core = pair.atoms.positions[pair.atoms.arrays["ligand_index"] < 0]
    assert np.ptp(core[:, 0]) > 30.0
    wide = build_dot("CdSe", 14.0, fuse="100", fuse_distance=22.0, neck=12.0)
    assert wide.summary.composition["Se"] > pair.summary.composition["Se"]


PAIRS = {
    "fused": {"material": "PbSe", "diameter": 14.0, "center": "cation", "fuse_distance": 12.0},
    "necked": {"material": "CdSe", "diameter": 14.0, "fuse_distance": 22.0, "neck": 9.0},
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("remove", [0.0, 0.3])
def test_a_film_of_pairs_is_made_of_whole_neutral_pairs(name, remove):
    """A pair is one dot to a film: its longest half sets the spacing, whatever its turn."""
    pair = build_dot(**PAIRS[name], fuse="100").atoms
    film = build_film(pair, "bcc", repeat=(2, 2, 1), orientation="random", remove=remove)
    n_dots = film.summary["n_dots"]
    assert n_dots == 8
    assert film.summary["formal_charge"] == 0
    assert (len(film.positions) < n_dots * len(pair)) == (remove > 0)
    symbols = np.array([film.symbols[k] for k in film.kinds])
    for k in range(n_dots):
        whole = Atoms(symbols[film.dots == k], whole_dot(film, k))
        assert formal_charge(whole).total == 0
        # Longer than wide in whatever direction it was turned.
        core = whole.positions[molecules_of(whole) < 0]
        spread = np.linalg.svd(core - core.mean(axis=0), compute_uv=False)
        assert spread[0] > 1.3 * spread[1]
    assert close_pairs(symbols.tolist(), film.positions, film.dots) == []


def test_a_pair_too_long_for_its_film_is_told():
    """Two single dots would have room at that spacing; the pair would meet its image."""
    pair = build_dot(**PAIRS["necked"], fuse="100").atoms
    single = build_dot("CdSe", 14.0).atoms
    assert build_film(single, "square", repeat=(2, 2, 2), spacing=25.0).summary["n_dots"] == 8
    with pytest.raises(StructureError, match=r"dots overlap at spacing 25\.00"):
        build_film(pair, "square", repeat=(2, 2, 2), spacing=25.0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"neck": 8.0}, ConfigError, "belong to a fused pair"),
        ({"fuse": "10"}, ConfigError, "must be three digits"),
        ({"fuse": "100", "fuse_distance": 30.0}, ConfigError, "where the dots still touch"),
        ({"fuse": "100", "neck": 30.0}, ConfigError, "must be thinner"),
        (
            {"fuse": "100", "fuse_distance": 30.0, "neck": 1.0},
            StructureError,
            "do not grow together",
        ),
    ],
)
def test_bad_pairs_are_told(options, error, message):
    with pytest.raises(error, match=message):
        build_dot("CdSe", 16.0, **options)
