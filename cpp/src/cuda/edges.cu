// SPDX-License-Identifier: MIT
/// Edges on the device: records sorted by distance, nearest neighbours, the transposed list.
#define QDML_ISA cuda
#include "rows.cuh"

#include <climits>

#include "lane.cuh"

namespace qdml {
namespace cuda {
namespace {

constexpr int kScanThreads = 1024;

/// Gradient of an edge before the messages: zero, or that of ZBL, whose energy is added to `energy`.
template <class real>
__device__ inline EdgeGradient<real> start_gradient(const DeviceEdges<real>& d, int a, int b, double r,
                                                    double& energy) {
    EdgeGradient<real> start = {};
    const int pair = a * d.n_species + b;
    if (d.atom_energy != nullptr && d.zbl_r_max != nullptr && r < d.zbl_r_max[pair]) {
        const PairTerm zbl = zbl_term(d.zbl_charge[pair], d.zbl_inverse_a[pair], d.zbl_r_max[pair], r);
        energy += 0.5 * zbl.energy;
        start.value[3] = static_cast<real>(0.5 * zbl.derivative);
    }
    return start;
}

template <class real>
__device__ inline void edge_vector(const DeviceEdges<real>& d, int i, long long e, double* v) {
    for (int k = 0; k < 3; ++k) {
        v[k] = d.vector != nullptr ? d.vector[3 * e + k]
                                   : d.position[3ll * d.neighbor[e] + k] - d.position[3ll * i + k];
    }
}

/// One warp per row: squared distances, then the rank of every edge among those of the row, then its record. A row's
/// distances are read n times from the first-level cache. Ties keep the order of the list, so places are unique.
template <class real>
__global__ void geometry_kernel(DeviceEdges<real> d) {
    if (warp_number() >= d.n_rows) return;
    const int row = d.first + warp_number(), lane = lane_number();
    const long long begin = d.list_start[row], end = d.list_start[row + 1];
    const int a = d.species[row];
    const double squared = d.cutoff * d.cutoff, outside = 2 * squared;
    for (long long e = begin + lane; e < end; e += kWarp) {
        double v[3];
        edge_vector(d, row, e, v);
        const double r2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
        if (!(r2 >= kClosestSquared) || !(r2 <= 1e300)) atomicMin(d.bad_edge, int(e));
        // an undefined distance compares false and is left out
        const bool inside = r2 < squared && r2 >= kClosestSquared && a >= 0 && d.species[d.neighbor[e]] >= 0;
        d.distance[e] = inside ? r2 : outside;
    }
    __syncwarp();
    double energy = 0;
    int count = 0;
    for (long long e = begin + lane; e < end; e += kWarp) {
        const double r2 = d.distance[e];
        if (r2 >= squared) {
            d.slot[e] = -1;
            continue;
        }
        int rank = 0;
        for (long long k = begin; k < end; ++k) {
            const double other = d.distance[k];
            rank += other < r2 || (other == r2 && k < e) ? 1 : 0;
        }
        ++count;
        const long long to = begin + rank;
        double v[3];
        edge_vector(d, row, e, v);
        const double r = sqrt(r2);
        const int b = d.species[d.neighbor[e]];
        d.slot[e] = int(to);
        d.other[to] = d.neighbor[e];
        d.other_species[to] = b;
        set_record(d.record[to], v, r, d.spline, d.knots, 1.0 * d.knots / d.cutoff);
        d.gradient[to] = start_gradient(d, a, b, r, energy);
    }
    count = warp_sum(count);
    energy = warp_sum(energy);
    if (lane == 0) {
        d.row_end[row] = begin + count;
        if (d.atom_energy != nullptr) d.atom_energy[row] += energy;
    }
}

/// One warp per row, its edges in the order of the list as in geometry_kernel: the same energy to the bit.
template <class real>
__global__ void restart_kernel(DeviceEdges<real> d) {
    if (warp_number() >= d.n_rows) return;
    const int row = d.first + warp_number(), lane = lane_number();
    const int a = d.species[row];
    double energy = 0;
    for (long long e = d.list_start[row] + lane; e < d.list_start[row + 1]; e += kWarp) {
        const int to = d.slot[e];
        if (to >= 0) d.gradient[to] = start_gradient(d, a, d.other_species[to], sqrt(d.distance[e]), energy);
    }
    energy = warp_sum(energy);
    if (lane == 0 && d.atom_energy != nullptr) d.atom_energy[row] += energy;
}

/// One thread per row; rows are sorted, so the first of a species is the nearest, and most are among the first few.
template <class real>
__global__ void nearest_kernel(DeviceEdges<real> d, double* distance, int* neighbor) {
    if (thread_number() >= d.n_rows) return;
    const long long row = d.first + thread_number();
    double* r = distance + row * d.n_species;
    int* j = neighbor + row * d.n_species;
    for (int s = 0; s < d.n_species; ++s) {
        r[s] = 0;
        j[s] = -1;
    }
    int missing = d.n_species;
    for (long long e = d.list_start[row]; e < d.row_end[row] && missing > 0; ++e) {
        const int s = d.other_species[e];
        if (j[s] >= 0) continue;
        r[s] = 1.0 / static_cast<double>(d.record[e].inverse_r);
        j[s] = d.other[e];
        --missing;
    }
}

__global__ void count_kernel(int n_list, const int* key, std::int64_t* start) {
    const long long e = thread_number();
    // counts of integers do not depend on their order
    if (e < n_list) atomicAdd(reinterpret_cast<unsigned long long*>(start + key[e] + 1), 1ull);
}

/// Inclusive sums of n numbers in place: one block, piece by piece (once per neighbour list).
__global__ void scan_kernel(long long n, std::int64_t* values) {
    __shared__ long long part[kScanThreads];
    __shared__ long long carry;
    if (threadIdx.x == 0) carry = 0;
    for (long long first = 0; first < n; first += kScanThreads) {
        const long long i = first + threadIdx.x;
        part[threadIdx.x] = i < n ? values[i] : 0;
        __syncthreads();
        for (int distance = 1; distance < kScanThreads; distance *= 2) {
            const long long before = int(threadIdx.x) >= distance ? part[threadIdx.x - distance] : 0;
            __syncthreads();
            part[threadIdx.x] += before;
            __syncthreads();
        }
        if (i < n) values[i] = carry + part[threadIdx.x];
        __syncthreads();
        if (threadIdx.x == kScanThreads - 1) carry += part[kScanThreads - 1];
        __syncthreads();
    }
}

__global__ void fill_incoming_kernel(int n_list, const int* key, const std::int64_t* start, int* cursor,
                                     int* incoming) {
    const long long e = thread_number();
    if (e >= n_list) return;
    incoming[start[key[e]] + atomicAdd(cursor + key[e], 1)] = int(e);
}

/// Ascending order in each row, whatever order the threads of the kernel before came in.
__global__ void sort_rows_kernel(int n, const std::int64_t* start, const int* in, int* out) {
    const int row = warp_number();
    if (row >= n) return;
    const long long begin = start[row], end = start[row + 1];
    for (long long i = begin + lane_number(); i < end; i += kWarp) {
        int rank = 0;
        for (long long k = begin; k < end; ++k) rank += in[k] < in[i] ? 1 : 0;
        out[begin + rank] = in[i];
    }
}

int transpose(void* stream, int n_total, int n_list, const int* neighbor, std::int64_t* incoming_start, int* incoming,
              int* scratch) {
    const auto s = stream_of(stream);
    int error = cudaMemsetAsync(incoming_start, 0, (std::size_t(n_total) + 1) * sizeof(std::int64_t), s);
    if (error == cudaSuccess && n_list > 0) {
        error = launch(count_kernel, blocks_for(n_list, kThreads), kThreads, s, n_list, neighbor, incoming_start);
    }
    if (error == cudaSuccess) error = add_up(s, n_total + 1ll, incoming_start);
    if (error != cudaSuccess || n_list == 0) return error;
    // the cursors, then the unsorted rows: scratch [n_total + n_list]
    error = cudaMemsetAsync(scratch, 0, std::size_t(n_total) * sizeof(int), s);
    int* unsorted = scratch + n_total;
    if (error == cudaSuccess) {
        error = launch(fill_incoming_kernel, blocks_for(n_list, kThreads), kThreads, s, n_list, neighbor,
                       incoming_start, scratch, unsorted);
    }
    if (error == cudaSuccess) {
        error = launch(sort_rows_kernel, blocks_for(n_total, kWarpsPerBlock), kThreads, s, n_total, incoming_start,
                       unsorted, incoming);
    }
    return error;
}

template <class real>
int geometry(void* stream, const DeviceEdges<real>& d) {
    return launch(geometry_kernel<real>, blocks_for(d.n_rows, kWarpsPerBlock), kThreads, stream_of(stream), d);
}

template <class real>
int restart_edges(void* stream, const DeviceEdges<real>& d) {
    return launch(restart_kernel<real>, blocks_for(d.n_rows, kWarpsPerBlock), kThreads, stream_of(stream), d);
}

template <class real>
int nearest(void* stream, const DeviceEdges<real>& d, double* distance, int* neighbor) {
    return launch(nearest_kernel<real>, blocks_for(d.n_rows, kThreads), kThreads, stream_of(stream), d, distance,
                  neighbor);
}

template <class real>
void add(DeviceKernels<real>& k) {
    k.geometry = geometry<real>;
    k.restart_edges = restart_edges<real>;
    k.nearest = nearest<real>;
}

}  // namespace

int add_up(cudaStream_t stream, long long n, std::int64_t* values) {
    return launch(scan_kernel, 1, kScanThreads, stream, n, values);
}

void add_edge_kernels(DeviceInterface& d) {
    d.transpose = transpose;
    add(d.single);
    add(d.reference);
}

}  // namespace cuda
}  // namespace qdml
