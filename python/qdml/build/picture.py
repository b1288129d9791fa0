# SPDX-License-Identifier: MIT
"""Picture of a dot: shaded spheres and bonds with depth, a legend and a scale bar."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.spatial import cKDTree

from qdml.build.charges import CATIONS
from qdml.build.distances import is_bond
from qdml.build.dot import DotResult

# Hues told apart also by the colour-blind (after Okabe and Ito); ligand atoms are lighter.
COLORS = {
    "Cd": "#c9962c",
    "Zn": "#7d80b0",
    "In": "#a6757b",
    "Pb": "#56606e",
    "Cs": "#b58fd0",
    "S": "#e6c619",
    "Se": "#c4441c",
}
COLORS |= {"Te": "#8b4513", "P": "#e07b00", "F": "#9fd8c0", "Cl": "#2e9e5b", "Br": "#8c3b2a"}
COLORS |= {"I": "#7b3fa0", "O": "#d62839", "C": "#4d4d4d", "N": "#3050d0", "H": "#e8e8e8"}
SPHERE_SCALE = 0.62  # of the covalent radius
BOND_RADIUS = 0.20  # Å
# Viewing angles (degrees about y, then x): off every symmetry plane, so few atoms hide each other.
VIEW = (24.0, -16.0)
LIGHT = np.array([-0.45, 0.55, 0.70])
FOG = 0.55  # how far the deepest atoms fade to the white background


OTHER_COLOR = "#c080b0"
LONG_TITLE = 42  # characters that fit at full size


def draw_dot(result: DotResult, path: Path, pixels: int = 1400) -> None:
    """Render the dot and write a PNG of about `pixels` squared."""
    atoms = result.atoms
    symbols = atoms.get_chemical_symbols()
    positions = (atoms.positions - atoms.positions.mean(axis=0)) @ view_rotation().T
    radii = np.array([SPHERE_SCALE * covalent_radii[atomic_numbers[s]] for s in symbols])
    radii = np.maximum(radii, 1.4 * BOND_RADIUS)  # hydrogen stays visible at the end of its bond
    half = float((np.abs(positions[:, :2]) + radii[:, None]).max()) + 0.8  # Å of margin
    canvas = Canvas(half, pixels, z_range=(positions[:, 2].min(), positions[:, 2].max()))
    colors = np.array([to_rgb(COLORS.get(s, OTHER_COLOR)) for s in symbols])
    for i, j in _bonds(symbols, positions, atoms.arrays["ligand_index"]):
        middle = (positions[i] + positions[j]) / 2
        canvas.add_cylinder(positions[i], middle, colors[i])
        canvas.add_cylinder(middle, positions[j], colors[j])
    for position, radius, color in zip(positions, radii, colors, strict=True):
        canvas.add_sphere(position, radius, color)
    summary = result.summary
    subtitle = f"{summary.n_atoms} atoms, core {summary.diameter_core / 10:.2f} nm, formal charge 0"
    write_figure(canvas.image(), half, path, summary.formula, subtitle, summary.composition)


def write_figure(
    image: np.ndarray,
    half: float,
    path: Path,
    title: str,
    subtitle: str,
    composition: dict[str, int],
    *,
    is_formula: bool = True,
) -> None:
    """Put a rendered image of 2 x `half` Å into a figure with title, legend and scale bar.

    Digits of a title that `is_formula` are set as subscripts.
    """
    figure = Figure(figsize=(7.0, 7.6), dpi=200)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.09, 0.96, 0.83))
    axes.imshow(image, extent=(-half, half, -half, half), interpolation="antialiased")
    axes.set_axis_off()
    subscripted = (
        "".join(f"$_{{{c}}}$" if c.isdigit() else c for c in title) if is_formula else title
    )
    size = min(16.0, 16.0 * LONG_TITLE / len(title))
    figure.text(0.5, 0.955, subscripted, ha="center", va="center", fontsize=size)
    figure.text(0.5, 0.922, subtitle, ha="center", va="center", fontsize=10, color="0.35")
    handles = [
        Line2D(
            [],
            [],
            marker="o",
            ls="",
            ms=9,
            mfc=COLORS.get(s, OTHER_COLOR),
            mec="0.3",
            mew=0.5,
            label=f"{s}  {n}",
        )
        for s, n in composition.items()
    ]
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.04, 0.02),
        ncols=5 if len(handles) <= 5 and max(composition.values()) < 10_000 else 4,
        frameon=False,
        fontsize=10,
        handletextpad=0.2,
        columnspacing=1.2,
    )
    # Å; short enough to leave room for the legend
    bar = max(b for b in (5.0, 10.0, 20.0, 50.0, 100.0, 200.0) if b <= max(5.0, 0.56 * half))
    x1, y = 0.97 * half, -1.06 * half
    axes.plot([x1 - bar, x1], [y, y], color="black", lw=3, solid_capstyle="butt", clip_on=False)
    axes.text(x1 - bar / 2, y - 0.02 * half, f"{bar / 10:g} nm", ha="center", va="top", fontsize=10)
    axes.set_xlim(-half, half)
    axes.set_ylim(-half, half)
    figure.savefig(path, facecolor="white")


def view_rotation() -> np.ndarray:
    """Rotation matrix [3, 3] of the view."""
    about_y, about_x = np.radians(VIEW)
    cy, sy, cx, sx = np.cos(about_y), np.sin(about_y), np.cos(about_x), np.sin(about_x)
    turn_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    turn_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    return turn_x @ turn_y


def _bonds(
    symbols: list[str], positions: np.ndarray, ligand_index: np.ndarray
) -> list[tuple[int, int]]:
    """Pairs that are drawn as bonds: nearer than 1.2 (Pb 1.3) times the sum of covalent radii."""
    radii = np.array([covalent_radii[atomic_numbers[s]] for s in symbols])
    pairs = []
    for i, j in sorted(cKDTree(positions).query_pairs(2.6 * radii.max())):
        a, b = symbols[i], symbols[j]
        within_ligand = a not in CATIONS and b not in CATIONS
        distance = np.linalg.norm(positions[i] - positions[j])
        if (a == "P" and ligand_index[i] >= 0) != (b == "P" and ligand_index[j] >= 0) and (
            a in CATIONS or b in CATIONS
        ):  # P of a phosphonate binds through its oxygens
            continue
        if "Cs" in (a, b):  # twelve long ionic contacts would hide the octahedra
            continue
        # Bridging ligands of Pb lie farther out than its radius tells: up to 3.2 Å for Cl.
        factor = 1.3 if "Pb" in (a, b) else 1.2
        if (is_bond(a, b) or within_ligand) and distance < factor * (radii[i] + radii[j]):
            pairs.append((i, j))
    return pairs


class Canvas:
    """Orthographic depth-buffered image, rendered at twice the final resolution."""

    def __init__(self, half: float, pixels: int, z_range: tuple[float, float]) -> None:
        self.n = 2 * pixels
        self.axis = (np.arange(self.n) + 0.5) / self.n * 2 * half - half
        self.scale = self.n / (2 * half)
        self.half = half
        self.color = np.ones((self.n, self.n, 3), dtype=np.float32)
        self.depth = np.full((self.n, self.n), -np.inf, dtype=np.float32)
        self.z_low, self.z_high = z_range

    def add_sphere(self, center: np.ndarray, radius: float, color: np.ndarray) -> None:
        """Draw one sphere; lengths in Å."""
        rows, columns, x, y = self._window(center[:2] - radius, center[:2] + radius)
        dx, dy = (x - center[0]) / radius, (y - center[1]) / radius
        inside = dx**2 + dy**2 < 1
        nz = np.sqrt(np.where(inside, 1 - dx**2 - dy**2, 0))
        self._paint(rows, columns, inside, center[2] + radius * nz, (dx, dy, nz), color)

    def add_cylinder(self, start: np.ndarray, end: np.ndarray, color: np.ndarray) -> None:
        """Draw one bond of radius BOND_RADIUS between two points, Å."""
        axis = end - start
        length = np.linalg.norm(axis)
        axis = axis / length
        across = np.hypot(axis[0], axis[1])
        if across < 1e-3:  # seen end-on: hidden behind its own atom
            return
        low = np.minimum(start, end)[:2] - BOND_RADIUS
        high = np.maximum(start, end)[:2] + BOND_RADIUS
        rows, columns, x, y = self._window(low, high)
        x, y = x - start[0], y - start[1]
        # Line of sight (x, y, z): distance from the axis is BOND_RADIUS at the larger z.
        offset = (x * axis[1] - y * axis[0]) / across
        rise = np.sqrt(np.maximum(BOND_RADIUS**2 - offset**2, 0))
        along_xy = (x * axis[0] + y * axis[1]) / across
        z = (along_xy * axis[2] + rise) / across
        along = along_xy * across + z * axis[2]
        inside = (np.abs(offset) < BOND_RADIUS) & (along >= 0) & (along <= length)
        normal = [(p - along * a) / BOND_RADIUS for p, a in zip((x, y, z), axis, strict=True)]
        self._paint(rows, columns, inside, start[2] + z, normal, color)

    def image(self) -> np.ndarray:
        """Final picture [n, n, 3], outlines at depth steps, averaged down to half resolution."""
        step = np.zeros_like(self.depth)
        depth = np.where(np.isfinite(self.depth), self.depth, self.z_low - 3)
        for shift in (-2, 2):
            for axis in (0, 1):
                step = np.maximum(step, np.roll(depth, shift, axis) - depth)
        edge = np.clip((step - 0.5) / 1.5, 0, 1)[..., None] * 0.55
        edge[~np.isfinite(self.depth)] *= 0.9
        image = self.color * (1 - edge)
        n = self.n // 2
        return np.clip(image.reshape(n, 2, n, 2, 3).mean(axis=(1, 3)), 0, 1)

    def _window(self, low: np.ndarray, high: np.ndarray) -> tuple:
        """Pixel slices and coordinates of a rectangle; row 0 is the top of the picture."""
        first = np.clip(np.floor((low + self.half) * self.scale), 0, self.n).astype(int)
        last = np.clip(np.ceil((high + self.half) * self.scale), 0, self.n).astype(int)
        columns = slice(first[0], last[0])
        rows = slice(self.n - last[1], self.n - first[1])
        return rows, columns, self.axis[columns][None, :], -self.axis[rows][:, None]

    def _paint(self, rows, columns, inside, z, normal, color) -> None:
        """Shade (Lambert, highlight, fog) the pixels that lie in front of what is there."""
        depth = self.depth[rows, columns]
        front = inside & (z > depth)
        light = LIGHT / np.linalg.norm(LIGHT)
        lambert = np.clip(sum(n * c for n, c in zip(normal, light, strict=True)), 0, 1)
        mirror = light + np.array([0, 0, 1])
        mirror = mirror / np.linalg.norm(mirror)
        shine = np.clip(sum(n * c for n, c in zip(normal, mirror, strict=True)), 0, 1) ** 40
        shade = color * (0.42 + 0.62 * lambert[..., None]) + 0.35 * shine[..., None]
        span = max(self.z_high - self.z_low, 1e-6)
        fog = FOG * np.clip((self.z_high - z) / span, 0, 1)[..., None]
        shade = np.clip(shade, 0, 1) * (1 - fog) + fog
        self.color[rows, columns] = np.where(front[..., None], shade, self.color[rows, columns])
        self.depth[rows, columns] = np.where(front, z, depth)
