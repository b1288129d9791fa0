"""`qdml validate`: which atoms leave a dot, which bonds change, coordination and angles."""
# SPDX-License-Identifier: MIT

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from qdml.analyse.drift import Drift
from qdml.analyse.surface import find_roles
from qdml.cli.main import make_app, run_guarded
from qdml.validate import bonds, dynamics, figures, motion_rows, order_table
from qdml.validate.local_order import find_groups, local_order

SPACING = 0.05  # ps between the frames of made trajectories

# Cl-Cd-Se-Cd-Cl in a row; Cd-Cl 2.4 A is 0.98 of the sum of the covalent radii (2.46 A)
ROW = Atoms("Cd2SeCl2", [[0, 0, 0], [5.2, 0, 0], [2.6, 0, 0], [-2.4, 0, 0], [7.6, 0, 0]])
CD_CL = 2.46
ROLES = find_roles({"Cd", "Se", "Cl"})


def stretched(ratio):
    """The row with its last Cd-Cl bond at `ratio` times the sum of the covalent radii."""
    atoms = ROW.copy()
    atoms.positions[4, 0] = 5.2 + ratio * CD_CL
    return atoms


def trajectory(*parts):
    """Frames of (ratio of the last bond, picoseconds)."""
    return [stretched(ratio) for ratio, time in parts for _ in range(round(time / SPACING))]


def judge(frames):
    """States and texts of the rows of a run."""
    run = bonds.follow(frames)
    losses = bonds.find_losses(run.detached, SPACING)
    picoseconds = SPACING * (len(frames) - 1)
    return run, losses, list(motion_rows.intact_rows("dot", run, losses, picoseconds, ROLES))


# 20 frames span 0.95 ps
@pytest.mark.parametrize("away", [0.05, 0.1, 1.0])
def test_a_ligand_that_comes_back_is_not_lost(away):
    run, losses, rows = judge(trajectory((1, 2.0), (2, away), (1, 2.0)))
    assert run.detached.any()
    assert losses.since is None
    assert [r.state for r in rows] == ["PASS", "PASS", "-"]
    assert rows[0].value == "0; at most 1 away in one frame"


@pytest.mark.parametrize(
    "parts", [[(1, 2.0), (2, 3.0)], [(1, 2.0), (2, 1.05), (1, 2.0)]], ids=["for good", "for 1 ps"]
)
def test_a_ligand_away_for_a_picosecond_is_lost_wherever_in_the_run(parts):
    _, losses, rows = judge(trajectory(*parts))
    assert losses.since == pytest.approx(2.0)
    assert losses.lost.tolist() == [False] * 4 + [True]
    assert [r.state for r in rows] == ["FAIL", "PASS", "FAIL"]
    assert rows[0].value.startswith("1 (Cl, first at 2 ps)")
    assert "away for 1 ps" in rows[0].name


def test_stays_away_in_turn_are_not_one_loss():
    # one Cl or the other is away for 3 ps, neither of them for 1 ps
    other = ROW.copy()
    other.positions[3, 0] = -2 * CD_CL
    turns = [other] * 18 + [stretched(2.0)] * 18
    _, losses, rows = judge([ROW] * 10 + turns + turns + [ROW] * 10)
    assert not losses.lost.any()
    assert rows[0].state == "PASS"


def test_half_of_a_short_run_is_enough():
    run = bonds.follow(trajectory((1, 0.2), (2, 0.25)))
    losses = bonds.find_losses(run.detached, SPACING)
    assert losses.window == pytest.approx(0.2)
    assert losses.lost.any()
    assert not bonds.find_losses(bonds.follow([ROW]).detached, SPACING).lost.any()
    assert bonds.find_losses(bonds.follow([stretched(2.0)]).detached, SPACING).lost.any()


def test_a_bond_breaks_at_a_longer_distance_than_it_forms():
    ratios = [1.4, 1.2, 1.4, 1.6, 1.4, 1.2]
    run = bonds.follow([stretched(r) for r in ratios])
    k = run.pairs.tolist().index([1, 4])
    assert run.bonded[:, k].tolist() == [False, True, True, False, False, True]
    assert run.detached[:, 4].tolist() == [True, False, False, True, True, False]
    # what was bonded in the start is so at 1.4
    assert [1, 4] in bonds.follow([stretched(1.4)], ROW).pairs.tolist()
    assert [1, 4] not in bonds.follow([stretched(1.4)]).pairs.tolist()


def test_the_dot_is_the_piece_that_held_most_of_it():
    # cut in two, and then the larger part once more: it stays the dot, though no longer larger
    frames = [ROW.copy() for _ in range(3)]
    for atoms in frames[1:]:
        atoms.positions[[0, 3], 0] -= 5.0
    frames[2].positions[4, 0] += 5.0
    run = bonds.follow(frames)
    assert run.detached.sum(axis=1).tolist() == [0, 2, 3]
    assert run.detached[2].tolist() == [True, False, False, True, True]


def test_bonds_broken_and_made_are_told_from_those_that_come_and_go():
    n = 50
    held = np.ones(n, dtype=bool)
    broken = np.arange(n) < 25
    made = ~broken
    blinking = np.arange(n) % 2 == 0
    once = held & (np.arange(n) != 3)  # away in one of the first ten frames
    found = bonds.find_changes(np.column_stack([held, broken, broken, made, blinking, once]))
    assert found == bonds.Changes(first=4, broken=2, made=1)


def test_changed_bonds_are_told_by_kind():
    # the Cl of the right end moves over to the left Cd
    moved = ROW.copy()
    moved.positions[4] = [0, 2.4, 0]
    run = bonds.follow([ROW] * 30 + [moved] * 30)
    rows = list(motion_rows.intact_rows("dot", run, bonds.find_losses(run.detached, 0.1), 6, ROLES))
    assert rows[2].value == "Cd-Se 0, 0 of 2; Cd-Cl 1, 1 of 2"
    assert rows[2].state == "-"


def test_like_charges_hold_nothing_together_and_touching_atoms_are_seen():
    pair = Atoms("CdClCl", [[0, 0, 0], [2.4, 0, 0], [4.6, 0, 0]])
    assert bonds.follow([pair]).detached.tolist() == [[False, False, True]]
    near = ROW.copy()
    near.positions[3] = [-1.2, 0, 0]
    run = bonds.follow([ROW, near, ROW])
    assert run.shortest.ratio == pytest.approx(1.2 / CD_CL)
    assert run.shortest.pair in ("Cd-Cl", "Cl-Cd")
    losses = bonds.find_losses(run.detached, SPACING)
    rows = list(motion_rows.intact_rows("dot", run, losses, 0.1, None))
    assert [r.state for r in rows] == ["PASS", "FAIL"]


def test_like_ions_are_shown_beside_the_pairs_that_bond():
    pair = Atoms("CdCdSe", [[0, 0, 0], [1.5, 0, 0], [0.75, 2.5, 0]])
    run = bonds.follow([pair])
    assert run.shortest_like == (pytest.approx(1.5 / (2 * 1.44)), "Cd-Cd")
    assert run.shortest.pair in ("Cd-Se", "Se-Cd")
    losses = bonds.find_losses(run.detached, SPACING)
    rows = list(motion_rows.intact_rows("dot", run, losses, 0.1, None))
    assert (rows[1].value, rows[1].state) == ("0.99 (Cd-Se); of like ions 0.52 (Cd-Cd)", "PASS")
    alone = bonds.follow([Atoms("CdSe", [[0, 0, 0], [0, 0, 2.6]])])
    assert alone.shortest_like == (np.inf, "")
    assert "like" not in list(motion_rows.intact_rows("dot", alone, losses, 0.1, None))[1].value


def crystal(symbols, structure, a):
    """A block of a crystal, cut free."""
    atoms = bulk(symbols, structure, a=a, cubic=True).repeat(3)
    atoms.pbc = False
    return atoms


def order_of(atoms):
    """Roles, groups and local order of one structure."""
    roles = find_roles(set(atoms.symbols))
    groups = find_groups(atoms, roles)
    return roles, groups, local_order([atoms], bonds.follow([atoms]), roles, groups)


def test_zinc_blende_has_four_bonds_at_the_tetrahedral_angle():
    _, groups, found = order_of(crystal("CdSe", "zincblende", 6.05))
    tetrahedral = np.degrees(np.arccos(-1 / 3))
    for role in ("cation", "anion"):
        assert (found.coordination[role, "core"] == 4).all()
        assert found.coordination[role, "surface"].max() < 4
        n_core = groups[role, "core"].sum()
        assert len(found.angles[role, "core"]) == 6 * n_core
        assert found.angles[role, "core"] == pytest.approx(tetrahedral, abs=1e-4)


def test_rock_salt_has_six_bonds_at_right_angles_and_opposite():
    roles, groups, found = order_of(crystal("PbSe", "rocksalt", 6.2))
    assert (found.coordination["cation", "core"] == 6).all()
    angles = found.angles["anion", "core"]
    n_core = groups["anion", "core"].sum()
    assert np.isclose(angles, 90, atol=1e-4).sum() == 12 * n_core
    assert np.isclose(angles, 180, atol=1e-4).sum() == 3 * n_core
    _, numbers = order_table.order_table({"start": found}, groups, roles)
    moments = numbers["start"]["angles"]
    assert moments["cation/core/adjacent"] == {"mean": pytest.approx(90), "sd": pytest.approx(0)}
    assert moments["cation/core/opposite"]["mean"] == pytest.approx(180)
    assert numbers["start"]["coordination"]["cation/core"]["shares"][6] == 1.0


def test_a_tilted_perovskite_has_a_bent_bridge_and_octahedra():
    cell = Atoms(
        "CsPbBr3", [[0.5] * 3, [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]],
        cell=[1, 1, 1],
    )  # fmt: skip
    cell.set_cell(6.0 * np.eye(3), scale_atoms=True)
    atoms = cell.repeat(3)
    atoms.pbc = False
    along_x = (atoms.symbols == "Br") & (atoms.positions[:, 0] % 6 > 1)
    atoms.positions[along_x, 1] += 0.3
    roles, groups, found = order_of(atoms)
    assert (found.coordination["anion", "core"] == 2).all()
    bent = 180 - 2 * np.degrees(np.arctan(0.1))
    bridges = np.unique(found.angles["anion", "core"].round(6))
    assert bridges == pytest.approx([bent, 180], abs=1e-4)
    _, numbers = order_table.order_table({"start": found}, groups, roles)
    assert {"cation/surface/opposite", "anion/core"} <= set(numbers["start"]["angles"])


def test_the_carbon_of_a_carboxylate_is_no_bond():
    # Cd-C 2.60 A lies below 1.3 times the sum of the covalent radii (2.86 A)
    atoms = Atoms("CdOOCHSe", [[0, 0, 0], [2.3, 1.1, 0], [2.3, -1.1, 0], [2.6, 0, 0], [3.7, 0, 0],
                               [-2.6, 0, 0]])  # fmt: skip
    assert find_roles(set(atoms.symbols)).donors == ("O",)
    assert find_roles({"Cd", "Se", "C", "H"}).donors == ("C", "H")
    _, _, found = order_of(atoms)
    assert found.coordination["cation", "surface"].tolist() == [[3]]
    assert found.coordination["anion", "surface"].tolist() == [[1]]


def test_coordination_follows_the_run_in_the_regions_of_the_start():
    start = crystal("CdSe", "zincblende", 6.05)
    roles, groups, still = order_of(start)
    broken = start.copy()
    core = int(np.flatnonzero(groups["cation", "core"])[0])
    # a core atom leaves: four anions and the atom itself lose bonds, no atom changes its group
    broken.positions[core] += [80.0, 0, 0]
    frames = [start, broken]
    moved = local_order(frames, bonds.follow(frames, start), roles, groups)
    assert (moved.coordination["cation", "core"][0] == 4).all()
    assert sorted(moved.coordination["cation", "core"][1].tolist())[:2] == [0, 4]
    anions = [("anion", "core"), ("anion", "surface")]
    before = sum(still.coordination[group].sum() for group in anions)
    assert before - sum(moved.coordination[group][1].sum() for group in anions) == 4


def test_drawn_angles_keep_their_area_at_the_ends():
    _, _, found = order_of(crystal("PbSe", "rocksalt", 6.2))
    angle, density = found.angle_density(("cation", "core"))
    assert density.sum() * (angle[1] - angle[0]) == pytest.approx(1.0)
    assert density[angle > 150].sum() * (angle[1] - angle[0]) == pytest.approx(0.2)


def test_figures_have_a_panel_per_group_and_say_where_there_is_none():
    roles, groups, found = order_of(crystal("PbSe", "rocksalt", 6.2))
    orders = {"start": found, "300 K": found}
    titles = order_table.coordination_titles(roles, groups)
    del titles["anion", "surface"]
    drawing = figures.draw_local_coordination(orders, titles, "start")
    axes = drawing.axes
    assert [len(axis.patches) > 0 for axis in axes] == [True, True, True, False]
    assert axes[3].texts[0].get_text() == "none: anion, surface"
    assert axes[0].get_title(loc="left") == "Pb: bonds to Se, core"
    found.angles["cation", "surface"] = np.empty(0)  # one bond each
    drawing = figures.draw_local_angles(orders, order_table.angle_titles(roles, groups), "start")
    assert [len(axis.texts) for axis in drawing.axes] == [0, 1, 0, 0]
    assert drawing.axes[2].get_title(loc="left") == "Pb–Se–Pb, core"
    assert [line.get_color() for line in drawing.axes[0].lines] == [figures.START, "#0072B2"]


@pytest.mark.parametrize(("picoseconds", "gap"), [(100.0, 0.1), (2.0, 0.01), (0.1, 0.002)])
def test_frames_are_kept_often_enough_to_see_an_atom_leave(picoseconds, gap):
    assert dynamics.frame_spacing(ROW, picoseconds) == pytest.approx(gap)


def test_the_drift_needs_two_errors_to_the_limit():
    drift = Drift(
        time_ps=np.linspace(0, 1, 5), energy=np.zeros(5), temperature=None, slope=-6e-5,
        slope_error=1e-5, intercept=0.0, fluctuation=0.0, inefficiency=1.0, n_atoms=5,
        ensemble="nve",
    )  # fmt: skip
    assert motion_rows.drift_row(drift).state == "PASS"
    assert motion_rows.drift_row(replace(drift, slope_error=3e-5)).state == "FAIL"


def test_a_charged_dot_gets_a_row_that_judges_nothing():
    assert list(motion_rows.charge_rows(ROW)) == []
    (row,) = motion_rows.charge_rows(ROW[:4])
    assert row.state == "-"
    assert row.value.startswith("+1 (2 Cd +2, 1 Se -2, 1 Cl -1), 0 expected")
    declared = ROW[:4]
    declared.info["charge"] = 1
    assert list(motion_rows.charge_rows(declared)) == []


def test_a_cut_structure_is_refused_before_anything_is_run(tmp_path, capsys):
    path = tmp_path / "dot.xyz"
    write(path, ROW)
    path.write_text("\n".join(path.read_text().splitlines()[:-2]) + "\n")
    model = tmp_path / "model.qdml"
    model.write_bytes(b"")
    with pytest.raises(SystemExit) as stop:
        run_guarded(
            make_app(["validate"]), ["validate", str(model), "-m", "CdSe", "--dot", str(path)]
        )
    assert stop.value.code == 2
    assert "the header says 5 atoms (line 1), only 3 atom lines follow" in capsys.readouterr().err
