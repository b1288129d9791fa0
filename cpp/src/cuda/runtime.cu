// SPDX-License-Identifier: MIT
/// The table that libqdml_cuda exports: the CUDA runtime behind it, and the kernels.
#include <cstring>

#include "kernels.cuh"
#include "profile.cuh"

namespace qdml {
namespace cuda {
namespace {

const char* describe_error(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

int versions(int* driver, int* runtime) {
    const int error = cudaDriverGetVersion(driver);
    return error != cudaSuccess ? error : int(cudaRuntimeGetVersion(runtime));
}

int count(int* n) {
    *n = 0;
    return cudaGetDeviceCount(n);
}

int describe(int device, DeviceDescription* d) {
    cudaDeviceProp properties;
    int error = cudaGetDeviceProperties(&properties, device);
    if (error != cudaSuccess) return error;
    std::memset(d, 0, sizeof *d);
    std::strncpy(d->name, properties.name, sizeof d->name - 1);
    d->major = properties.major;
    d->minor = properties.minor;
    error = cudaSetDevice(device);
    std::size_t free = 0, total = 0;
    if (error == cudaSuccess) error = cudaMemGetInfo(&free, &total);
    d->free_memory = static_cast<std::int64_t>(free);
    d->total_memory = static_cast<std::int64_t>(total);
    return error;
}

int use(int device) { return cudaSetDevice(device); }

int create_stream(void** stream) {
    cudaStream_t made = nullptr;
    const int error = cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking);
    *stream = made;
    return error;
}

int destroy_stream(void* stream) { return cudaStreamDestroy(stream_of(stream)); }
int synchronize(void* stream) { return cudaStreamSynchronize(stream_of(stream)); }

/// A failed allocation is reported here and must not be found again by the check after the next launch.
int forget(cudaError_t error) {
    if (error != cudaSuccess) cudaGetLastError();
    return error;
}

int allocate(void** p, std::size_t bytes) { return forget(cudaMalloc(p, bytes)); }
int release(void* p) { return cudaFree(p); }
int allocate_host(void** p, std::size_t bytes) { return forget(cudaHostAlloc(p, bytes, cudaHostAllocDefault)); }
int release_host(void* p) { return cudaFreeHost(p); }

int to_device(void* stream, void* to, const void* from, std::size_t bytes) {
    return bytes == 0 ? cudaSuccess : cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_of(stream));
}
int to_host(void* stream, void* to, const void* from, std::size_t bytes) {
    return bytes == 0 ? cudaSuccess : cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_of(stream));
}
int copy(void* stream, void* to, const void* from, std::size_t bytes) {
    return bytes == 0 ? cudaSuccess : cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_of(stream));
}
int fill(void* stream, void* p, int byte, std::size_t bytes) {
    return bytes == 0 ? cudaSuccess : cudaMemsetAsync(p, byte, bytes, stream_of(stream));
}

int begin_recording(void* stream) {
    return cudaStreamBeginCapture(stream_of(stream), cudaStreamCaptureModeThreadLocal);
}

int end_recording(void* stream, void** graph) {
    cudaGraph_t recorded = nullptr;
    int error = cudaStreamEndCapture(stream_of(stream), &recorded);
    if (error != cudaSuccess) return error;
    cudaGraphExec_t executable = static_cast<cudaGraphExec_t>(*graph);
    if (executable != nullptr) {
        cudaGraphExecUpdateResultInfo info;
        if (cudaGraphExecUpdate(executable, recorded, &info) != cudaSuccess) {
            cudaGetLastError();  // another shape: made anew
            cudaGraphExecDestroy(executable);
            executable = nullptr;
        }
    }
    if (executable == nullptr) error = cudaGraphInstantiate(&executable, recorded, 0);
    *graph = executable;
    cudaGraphDestroy(recorded);
    return error;
}

int replay(void* graph, void* stream) {
    return cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream_of(stream));
}
int destroy_graph(void* graph) { return cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)); }

template <class real>
int forward(void* stream, int l_in, int l_out, int separated, const DeviceMessages<real>& m, const real* h, real* out) {
    return separated != 0 ? Messages<real, 1>::forward(stream, l_in, l_out, m, h, out)
                          : Messages<real, 0>::forward(stream, l_in, l_out, m, h, out);
}

template <class real>
int backward(void* stream, int l_in, int l_out, int separated, const DeviceMessages<real>& m, const real* h,
             const real* g, real* out, EdgeGradient<real>* gradient) {
    return separated != 0 ? Messages<real, 1>::backward(stream, l_in, l_out, m, h, g, out, gradient)
                          : Messages<real, 0>::backward(stream, l_in, l_out, m, h, g, out, gradient);
}

template <class real>
void add_messages(DeviceKernels<real>& k) {
    k.forward = forward<real>;
    k.backward = backward<real>;
    k.first_gradient = Messages<real, 0>::first_gradient;  // one term per degree: the layouts are the same
}

DeviceInterface make() {
    DeviceInterface d = {};
    d.version = kDeviceInterface;
    d.library = QDML_VERSION;
    d.describe_error = describe_error;
    d.versions = versions;
    d.count = count;
    d.describe = describe;
    d.use = use;
    d.create_stream = create_stream;
    d.destroy_stream = destroy_stream;
    d.synchronize = synchronize;
    d.allocate = allocate;
    d.release = release;
    d.allocate_host = allocate_host;
    d.release_host = release_host;
    d.to_device = to_device;
    d.to_host = to_host;
    d.copy = copy;
    d.fill = fill;
    d.begin_recording = begin_recording;
    d.end_recording = end_recording;
    d.replay = replay;
    d.destroy_graph = destroy_graph;
    add_messages(d.single);
    add_messages(d.reference);
    add_path_kernels(d.single);
    add_path_kernels(d.reference);
    add_node_kernels(d.single);
    add_node_kernels(d.reference);
    add_edge_kernels(d);
    add_force_kernels(d);
    add_list_kernels(d);
    if (Profile::file() != nullptr) time_all(d);
    return d;
}

}  // namespace
}  // namespace cuda
}  // namespace qdml

extern "C" __attribute__((visibility("default"))) const qdml::DeviceInterface* qdml_device_interface() {
    static const qdml::DeviceInterface table = qdml::cuda::make();
    return &table;
}
