// SPDX-License-Identifier: MIT
/// Work arrays of an evaluator. Evaluators that run one after the other may share them: the members of
/// a committee then need the memory of the largest, and find each other's edges.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "buffer.hpp"
#include "edges.hpp"
#include "ghost_rows.hpp"
#include "terms.hpp"
#include "threads.hpp"

namespace qdml {

constexpr int kMostAtomsOfTile = 48;  ///< the scratch of a tile stays in the second-level cache

/// Work memory of one thread.
template <class real>
struct Scratch {
    int atoms[kMostAtomsOfTile];
    int run_start[kMostAtomsOfTile + 1];
    Buffer<real> message;                  ///< sums, G or dE/dH of the tile [atoms][width]
    Buffer<real> z, grad_z;                ///< [atoms][width]
    std::vector<Buffer<real>> activation;  ///< read-out: inputs and pre-activations
    Buffer<real> grad_a, grad_b;
    // Clebsch-Gordan paths
    Buffer<real> coupling;      ///< M of one path [(m_out, m_in)][stride]
    Buffer<real> moments;       ///< [edges of the tile][kMoments]
    Buffer<real> grad_message;  ///< dE/dH [atoms][width]
    const real* in[kMostAtomsOfTile * (2 * kMaxDegree + 1)];
    real* out[kMostAtomsOfTile * (2 * kMaxDegree + 1)];

    /// Rows of degree l of the tile's atoms begin..end-1, one per atom and component, into `in` and
    /// `out`: component m lies m · kBlock after the offset into the atom's row. Returns their number.
    template <class In, class Out>
    int rows(int begin, int end, int l, int in_offset, int out_offset, const In& in_row,
             const Out& out_row) {
        int n = 0;
        for (int k = begin; k < end; ++k) {
            for (int m = 0; m < 2 * l + 1; ++m, ++n) {
                in[n] = in_row(k) + in_offset + m * kBlock;
                out[n] = out_row(k) + out_offset + m * kBlock;
            }
        }
        return n;
    }

    std::int64_t bytes() const noexcept {
        std::int64_t sum = std::int64_t(sizeof(Scratch)) + message.bytes() + z.bytes() +
                           grad_z.bytes() + grad_a.bytes() + grad_b.bytes() + coupling.bytes() +
                           moments.bytes() + grad_message.bytes();
        for (const auto& buffer : activation) {
            sum += buffer.bytes();
        }
        return sum;
    }
};

/// Consecutive atoms of one potential sorted by species, so that self-connections are matrix products
/// over runs of rows. Atoms of other potentials (species -1) are part of no tile.
struct Tile {
    const int* atoms;
    int n;
    const int* run_start;  ///< [n_runs + 1] runs of equal species
    int n_runs;
    const int* species;  ///< of all atoms
    int index;      ///< of the tile among those of `rows`
    int begin, end;  ///< rows
    int whole_end;   ///< end of the tile among the rows with edges, of which a pass may leave some out
};

/// Rows that a pass evaluates.
struct Rows {
    int first = 0;  ///< of the rows whose edges are there, the begin of a tile
    int built = 0;  ///< end of those
    int last = 0;   ///< end of the rows to evaluate, at most `built`
};

/// Tile number `index` of `rows`, of `size` atoms, at most kMostAtomsOfTile.
template <class real>
Tile make_tile(const Graph& graph, const Rows& rows, int index, int size, int n_species,
               Scratch<real>& scratch) {
    const int begin = rows.first + index * size, end = std::min(begin + size, rows.last);
    int n = 0, n_runs = 0;
    for (int s = 0; s < n_species && n < end - begin; ++s) {
        const int first = n;
        for (int i = begin; i < end; ++i) {
            if (graph.species[i] == s) {
                scratch.atoms[n++] = i;
            }
        }
        if (n > first) {
            scratch.run_start[n_runs++] = first;
        }
    }
    scratch.run_start[n_runs] = n;
    return {scratch.atoms, n,     scratch.run_start, n_runs, graph.species,
            index,         begin, end,               std::min(begin + size, rows.built)};
}

template <class real>
struct Workspace {
    Edges<real> edges;
    Buffer<real> h;                      ///< node features, then their gradients [n_local][stride]
    std::vector<Buffer<real>> z;         ///< pre-activations per layer [n_local][width]
    std::vector<Buffer<real>> message;   ///< H per layer >= 1 [n_total][width]
    std::vector<Buffer<real>> gradient;  ///< G of layers >= 1 [n_total][width], CpuEvaluator::gradient
    std::vector<double> atom_energy;     ///< [n_local]
    std::vector<std::unique_ptr<Scratch<real>>> scratch;  ///< one per thread
    Buffer<real> harmonics;  ///< Clebsch-Gordan paths: of the edges that are there, tile by tile
    GhostRows<real> ghosts;
    std::vector<char> waits;  ///< per tile of all rows: has an edge to an atom of another rank

    // only for centroid virials
    Buffer<real> own_h;                       ///< dE_i/dh_i of the last layer [n_local][stride]
    Buffer<EdgeGradient<real>> own_gradient;  ///< dE_i/dr of the edges of i, kept after the forward pass
    Buffer<EdgeGradient<real>> moment;        ///< Σ_k x_k dE_k/dr [n_edges]
    std::vector<Buffer<real>> moment_gradient;  ///< Σ_k x_k dE_k/dA per layer >= 1 [n_total][width]

    /// Room for the arrays of so many layers and for the scratch of every thread.
    void resize(std::size_t n_layers) {
        for (auto* buffers : {&z, &message, &gradient, &moment_gradient}) {
            buffers->resize(std::max<std::size_t>({buffers->size(), n_layers, 2}));
        }
        scratch.resize(static_cast<std::size_t>(max_threads()));
        for (auto& each : scratch) {
            if (!each) {
                each = std::make_unique<Scratch<real>>();
            }
        }
    }

    std::int64_t bytes() const noexcept {
        std::int64_t sum = edges.bytes() + h.bytes() + std::int64_t(atom_energy.capacity()) * 8 +
                           harmonics.bytes() + own_h.bytes() + own_gradient.bytes() + moment.bytes() +
                           ghosts.bytes();
        for (const auto* buffers : {&z, &message, &gradient, &moment_gradient}) {
            for (const auto& buffer : *buffers) {
                sum += buffer.bytes();
            }
        }
        for (const auto& each : scratch) {
            sum += each ? each->bytes() : 0;
        }
        return sum;
    }

    /// Give back all arrays over atoms and edges, those over the edges of a tile too.
    void release() noexcept {
        edges.release();
        h.release();
        harmonics.release();
        ghosts.release();
        own_h.release();
        own_gradient.release();
        moment.release();
        std::vector<double>().swap(atom_energy);
        for (auto* buffers : {&z, &message, &gradient, &moment_gradient}) {
            for (auto& buffer : *buffers) {
                buffer.release();
            }
        }
        for (auto& each : scratch) {
            if (each) {
                each->coupling.release();
                each->moments.release();
            }
        }
    }
};

}  // namespace qdml
