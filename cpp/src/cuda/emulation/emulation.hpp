// SPDX-License-Identifier: MIT
/// The part of CUDA that the kernels use, on the host: every thread of a block is a fiber that runs the untouched source.
///
/// Threads of a block take turns in a random order (QDML_EMULATION_SEED) up to the next barrier or shuffle, and so do
/// blocks, so that an answer that depends on an order which CUDA does not promise changes from seed to seed. Faults end
/// the process with a message: a barrier or shuffle that not all its threads reach, and access outside an array, since
/// each device array ends at a page that cannot be touched. One kernel runs at a time. What it cannot show: races
/// that no order of whole steps exposes, memory order, and speed.
#pragma once

#include <cmath>
#include <cstddef>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
// one block runs at a time, so a block's memory can be static
#define __shared__ static

// NOLINTBEGIN: names and types are those of the CUDA runtime
struct EmulatedIndex {
    unsigned x = 0, y = 0, z = 0;
};
extern EmulatedIndex threadIdx, blockIdx, blockDim, gridDim;

namespace qdml {
namespace emulation {

struct Stream;
struct Graph;
struct Executable;
struct Event;

/// Run or, while the stream records, keep for later: `thread` once per thread of each block.
void launch(std::function<void()> thread, long long grid, int block, Stream* stream);
/// All threads of the block.
void block_barrier();
/// All 32 lanes of the warp.
void warp_barrier();
/// Leave `size` bytes for the other lanes, wait for theirs, and return those of lane `from`.
const void* swap_in_warp(const void* mine, std::size_t size, int from);
int lane();
[[noreturn]] void fault(const char* what);

template <class T>
T from_lane(unsigned mask, T value, int from) {
    if (mask != 0xffffffffu) fault("shuffle of a part of a warp");
    return *static_cast<const T*>(swap_in_warp(&value, sizeof value, from));
}

}  // namespace emulation
}  // namespace qdml

inline void __syncthreads() { qdml::emulation::block_barrier(); }
inline void __syncwarp() { qdml::emulation::warp_barrier(); }
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance) {
    return qdml::emulation::from_lane(mask, value, qdml::emulation::lane() ^ distance);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int from) {
    return qdml::emulation::from_lane(mask, value, from);
}
template <class T>
T __ldg(const T* p) {
    return *p;
}
// between two barriers a thread is not interrupted
template <class T>
T atomicAdd(T* p, T value) {
    const T old = *p;
    *p = old + value;
    return old;
}
template <class T>
T atomicMin(T* p, T value) {
    const T old = *p;
    *p = value < old ? value : old;
    return old;
}

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorGraphExecUpdateFailure = 910,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum { cudaStreamNonBlocking = 1, cudaHostAllocDefault = 0 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal };
struct cudaDeviceProp {
    char name[256];
    int major, minor;
    std::size_t totalGlobalMem;
};
struct cudaGraphExecUpdateResultInfo {
    int result;
};
using cudaStream_t = qdml::emulation::Stream*;
using cudaEvent_t = qdml::emulation::Event*;
using cudaGraph_t = qdml::emulation::Graph*;
using cudaGraphExec_t = qdml::emulation::Executable*;

cudaError_t cudaGetDeviceCount(int* n);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaMalloc(void** p, std::size_t bytes);
cudaError_t cudaFree(void* p);
cudaError_t cudaHostAlloc(void** p, std::size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* p);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* p, int byte, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t executable, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* info);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);
// NOLINTEND
