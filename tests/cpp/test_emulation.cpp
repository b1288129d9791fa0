// SPDX-License-Identifier: MIT
/// The emulation itself: right answers from right kernels, and an end with a message for every kind of wrong one.
#define QDML_ISA cuda
#include "cuda/lane.cuh"

#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

using namespace qdml::cuda;

namespace {

/// Device memory for a test, filled from `values`.
template <class T>
struct Array {
    explicit Array(const std::vector<T>& values) : n(values.size()) {
        cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
        void* p = nullptr;
        cudaMalloc(&p, n * sizeof(T));
        data = static_cast<T*>(p);
        cudaMemcpyAsync(data, values.data(), n * sizeof(T), cudaMemcpyHostToDevice, stream);
    }
    ~Array() {
        cudaFree(data);
        cudaStreamDestroy(stream);
    }
    std::vector<T> values() const {
        std::vector<T> out(n);
        cudaMemcpyAsync(out.data(), data, n * sizeof(T), cudaMemcpyDeviceToHost, stream);
        return out;
    }
    std::size_t n;
    T* data;
    cudaStream_t stream = nullptr;
};

__global__ void warp_sums(const float* in, float* out) {
    const int i = blockIdx.x * 64 + threadIdx.x, lane = threadIdx.x % 32;
    const float four[4] = {in[i], 2 * in[i], 3 * in[i], 4 * in[i]};
    const float sum = warp_sum_of_four(four, lane);
    const float all = warp_sum(in[i]);
    if (lane % 8 == 0) out[i / 32 * 5 + lane / 8] = sum;
    if (lane == 31) out[i / 32 * 5 + 4] = all;
}

__global__ void reverse(int* values) {
    __shared__ int kept[96];
    kept[threadIdx.x] = values[threadIdx.x];
    __syncthreads();
    values[threadIdx.x] = kept[95 - threadIdx.x];
}

__global__ void write_past_the_end(int* values, int n) { values[n + threadIdx.x] = 1; }
__global__ void write_before_the_start(int* values) { values[-4096 + int(threadIdx.x)] = 1; }
__global__ void some_wait() {
    if (threadIdx.x < 16) __syncthreads();
}
__global__ void wait_at_different_places(int* values) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncwarp();
        values[threadIdx.x] = warp_sum(values[threadIdx.x]);
        if (threadIdx.x < 48) __syncwarp();
    }
}
__global__ void race(int* values) { values[0] = int(threadIdx.x); }  // whose write stays?

/// Exit status and standard error of what `run` does in a process of its own.
template <class Run>
std::string end_of(const Run& run, int& status) {
    int pipe_ends[2];
    REQUIRE(pipe(pipe_ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(pipe_ends[1], 2);
        run();
        _exit(0);
    }
    close(pipe_ends[1]);
    std::string text(200, '\0');
    text.resize(std::size_t(std::max<ssize_t>(0, read(pipe_ends[0], &text[0], text.size()))));
    close(pipe_ends[0]);
    int raw = 0;
    waitpid(child, &raw, 0);
    status = WEXITSTATUS(raw);
    return text;
}

template <class Run>
void check_fault(const char* words, const Run& run) {
    int status = 0;
    const std::string text = end_of(run, status);
    CHECK(status == 99);
    CHECK_MESSAGE(text.find(words) != std::string::npos, text);
}

}  // namespace

TEST_CASE("shuffles and shared memory give CUDA's answers") {
    std::vector<float> in(128);
    float total = 0;
    for (std::size_t i = 0; i < in.size(); ++i) {
        in[i] = float(i);
        total += i < 32 ? in[i] : 0;
    }
    const Array<float> from(in), to(std::vector<float>(20));
    launch(warp_sums, 2, 64, from.stream, static_cast<const float*>(from.data), to.data);
    const auto out = to.values();
    for (int warp = 0; warp < 4; ++warp) {
        const float sum = total + float(warp) * 32 * 32;
        for (int k = 0; k < 4; ++k) CHECK(out[std::size_t(warp * 5 + k)] == float(k + 1) * sum);
        CHECK(out[std::size_t(warp * 5 + 4)] == sum);
    }
    std::vector<int> numbers(96);
    for (int i = 0; i < 96; ++i) numbers[std::size_t(i)] = i;
    const Array<int> values(numbers);
    launch(reverse, 1, 96, values.stream, values.data);
    CHECK(values.values()[7] == 88);
}

TEST_CASE("a recorded graph runs only when it is replayed") {
    const Array<int> values(std::vector<int>(96, 1));
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    cudaStreamBeginCapture(values.stream, cudaStreamCaptureModeThreadLocal);
    cudaMemsetAsync(values.data, 0, 4, values.stream);
    launch(reverse, 1, 96, values.stream, values.data);
    cudaStreamEndCapture(values.stream, &graph);
    cudaGraphInstantiate(&executable, graph, 0);
    CHECK(values.values()[0] == 1);
    cudaGraphLaunch(executable, values.stream);
    CHECK(values.values()[0] == 1);
    CHECK(values.values()[95] == 0);
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
}

TEST_CASE("wrong kernels end with a message") {
    const Array<int> values(std::vector<int>(64, 1));
    check_fault("outside the device's arrays", [&] { launch(write_past_the_end, 1, 32, values.stream, values.data, 64); });
    check_fault("outside the device's arrays", [&] { launch(write_before_the_start, 1, 32, values.stream, values.data); });
    check_fault("different barriers", [&] { launch(some_wait, 1, 32, values.stream); });
    check_fault("different barriers", [&] { launch(wait_at_different_places, 1, 64, values.stream, values.data); });
    check_fault("shape", [&] { launch(some_wait, 1, 33, values.stream); });
    check_fault("outside the device's arrays", [&] {
        cudaMemsetAsync(values.data, 0, 65536, values.stream);
    });
}

TEST_CASE("a race shows as an answer that depends on the order") {
    const Array<int> values(std::vector<int>(1));
    std::vector<int> found;
    for (int seed = 1; seed <= 8; ++seed) {
        setenv("QDML_EMULATION_SEED", std::to_string(seed).c_str(), 1);
        launch(race, 1, 32, values.stream, values.data);
        found.push_back(values.values()[0]);
    }
    unsetenv("QDML_EMULATION_SEED");
    CHECK(std::count(found.begin(), found.end(), found[0]) < 8);
}
