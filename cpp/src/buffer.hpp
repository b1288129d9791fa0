// SPDX-License-Identifier: MIT
/// Growable, cache-line aligned array without initialisation: the work memory of the engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace qdml {

template <class T>
class Buffer {
public:
    /// Make room for `n` values; the content is lost when it grows. Throws std::bad_alloc.
    void reserve(std::int64_t n) {
        if (n <= capacity_ && data_ != nullptr) {
            return;
        }
        // a little more than asked for: neighbour counts fluctuate from step to step
        const std::size_t count = static_cast<std::size_t>(n + n / 16 + 64);
        const std::size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
        data_.reset();
        capacity_ = 0;
        void* p = std::aligned_alloc(64, bytes);
        if (p == nullptr) {
            throw std::bad_alloc();
        }
        data_.reset(static_cast<T*>(p));
        capacity_ = static_cast<std::int64_t>(count);
    }
    T* data() noexcept { return data_.get(); }
    const T* data() const noexcept { return data_.get(); }
    T& operator[](std::int64_t i) noexcept { return data_.get()[i]; }
    const T& operator[](std::int64_t i) const noexcept { return data_.get()[i]; }

private:
    struct Free {
        void operator()(T* p) const noexcept { std::free(p); }
    };
    std::unique_ptr<T, Free> data_;
    std::int64_t capacity_ = 0;
};

}  // namespace qdml
