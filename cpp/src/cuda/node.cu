// SPDX-License-Identifier: MIT
/// Work per atom on the device: linear maps over channels, the gate, silu, gradients as tensors, energies.
#define QDML_ISA cuda
#include "kernels.cuh"

#include "../kernels/gate.hpp"
#include "../paths/gate.hpp"

namespace qdml {
namespace cuda {
namespace {

constexpr int kThreads = 128;

/// Sums of products of rows and weights. Launch: 128 threads for 32 rows x 64 output channels, each thread 4 x 4 of
/// them; the operands of one block of 16 input channels lie in shared memory (fp32 6 KB). The order of every
/// sum is that of the terms, then of the input channels.
template <class real>
__global__ void __launch_bounds__(kThreads)
    linear_kernel(const LinearJob<real>* jobs, const LinearTerm<real>* terms, int n_jobs) {
    constexpr int kColumns = kLinearBlocks * kBlock, kPerThread = 4;
    constexpr int kThreadRows = kThreads / kBlock;  // rows that the threads cover at once
    __shared__ real input[kBlock][kLinearRows + 1];
    __shared__ real weight[kBlock][kColumns];
    int which = 0;
    while (which + 1 < n_jobs && int(blockIdx.x) >= jobs[which + 1].first_block) ++which;
    const LinearJob<real>& job = jobs[which];
    const int column_tiles = (job.blocks + kLinearBlocks - 1) / kLinearBlocks;
    const int tile = int(blockIdx.x) - job.first_block;
    const int first_row = tile / column_tiles * kLinearRows, first_out = tile % column_tiles * kLinearBlocks;
    const int n_rows = job.n_atoms * job.components;
    const int lane = threadIdx.x % kBlock, thread_row = threadIdx.x / kBlock;
    real sum[kPerThread][kPerThread] = {};
    for (int t = 0; t < job.n_terms; ++t) {
        const LinearTerm<real> term = terms[job.first_term + t];
        for (int block = 0; block < term.blocks; ++block) {
            for (int r = thread_row; r < kLinearRows; r += kThreadRows) {
                const int row = first_row + r;
                real value = 0;
                if (row < n_rows) {
                    const long long atom = job.atoms[row / job.components];
                    value = term.in[atom * term.width + row % job.components * kBlock +
                                    (long long)block * term.stride + lane];
                }
                input[lane][r] = value;
            }
            for (int i = threadIdx.x; i < kBlock * kColumns; i += kThreads) {
                const int out = first_out + i / (kBlock * kBlock), k = i / kBlock % kBlock, c = i % kBlock;
                real value = 0;
                if (out < job.blocks) {
                    value = term.weight[(((long long)out * term.blocks + block) * kBlock + k) * kBlock + c];
                }
                weight[k][(out - first_out) * kBlock + c] = value;
            }
            __syncthreads();
            for (int k = 0; k < kBlock; ++k) {
                real x[kPerThread], w[kPerThread];
                for (int i = 0; i < kPerThread; ++i) x[i] = input[k][thread_row + i * kThreadRows];
                for (int j = 0; j < kPerThread; ++j) w[j] = weight[k][j * kBlock + lane];
                for (int i = 0; i < kPerThread; ++i) {
                    for (int j = 0; j < kPerThread; ++j) sum[i][j] += x[i] * w[j];
                }
            }
            __syncthreads();
        }
    }
    for (int i = 0; i < kPerThread; ++i) {
        const int row = first_row + thread_row + i * kThreadRows;
        if (row >= n_rows) continue;
        const long long atom = job.atoms[row / job.components];
        real* out = job.out + atom * job.width + row % job.components * kBlock + lane;
        for (int j = 0; j < kPerThread && first_out + j < job.blocks; ++j) {
            out[(long long)(first_out + j) * job.stride] = sum[i][j];
        }
    }
}

/// Channels of all degrees of one atom; one thread each.
__host__ __device__ inline int gate_channels_of(const GateShape& s) {
    int blocks = 0;
    for (int l = 0; l <= s.l_out; ++l) blocks += s.blocks[l];
    return blocks * kBlock;
}

/// Atom, degree and channel of thread number i.
struct GateThread {
    long long atom;
    int l, channel;
};

__device__ inline GateThread gate_thread(const GateShape& s, long long i) {
    const int channels = gate_channels_of(s);
    GateThread t = {i / channels, 0, int(i % channels)};
    while (t.channel >= s.blocks[t.l] * kBlock) t.channel -= s.blocks[t.l++] * kBlock;
    return t;
}

__device__ inline long long thread_number() { return (long long)blockIdx.x * kThreads + threadIdx.x; }

template <class real>
__global__ void gate_forward_kernel(GateShape s, long long n, const real* z, int z_width, real* h, int h_width) {
    if (thread_number() >= n) return;
    const GateThread t = gate_thread(s, thread_number());
    z += t.atom * z_width;
    const int at = channel_offset(t.l, t.channel);
    const real* from = z + s.z_offset[t.l] + at;
    real* to = h + t.atom * h_width + s.h_offset[t.l] + at;
    if (t.l == 0) {
        real unused;
        store(to, silu(load(from), unused));
    } else {
        gate_channels(t.l, z + gate_offset(s, t.l) + t.channel, from, to);
    }
}

template <class real>
__global__ void gate_backward_kernel(GateShape s, long long n, const real* z, const real* grad_h, int h_width,
                                     real* grad_z, int z_width) {
    if (thread_number() >= n) return;
    const GateThread t = gate_thread(s, thread_number());
    z += t.atom * z_width;
    grad_z += t.atom * z_width;
    const int at = channel_offset(t.l, t.channel), in_z = s.z_offset[t.l] + at;
    grad_h += t.atom * h_width + s.h_offset[t.l] + at;
    if (t.l == 0) {
        real derivative;
        silu(load(z + in_z), derivative);
        store(grad_z + in_z, load(grad_h) * derivative);
    } else {
        const int gate = gate_offset(s, t.l) + t.channel;
        gate_channels_backward(t.l, z + gate, z + in_z, grad_h, grad_z + gate, grad_z + in_z);
    }
}

/// One thread per atom and channel of the gate's parts: the part, and the channel in it.
__device__ inline int path_gate_part(const DeviceGate& g, int* channel) {
    int part = 0;
    while (*channel >= g.part[part].blocks * kBlock) *channel -= g.part[part++].blocks * kBlock;
    return part;
}

template <class real>
__global__ void path_gate_forward_kernel(DeviceGate g, long long n, const real* z, int z_width, real* h, int h_width) {
    if (thread_number() >= n) return;
    const long long atom = thread_number() / g.channels;
    int channel = int(thread_number() % g.channels);
    const GatePart& part = g.part[path_gate_part(g, &channel)];
    path_gate(part, channel, z + atom * z_width, h + atom * h_width);
}

template <class real>
__global__ void path_gate_backward_kernel(DeviceGate g, long long n, const real* z, const real* grad_h, int h_width,
                                          real* grad_z, int z_width) {
    if (thread_number() >= n) return;
    const long long atom = thread_number() / g.channels;
    int channel = int(thread_number() % g.channels);
    const GatePart& part = g.part[path_gate_part(g, &channel)];
    path_gate_adjoint(part, channel, z + atom * z_width, grad_h + atom * h_width, grad_z + atom * z_width);
}

template <class real>
__global__ void silu_forward_kernel(long long n, const real* x, real* y) {
    const long long i = thread_number();
    real unused;
    if (i < n) y[i] = silu(x[i], unused);
}

template <class real>
__global__ void silu_backward_kernel(long long n, const real* x, const real* grad_y, real* grad_x) {
    const long long i = thread_number();
    if (i >= n) return;
    real derivative;
    silu(x[i], derivative);
    grad_x[i] = grad_y[i] * derivative;
}

/// One thread per (atom, block, slot of degree L, channel).
template <int L, class real>
__global__ void to_tensors_kernel(SumShape s, int first, bool reversed, long long n, real* rows) {
    long long i = thread_number();
    if (i >= n) return;
    const int lane = i % kBlock, slot = (i /= kBlock) % s.slots[L], block = (i /= s.slots[L]) % s.n_blocks;
    const long long atom = i / s.n_blocks;
    real* at = rows + ((atom * s.n_blocks + block) * s.components + first + slot * stored_count(L)) * kBlock + lane;
    real g[stored_count(L)], y[stored_count(L)];
    for (int m = 0; m < stored_count(L); ++m) g[m] = at[m * kBlock];
    from_stored<L, real>(y, g);
    for (int m = 0; m < stored_count(L); ++m) at[m * kBlock] = reversed && L % 2 == 1 ? -y[m] : y[m];
}

template <int L, class real>
int to_tensors_of_degree(void* stream, const SumShape& s, int reversed, int n, real* rows, int first) {
    if constexpr (L <= kMaxDegree) {
        if (L > s.l_out) return cudaSuccess;
        if (L > 1 || (L == 1 && reversed != 0)) {  // others are tensors already
            const long long threads = (long long)n * s.n_blocks * s.slots[L] * kBlock;
            const int error = launch(to_tensors_kernel<L, real>, blocks_for(threads, kThreads), kThreads,
                                     stream_of(stream), s, first, reversed != 0, threads, rows);
            if (error != cudaSuccess) return error;
        }
        return to_tensors_of_degree<L + 1>(stream, s, reversed, n, rows, first + s.slots[L] * stored_count(L));
    } else {
        return cudaSuccess;
    }
}

template <class real>
__global__ void energies_kernel(int n_local, const int* species, const double* reference, const double* scale,
                                const real* epsilon, double* atom_energy, real* grad) {
    const long long i = thread_number();
    if (i >= (long long)n_local * kBlock) return;
    const int atom = int(i / kBlock), s = species[atom];
    if (s < 0) return;  // not part of the model: its rows stay as they are and nobody reads them
    grad[i] = i % kBlock == 0 ? static_cast<real>(scale[s]) : real(0);
    if (i % kBlock == 0) atom_energy[atom] += reference[s] + scale[s] * static_cast<double>(epsilon[i]);
}

template <class real>
int linear(void* stream, const LinearJob<real>* jobs, const LinearTerm<real>* terms, int n_jobs, int n_blocks) {
    return launch(linear_kernel<real>, n_blocks, kThreads, stream_of(stream), jobs, terms, n_jobs);
}

template <class real>
int gate_forward(void* stream, const GateShape& s, int n, const real* z, int z_width, real* h, int h_width) {
    const long long threads = (long long)n * gate_channels_of(s);
    return launch(gate_forward_kernel<real>, blocks_for(threads, kThreads), kThreads, stream_of(stream), s, threads, z,
                  z_width, h, h_width);
}

template <class real>
int gate_backward(void* stream, const GateShape& s, int n, const real* z, const real* grad_h, int h_width, real* grad_z,
                  int z_width) {
    const long long threads = (long long)n * gate_channels_of(s);
    return launch(gate_backward_kernel<real>, blocks_for(threads, kThreads), kThreads, stream_of(stream), s, threads, z,
                  grad_h, h_width, grad_z, z_width);
}

template <class real>
int path_gate_forward(void* stream, const DeviceGate& g, int n, const real* z, int z_width, real* h, int h_width) {
    const long long threads = (long long)n * g.channels;
    return launch(path_gate_forward_kernel<real>, blocks_for(threads, kThreads), kThreads, stream_of(stream), g,
                  threads, z, z_width, h, h_width);
}

template <class real>
int path_gate_backward(void* stream, const DeviceGate& g, int n, const real* z, const real* grad_h, int h_width,
                       real* grad_z, int z_width) {
    const long long threads = (long long)n * g.channels;
    return launch(path_gate_backward_kernel<real>, blocks_for(threads, kThreads), kThreads, stream_of(stream), g,
                  threads, z, grad_h, h_width, grad_z, z_width);
}

template <class real>
int silu_forward(void* stream, std::int64_t n, const real* x, real* y) {
    return launch(silu_forward_kernel<real>, blocks_for(n, kThreads), kThreads, stream_of(stream), n, x, y);
}

template <class real>
int silu_backward(void* stream, std::int64_t n, const real* x, const real* grad_y, real* grad_x) {
    return launch(silu_backward_kernel<real>, blocks_for(n, kThreads), kThreads, stream_of(stream), n, x, grad_y,
                  grad_x);
}

template <class real>
int to_tensors(void* stream, const SumShape& s, int reversed, int n, real* rows) {
    return to_tensors_of_degree<0>(stream, s, reversed, n, rows, 0);
}

template <class real>
int energies(void* stream, int n_local, const int* species, const double* reference, const double* scale,
             const real* epsilon, double* atom_energy, real* grad) {
    return launch(energies_kernel<real>, blocks_for((long long)n_local * kBlock, kThreads), kThreads, stream_of(stream),
                  n_local, species, reference, scale, epsilon, atom_energy, grad);
}

template <class real>
void add(DeviceKernels<real>& k) {
    k.linear = linear<real>;
    k.gate_forward = gate_forward<real>;
    k.gate_backward = gate_backward<real>;
    k.path_gate_forward = path_gate_forward<real>;
    k.path_gate_backward = path_gate_backward<real>;
    k.silu_forward = silu_forward<real>;
    k.silu_backward = silu_backward<real>;
    k.to_tensors = to_tensors<real>;
    k.energies = energies<real>;
}

}  // namespace

void add_node_kernels(DeviceKernels<float>& k) { add(k); }
void add_node_kernels(DeviceKernels<double>& k) { add(k); }

}  // namespace cuda
}  // namespace qdml
