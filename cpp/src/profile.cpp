// SPDX-License-Identifier: MIT
/// Kernels are called through a table of pointers: a second table of wrappers is all it takes.
#include "profile.hpp"

#include <atomic>
#include <chrono>
#include <type_traits>
#include <utility>

namespace qdml {
namespace {

enum Stage { kForwardFirst, kForwardMiddle, kForwardLast, kBackwardMiddle, kBackwardLast,
             kBackwardFirst, kLinear, kGate, kSilu, kStages };

const char* const kNames[kStages] = {"forward first",   "forward middle", "forward last",
                                     "backward middle", "backward last",  "backward first",
                                     "linear",          "gate",           "silu"};

std::atomic<std::int64_t> nanoseconds[kStages], calls[kStages];

class Watch {
public:
    explicit Watch(Stage stage) : stage_(stage), start_(Clock::now()) {}
    ~Watch() {
        nanoseconds[stage_] += std::chrono::nanoseconds(Clock::now() - start_).count();
        ++calls[stage_];
    }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

private:
    using Clock = std::chrono::steady_clock;
    Stage stage_;
    Clock::time_point start_;
};

template <class real>
struct Wrapped {
    static inline Kernels<real> plain, watched;
    static constexpr int kDegrees = static_cast<int>(std::extent_v<decltype(plain.first_gradient)>);

    template <int S, int LI, int LO>
    static void forward(const Convolution<real>& c, const int* rows, int n, const real* h,
                        real* out) {
        const Watch watch(LI == 0 ? kForwardFirst : LO == 0 ? kForwardLast : kForwardMiddle);
        plain.forward[S][LI][LO](c, rows, n, h, out);
    }
    template <int S, int LI, int LO>
    static void backward(const Convolution<real>& c, const int* rows, int n, const real* h,
                         const real* g, real* out, EdgeGradient<real>* gradient) {
        const Watch watch(LO == 0 ? kBackwardLast : kBackwardMiddle);
        plain.backward[S][LI][LO](c, rows, n, h, g, out, gradient);
    }
    template <int LO>
    static void first_gradient(const Convolution<real>& c, const int* rows, int n, const real* h,
                               const real* g, EdgeGradient<real>* gradient) {
        const Watch watch(kBackwardFirst);
        plain.first_gradient[LO](c, rows, n, h, g, gradient);
    }
    static void linear(const LinearMap<real>& map, const real* const* in, int in_stride,
                       real* const* out, int out_stride, int n_rows, bool accumulate) {
        const Watch watch(kLinear);
        plain.linear(map, in, in_stride, out, out_stride, n_rows, accumulate);
    }
    static void gate_forward(const GateShape& shape, const real* z, real* h) {
        const Watch watch(kGate);
        plain.gate_forward(shape, z, h);
    }
    static void gate_backward(const GateShape& shape, const real* z, const real* grad_h,
                              real* grad_z) {
        const Watch watch(kGate);
        plain.gate_backward(shape, z, grad_h, grad_z);
    }
    static void silu_forward(int n, const real* x, real* y) {
        const Watch watch(kSilu);
        plain.silu_forward(n, x, y);
    }
    static void silu_backward(int n, const real* x, const real* grad_y, real* grad_x) {
        const Watch watch(kSilu);
        plain.silu_backward(n, x, grad_y, grad_x);
    }

    template <int LI, int... LO>
    static void wrap_row(std::integer_sequence<int, LO...>) {
        ((watched.forward[0][LI][LO] = forward<0, LI, LO>,
          watched.forward[1][LI][LO] = forward<1, LI, LO>,
          watched.backward[0][LI][LO] = backward<0, LI, LO>,
          watched.backward[1][LI][LO] = backward<1, LI, LO>),
         ...);
        watched.first_gradient[LI] = first_gradient<LI>;
    }
    template <int... LI>
    static void wrap_rows(std::integer_sequence<int, LI...> degrees) {
        (wrap_row<LI>(degrees), ...);
    }
    static const Kernels<real>& wrap(const Kernels<real>& kernels) {
        plain = kernels;
        watched = kernels;  // what is not watched stays as it is
        wrap_rows(std::make_integer_sequence<int, kDegrees>());
        watched.linear = linear;
        watched.gate_forward = gate_forward;
        watched.gate_backward = gate_backward;
        watched.silu_forward = silu_forward;
        watched.silu_backward = silu_backward;
        return watched;
    }
};

}  // namespace

template <class real>
const Kernels<real>& profiled(const Kernels<real>& kernels) {
    return Wrapped<real>::wrap(kernels);
}
template const Kernels<float>& profiled(const Kernels<float>&);
template const Kernels<double>& profiled(const Kernels<double>&);

std::vector<StageTime> stage_times() {
    std::vector<StageTime> times;
    for (int i = 0; i < kStages; ++i) {
        times.push_back({kNames[i], 1e-9 * static_cast<double>(nanoseconds[i]), calls[i]});
    }
    return times;
}

void reset_stage_times() {
    for (int i = 0; i < kStages; ++i) {
        nanoseconds[i] = 0;
        calls[i] = 0;
    }
}

}  // namespace qdml
