// SPDX-License-Identifier: MIT
/// What libqdml_cuda gives to libqdml: one table of functions over plain structures and pointers.
///
/// All functions return 0 or an error number that `describe_error` turns into text; none throws. "Device" pointers are
/// memory of `allocate`; work on a stream is done in order. Kernels allocate nothing and use no atomics in sums of
/// numbers that are not integers: the same input gives the same bits. Edge e of the list (row i of the neighbour list:
/// list_start[i] .. list_start[i + 1] - 1) is sorted into the same row by distance, those within the cutoff first: its
/// place is slot[e], or -1 beyond the cutoff; row i has the slots list_start[i] .. row_end[i] - 1.
#pragma once

#include <cstddef>
#include <cstdint>

#include "edge_geometry.hpp"
#include "kernels/kernels.hpp"
#include "paths/kernels.hpp"

namespace qdml {

/// Changes whenever anything in this header does.
constexpr int kDeviceInterface = 7;
/// The one exported symbol, a function of type DeviceEntry.
constexpr const char* kDeviceEntry = "qdml_device_interface";

struct DeviceDescription {
    char name[256];
    int major, minor;          ///< compute capability
    std::int64_t free_memory, total_memory;  ///< bytes, now
};

/// One product among those a job sums: rows of `in` (component m of atom a at in + a · width + m · 16, blocks of 16
/// channels `stride` apart) times weight [out block][in channel][16].
template <class real>
struct LinearTerm {
    const real* weight;
    const real* in;
    std::int64_t width;
    int blocks;
    int stride;
};

/// out = Σ_terms in · weight for `components` rows of each of `n_atoms` atoms; zero without terms.
template <class real>
struct LinearJob {
    int first_term, n_terms;
    int components;
    const int* atoms;  ///< [n_atoms]; device
    int n_atoms;
    real* out;
    std::int64_t width;
    int blocks;
    int stride;
    int first_block;  ///< of the launch's blocks; linear_blocks() of the jobs before
};

constexpr int kLinearRows = 32;    ///< rows of one block of the kernel
constexpr int kLinearBlocks = 4;   ///< and its blocks of 16 output channels

/// Blocks of threads that a job takes.
template <class real>
int linear_blocks(const LinearJob<real>& job) {
    return (job.n_atoms * job.components + kLinearRows - 1) / kLinearRows *
           ((job.blocks + kLinearBlocks - 1) / kLinearBlocks);
}

/// The neighbour list and what the geometry kernel makes of it. Device pointers; edges are those of the list.
template <class real>
struct DeviceEdges {
    int first, n_rows;  ///< rows to do; arrays over edges may hold these rows only, their pointers then lie before them
    int n_species;
    const int* species;               ///< [n_total]
    const std::int64_t* list_start;   ///< [n_local + 1]
    const int* neighbor;              ///< [n_list]
    const double* vector;             ///< [n_list][3] r_ij, or null: from positions
    const double* position;           ///< [n_total][3]
    double cutoff;
    int knots;
    Spline spline;
    const double *zbl_r_max, *zbl_charge, *zbl_inverse_a;  ///< [S][S], null without ZBL
    // made by geometry
    double* distance;          ///< [n_list] scratch: r², Å², infinite beyond the cutoff
    std::int64_t* row_end;     ///< [n_local]
    int* slot;                 ///< [n_list]
    int* other;                ///< [n_list] per slot: row of the neighbour
    int* other_species;        ///< [n_list]
    EdgeRecord<real>* record;  ///< [n_list]
    EdgeGradient<real>* gradient;  ///< [n_list] start values: zero, or ZBL
    double* atom_energy;       ///< [n_local] ZBL is added; null: no ZBL, also not in the gradients
    int* bad_edge;             ///< [1] an edge of the list that is not finite or of length zero, else INT_MAX
};

/// Messages over the rows first .. first + n_rows - 1; row_start of the Convolution is list_start.
template <class real>
struct DeviceMessages {
    Convolution<real> convolution;
    const std::int64_t* row_end;
    int first, n_rows;
    const int* order;  ///< [n_rows] rows in the order they are best done, null: as they come
};

/// One Clebsch-Gordan path and where it lies in the rows of H and of A or G: the first of its components and blocks.
struct DevicePath {
    int l_in, l_edge, l_out;
    int h_width, h_offset;
    int sum_width, sum_offset;
};

/// The gate of all irreps of a layer.
struct DeviceGate {
    static constexpr int kMost = 2 * (kMaxDegree + 1);  ///< each degree in both parities
    int n_parts, channels;  ///< channels: of all parts
    GatePart part[kMost];
};

/// Sums of the edge gradients.
template <class real>
struct DeviceForces {
    int n_local, n_total;
    int first, n_rows;                   ///< as in DeviceEdges
    std::int64_t first_edge, last_edge;  ///< of the list: those of these rows
    const std::int64_t* list_start;
    const std::int64_t* row_end;
    const int* slot;
    const std::int64_t* incoming_start;  ///< [n_total + 1]
    const int* incoming;                 ///< [n_list] edges of the list by their neighbour, ascending
    const EdgeRecord<real>* record;
    EdgeGradient<real>* gradient;  ///< in: dE/dr̂ and dE/dr; out: dE/dr_ij
    double* row_virial;            ///< [n_local][9] added to
    double* force;                 ///< [n_total][3] added to
    double* atom_virial;           ///< [n_total][9] added to, or null
};

/// Cells at least as wide as the reach of the list, over all atoms and ghosts.
struct CellGrid {
    double low[3];            ///< Å
    double inverse_width[3];  ///< 1/Å
    int cells[3];
    int bits[3];  ///< that number the cells of an axis, at most 10; their sum is that of a cell's code
};

/// Pairs of atoms closer than `reach`. Device pointers.
struct DeviceNeighbors {
    int n_local;
    double reach;  ///< Å
    CellGrid grid;
    const double* position;           ///< [n_total][3]
    const int* species;               ///< [n_total], -1: no neighbours
    const std::int64_t* cell_start;   ///< [2^bits + 1]
    const int* cell_atoms;            ///< [n_total] atoms by the code of their cell
};

constexpr int kTotals = 10;         ///< energy, then the virial
constexpr int kPartialSums = 64;    ///< blocks of the first stage of the sums over atoms

template <class real>
struct DeviceKernels {
    int (*forward)(void* stream, int l_in, int l_out, int separated, const DeviceMessages<real>&, const real* h,
                   real* out);
    int (*backward)(void* stream, int l_in, int l_out, int separated, const DeviceMessages<real>&, const real* h,
                    const real* g, real* out, EdgeGradient<real>* gradient);
    int (*first_gradient)(void* stream, int l_out, const DeviceMessages<real>&, const real* h, const real* g,
                          EdgeGradient<real>* gradient);
    /// Messages of one path (docs/conventions.md, "Clebsch-Gordan paths"); `table`: Hermite's [block][K + 1][2][16].
    int (*path_forward)(void* stream, const DevicePath&, const DeviceMessages<real>&, const real* h, real* out);
    /// Adds to dE/dH of the rows, and to `moments` [n_list][kHarmonics]: dE/dr, then dE/dY_k for k > 0.
    int (*path_backward)(void* stream, const DevicePath&, const DeviceMessages<real>&, const real* h, const real* g,
                         real* grad_h, real* moments);
    /// l_in = 0, g of the rows themselves.
    int (*path_first_gradient)(void* stream, const DevicePath&, const DeviceMessages<real>&, const real* h,
                               const real* g, real* moments);
    /// Add the moments of all paths to the gradients of the edges.
    int (*path_finish)(void* stream, const DeviceMessages<real>&, const real* moments, EdgeGradient<real>* gradient);
    int (*path_gate_forward)(void* stream, const DeviceGate&, int n, const real* z, int z_width, real* h, int h_width);
    int (*path_gate_backward)(void* stream, const DeviceGate&, int n, const real* z, const real* grad_h, int h_width,
                              real* grad_z, int z_width);
    /// jobs [n_jobs] on the device, n_blocks of all of them; their terms are numbered over all jobs of a plan.
    int (*linear)(void* stream, const LinearJob<real>* jobs, const LinearTerm<real>* terms, int n_jobs, int n_blocks);
    /// Rows of n atoms: z with z_width values, h with h_width.
    int (*gate_forward)(void* stream, const GateShape&, int n, const real* z, int z_width, real* h, int h_width);
    int (*gate_backward)(void* stream, const GateShape&, int n, const real* z, const real* grad_h, int h_width,
                         real* grad_z, int z_width);
    int (*silu_forward)(void* stream, std::int64_t n, const real* x, real* y);
    int (*silu_backward)(void* stream, std::int64_t n, const real* x, const real* grad_y, real* grad_x);
    int (*to_tensors)(void* stream, const SumShape&, int reversed, int n, real* rows);
    /// atom_energy += E0 + σ ε and the first adjoint σ of ε; ε [n_local][16], grad likewise.
    int (*energies)(void* stream, int n_local, const int* species, const double* reference, const double* scale,
                    const real* epsilon, double* atom_energy, real* grad);
    int (*geometry)(void* stream, const DeviceEdges<real>&);
    /// Of edges that geometry has made: the gradients and energies of their start again.
    int (*restart_edges)(void* stream, const DeviceEdges<real>&);
    int (*forces)(void* stream, const DeviceForces<real>&);
    /// Per row and species the first neighbour in the order of distances: Å or 0, and its row. [n_local][S]
    int (*nearest)(void* stream, const DeviceEdges<real>&, double* distance, int* row);
    /// Row g of `to` = row owner[g] of `from`; untouched where that is negative.
    int (*copy_rows)(void* stream, int n_ghost, int width, const int* owner, const real* from, real* to);
    /// Row k of `out` [n] = row index[k] in 16 bits a value (short_rows.hpp), RowShape::bytes() each.
    int (*shorten_rows)(void* stream, int n, int width, const int* index, const real* rows, void* out);
    /// Row g of `rows` = what arrived as row arrival[g] of `in`; untouched where that is negative.
    int (*lengthen_rows)(void* stream, int n_ghost, int width, const int* arrival, const void* in, real* rows);
    /// out row = factor[row] · in row.
    int (*scale_rows)(void* stream, std::int64_t n_rows, int width, const double* factor, const real* in, real* out);
    /// row += sign · factor[row] · in row.
    int (*add_scaled_rows)(void* stream, std::int64_t n_rows, int width, const double* factor, double sign,
                           const real* in, real* out);
    /// Gradients of the edges of each row times factor[row].
    int (*scale_edges)(void* stream, int n_local, const std::int64_t* list_start, const std::int64_t* row_end,
                       const double* factor, const EdgeGradient<real>* in, EdgeGradient<real>* out);
    /// Column `axis` of the centroid virials [n_total][9] (Edges::centroid_virial); moment: as the kernels left it.
    int (*centroid)(void* stream, const DeviceForces<real>&, int axis, const double* x, EdgeGradient<real>* moment,
                    double* centroid_virial);
};

struct DeviceInterface {
    int version;         ///< kDeviceInterface
    const char* library;  ///< version of qdml it was built from
    int is_timed;         ///< calls are timed one by one (cuda/profile.cuh): nothing may be recorded
    const char* (*describe_error)(int error);
    /// CUDA that the driver supports, 0 without one, and CUDA of this library, as 1000 major + 10 minor.
    int (*versions)(int* driver, int* runtime);
    int (*count)(int* n_devices);
    int (*describe)(int device, DeviceDescription*);
    int (*use)(int device);  ///< of this thread, before anything below
    int (*create_stream)(void** stream);
    int (*destroy_stream)(void* stream);
    int (*synchronize)(void* stream);
    int (*allocate)(void** p, std::size_t bytes);
    int (*release)(void* p);
    int (*allocate_host)(void** p, std::size_t bytes);  ///< pinned
    int (*release_host)(void* p);
    int (*to_device)(void* stream, void* to, const void* from, std::size_t bytes);
    int (*to_host)(void* stream, void* to, const void* from, std::size_t bytes);
    int (*copy)(void* stream, void* to, const void* from, std::size_t bytes);  ///< on the device
    int (*fill)(void* stream, void* p, int byte, std::size_t bytes);
    int (*begin_recording)(void* stream);
    /// Make `*graph` (null, or an earlier one, which is updated or replaced) what was recorded.
    int (*end_recording)(void* stream, void** graph);
    int (*replay)(void* graph, void* stream);
    int (*destroy_graph)(void* graph);

    /// Edges of the list by their neighbour: incoming_start [n_total + 1], incoming [n_list] ascending in each.
    /// scratch [n_total + n_list].
    int (*transpose)(void* stream, int n_total, int n_list, const int* neighbor, std::int64_t* incoming_start,
                     int* incoming, int* scratch);
    /// Codes of the cells of n atoms.
    int (*cells)(void* stream, const CellGrid& grid, int n, const double* position, int* code);
    /// start [n_local + 1] of the rows, then the neighbours in them.
    int (*count_neighbors)(void* stream, const DeviceNeighbors&, std::int64_t* start);
    int (*fill_neighbors)(void* stream, const DeviceNeighbors&, const std::int64_t* start, int* neighbor);
    /// code[i] += n_cells for the rows i that have a neighbour n_local + g with arrival[g] >= 0.
    int (*mark_outer)(void* stream, int n_local, const std::int64_t* start, const int* neighbor, const int* arrival,
                      int n_cells, int* code);
    /// totals [kTotals] of atom energies and row virials; partial [kPartialSums][kTotals] scratch.
    int (*totals)(void* stream, int n_local, const double* atom_energy, const double* row_virial, double* partial,
                  double* totals);
    DeviceKernels<float> single;
    DeviceKernels<double> reference;
};

extern "C" {
using DeviceEntry = const DeviceInterface* (*)();
}

}  // namespace qdml
