# SPDX-License-Identifier: MIT
"""Binding modes of carboxylates: planted geometries, shares, lifetimes."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from qdml.analyse.carboxylate import MODES, Binding, binding_modes, mean_shares, mode_of
from qdml.analyse.inputs import Paths
from qdml.analyse.report import make_report
from qdml.analyse.sections_ligands import binding_table
from qdml.errors import DataError
from test_analyse_log import nve_log

FORMATE = [[0.0, 0.0, 0.0], [1.1, 0.6, 0.0], [-1.1, 0.6, 0.0], [0.0, -1.1, 0.0]]


def formate_with(*cadmium: tuple[float, float, float]) -> Atoms:
    """A formate (C, O, O, H) and cadmium atoms at the given places."""
    return Atoms("COOH", FORMATE) + Atoms(f"Cd{len(cadmium)}", cadmium)


PLANTED = {
    # oxygens at (+-1.1, 0.6): a Cd on the axis reaches both, one beyond an O only that one
    "detached": [(0.0, 6.0, 0.0)],
    "monodentate": [(2.6, 2.2, 0.0)],
    "bridging": [(2.6, 2.2, 0.0), (-2.6, 2.2, 0.0)],
    "chelating": [(0.0, 2.6, 0.0)],
    "tilted": [(0.0, 2.6, 0.0), (3.2, 1.4, 0.0)],
}


@pytest.mark.parametrize("mode", MODES)
def test_planted_geometry_has_its_mode(mode):
    found = binding_modes([formate_with(*PLANTED[mode])], ["Cd"])
    assert [MODES[m] for m in found.modes.ravel()] == [mode]


def test_the_cut_decides():
    frames = [formate_with(*PLANTED["chelating"])]
    length = np.linalg.norm(np.array(PLANTED["chelating"][0]) - FORMATE[1])
    assert MODES[binding_modes(frames, ["Cd"], length - 0.01).modes[0, 0]] == "detached"
    assert MODES[binding_modes(frames, ["Cd"], length + 0.01).modes[0, 0]] == "chelating"


def test_other_elements_are_no_cation():
    frame = formate_with(*PLANTED["chelating"])
    frame.symbols[-1] = "Se"
    assert MODES[binding_modes([frame], ["Cd"]).modes[0, 0]] == "detached"


def test_a_shared_cation_with_two_others_is_tilted():
    assert MODES[mode_of({1, 2}, {1, 3})] == "tilted"
    assert MODES[mode_of({1, 2}, {1, 2})] == "tilted"
    assert MODES[mode_of({1, 2}, {3})] == "bridging"


def test_images_across_a_boundary_count():
    frame = formate_with((0.0, 2.6, 0.0))
    frame.set_cell([12.0, 12.0, 12.0])
    frame.pbc = True
    frame.positions[-1] += [0.0, -12.0, 0.0]
    assert MODES[binding_modes([frame], ["Cd"]).modes[0, 0]] == "chelating"


def test_no_carboxylate_is_none():
    assert binding_modes([Atoms("CdSe", [[0, 0, 0], [0, 0, 2.6]])], ["Cd"]) is None
    assert binding_modes([Atoms("CO", [[0, 0, 0], [0, 0, 1.2]])], ["Cd"]) is None
    assert binding_modes([], ["Cd"]) is None


def test_frames_of_other_atoms_are_refused():
    with pytest.raises(DataError, match="frame 1 has other atoms"):
        binding_modes([formate_with((0, 2.6, 0)), formate_with((0, 2.6, 0), (9, 9, 9))], ["Cd"])


def test_shares_and_lifetimes():
    # one ligand leaves mode 2 after two frames and mode 4 after one; another stays in mode 2
    binding = Binding(np.array([[2, 2], [2, 2], [4, 2], [2, 2]]))
    assert binding.shares[2] == pytest.approx(7 / 8)
    assert binding.frame_shares[2].tolist() == [0, 0, 0.5, 0, 0.5]
    life = binding.lifetimes(10.0)
    assert life[2] == pytest.approx(50.0)  # five steps begin in mode 2, one of them leaves it
    assert life[4] == pytest.approx(10.0)
    assert np.isnan(life[0])
    assert np.isinf(Binding(np.array([[1], [1]])).lifetimes(1.0)[1])


def test_report_tells_modes_of_the_run_and_of_the_reference(tmp_path):
    # tilted in three stored frames, 1 ps apart, bridging in the fourth; the reference: chelating
    selenium = Atoms("Se", [[0.0, 5.0, 0.0]])
    text = []
    for k, mode in enumerate(("tilted", "tilted", "tilted", "bridging")):
        atoms = formate_with(*PLANTED[mode]) + selenium
        text.append(
            f"ITEM: TIMESTEP\n{500 * k}\nITEM: NUMBER OF ATOMS\n{len(atoms)}\n"
            "ITEM: BOX BOUNDS ff ff ff\n-20 20\n-20 20\n-20 20\n"
            "ITEM: ATOMS id type element x y z\n"
        )
        for i, (s, r) in enumerate(zip(atoms.symbols, atoms.positions, strict=True), start=1):
            text.append(f"{i} 1 {s} {r[0]:.6f} {r[1]:.6f} {r[2]:.6f}\n")
    (tmp_path / "nve.lammpstrj").write_text("".join(text))
    nve_log(tmp_path / "log.lammps", 1e-8, 1e-6)
    paths = Paths(trajectory=tmp_path / "nve.lammpstrj", log=tmp_path / "log.lammps")
    report = make_report(paths)
    numbers = report.numbers["distances"]
    assert numbers["binding_modes"]["MD"]["tilted"] == pytest.approx(0.75)
    assert numbers["binding_mode_lifetimes_ps"]["tilted"] == pytest.approx(3.0)
    assert numbers["binding_mode_lifetimes_ps"]["chelating"] is None
    assert "75.0" in report.page


def test_mean_shares_over_unrelated_frames():
    frames = [formate_with(*PLANTED["tilted"]), Atoms("Cd"), formate_with(*PLANTED["chelating"])]
    shares = mean_shares(frames, ["Cd"])
    assert shares[MODES.index("tilted")] == shares[MODES.index("chelating")] == 0.5
    assert mean_shares([Atoms("Cd")], ["Cd"]) is None


def test_table_holds_what_is_known_and_nothing_else():
    run = Binding(np.array([[4, 2], [4, 2], [2, 2]]))
    assert binding_table(None) == ("", {})
    page, numbers = binding_table(run)
    assert list(numbers) == ["binding_modes"]
    assert "mean time" not in page
    page, numbers = binding_table(run, np.array([0, 0, 0.2, 0, 0.8]), spacing=0.25)
    assert numbers["binding_modes"]["DFT dots"]["tilted"] == 0.8
    # two steps begin in tilted, one of them leaves it: 2 x 0.25 ps
    assert numbers["binding_mode_lifetimes_ps"]["tilted"] == pytest.approx(0.5)
    assert "0.25 ps apart" in page
