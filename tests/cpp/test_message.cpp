// SPDX-License-Identifier: MIT
/// One message and its adjoint, layer by layer: the templates of the kernels with one channel.
#define QDML_ISA one_channel
#define QDML_VECTOR_BYTES 8
#include "kernels/message_backward.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

namespace qdml {
namespace one_channel {
namespace {

using V = Register<double>;

/// G of all sums from dE/d(stored components), as the kernel to_tensors makes it.
template <class Y, int L = 0>
void make_tensors(std::vector<double>& g) {
    if constexpr (L <= Y::l_out) {
        for (int s = 0; s < Y::slots(L); ++s) {
            double* at = &g[std::size_t(Y::stored_start(L) + s * stored_count(L)) * kBlock];
            V from[stored_count(L)], to[stored_count(L)];
            for (int m = 0; m < stored_count(L); ++m) from[m] = load(at + m * kBlock);
            from_stored<L, double>(to, from);
            for (int m = 0; m < stored_count(L); ++m) at[m * kBlock] = to[m][0];
        }
        make_tensors<Y, L + 1>(g);
    }
}

/// Record of an edge; radial functions are sums of sines, so that their derivatives are known.
EdgeRecord<double> record(const double* x) {
    EdgeRecord<double> e = {};
    const double r = std::sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]);
    for (int k = 0; k < 3; ++k) e.direction[k] = x[k] / r;
    e.inverse_r = 1 / r;
    for (int k = 0; k < 4; ++k) {
        e.weight[k] = std::sin(0.3 * (k + 1) * r);
        e.weight_derivative[k] = 0.3 * (k + 1) * std::cos(0.3 * (k + 1) * r);
    }
    return e;
}

/// Largest relative errors of dE/dx and dE/d(sender) for E = Σ g A of one edge.
template <class Y>
void check_adjoint() {
    constexpr int P = Y::n_terms(), M = component_count(Y::l_in);
    std::mt19937 generator(3);
    std::normal_distribution<double> normal;
    std::vector<double> sender(M * kBlock), g(Y::stored() * kBlock), table(4 * P * kBlock);
    for (auto* values : {&sender, &g, &table}) {
        for (auto& value : *values) value = normal(generator);
    }
    const auto energy = [&](const double* x, const std::vector<double>& h) {
        const auto e = record(x);
        V sums[Y::symmetric()] = {};
        message_forward<Y>(sums, e, Radial<double, P>{table.data(), e}, h.data());
        std::vector<double> a(Y::stored() * kBlock);
        store_sums<Y>(a.data(), sums);
        double sum = 0;  // the other lanes of a block are zero in a
        for (std::size_t m = 0; m < a.size(); m += kBlock) sum += a[m] * g[m];
        return sum;
    };
    const double x[3] = {0.4, -0.7, 1.1};
    const auto e = record(x);
    auto tensors = g;
    make_tensors<Y>(tensors);
    V own[M], out[symmetric_offset(Y::l_in + 1)] = {};
    for (int m = 0; m < M; ++m) own[m] = load(&sender[std::size_t(m * kBlock)]);
    const auto found =
        message_backward<Y>(out, e, Radial<double, P>{table.data(), e}, own, tensors.data());
    double radial = 0;
    for (int k = 0; k < 3; ++k) radial += found.direction[k][0] * e.direction[k];
    for (int k = 0; k < 3; ++k) {
        const double slope = found.direction[k][0] * e.inverse_r +
                             (found.r[0] - radial * e.inverse_r) * e.direction[k];
        const auto at = [&](double step) {
            double moved[3] = {x[0], x[1], x[2]};
            moved[k] += step;
            return energy(moved, sender);
        };
        const double h = 1e-3;
        const double numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
        CHECK(slope == doctest::Approx(numeric).epsilon(1e-9).scale(10));
    }
    // the message is linear in the sender; store_reversed negates odd degrees, as rows need it
    std::vector<double> gradient(M * kBlock);
    store_reversed<Y::l_in>(gradient.data(), out);
    for (int l = 0; l <= Y::l_in; ++l) {
        for (int m = l * l; m < (l + 1) * (l + 1); ++m) {
            auto more = sender;
            more[std::size_t(m * kBlock)] += 1;
            const double slope = energy(x, more) - energy(x, sender);
            const double sign = l % 2 == 0 ? 1 : -1;
            CHECK(sign * gradient[std::size_t(m * kBlock)] ==
                  doctest::Approx(slope).epsilon(1e-11).scale(10));
        }
    }
}

template <int LI, int LO>
void check_pair() {
    CAPTURE(LI);
    CAPTURE(LO);
    check_adjoint<Layer<LI, LO, false>>();
    check_adjoint<Layer<LI, LO, true>>();
}

}  // namespace
}  // namespace one_channel
}  // namespace qdml

TEST_CASE("the adjoint of a message is its derivative") {
    using namespace qdml::one_channel;
    check_pair<0, 3>();
    check_pair<1, 1>();
    check_pair<1, 3>();
    check_pair<2, 1>();
    check_pair<2, 2>();
    check_pair<2, 3>();
    check_pair<3, 0>();
    check_pair<3, 1>();
    check_pair<3, 2>();
    check_pair<3, 3>();
}
