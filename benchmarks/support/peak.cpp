// SPDX-License-Identifier: MIT
/// Largest rate of multiply-adds of one core from registers alone, in GFLOP/s: fp32, then fp64.
/// Compiled by peak.py once per instruction set with -DBYTES=<register width>.
#include <cstdio>
#include <ctime>

#ifndef BYTES
#error "define BYTES"
#endif

static double cpu_seconds() {
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

template <class real>
double gflops() {
    typedef real V __attribute__((vector_size(BYTES)));
    // independent chains: latency 4 times two units need 8; more than 12 would spill with 16 registers
    constexpr int kChains = 12, kLanes = BYTES / int(sizeof(real)), kRounds = 4000000;
    V x[kChains];
    for (int i = 0; i < kChains; ++i) {
        x[i] = V{} + real(0.1) * real(i + 1);
    }
    V a = V{} + real(0.999999), b = V{} + real(1e-6);
    asm volatile("" : "+x"(a), "+x"(b));  // not known to the compiler
    double best = 0;
    for (int trial = 0; trial < 5; ++trial) {
        const double start = cpu_seconds();
        for (int n = 0; n < kRounds; ++n) {
#pragma GCC unroll 12
            for (int i = 0; i < kChains; ++i) {
                x[i] = x[i] * a + b;
            }
        }
        const double rate = 2e-9 * kChains * kLanes * kRounds / (cpu_seconds() - start);
        best = rate > best ? rate : best;
    }
    real sum = 0;
    for (int i = 0; i < kChains; ++i) {
        for (int k = 0; k < kLanes; ++k) {
            sum += x[i][k];
        }
    }
    volatile real sink = sum;
    (void)sink;
    return best;
}

int main() {
    const double single = gflops<float>();
    std::printf("%.2f %.2f\n", single, gflops<double>());
}
