// SPDX-License-Identifier: MIT
/// The neighbour list from positions on the device: cells in Morton order, then all pairs within reach.
///
/// Made when the list is new, not in every step, so one thread per atom and plain loops: a thread visits the 27 cells
/// around its atom twice, to count and to write. Rows have the order of cells and, inside, of atoms.
#define QDML_ISA cuda
#include "rows.cuh"

#include "../short_rows.hpp"
#include "lane.cuh"
#include "qdml/engine.hpp"

namespace qdml {
namespace cuda {
namespace {

/// Cell of a coordinate, inside the grid also where rounding puts an atom on its upper face.
__device__ inline int cell_of(const CellGrid& g, int axis, double x) {
    const int cell = int((x - g.low[axis]) * g.inverse_width[axis]);
    return cell < 0 ? 0 : cell < g.cells[axis] ? cell : g.cells[axis] - 1;
}

/// Bits of the three cell numbers in turn, as long as each has any (Morton 1966): near codes are near in space.
__device__ inline int code_of(const CellGrid& g, const int* cell) {
    int code = 0, to = 0;
    for (int bit = 0; bit < 10; ++bit) {
        for (int axis = 0; axis < 3; ++axis) {
            if (bit < g.bits[axis]) code |= ((cell[axis] >> bit) & 1) << to++;
        }
    }
    return code;
}

__global__ void cells_kernel(CellGrid g, int n, const double* position, int* code) {
    const long long i = thread_number();
    if (i >= n) return;
    int cell[3];
    for (int axis = 0; axis < 3; ++axis) cell[axis] = cell_of(g, axis, position[3 * i + axis]);
    code[i] = code_of(g, cell);
}

/// Counts (kFill false: start[i + 1]) or writes the neighbours of atom i.
template <bool kFill>
__global__ void neighbors_kernel(DeviceNeighbors d, std::int64_t* start, int* neighbor) {
    const long long i = thread_number();
    if (i >= d.n_local) return;
    const double* x = d.position + 3 * i;
    int home[3];
    for (int axis = 0; axis < 3; ++axis) home[axis] = cell_of(d.grid, axis, x[axis]);
    long long to = kFill ? start[i] : 0;
    for (int k = 0; k < 27 && d.species[i] >= 0; ++k) {
        const int cell[3] = {home[0] + k % 3 - 1, home[1] + k / 3 % 3 - 1, home[2] + k / 9 - 1};
        bool inside = true;
        for (int axis = 0; axis < 3; ++axis) inside = inside && cell[axis] >= 0 && cell[axis] < d.grid.cells[axis];
        if (!inside) continue;
        const int code = code_of(d.grid, cell);
        for (long long p = d.cell_start[code]; p < d.cell_start[code + 1]; ++p) {
            const int j = d.cell_atoms[p];
            double squared = 0;
            for (int axis = 0; axis < 3; ++axis) {
                const double r = d.position[3ll * j + axis] - x[axis];
                squared += r * r;
            }
            if (j == i || d.species[j] < 0 || !(squared < d.reach * d.reach)) continue;
            if (kFill) neighbor[to] = j;
            ++to;
        }
    }
    if (!kFill) start[i + 1] = to;
}

template <class real>
__global__ void copy_rows_kernel(long long n, int width, const int* owner, const real* from, real* to) {
    const long long i = thread_number();
    if (i >= n) return;
    const int row = owner[i / width];
    if (row >= 0) to[i] = from[(long long)row * width + i % width];
}

/// One warp per row.
__global__ void mark_outer_kernel(int n_local, const std::int64_t* start, const int* neighbor, const int* arrival,
                                  int n_cells, int* code) {
    const int row = warp_number();
    if (row >= n_local) return;
    int found = 0;
    for (long long e = start[row] + lane_number(); e < start[row + 1]; e += kWarp) {
        const int ghost = neighbor[e] - n_local;
        if (ghost >= 0 && arrival[ghost] >= 0) found = 1;
    }
    found = warp_sum(found);
    if (lane_number() == 0 && found > 0) code[row] += n_cells;
}

/// One warp per row, like the next.
template <class real>
__global__ void shorten_rows_kernel(int n, int width, long long bytes, const int* index, const real* rows, char* out) {
    const int k = warp_number();
    if (k >= n) return;
    const real* row = rows + (long long)index[k] * width;
    float scale = 0.0F;
    for (int c = lane_number(); c < width; c += kWarp) scale = larger(scale, fabsf(static_cast<float>(row[c])));
    for (int distance = kWarp / 2; distance > 0; distance /= 2) {
        scale = larger(scale, __shfl_xor_sync(0xffffffffu, scale, distance));
    }
    char* to = out + k * bytes;
    if (lane_number() == 0) *reinterpret_cast<float*>(to) = scale;
    auto* values = reinterpret_cast<std::int16_t*>(to + sizeof scale);
    const float steps = short_steps(scale);
    for (int c = lane_number(); c < width; c += kWarp) values[c] = shorten(static_cast<float>(row[c]), steps);
}

template <class real>
__global__ void lengthen_rows_kernel(int n, int width, long long bytes, const int* arrival, const char* in,
                                     real* rows) {
    const int ghost = warp_number();
    if (ghost >= n || arrival[ghost] < 0) return;
    const char* from = in + arrival[ghost] * bytes;
    const float scale = *reinterpret_cast<const float*>(from);
    const auto* values = reinterpret_cast<const std::int16_t*>(from + sizeof scale);
    for (int c = lane_number(); c < width; c += kWarp) {
        rows[(long long)ghost * width + c] = static_cast<real>(lengthen(values[c], scale));
    }
}

int cells(void* stream, const CellGrid& grid, int n, const double* position, int* code) {
    return launch(cells_kernel, blocks_for(n, kThreads), kThreads, stream_of(stream), grid, n, position, code);
}

int count_neighbors(void* stream, const DeviceNeighbors& d, std::int64_t* start) {
    const auto s = stream_of(stream);
    int error = cudaMemsetAsync(start, 0, sizeof(std::int64_t), s);
    if (error == cudaSuccess) {
        error = launch(neighbors_kernel<false>, blocks_for(d.n_local, kThreads), kThreads, s, d, start, nullptr);
    }
    return error != cudaSuccess ? error : add_up(s, d.n_local + 1ll, start);
}

int fill_neighbors(void* stream, const DeviceNeighbors& d, const std::int64_t* start, int* neighbor) {
    return launch(neighbors_kernel<true>, blocks_for(d.n_local, kThreads), kThreads, stream_of(stream), d,
                  const_cast<std::int64_t*>(start), neighbor);
}

template <class real>
int copy_rows(void* stream, int n_ghost, int width, const int* owner, const real* from, real* to) {
    const long long n = (long long)n_ghost * width;
    return launch(copy_rows_kernel<real>, blocks_for(n, kThreads), kThreads, stream_of(stream), n, width, owner, from,
                  to);
}

int mark_outer(void* stream, int n_local, const std::int64_t* start, const int* neighbor, const int* arrival,
               int n_cells, int* code) {
    return launch(mark_outer_kernel, blocks_for(n_local, kWarpsPerBlock), kThreads, stream_of(stream), n_local, start,
                  neighbor, arrival, n_cells, code);
}

template <class real>
int shorten_rows(void* stream, int n, int width, const int* index, const real* rows, void* out) {
    const long long bytes = RowShape{width, true, Halo::int16}.bytes();
    return launch(shorten_rows_kernel<real>, blocks_for(n, kWarpsPerBlock), kThreads, stream_of(stream), n, width,
                  bytes, index, rows, static_cast<char*>(out));
}

template <class real>
int lengthen_rows(void* stream, int n_ghost, int width, const int* arrival, const void* in, real* rows) {
    const long long bytes = RowShape{width, true, Halo::int16}.bytes();
    return launch(lengthen_rows_kernel<real>, blocks_for(n_ghost, kWarpsPerBlock), kThreads, stream_of(stream),
                  n_ghost, width, bytes, arrival, static_cast<const char*>(in), rows);
}

template <class real>
void add(DeviceKernels<real>& k) {
    k.copy_rows = copy_rows<real>;
    k.shorten_rows = shorten_rows<real>;
    k.lengthen_rows = lengthen_rows<real>;
}

}  // namespace

void add_list_kernels(DeviceInterface& d) {
    d.cells = cells;
    d.count_neighbors = count_neighbors;
    d.fill_neighbors = fill_neighbors;
    d.mark_outer = mark_outer;
    add(d.single);
    add(d.reference);
}

}  // namespace cuda
}  // namespace qdml
