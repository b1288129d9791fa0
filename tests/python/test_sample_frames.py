"""`qdml sample`: every kind makes frames with an origin, and the choice among them is diverse."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from qdml.cli.main import make_app, run_guarded
from qdml.errors import ConfigError, DataError, LabelError
from qdml.sample import cells
from qdml.sample.dynamics import sample_md
from qdml.sample.kinds import SampleRequest, make_frames
from qdml.sample.select import descriptors, farthest_points, select_diverse


def test_farthest_points_take_the_extremes_first():
    line = np.array([[0.0], [0.1], [5.0], [9.9], [10.0]])
    assert farthest_points(line, 3, first=0) == [0, 4, 2]
    assert sorted(farthest_points(line, 9)) == [0, 1, 2, 3, 4]


def test_the_descriptor_ignores_rotation_order_and_image_but_sees_strain():
    cell = cells.randomly_strained(cells.zincblende(repeat=1), 0.02, np.random.default_rng(0))
    turned = cell.copy()
    turned.rotate(33.0, (1, 2, 3), rotate_cell=True)
    shuffled = cell[np.random.default_rng(1).permutation(len(cell))]
    doubled = cell.repeat((2, 1, 1))
    strained = cells.strain_mode(cell, "xx", 0.03)
    found = descriptors([cell, turned, shuffled, doubled, strained])
    for same in found[1:4]:
        np.testing.assert_allclose(same, found[0], atol=1e-9)
    assert np.abs(found[4] - found[0]).max() > 1e-3


def test_diverse_choice_covers_groups_that_random_choice_would_miss():
    rng = np.random.default_rng(0)
    cell = cells.zincblende(repeat=1)
    frames = [cells.randomly_strained(cell, 1e-3, rng) for _ in range(20)]
    frames += [cells.scaled_volume(cell, 0.08), cells.scaled_volume(cell, -0.08)]
    volumes = {round(f.get_volume() / cell.get_volume(), 2) for f in select_diverse(frames, 3)}
    assert {0.92, 1.08} <= volumes
    assert len(select_diverse(frames, 99)) == len(frames)


@pytest.mark.parametrize("kind", ["rattle", "strain", "eos", "slab", "dimer"])
def test_every_kind_names_its_origin_and_is_reproducible(kind):
    request = SampleRequest(n_frames=2, temperatures=(300.0, 600.0), repeat=1, strain=0.01, seed=4)
    frames, again = make_frames(kind, request), make_frames(kind, request)
    assert len(frames) >= 4
    for frame, same in zip(frames, again, strict=True):
        assert frame.info["origin"]
        assert frame.info["split"] == "train"
        np.testing.assert_array_equal(frame.positions, same.positions)
    if kind in ("rattle", "slab"):
        assert {f.info["temperature"] for f in frames} == {300.0, 600.0}
        assert len({f.positions.tobytes() for f in frames}) == 4


def test_rattling_a_given_structure_keeps_its_charge_and_drops_its_labels():
    start = Atoms("CdCl", [[0, 0, 0], [0, 0, 2.4]], info={"origin": "mol-x", "energy_old": 1.0})
    start.info["multiplicity"] = 2
    (frame,) = make_frames("rattle", SampleRequest(starts=[start], n_frames=1))
    assert frame.info["multiplicity"] == 2
    assert "energy_old" not in frame.info
    assert frame.info["origin"] == "mol-x-rattled-300K"


def test_requests_that_cannot_be_met():
    water = Atoms("OH2", [[0, 0, 0], [0.8, 0.6, 0], [-0.8, 0.6, 0]])
    with pytest.raises(DataError, match="strains need a cell that is periodic"):
        make_frames("eos", SampleRequest(starts=[water]))
    with pytest.raises(ConfigError, match="sample md' needs --from"):
        make_frames("md", SampleRequest())
    with pytest.raises(ConfigError, match="unknown kind 'melt'"):
        make_frames("melt", SampleRequest())
    with pytest.raises(ConfigError, match="above 0 K"):
        make_frames("rattle", SampleRequest(temperatures=(0.0,)))
    with pytest.raises(ConfigError, match="slabs are made of CdSe only"):
        make_frames("slab", SampleRequest(material="ZnS"))
    with pytest.raises(ConfigError, match="no slab with facet 111 and ligand HCOO"):
        make_frames("slab", SampleRequest(facet="111", ligand="HCOO"))
    with pytest.raises(ConfigError, match="clusters are made of CdSe"):
        make_frames("cluster", SampleRequest(material="ZnS"))
    with pytest.raises(ConfigError, match="whose sum is above 0"):
        make_frames("cluster", SampleRequest(n_selenide=0, n_chloride=0))


@pytest.mark.parametrize(("facet", "formula"), [("110", "Cd16Se16"), ("111", "Cd12Cl2Se11")])
def test_slabs_of_every_facet(facet, formula):
    (frame,) = make_frames("slab", SampleRequest(facet=facet, n_frames=1))
    assert frame.get_chemical_formula() == formula
    assert facet in frame.info["origin"]


def test_clusters_have_the_asked_for_formula():
    pytest.importorskip("tblite")
    request = SampleRequest(n_selenide=1, n_chloride=1, n_frames=1, temperatures=(300.0, 600.0))
    frames = make_frames("cluster", request)
    assert [f.get_chemical_formula() for f in frames] == ["Cd2Cl2Se"] * 2
    assert {f.info["temperature"] for f in frames} == {300.0, 600.0}


class Spring(Calculator):
    """Two atoms on a spring of stiffness eV/A^2; with rest length 0 they collapse."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, stiffness: float, length: float) -> None:
        super().__init__()
        self.stiffness, self.length = stiffness, length

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        vector = atoms.positions[1] - atoms.positions[0]
        distance = np.linalg.norm(vector)
        pull = self.stiffness * (distance - self.length) * vector / distance
        energy = 0.5 * self.stiffness * (distance - self.length) ** 2
        self.results = {"energy": energy, "forces": np.array([pull, -pull])}


def test_md_samples_the_spring_and_is_seeded():
    start = Atoms("Cl2", [[0, 0, 0], [0, 0, 2.0]])
    options = {"temperature": 300.0, "n_steps": 300, "every": 10, "seed": 3}
    frames = sample_md(start, Spring(20.0, 2.0), **options)
    assert len(frames) == 30
    assert [f.info["md_step"] for f in frames[:2]] == [10, 20]
    lengths = np.array([f.get_distance(0, 1) for f in frames])
    assert 0.005 < lengths.std() < 0.1
    again = sample_md(start, Spring(20.0, 2.0), **options)
    np.testing.assert_array_equal(frames[-1].positions, again[-1].positions)


def test_md_that_collapses_keeps_the_frames_before_and_refuses_none():
    start = Atoms("Cl2", [[0, 0, 0], [0, 0, 2.0]])
    with pytest.raises(LabelError, match="broke within 200 steps"):
        sample_md(start, Spring(5.0, 0.0), temperature=10.0, n_steps=200, every=200)
    frames = sample_md(start, Spring(2.0, 0.0), temperature=10.0, n_steps=300, every=5)
    assert 0 < len(frames) < 60


def run(*arguments: str) -> int:
    """Exit code of `qdml sample ARGUMENTS`."""
    words = ["sample", *arguments]
    with pytest.raises(SystemExit) as stop:
        run_guarded(make_app(words), words)
    return int(stop.value.code or 0)


def test_the_command_writes_frames(tmp_path):
    output = tmp_path / "frames.extxyz"
    assert run("rattle", "--repeat", "1", "-n", "6", "--keep", "3", "-o", str(output)) == 0
    frames = ase.io.read(output, ":")
    assert len(frames) == 3
    assert frames[0].info["origin"] == "bulk-zb-CdSe-rattled-300K"
    chosen = tmp_path / "chosen.extxyz"
    assert run("select", "--from", str(output), "--keep", "2", "-o", str(chosen)) == 0
    kept = [f.positions.tobytes() for f in ase.io.read(chosen, ":")]
    assert len(kept) == 2
    assert set(kept) < {f.positions.tobytes() for f in frames}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("select",), "needs --keep"),
        (("md", "--from", "no.xyz"), "no.xyz: no such file"),
        (("melt",), "melt"),
    ],
)
def test_the_command_answers_bad_input_with_exit_code_2(tmp_path, capsys, arguments, message):
    output = tmp_path / "frames.extxyz"
    assert run(*arguments, "-o", str(output)) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed
    assert not output.exists()
