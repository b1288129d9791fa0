// SPDX-License-Identifier: MIT
/// Ceilings of a card, as one JSON line: multiply-adds, bandwidth of its memory and of its L2 cache, times of launches.
///
///     nvcc -O3 -std=c++17 -arch=native ceilings.cu -o ceilings && ./ceilings
///
/// Each number is the best of several repeats, timed by events; launches by the host's clock.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <vector>

namespace {

constexpr int kThreads = 256, kRepeats = 10;
constexpr int kChains = 8, kRounds = 4096;    // independent chains of a thread, multiply-adds of each
constexpr int kRow = 64, kGathers = 64;       // floats of a row (64 channels), rows that a warp gathers

void check(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
    std::exit(1);
}

template <class real>
__global__ void multiply_add(real a, real b, real* out) {
    real x[kChains];
    for (int k = 0; k < kChains; ++k) x[k] = real(threadIdx.x + k);
#pragma unroll 16
    for (int round = 0; round < kRounds; ++round) {
#pragma unroll
        for (int k = 0; k < kChains; ++k) x[k] = x[k] * a + b;
    }
    real sum = 0;
    for (int k = 0; k < kChains; ++k) sum += x[k];
    if (sum == real(-1)) out[0] = sum;  // never: keeps the loop
}

__global__ void copy(long long n, const float4* from, float4* to) {
    const long long stride = (long long)(gridDim.x) * blockDim.x;
    for (long long i = (long long)(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += stride) to[i] = from[i];
}

/// A warp reads whole rows in a random order, as the message kernels read those of neighbours.
__global__ void gather(int n_warps, const int* index, const float2* table, float* out) {
    const int warp = int((blockIdx.x * blockDim.x + threadIdx.x) / 32), lane = int(threadIdx.x % 32);
    if (warp >= n_warps) return;
    float sum = 0;
#pragma unroll 8
    for (int k = 0; k < kGathers; ++k) {
        const float2 value = __ldcg(&table[(long long)(index[warp * kGathers + k]) * (kRow / 2) + lane]);
        sum += value.x + value.y;
    }
    if (sum == -1.0f) out[0] = sum;
}

__global__ void nothing() {}

/// Best time of some work on the stream, s.
double best(cudaStream_t stream, const std::function<void()>& work) {
    cudaEvent_t begin, end;
    check(cudaEventCreate(&begin), "event");
    check(cudaEventCreate(&end), "event");
    float least = 1e30f;
    for (int k = 0; k < kRepeats + 1; ++k) {  // the first one is not counted
        check(cudaEventRecord(begin, stream), "event");
        work();
        check(cudaGetLastError(), "launch");
        check(cudaEventRecord(end, stream), "event");
        check(cudaEventSynchronize(end), "kernel");
        float milliseconds = 0;
        check(cudaEventElapsedTime(&milliseconds, begin, end), "event");
        if (k > 0) least = std::min(least, milliseconds);
    }
    return 1e-3 * double(least);
}

/// Best time on the host's clock until the work is done, s.
double best_wall(cudaStream_t stream, const std::function<void()>& work) {
    double least = 1e30;
    for (int k = 0; k < 5 * kRepeats; ++k) {
        const auto begin = std::chrono::steady_clock::now();
        work();
        check(cudaStreamSynchronize(stream), "work");
        least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    return least;
}

template <class real>
double multiply_adds_per_second(cudaStream_t stream, int processors, void* memory) {
    const int blocks = 8 * processors;
    const double t = best(stream, [&] {
        multiply_add<real><<<blocks, kThreads, 0, stream>>>(real(0.999), real(0.001), static_cast<real*>(memory));
    });
    return double(blocks) * kThreads * kChains * kRounds / t;
}

double gathered_per_second(cudaStream_t stream, int processors, int rows, void* memory, int* index) {
    const int n_warps = 64 * processors * 8;
    std::mt19937 random(1);
    std::vector<int> order(std::size_t(n_warps) * kGathers);
    for (int& i : order) i = int(random() % unsigned(rows));
    check(cudaMemcpy(index, order.data(), order.size() * sizeof(int), cudaMemcpyHostToDevice), "copy");
    const double t = best(stream, [&] {
        gather<<<(n_warps * 32 + kThreads - 1) / kThreads, kThreads, 0, stream>>>(
            n_warps, index, static_cast<const float2*>(memory), static_cast<float*>(memory));
    });
    return double(order.size()) * kRow * sizeof(float) / t;
}

}  // namespace

int main() {
    cudaDeviceProp card;
    check(cudaGetDeviceProperties(&card, 0), "card");
    const int processors = card.multiProcessorCount;
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "memory");
    const std::size_t bytes = std::min(std::size_t(2) << 30, free / 4) / 16 * 16;
    cudaStream_t stream;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
    void *from = nullptr, *to = nullptr, *pinned = nullptr;
    check(cudaMalloc(&from, bytes), "memory");
    check(cudaMalloc(&to, bytes), "memory");
    check(cudaHostAlloc(&pinned, 1 << 20, cudaHostAllocDefault), "pinned memory");
    check(cudaMemset(from, 0, bytes), "memory");

    const double single = multiply_adds_per_second<float>(stream, processors, to);
    const double twice = multiply_adds_per_second<double>(stream, processors, to);
    const double copied = 2.0 * double(bytes) / best(stream, [&] {
        copy<<<16 * processors, kThreads, 0, stream>>>((long long)(bytes / 16), static_cast<const float4*>(from),
                                                       static_cast<float4*>(to));
    });
    const int in_cache = card.l2CacheSize / 4 / int(kRow * sizeof(float));
    const double cache = gathered_per_second(stream, processors, in_cache, from, static_cast<int*>(to));
    const double memory =
        gathered_per_second(stream, processors, int(bytes / (kRow * sizeof(float))), from, static_cast<int*>(to));

    constexpr int kLaunches = 200, kNodes = 30;
    const auto launches = [&](int n) {
        for (int k = 0; k < n; ++k) nothing<<<1, 32, 0, stream>>>();
    };
    const double launch = best_wall(stream, [&] { launches(kLaunches); }) / kLaunches;
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
    launches(kNodes);
    check(cudaStreamEndCapture(stream, &graph), "capture");
    check(cudaGraphInstantiate(&executable, graph, 0), "graph");
    const double replay = best_wall(stream, [&] { check(cudaGraphLaunch(executable, stream), "replay"); });
    const double round = best_wall(stream, [&] {  // positions and forces of a thousand atoms
        check(cudaMemcpyAsync(from, pinned, 24000, cudaMemcpyHostToDevice, stream), "copy");
        check(cudaMemcpyAsync(pinned, from, 24000, cudaMemcpyDeviceToHost, stream), "copy");
    });
    std::printf("{\"card\": \"%s\", \"multiprocessors\": %d, \"l2_mib\": %.1f, \"fp32_tera_fma\": %.3f, "
                "\"fp64_tera_fma\": %.3f, \"copy_terabytes_per_s\": %.3f, \"l2_gather_terabytes_per_s\": %.3f, "
                "\"memory_gather_terabytes_per_s\": %.3f, \"launch_us\": %.3f, \"graph_of_%d_us\": %.3f, "
                "\"copies_to_and_from_us\": %.3f}\n",
                card.name, processors, card.l2CacheSize / 1048576.0, 1e-12 * single, 1e-12 * twice, 1e-12 * copied,
                1e-12 * cache, 1e-12 * memory, 1e6 * launch, kNodes, 1e6 * replay, 1e6 * round);
    return 0;
}
