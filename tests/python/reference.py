# SPDX-License-Identifier: MIT
"""docs/conventions.md in numpy, term by term and one edge at a time: the engine's yardstick."""

from __future__ import annotations

import numpy as np
from ase.data import atomic_numbers

# term -> (l_in it needs, l_out it adds to), the table of docs/conventions.md
TERMS = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2), (2, 2)]


def silu(x):
    return x / (1 + np.exp(-x))


def matrix(t):
    """[..., 5] components xx yy xy yz zx to full matrices [..., 3, 3]."""
    xx, yy, xy, yz, zx = np.moveaxis(t, -1, 0)
    rows = [[xx, xy, zx], [xy, yy, yz], [zx, yz, -xx - yy]]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def components(m):
    return np.stack([m[..., 0, 0], m[..., 1, 1], m[..., 0, 1], m[..., 1, 2], m[..., 2, 0]], -1)


def bracket(a, b):
    """[a b]: symmetric traceless product of vectors [..., 3]."""
    outer = a[..., :, None] * b[..., None, :]
    trace = np.sum(a * b, axis=-1)[..., None, None]
    return components((outer + np.swapaxes(outer, -1, -2)) / 2 - trace / 3 * np.eye(3))


def radial(table, r, cutoff):
    """Cubic B-spline of `table` [K + 3, P, C] at r."""
    spacing = cutoff / (len(table) - 3)
    n = int(r // spacing)
    t = r / spacing - n
    b = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    return sum(b[a] / 6 * table[n + a] for a in range(4))


def message(h, u, functions, l_in, l_out):
    """Message of sender features h = {l: [C, 2l+1]} along the unit vector u: {l: [C, 2l+1]}."""
    channels = len(h[0])
    u = np.broadcast_to(u, (channels, 3))
    s = h[0]
    v = h.get(1, np.zeros((channels, 3)))
    t = h.get(2, np.zeros((channels, 5)))
    d = np.sum(u * v, axis=1)[:, None]
    w = np.einsum("cab,cb->ca", matrix(t), u)
    e = np.sum(u * w, axis=1)[:, None]
    values = [s, d, e, s * u, d * u, v, w, s * bracket(u, u), bracket(u, v), bracket(u, w), t]
    present = [k for k, (a, b) in enumerate(TERMS) if a <= l_in and b <= l_out]
    out = {degree: np.zeros((channels, 2 * degree + 1)) for degree in range(l_out + 1)}
    for position, k in enumerate(present):
        out[TERMS[k][1]] += functions[position][:, None] * values[k]
    return out


def zbl(a, b, r, r_max):
    """Screened repulsion of two chemical symbols, eV."""
    za, zb = atomic_numbers[a], atomic_numbers[b]
    x = r / (0.46850 / (za**0.23 + zb**0.23))
    phi = 0.18175 * np.exp(-3.19980 * x) + 0.50986 * np.exp(-0.94229 * x)
    phi += 0.28022 * np.exp(-0.40290 * x) + 0.02817 * np.exp(-0.20162 * x)
    y = r / r_max
    switch = 1 - 28 * y**6 + 48 * y**7 - 21 * y**8 if y < 1 else 0.0
    return 14.399645478425668 * za * zb / r * phi * switch


def energies(document, tensors, species, edges):
    """E_i (eV) of all atoms; `edges` are (center, neighbour, r_ij) within the cutoff."""
    arch, n = document["architecture"], len(species)
    h = {0: tensors["embedding.weight"][species][:, :, None]}
    for t, layer in enumerate(arch["layers"]):
        name = f"layers.{t}"
        l_in, l_out = layer["l_in"], layer["l_out"]
        big_h = {
            degree: np.einsum("nfm,fc->ncm", x, tensors[f"{name}.linear_in.l{degree}.weight"])
            for degree, x in h.items()
        }
        channels = arch["message_channels"]
        a = {degree: np.zeros((n, channels, 2 * degree + 1)) for degree in range(l_out + 1)}
        for i, j, vector in edges:
            r = np.linalg.norm(vector)
            functions = radial(tensors[f"{name}.radial"], r, arch["cutoff"])
            sender = {degree: x[j] for degree, x in big_h.items()}
            for degree, m in message(sender, vector / r, functions, l_in, l_out).items():
                a[degree][i] += m
        z = {}
        for degree in range(l_out + 1):
            weight = tensors[f"{name}.linear_out.l{degree}.weight"]
            z[degree] = np.einsum("ncm,cf->nfm", a[degree], weight)
            if t > 0 and degree <= l_in:
                weight = tensors[f"{name}.self_connection.l{degree}.weight"][species]
                z[degree] += np.einsum("nfm,nfg->ngm", h[degree], weight)
        widths = layer["channels_out"]
        h, start = {0: silu(z[0][:, : widths[0]])}, widths[0]
        for degree in range(1, l_out + 1):
            gate = silu(z[0][:, start : start + widths[degree]])
            h[degree] = z[degree] * gate
            start += widths[degree]
    x = h[0][:, :, 0]
    for k in range(len(arch["readout"]) + 1):
        x = x @ tensors[f"readout.{k}.weight"]
        x = silu(x) if k < len(arch["readout"]) else x
    total = tensors["energy.reference"][species] + tensors["energy.scale"][species] * x[:, 0]
    if "zbl.r_max" in tensors:
        for i, j, vector in edges:
            a, b = species[i], species[j]
            symbols = document["species"][a], document["species"][b]
            r = np.linalg.norm(vector)
            total[i] += 0.5 * zbl(*symbols, r, tensors["zbl.r_max"][a, b])
    return total
