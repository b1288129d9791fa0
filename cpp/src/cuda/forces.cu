// SPDX-License-Identifier: MIT
/// What the edges' gradients add up to on the device: forces, virials and totals in fp64, without atomics.
#define QDML_ISA cuda
#include "rows.cuh"

#include "lane.cuh"

namespace qdml {
namespace cuda {
namespace {

/// One warp per row: gradients in Cartesian form, their sum to the force on the center, the row's virial.
template <class real>
__global__ void row_forces_kernel(DeviceForces<real> f) {
    if (warp_number() >= f.n_rows) return;
    const int row = f.first + warp_number(), lane = lane_number();
    double sum[12] = {};
    for (long long e = f.list_start[row] + lane; e < f.row_end[row]; e += kWarp) {
        const EdgeRecord<real>& edge = f.record[e];
        EdgeGradient<real> g = f.gradient[e];
        to_cartesian(edge, g.value);
        f.gradient[e] = g;
        const double r = 1.0 / static_cast<double>(edge.inverse_r);
        for (int k = 0; k < 3; ++k) sum[k] += g.value[k];
        for (int k = 0; k < 9; ++k) sum[3 + k] -= r * edge.direction[k / 3] * g.value[k % 3];
    }
    for (int k = 0; k < 12; ++k) sum[k] = warp_sum(sum[k]);
    if (lane == 0) {
        for (int k = 0; k < 3; ++k) f.force[3ll * row + k] += sum[k];
        for (int k = 0; k < 9; ++k) f.row_virial[9ll * row + k] += sum[3 + k];
        for (int k = 0; f.atom_virial != nullptr && k < 9; ++k) f.atom_virial[9ll * row + k] += 0.5 * sum[3 + k];
    }
}

/// One warp per atom or ghost: what the edges that end in it take from its force, and its half of their virial.
template <class real>
__global__ void incoming_forces_kernel(DeviceForces<real> f) {
    const int atom = warp_number(), lane = lane_number();
    if (atom >= f.n_total) return;
    double sum[12] = {};
    for (long long k = f.incoming_start[atom] + lane; k < f.incoming_start[atom + 1]; k += kWarp) {
        const int listed = f.incoming[k];
        if (listed < f.first_edge || listed >= f.last_edge) continue;
        const int e = f.slot[listed];
        if (e < 0) continue;
        const EdgeGradient<real> g = f.gradient[e];
        for (int m = 0; m < 3; ++m) sum[m] += g.value[m];
        if (f.atom_virial != nullptr) {
            const EdgeRecord<real>& edge = f.record[e];
            const double r = 1.0 / static_cast<double>(edge.inverse_r);
            for (int m = 0; m < 9; ++m) sum[3 + m] -= r * edge.direction[m / 3] * g.value[m % 3];
        }
    }
    for (int k = 0; k < (f.atom_virial != nullptr ? 12 : 3); ++k) sum[k] = warp_sum(sum[k]);
    if (lane != 0) return;
    for (int k = 0; k < 3; ++k) f.force[3ll * atom + k] -= sum[k];
    for (int k = 0; f.atom_virial != nullptr && k < 9; ++k) f.atom_virial[9ll * atom + k] += 0.5 * sum[3 + k];
}

/// Sums of the block's values of one kind by halving: fixed pairs.
__device__ inline double block_sum(double value, double* part) {
    part[threadIdx.x] = value;
    __syncthreads();
    for (int half = kThreads / 2; half > 0; half /= 2) {
        if (int(threadIdx.x) < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    const double sum = part[0];
    __syncthreads();
    return sum;
}

/// Number k of atom i: its energy, then the nine of its row's virial.
__device__ inline double total_of(const double* atom_energy, const double* row_virial, long long i, int k) {
    return k == 0 ? atom_energy[i] : row_virial[9 * i + k - 1];
}

/// kPartialSums blocks, each over every kPartialSums-th piece of 128 atoms: the order depends on n_local alone.
__global__ void partial_totals_kernel(int n_local, const double* atom_energy, const double* row_virial,
                                      double* partial) {
    __shared__ double part[kThreads];
    for (int k = 0; k < kTotals; ++k) {
        double sum = 0;
        for (long long i = thread_number(); i < n_local; i += (long long)kPartialSums * kThreads) {
            sum += total_of(atom_energy, row_virial, i, k);
        }
        sum = block_sum(sum, part);
        if (threadIdx.x == 0) partial[blockIdx.x * kTotals + k] = sum;
    }
}

__global__ void totals_kernel(const double* partial, double* totals) {
    if (threadIdx.x >= kTotals) return;
    double sum = 0;
    for (int b = 0; b < kPartialSums; ++b) sum += partial[b * kTotals + threadIdx.x];
    totals[threadIdx.x] = sum;
}

int totals(void* stream, int n_local, const double* atom_energy, const double* row_virial, double* partial,
           double* out) {
    const auto s = stream_of(stream);
    const int error =
        launch(partial_totals_kernel, kPartialSums, kThreads, s, n_local, atom_energy, row_virial, partial);
    return error != cudaSuccess ? error : int(launch(totals_kernel, 1, kWarp, s, partial, out));
}

template <class real, bool kAdd>
__global__ void scale_rows_kernel(long long n, int width, const double* factor, double sign, const real* in,
                                  real* out) {
    const long long i = thread_number();
    if (i >= n) return;
    const real scaled = static_cast<real>(sign * factor[i / width]) * in[i];
    out[i] = kAdd ? out[i] + scaled : scaled;
}

template <class real>
__global__ void scale_edges_kernel(int n_local, const std::int64_t* list_start, const std::int64_t* row_end,
                                   const double* factor, const EdgeGradient<real>* in, EdgeGradient<real>* out) {
    const int row = warp_number();
    if (row >= n_local) return;
    const real here = static_cast<real>(factor[row]);
    for (long long e = list_start[row] + lane_number(); e < row_end[row]; e += kWarp) {
        EdgeGradient<real> g = in[e];
        for (int k = 0; k < 4; ++k) g.value[k] *= here;
        out[e] = g;
    }
}

template <class real>
__global__ void moment_to_cartesian_kernel(DeviceForces<real> f, EdgeGradient<real>* moment) {
    const int row = warp_number();
    if (row >= f.n_local) return;
    for (long long e = f.list_start[row] + lane_number(); e < f.row_end[row]; e += kWarp) {
        EdgeGradient<real> g = moment[e];
        to_cartesian(f.record[e], g.value);
        moment[e] = g;
    }
}

/// One warp per atom or ghost. dE_k/dx_i is -dE_k/dr of its own row and +dE_k/dr of the edges that end in i.
template <class real>
__global__ void centroid_kernel(DeviceForces<real> f, int axis, const double* x, const EdgeGradient<real>* moment,
                                double* centroid_virial) {
    const int atom = warp_number(), lane = lane_number();
    if (atom >= f.n_total) return;
    const double here = x[atom];
    double sum[3] = {};
    const long long own_end = atom < f.n_local ? f.row_end[atom] : 0;
    for (long long e = (atom < f.n_local ? f.list_start[atom] : 0) + lane; e < own_end; e += kWarp) {
        for (int b = 0; b < 3; ++b) {
            sum[b] -= static_cast<double>(moment[e].value[b]) - here * static_cast<double>(f.gradient[e].value[b]);
        }
    }
    for (long long k = f.incoming_start[atom] + lane; k < f.incoming_start[atom + 1]; k += kWarp) {
        const int e = f.slot[f.incoming[k]];
        if (e < 0) continue;
        for (int b = 0; b < 3; ++b) {
            sum[b] += static_cast<double>(moment[e].value[b]) - here * static_cast<double>(f.gradient[e].value[b]);
        }
    }
    for (int b = 0; b < 3; ++b) sum[b] = warp_sum(sum[b]);
    if (lane == 0) {
        for (int b = 0; b < 3; ++b) centroid_virial[9ll * atom + 3 * axis + b] = sum[b];
    }
}

template <class real>
int forces(void* stream, const DeviceForces<real>& f) {
    const auto s = stream_of(stream);
    const int error = launch(row_forces_kernel<real>, blocks_for(f.n_rows, kWarpsPerBlock), kThreads, s, f);
    if (error != cudaSuccess) return error;
    return launch(incoming_forces_kernel<real>, blocks_for(f.n_total, kWarpsPerBlock), kThreads, s, f);
}

template <class real>
int scale_rows(void* stream, std::int64_t n_rows, int width, const double* factor, const real* in, real* out) {
    const long long n = n_rows * width;
    return launch(scale_rows_kernel<real, false>, blocks_for(n, kThreads), kThreads, stream_of(stream), n, width,
                  factor, 1.0, in, out);
}

template <class real>
int add_scaled_rows(void* stream, std::int64_t n_rows, int width, const double* factor, double sign, const real* in,
                    real* out) {
    const long long n = n_rows * width;
    return launch(scale_rows_kernel<real, true>, blocks_for(n, kThreads), kThreads, stream_of(stream), n, width, factor,
                  sign, in, out);
}

template <class real>
int scale_edges(void* stream, int n_local, const std::int64_t* list_start, const std::int64_t* row_end,
                const double* factor, const EdgeGradient<real>* in, EdgeGradient<real>* out) {
    return launch(scale_edges_kernel<real>, blocks_for(n_local, kWarpsPerBlock), kThreads, stream_of(stream), n_local,
                  list_start, row_end, factor, in, out);
}

template <class real>
int centroid(void* stream, const DeviceForces<real>& f, int axis, const double* x, EdgeGradient<real>* moment,
             double* centroid_virial) {
    const auto s = stream_of(stream);
    const int error =
        launch(moment_to_cartesian_kernel<real>, blocks_for(f.n_local, kWarpsPerBlock), kThreads, s, f, moment);
    if (error != cudaSuccess) return error;
    return launch(centroid_kernel<real>, blocks_for(f.n_total, kWarpsPerBlock), kThreads, s, f, axis, x, moment,
                  centroid_virial);
}

template <class real>
void add(DeviceKernels<real>& k) {
    k.forces = forces<real>;
    k.scale_rows = scale_rows<real>;
    k.add_scaled_rows = add_scaled_rows<real>;
    k.scale_edges = scale_edges<real>;
    k.centroid = centroid<real>;
}

}  // namespace

void add_force_kernels(DeviceInterface& d) {
    d.totals = totals;
    add(d.single);
    add(d.reference);
}

}  // namespace cuda
}  // namespace qdml
