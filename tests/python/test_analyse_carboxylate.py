# SPDX-License-Identifier: MIT
"""Binding modes of carboxylates: planted geometries, shares, lifetimes."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from qdml.analyse.carboxylate import MODES, Binding, binding_modes, mode_of
from qdml.errors import DataError

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
