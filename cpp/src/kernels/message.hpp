// SPDX-License-Identifier: MIT
/// The mathematics of one message (docs/conventions.md, "The message"), forward and backward.
///
/// Written once for a vector of channels V: fp64 reference and fp32 kernels are the same lines.
/// Symmetric matrices are stored as xx, yy, xy, yz, zx with zz = -xx - yy.
#pragma once

#include "kernels.hpp"
#ifdef __CUDACC__
#include "../cuda/lane.cuh"  // the same names, one channel per thread
#else
#include "simd.hpp"
#endif

namespace qdml {
namespace QDML_ISA {

/// Position of each of the eleven terms on the axis P of a layer (l_in, l_out).
template <int LI>
struct Terms {
    // A_s                s, d, e
    static constexpr int s_s = 0, s_d = 1, s_e = 2;
    // A_v                s r̂, d r̂, v, w
    static constexpr int v_s = 1 + LI, v_d = v_s + 1, v_v = v_s + 2, v_w = v_s + 3;
    // A_T                s [r̂ r̂], [r̂ v], [r̂ w], T
    static constexpr int t_s = v_s + (LI == 0 ? 1 : LI + 2), t_v = t_s + 1, t_w = t_s + 2,
                         t_t = t_s + 3;
};

constexpr int term_count(int l_in, int l_out) {
    return 1 + l_in + (l_out > 0 ? (l_in == 0 ? 1 : l_in + 2) : 0) +
           (l_out > 1 ? (1 << l_in) : 0);
}

constexpr int component_count(int l) { return (l + 1) * (l + 1); }

/// The four coefficients of an edge: value and derivative of the radial function of one term.
template <class real, int P>
struct Radial {
    using V = Register<real>;
    const real* at;  ///< knot n, term 0, this lane
    const EdgeRecord<real>& e;

    QDML_INLINE V value(int p) const {
        const real* c = at + p * kBlock;
        return load(c) * e.weight[0] + load(c + P * kBlock) * e.weight[1] +
               load(c + 2 * P * kBlock) * e.weight[2] + load(c + 3 * P * kBlock) * e.weight[3];
    }
    QDML_INLINE void both(int p, V& r, V& dr) const {
        const real* c = at + p * kBlock;
        const V c0 = load(c), c1 = load(c + P * kBlock), c2 = load(c + 2 * P * kBlock),
                c3 = load(c + 3 * P * kBlock);
        const real *b = e.weight, *d = e.weight_derivative;
        r = c0 * b[0] + c1 * b[1] + c2 * b[2] + c3 * b[3];
        dr = c0 * d[0] + c1 * d[1] + c2 * d[2] + c3 * d[3];
    }
};

template <class V>
QDML_INLINE V dot(const V (&a)[3], const V (&b)[3]) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
template <class V, class real>
QDML_INLINE V dot(const real* r, const V (&a)[3]) {
    return r[0] * a[0] + r[1] * a[1] + r[2] * a[2];
}
/// y = M x for a symmetric traceless M and a direction or vector x.
template <class V, class X>
QDML_INLINE void apply(V (&y)[3], const V (&m)[5], const X* x) {
    y[0] = m[0] * x[0] + m[2] * x[1] + m[4] * x[2];
    y[1] = m[2] * x[0] + m[1] * x[1] + m[3] * x[2];
    y[2] = m[4] * x[0] + m[3] * x[1] - (m[0] + m[1]) * x[2];
}

/// What a center gathers; the matrix keeps its trace (xx, yy, xy, yz, zx, zz) until the last edge.
template <class V>
struct Aggregate {
    V s, v[3], t[6];
};

/// A += message of one edge; h: sender [m][16] at this lane.
template <class real, int LI, int LO>
QDML_INLINE void message_forward(Aggregate<Register<real>>& a, const EdgeRecord<real>& e,
                                 const Radial<real, term_count(LI, LO)>& radial, const real* h) {
    using V = Register<real>;
    using P = Terms<LI>;
    const real* r = e.direction;
    const V s = load(h);
    V v[3] = {}, t[5] = {}, w[3] = {}, d = {};
    a.s += radial.value(P::s_s) * s;
    if constexpr (LI > 0) {
        for (int k = 0; k < 3; ++k) v[k] = load(h + (1 + k) * kBlock);
        d = dot(r, v);
        a.s += radial.value(P::s_d) * d;
    }
    if constexpr (LI > 1) {
        for (int k = 0; k < 5; ++k) t[k] = load(h + (4 + k) * kBlock);
        apply(w, t, r);
        a.s += radial.value(P::s_e) * dot(r, w);
    }
    if constexpr (LO > 0) {
        V along = radial.value(P::v_s) * s;
        if constexpr (LI > 0) {
            along += radial.value(P::v_d) * d;
            const V rv = radial.value(P::v_v);
            for (int k = 0; k < 3; ++k) a.v[k] += rv * v[k];
        }
        for (int k = 0; k < 3; ++k) a.v[k] += along * r[k];
        if constexpr (LI > 1) {
            const V rw = radial.value(P::v_w);
            for (int k = 0; k < 3; ++k) a.v[k] += rw * w[k];
        }
    }
    if constexpr (LO > 1) {
        // q collects everything that is symmetrised with r̂
        const V rs = radial.value(P::t_s) * s;
        V q[3];
        for (int k = 0; k < 3; ++k) q[k] = rs * r[k];
        if constexpr (LI > 0) {
            const V rv = radial.value(P::t_v);
            for (int k = 0; k < 3; ++k) q[k] += rv * v[k];
        }
        if constexpr (LI > 1) {
            const V rw = radial.value(P::t_w);
            for (int k = 0; k < 3; ++k) q[k] += rw * w[k];
            const V rt = radial.value(P::t_t);
            for (int k = 0; k < 5; ++k) a.t[k] += rt * t[k];
            a.t[5] -= rt * (t[0] + t[1]);
        }
        const real half[3] = {real(0.5) * r[0], real(0.5) * r[1], real(0.5) * r[2]};
        a.t[0] += r[0] * q[0];
        a.t[1] += r[1] * q[1];
        a.t[2] += half[0] * q[1] + half[1] * q[0];
        a.t[3] += half[1] * q[2] + half[2] * q[1];
        a.t[4] += half[2] * q[0] + half[0] * q[2];
        a.t[5] += r[2] * q[2];
    }
}

/// Gradient of the sender: matrix as dE = sum_ab N_ab dT_ab over all nine elements (xx, yy, xy, yz,
/// zx, zz).
template <class V>
struct SenderGradient {
    V s, v[3], n[6];
};

/// Sender features held in registers or stack over a row.
template <class V>
struct Sender {
    V s, v[3], t[5];
};

/// Gradient of one edge: dE/dr̂ (without the projection on the sphere) and dE/dr.
template <class V>
struct MessageGradient {
    V direction[3], r;
};

/// Adjoint of message_forward. g: dE/dA of the receiver [m][16] at this lane, matrix part in matrix
/// form M (dE = sum_ab M_ab dB_ab, M traceless). kSender: also the gradient of the sender.
///
/// With c = r̂·G_v, k = M r̂, κ = r̂·k and R_p the radial function of term p of the table in
/// docs/conventions.md, differentiating term by term gives
///   dE/ds = R0 G_s + R3 c + R7 κ;  dE/dd = R1 G_s + R4 c;  dE/de = R2 G_s;  dE/dw = R6 G_v + R9 k + dE/de r̂
///   dE/dv = dE/dd r̂ + R5 G_v + R8 k;  N = R10 M + sym(dE/dw r̂)
///   dE/dr̂ = dE/dd v + dE/de w + T dE/dw + (R3 s + R4 d) G_v + 2 R7 s k + M (R8 v + R9 w)
template <class real, int LI, int LO, bool kSender>
QDML_INLINE MessageGradient<Register<real>> message_backward(
    SenderGradient<Register<real>>& out, const EdgeRecord<real>& e,
    const Radial<real, term_count(LI, LO)>& radial, const Sender<Register<real>>& h, const real* g) {
    using V = Register<real>;
    using P = Terms<LI>;
    const real* r = e.direction;
    V R, D;  // radial function of the term at hand and its derivative
    V grad_r, grad[3] = {};
    V d = {}, w[3] = {}, gd = {}, gw[3] = {}, gs = {}, gv[3] = {};

    const V g_s = load(g);
    radial.both(P::s_s, R, D);
    if constexpr (kSender) gs = R * g_s;
    grad_r = D * (g_s * h.s);
    if constexpr (LI > 0) {
        d = dot(r, h.v);
        radial.both(P::s_d, R, D);
        gd = R * g_s;
        grad_r += D * (g_s * d);
    }
    if constexpr (LI > 1) {
        apply(w, h.t, r);
        radial.both(P::s_e, R, D);
        const V ge = R * g_s;
        grad_r += D * (g_s * dot(r, w));
        for (int k = 0; k < 3; ++k) {
            gw[k] = ge * r[k];
            grad[k] = ge * w[k];
        }
    }
    if constexpr (LO > 0) {
        V g_v[3];
        for (int k = 0; k < 3; ++k) g_v[k] = load(g + (1 + k) * kBlock);
        const V c = dot(r, g_v);
        radial.both(P::v_s, R, D);
        V along = R * h.s;
        if constexpr (kSender) gs += R * c;
        grad_r += D * (h.s * c);
        if constexpr (LI > 0) {
            radial.both(P::v_d, R, D);
            along += R * d;
            gd += R * c;
            grad_r += D * (d * c);
            radial.both(P::v_v, R, D);
            for (int k = 0; k < 3; ++k) gv[k] = R * g_v[k];
            grad_r += D * dot(g_v, h.v);
        }
        for (int k = 0; k < 3; ++k) grad[k] += along * g_v[k];
        if constexpr (LI > 1) {
            radial.both(P::v_w, R, D);
            for (int k = 0; k < 3; ++k) gw[k] += R * g_v[k];
            grad_r += D * dot(g_v, w);
        }
    }
    if constexpr (LO > 1) {
        V m[5], k[3];
        for (int i = 0; i < 5; ++i) m[i] = load(g + (4 + i) * kBlock);
        apply(k, m, r);
        const V kappa = dot(r, k);
        radial.both(P::t_s, R, D);
        if constexpr (kSender) gs += R * kappa;
        grad_r += D * (h.s * kappa);
        const V twice = real(2) * (R * h.s);
        for (int i = 0; i < 3; ++i) grad[i] += twice * k[i];
        if constexpr (LI > 0) {
            V u[3];
            radial.both(P::t_v, R, D);
            for (int i = 0; i < 3; ++i) {
                u[i] = R * h.v[i];
                gv[i] += R * k[i];
            }
            grad_r += D * dot(k, h.v);
            if constexpr (LI > 1) {
                radial.both(P::t_w, R, D);
                for (int i = 0; i < 3; ++i) {
                    u[i] += R * w[i];
                    gw[i] += R * k[i];
                }
                grad_r += D * dot(k, w);
                radial.both(P::t_t, R, D);
                const V mt = real(2) * (m[0] * h.t[0] + m[1] * h.t[1] + m[2] * h.t[2] +
                                        m[3] * h.t[3] + m[4] * h.t[4]) +
                             m[0] * h.t[1] + m[1] * h.t[0];  // all nine, zz = -xx - yy
                grad_r += D * mt;
                if constexpr (kSender) {
                    for (int i = 0; i < 5; ++i) out.n[i] += R * m[i];
                    out.n[5] -= R * (m[0] + m[1]);
                }
            }
            V mu[3];
            apply(mu, m, u);
            for (int i = 0; i < 3; ++i) grad[i] += mu[i];
        }
    }
    if constexpr (LI > 0) {
        for (int k = 0; k < 3; ++k) grad[k] += gd * h.v[k];
        if constexpr (kSender) {
            for (int k = 0; k < 3; ++k) out.v[k] += gv[k] + gd * r[k];
        }
    }
    if constexpr (LI > 1) {
        V tw[3];
        apply(tw, h.t, gw);
        for (int k = 0; k < 3; ++k) grad[k] += tw[k];
        if constexpr (kSender) {
            const real half[3] = {real(0.5) * r[0], real(0.5) * r[1], real(0.5) * r[2]};
            out.n[0] += r[0] * gw[0];
            out.n[1] += r[1] * gw[1];
            out.n[2] += half[0] * gw[1] + half[1] * gw[0];
            out.n[3] += half[1] * gw[2] + half[2] * gw[1];
            out.n[4] += half[2] * gw[0] + half[0] * gw[2];
            out.n[5] += r[2] * gw[2];
        }
    }
    if constexpr (kSender) out.s += gs;
    return {{grad[0], grad[1], grad[2]}, grad_r};
}

}  // namespace QDML_ISA
}  // namespace qdml
