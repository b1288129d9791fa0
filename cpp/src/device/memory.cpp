// SPDX-License-Identifier: MIT
/// Errors of the device and its allocations in words.
#include "memory.hpp"

namespace qdml {
namespace {

std::string mebibytes(std::int64_t bytes) { return std::to_string(bytes / 1048576) + " MiB"; }

}  // namespace

DeviceContext::DeviceContext(const DeviceInterface& interface, int device) : interface_(interface), device_(device) {
    DeviceDescription description;
    check(interface_.describe(device, &description), "asking for the device");
    name_ = description.name;
    use();
    check(interface_.create_stream(&stream_), "making a stream");
}

DeviceContext::~DeviceContext() {
    if (stream_ != nullptr) interface_.destroy_stream(stream_);
}

void DeviceContext::check(int error, const char* what) const {
    if (error == 0) return;
    throw Error("device_failed", std::string(what) + " failed on " + (name_.empty() ? "the GPU" : name_) + ": " +
                                     interface_.describe_error(error) + " (error " + std::to_string(error) +
                                     "); 'device cpu' runs without it");
}

void* DeviceContext::allocate(std::int64_t bytes) {
    void* p = nullptr;
    if (interface_.allocate(&p, static_cast<std::size_t>(bytes)) != 0) {
        DeviceDescription now = {};
        interface_.describe(device_, &now);
        throw Error("memory_limit", "the memory of " + name_ + " does not suffice: " + mebibytes(bytes) +
                                        " more are needed, " + mebibytes(now.free_memory) + " of " +
                                        mebibytes(now.total_memory) +
                                        " are free; divide the atoms among more GPUs, set the keyword memory, or use "
                                        "'device cpu'");
    }
    ++generation_;
    return p;
}

void* DeviceContext::allocate_pinned(std::int64_t bytes) {
    void* p = nullptr;
    check(interface_.allocate_host(&p, static_cast<std::size_t>(bytes)), "allocating pinned memory of the host");
    ++generation_;
    return p;
}

void DeviceContext::release(void* p) noexcept { interface_.release(p); }
void DeviceContext::release_pinned(void* p) noexcept { interface_.release_host(p); }

}  // namespace qdml
