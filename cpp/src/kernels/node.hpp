// SPDX-License-Identifier: MIT
/// Work per atom: linear maps over channels, the gate, silu, gradients as tensors.
#pragma once

#include "gate.hpp"

namespace qdml {
namespace QDML_ISA {

/// R rows times NV registers of output channels, kept in registers over all input channels.
template <class real, int R, int NV>
QDML_INLINE void linear_tile(const LinearMap<real>& map, const real* const* in, int in_stride,
                             real* const* out, int out_stride, int first, bool accumulate) {
    using V = Register<real>;
    constexpr int kPerBlock = kBlock / kLanes<real>;
    const std::int64_t channels = std::int64_t(map.in_blocks) * kBlock;
    const real* weight[NV];
    std::int64_t offset[NV];
    for (int v = 0; v < NV; ++v) {
        const int block = (first + v) / kPerBlock, lane = (first + v) % kPerBlock * kLanes<real>;
        weight[v] = map.weight + block * channels * kBlock + lane;
        offset[v] = std::int64_t(block) * out_stride + lane;
    }
    V sum[R][NV];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) {
            sum[r][v] = accumulate ? load(out[r] + offset[v]) : zero<V>();
        }
    }
    for (int block = 0; block < map.in_blocks; ++block) {
        const std::int64_t from = std::int64_t(block) * in_stride;
        for (int k = 0; k < kBlock; ++k) {
            const std::int64_t row = (std::int64_t(block) * kBlock + k) * kBlock;
            V w[NV];
#pragma GCC unroll 4
            for (int v = 0; v < NV; ++v) w[v] = load(weight[v] + row);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
                const real x = in[r][from + k];
#pragma GCC unroll 4
                for (int v = 0; v < NV; ++v) sum[r][v] += x * w[v];
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) store(out[r] + offset[v], sum[r][v]);
    }
}

template <class real, int NV>
void linear_columns(const LinearMap<real>& map, const real* const* in, int in_stride,
                    real* const* out, int out_stride, int n_rows, int first, bool accumulate) {
    int r = 0;
    for (; r + 6 <= n_rows; r += 6) {
        linear_tile<real, 6, NV>(map, in + r, in_stride, out + r, out_stride, first, accumulate);
    }
    for (; r + 3 <= n_rows; r += 3) {
        linear_tile<real, 3, NV>(map, in + r, in_stride, out + r, out_stride, first, accumulate);
    }
    for (; r < n_rows; ++r) {
        linear_tile<real, 1, NV>(map, in + r, in_stride, out + r, out_stride, first, accumulate);
    }
}

template <class real>
void linear(const LinearMap<real>& map, const real* const* in, int in_stride, real* const* out,
            int out_stride, int n_rows, bool accumulate) {
    // 6 x 4 sums fill the 32 registers of AVX-512 and NEON, 6 x 2 the 16 of AVX2 and SSE.
    constexpr int kMost = kRegisters >= 32 ? 4 : 2;
    const int n = map.out_blocks * (kBlock / kLanes<real>);
    int first = 0;
    for (; first + kMost <= n; first += kMost) {
        linear_columns<real, kMost>(map, in, in_stride, out, out_stride, n_rows, first, accumulate);
    }
    for (; first < n; ++first) {
        linear_columns<real, 1>(map, in, in_stride, out, out_stride, n_rows, first, accumulate);
    }
}

template <class real>
void silu_forward(int n, const real* x, real* y) {
    Register<real> unused;
    for (int i = 0; i < n; i += kLanes<real>) store<real>(y + i, silu(load(x + i), unused));
}

template <class real>
void silu_backward(int n, const real* x, const real* grad_y, real* grad_x) {
    Register<real> derivative;
    for (int i = 0; i < n; i += kLanes<real>) {
        silu(load(x + i), derivative);
        store<real>(grad_x + i, load(grad_y + i) * derivative);
    }
}

template <class real>
void gate_forward(const GateShape& s, const real* z, real* h) {
    silu_forward(s.blocks[0] * kBlock, z + s.z_offset[0], h + s.h_offset[0]);
    for (int l = 1; l <= s.l_out; ++l) {
        const real* gate = z + gate_offset(s, l);
        for (int c = 0; c < s.blocks[l] * kBlock; c += kLanes<real>) {
            const int at = channel_offset(l, c);
            gate_channels(l, gate + c, z + s.z_offset[l] + at, h + s.h_offset[l] + at);
        }
    }
}

template <class real>
void gate_backward(const GateShape& s, const real* z, const real* grad_h, real* grad_z) {
    silu_backward(s.blocks[0] * kBlock, z + s.z_offset[0], grad_h + s.h_offset[0],
                  grad_z + s.z_offset[0]);
    for (int l = 1; l <= s.l_out; ++l) {
        const int gate = gate_offset(s, l);
        for (int c = 0; c < s.blocks[l] * kBlock; c += kLanes<real>) {
            const int at = channel_offset(l, c);
            gate_channels_backward(l, z + gate + c, z + s.z_offset[l] + at,
                                   grad_h + s.h_offset[l] + at, grad_z + gate + c,
                                   grad_z + s.z_offset[l] + at);
        }
    }
}

template <int L, class real>
void to_tensors_of_degree(const SumShape& s, bool reversed, real* row, int first) {
    using V = Register<real>;
    if constexpr (L <= kMaxDegree) {
        if (L > s.l_out) return;
        const bool negate = reversed && L % 2 == 1;
        for (int slot = 0; slot < s.slots[L] && (L > 1 || negate); ++slot) {
            for (int block = 0; block < s.n_blocks; ++block) {
                for (int lane = 0; lane < kBlock; lane += kLanes<real>) {
                    real* at = row + (std::int64_t(block) * s.components + first +
                                      slot * stored_count(L)) * kBlock + lane;
                    V g[stored_count(L)], y[stored_count(L)];
                    for (int m = 0; m < stored_count(L); ++m) g[m] = load(at + m * kBlock);
                    from_stored<L, real>(y, g);
                    for (int m = 0; m < stored_count(L); ++m) {
                        store<real>(at + m * kBlock, negate ? -y[m] : y[m]);
                    }
                }
            }
        }
        to_tensors_of_degree<L + 1>(s, reversed, row, first + s.slots[L] * stored_count(L));
    }
}

template <class real>
void to_tensors(const SumShape& s, bool reversed, real* row) {
    to_tensors_of_degree<0>(s, reversed, row, 0);
}

}  // namespace QDML_ISA
}  // namespace qdml
