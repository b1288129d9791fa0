// SPDX-License-Identifier: MIT
/// The CUDA runtime of the emulation: arrays between forbidden pages, streams that work at once or record a graph.
///
/// QDML_EMULATED_DEVICES (default 1), _MEMORY (bytes of each, 1 GiB), _CAPABILITY (9) and _DRIVER (13000) shape the machine.
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "recording.hpp"

namespace qdml {
namespace emulation {

using Work = std::function<void()>;

struct Stream {
    bool records = false;
    std::vector<Work> recorded;
};
struct Event {
    std::chrono::steady_clock::time_point time;
};
struct Graph {
    std::vector<Work> work;
};
struct Executable {
    std::vector<Work> work;
};

namespace {

struct Mapping {
    char* start;
    std::size_t length, bytes;
};

std::mutex memory_lock;
std::map<void*, Mapping> mappings;
std::size_t bytes_used = 0;

long long from_environment(const char* name, long long otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoll(text, nullptr, 10);
}

std::size_t total_memory() {
    return static_cast<std::size_t>(from_environment("QDML_EMULATED_MEMORY", 1ll << 30));
}

cudaError_t submit(Stream* stream, Work work) {
    if (stream == nullptr) fault("work on no stream");
    if (stream->records) {
        stream->recorded.push_back(std::move(work));
    } else {
        work();
    }
    return cudaSuccess;
}

}  // namespace

void launch(Work thread, long long grid, int block, Stream* stream) {
    submit(stream, [thread = std::move(thread), grid, block] { run_kernel(thread, grid, block); });
}

}  // namespace emulation
}  // namespace qdml

using namespace qdml::emulation;

cudaError_t cudaGetDeviceCount(int* n) {
    *n = static_cast<int>(from_environment("QDML_EMULATED_DEVICES", 1));
    if (from_environment("QDML_EMULATED_DRIVER", 13000) < 13000) return cudaErrorInsufficientDriver;
    return *n > 0 ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaSetDevice(int device) {
    int n = 0;
    cudaGetDeviceCount(&n);
    return device >= 0 && device < n ? cudaSuccess : cudaErrorInvalidDevice;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    std::snprintf(properties->name, sizeof properties->name, "emulated device %d", device);
    properties->major = static_cast<int>(from_environment("QDML_EMULATED_CAPABILITY", 9));
    properties->minor = 0;
    properties->totalGlobalMem = total_memory();
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
    *version = static_cast<int>(from_environment("QDML_EMULATED_DRIVER", 13000));
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = 13000;
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
    *total = total_memory();
    *free = *total - bytes_used;
    return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t error) {
    switch (error) {
        case cudaSuccess: return "no error";
        case cudaErrorMemoryAllocation: return "out of memory";
        case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
        case cudaErrorNoDevice: return "no CUDA-capable device is detected";
        case cudaErrorInvalidDevice: return "invalid device ordinal";
        default: return "invalid argument";
    }
}
cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaMalloc(void** p, std::size_t bytes) {
    const std::lock_guard<std::mutex> lock(memory_lock);
    if (bytes_used + bytes > total_memory()) return cudaErrorMemoryAllocation;
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t inner = (bytes + page - 1) / page * page;
    void* start = ::mmap(nullptr, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || ::mprotect(static_cast<char*>(start) + page, inner, PROT_READ | PROT_WRITE) != 0) {
        return cudaErrorMemoryAllocation;
    }
    // the array ends where the forbidden page begins, as far as the alignment of records allows
    char* at = static_cast<char*>(start) + page + (inner - bytes) / 64 * 64;
    std::memset(at, 0xff, bytes);  // fresh device memory is not zero: undefined numbers show
    mappings[at] = {static_cast<char*>(start), inner + 2 * page, bytes};
    bytes_used += bytes;
    *p = at;
    return cudaSuccess;
}
cudaError_t cudaFree(void* p) {
    const std::lock_guard<std::mutex> lock(memory_lock);
    if (p == nullptr) return cudaSuccess;
    const auto found = mappings.find(p);
    if (found == mappings.end()) return cudaErrorInvalidValue;
    bytes_used -= found->second.bytes;
    ::munmap(found->second.start, found->second.length);
    mappings.erase(found);
    return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** p, std::size_t bytes, unsigned) {
    *p = std::malloc(bytes);
    return *p == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
cudaError_t cudaFreeHost(void* p) {
    std::free(p);
    return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
    return submit(stream, [=] {
        const Guarded guarded;
        std::memmove(to, from, bytes);
    });
}
cudaError_t cudaMemsetAsync(void* p, int byte, std::size_t bytes, cudaStream_t stream) {
    return submit(stream, [=] {
        const Guarded guarded;
        std::memset(p, byte, bytes);
    });
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
    *stream = new Stream;
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    delete stream;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (stream->records) fault("a recording stream cannot be waited for");
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
    *event = new Event;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    return submit(stream, [=] { event->time = std::chrono::steady_clock::now(); });
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
    return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    if (stream->records) return cudaErrorInvalidValue;
    stream->records = true;
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    *graph = new Graph{std::move(stream->recorded)};
    stream->recorded.clear();
    stream->records = false;
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
    *executable = new Executable{graph->work};
    return cudaSuccess;
}
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t executable, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* info) {
    info->result = 0;
    if (executable->work.size() != graph->work.size()) return cudaErrorGraphExecUpdateFailure;
    executable->work = graph->work;
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    for (const auto& work : executable->work) submit(stream, work);
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    delete executable;
    return cudaSuccess;
}
