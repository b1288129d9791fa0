// SPDX-License-Identifier: MIT
/// The read-out of docs/conventions.md, "Energy", forward and backward for one tile of atoms.
#pragma once

#include "kernels/kernels.hpp"
#include "workspace.hpp"

namespace qdml {

/// Adds E_i to `atom_energy` [n_local] (eV) and puts dE/dh of the last layer in place of `h`
/// [n_local][stride]. `weights` has readout, readout_blocks, reference and scale (weights.hpp).
template <class real, class Weights>
void read_out(const Weights& weights, const Kernels<real>& kernels, const Tile& tile, real* h_rows,
              std::int64_t stride, Scratch<real>& scratch, double* atom_energy) {
    const std::size_t n_maps = weights.readout.size();
    const auto h = [&](int k) { return h_rows + tile.atoms[k] * stride; };
    const auto linear = [&](const LinearMap<real>& map, const auto& from, const auto& to) {
        const int n = scratch.rows(0, tile.n, 0, 0, 0, from, to);
        kernels.linear(map, scratch.in, kBlock, scratch.out, kBlock, n, false);
    };
    const auto rows_of = [&](real* first, std::size_t map) {
        const std::int64_t size = weights.readout_blocks[map] * kBlock;
        return [first, size](int k) { return first + k * size; };
    };
    // activation[2k] is the input of map k, activation[2k + 1] its output before silu
    for (std::size_t map = 0; map < n_maps; ++map) {
        const auto out = rows_of(scratch.activation[2 * map + 1].data(), map + 1);
        if (map == 0) {
            linear(weights.readout[0].forward(), h, out);
        } else {
            linear(weights.readout[map].forward(),
                   rows_of(scratch.activation[2 * map].data(), map), out);
        }
        if (map + 1 < n_maps) {
            kernels.silu_forward(tile.n * weights.readout_blocks[map + 1] * kBlock,
                                 scratch.activation[2 * map + 1].data(),
                                 scratch.activation[2 * map + 2].data());
        }
    }
    real *grad = scratch.grad_a.data(), *grad_in = scratch.grad_b.data();
    std::fill_n(grad, tile.n * kBlock, real(0));
    for (int k = 0; k < tile.n; ++k) {
        const auto species = static_cast<std::size_t>(tile.species[tile.atoms[k]]);
        const double epsilon = scratch.activation[2 * n_maps - 1][std::int64_t(k) * kBlock];
        atom_energy[tile.atoms[k]] += weights.reference[species] + weights.scale[species] * epsilon;
        grad[k * kBlock] = static_cast<real>(weights.scale[species]);
    }
    for (std::size_t map = n_maps; map-- > 1;) {
        linear(weights.readout[map].transposed(), rows_of(grad, map + 1), rows_of(grad_in, map));
        kernels.silu_backward(tile.n * weights.readout_blocks[map] * kBlock,
                              scratch.activation[2 * map - 1].data(), grad_in, grad);
    }
    linear(weights.readout[0].transposed(), rows_of(grad, 1), h);
}

/// Put the energies of the local atoms [n_local] (eV) and their sum, in order, into a result.
inline void store_energies(const std::vector<double>& atom_energy, const Request& request,
                           Result& result) {
    result.energy = 0.0;
    for (const double e : atom_energy) {
        result.energy += e;
    }
    result.atom_energy.clear();
    if (request.atom_energy) {
        result.atom_energy = atom_energy;
    }
}

}  // namespace qdml
