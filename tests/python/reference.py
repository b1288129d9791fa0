# SPDX-License-Identifier: MIT
"""docs/conventions.md in numpy, term by term and one edge at a time: the engine's yardstick."""

from __future__ import annotations

import itertools

import numpy as np
from ase.data import atomic_numbers

# (l_in it needs, l_out it adds to) of the terms, the table of docs/conventions.md; the two marked
# ones only where l_in or l_out is 3
TERMS = [
    (0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2), (2, 2),
    (3, 0), (2, 1), (3, 1), (1, 2), (3, 2), (3, 2),
    (0, 3), (1, 3), (2, 3), (2, 3), (3, 3), (3, 3),
]  # fmt: skip
MARKED = (12, 14)


def silu(x):
    return x / (1 + np.exp(-x))


def elements(t, degree):
    """Stored components [C, 2l+1] to full tensors [C, 3, 3, ...]."""
    if degree == 0:
        return t[:, 0]
    if degree == 1:
        return t
    if degree == 2:
        xx, yy, xy, yz, zx = t.T
        rows = [[xx, xy, zx], [xy, yy, yz], [zx, yz, -xx - yy]]
        return np.moveaxis(np.array(rows), -1, 0)
    xxx, xxy, xyy, yyy, xxz, xyz, yyz = t.T
    by_index = {
        "000": xxx, "001": xxy, "011": xyy, "111": yyy, "002": xxz, "012": xyz, "112": yyz,
        "022": -xxx - xyy, "122": -xxy - yyy, "222": -xxz - yyz,
    }  # fmt: skip
    out = np.empty((len(t), 3, 3, 3))
    for index in itertools.product(range(3), repeat=3):
        out[(slice(None), *index)] = by_index["".join(map(str, sorted(index)))]
    return out


def components(a, degree):
    """Full tensors to stored components."""
    if degree < 2:
        return a.reshape(len(a), -1)
    if degree == 2:
        return np.stack([a[:, 0, 0], a[:, 1, 1], a[:, 0, 1], a[:, 1, 2], a[:, 2, 0]], -1)
    stored = ["000", "001", "011", "111", "002", "012", "112"]
    return np.stack([a[(slice(None), *map(int, index))] for index in stored], -1)


def bracket(u, times, a):
    """[r̂ ... r̂ A]: symmetric traceless part of `times` factors u [C, 3] and the tensors A."""
    for _ in range(times):
        a = np.einsum("ci,c...->ci...", u, a)
    rank = a.ndim - 1
    orders = list(itertools.permutations(range(1, rank + 1)))
    a = sum(np.transpose(a, (0, *order)) for order in orders) / len(orders)
    eye = np.eye(3)
    if rank == 2:
        a = a - np.einsum("cii,jk->cjk", a, eye) / 3
    if rank == 3:
        trace = np.einsum("ciij->cj", a) / 5
        for names in ("cjkl", "cklj", "cljk"):
            a = a - np.einsum(f"cj,kl->{names}", trace, eye)
    return a


def radial(table, r, cutoff):
    """Cubic B-spline of `table` [K + 3, P, C] at r."""
    spacing = cutoff / (len(table) - 3)
    n = int(r // spacing)
    t = r / spacing - n
    b = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    return sum(b[a] / 6 * table[n + a] for a in range(4))


def message(h, u, functions, l_in, l_out, separated=False):
    """Message of sender features h = {l: [C, 2l+1]} along the unit vector u.

    Returns {l: [slots C, 2l+1]}: one slot, or one per term of that degree when `separated`.
    """
    channels = len(h[0])
    u = np.broadcast_to(u, (channels, 3))

    def dot(a):
        return np.einsum("c...i,ci->c...", a, u)

    s, v, t, q = (
        elements(h.get(degree, np.zeros((channels, 2 * degree + 1))), degree) for degree in range(4)
    )
    d, w, m = dot(v), dot(t), dot(q)
    e, p = dot(w), dot(m)
    f = dot(p)

    def sym(times, a):
        return bracket(u, times, a)

    values = [
        s, d, e, sym(1, s), sym(1, d), v, w, sym(2, s), sym(1, v), sym(1, w), t,
        f, sym(1, e), p, sym(2, d), sym(1, p), m,
        sym(3, s), sym(2, v), sym(2, w), sym(1, t), sym(1, m), q,
    ]  # fmt: skip
    # separated: the Clebsch-Gordan path of the term, which lacks a share of another term
    shares = {
        4: v / 3, 9: t / 3, 12: 0.4 * w, 14: 0.4 * sym(1, v), 15: 0.4 * m, 19: 0.4 * sym(1, t),
        21: q / 3,
    }  # fmt: skip
    present = [
        k
        for k, (a, b) in enumerate(TERMS)
        if a <= l_in and b <= l_out and (k not in MARKED or 3 in (l_in, l_out))
    ]
    slots = {degree: [] for degree in range(l_out + 1)}
    for position, k in enumerate(present):
        degree = TERMS[k][1]
        value = values[k] - shares[k] if separated and k in shares else values[k]
        slots[degree].append(functions[position][:, None] * components(value, degree))
    if separated:
        return {degree: np.concatenate(parts) for degree, parts in slots.items()}
    return {degree: sum(parts) for degree, parts in slots.items()}


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
        separated = arch["kind"] == "cartesian-separated"
        a = {
            degree: np.zeros(
                (n, len(tensors[f"{name}.linear_out.l{degree}.weight"]), 2 * degree + 1)
            )
            for degree in range(l_out + 1)
        }
        for i, j, vector in edges:
            r = np.linalg.norm(vector)
            functions = radial(tensors[f"{name}.radial"], r, arch["cutoff"])
            sender = {degree: x[j] for degree, x in big_h.items()}
            found = message(sender, vector / r, functions, l_in, l_out, separated)
            for degree, m in found.items():
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
