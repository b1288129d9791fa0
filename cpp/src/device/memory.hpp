// SPDX-License-Identifier: MIT
/// A device in use: its stream, its errors as exceptions, arrays that grow and free themselves.
#pragma once

#include <cstdint>
#include <string>

#include "interface.hpp"
#include "qdml/engine.hpp"

namespace qdml {

/// One stream on one device. Not copied; arrays refer to it, so it must outlive them.
class DeviceContext {
public:
    /// Throws Error `device_failed`.
    DeviceContext(const DeviceInterface& interface, int device);
    ~DeviceContext();
    DeviceContext(const DeviceContext&) = delete;
    DeviceContext& operator=(const DeviceContext&) = delete;

    const DeviceInterface& call() const noexcept { return interface_; }
    void* stream() const noexcept { return stream_; }
    const std::string& name() const noexcept { return name_; }

    /// Make this the device of the calling thread.
    void use() const { check(interface_.use(device_), "choosing the device"); }
    void synchronize() const { check(interface_.synchronize(stream_), "waiting for the device"); }
    /// Throw Error `device_failed` for an error number, saying what was tried.
    void check(int error, const char* what) const;

    void* allocate(std::int64_t bytes);
    void* allocate_pinned(std::int64_t bytes);
    void release(void* p) noexcept;
    void release_pinned(void* p) noexcept;
    /// Changes with every allocation: recorded graphs hold addresses.
    std::int64_t generation() const noexcept { return generation_; }

private:
    const DeviceInterface& interface_;
    int device_;
    void* stream_ = nullptr;
    std::string name_;
    std::int64_t generation_ = 0;
};

/// Device memory for `n` values, or pinned host memory; grows with some room, the content is then lost.
template <class T, bool kPinned = false>
class DeviceBuffer {
public:
    explicit DeviceBuffer(DeviceContext& context) : context_(&context) {}
    ~DeviceBuffer() { release(); }
    DeviceBuffer(DeviceBuffer&& other) noexcept
        : context_(other.context_), data_(other.data_), capacity_(other.capacity_) {
        other.data_ = nullptr;
        other.capacity_ = 0;
    }
    DeviceBuffer& operator=(DeviceBuffer&&) = delete;

    void reserve(std::int64_t n) {
        if (n <= capacity_ && data_ != nullptr) return;
        release();
        const std::int64_t bytes = bytes_for(n);
        data_ = static_cast<T*>(kPinned ? context_->allocate_pinned(bytes) : context_->allocate(bytes));
        capacity_ = count_for(n);
    }
    void release() noexcept {
        if (data_ != nullptr) {
            kPinned ? context_->release_pinned(data_) : context_->release(data_);
        }
        data_ = nullptr;
        capacity_ = 0;
    }
    T* data() const noexcept { return data_; }
    static std::int64_t bytes_for(std::int64_t n) noexcept {
        return count_for(n) * static_cast<std::int64_t>(sizeof(T));
    }
    std::int64_t bytes() const noexcept { return capacity_ * static_cast<std::int64_t>(sizeof(T)); }

    /// Copies in the order of the stream; host memory must stay until then.
    void upload(const T* from, std::int64_t n) {
        reserve(n);
        const auto bytes = static_cast<std::size_t>(n) * sizeof(T);
        context_->check(context_->call().to_device(context_->stream(), data_, from, bytes), "copying to the device");
    }
    void download(T* to, std::int64_t n) const {
        const auto bytes = static_cast<std::size_t>(n) * sizeof(T);
        context_->check(context_->call().to_host(context_->stream(), to, data_, bytes), "copying from the device");
    }
    void zero(std::int64_t n) {
        const auto bytes = static_cast<std::size_t>(n) * sizeof(T);
        context_->check(context_->call().fill(context_->stream(), data_, 0, bytes), "clearing memory of the device");
    }

private:
    static std::int64_t count_for(std::int64_t n) noexcept { return n + n / 16 + 16; }
    DeviceContext* context_;
    T* data_ = nullptr;
    std::int64_t capacity_ = 0;
};

template <class T>
using PinnedBuffer = DeviceBuffer<T, true>;

}  // namespace qdml
