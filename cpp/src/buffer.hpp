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
        release();  // before the new one: the two need not exist at the same time
        void* p = std::aligned_alloc(64, static_cast<std::size_t>(bytes_for(n)));
        if (p == nullptr) {
            throw std::bad_alloc();
        }
        data_.reset(static_cast<T*>(p));
        capacity_ = count_for(n);
    }
    void release() noexcept {
        data_.reset();
        capacity_ = 0;
    }
    /// Bytes that reserve(n) allocates.
    static std::int64_t bytes_for(std::int64_t n) noexcept {
        return (count_for(n) * static_cast<std::int64_t>(sizeof(T)) + 63) / 64 * 64;
    }
    /// Bytes held now.
    std::int64_t bytes() const noexcept {
        return (capacity_ * static_cast<std::int64_t>(sizeof(T)) + 63) / 64 * 64;
    }
    T* data() noexcept { return data_.get(); }
    const T* data() const noexcept { return data_.get(); }
    T& operator[](std::int64_t i) noexcept { return data_.get()[i]; }
    const T& operator[](std::int64_t i) const noexcept { return data_.get()[i]; }

private:
    /// A little more than asked for, in proportion: neighbour counts fluctuate from step to step, and
    /// an array that grows slowly is allocated a logarithmic number of times.
    static std::int64_t count_for(std::int64_t n) noexcept { return n + n / 16 + 64; }
    struct Free {
        void operator()(T* p) const noexcept { std::free(p); }
    };
    std::unique_ptr<T, Free> data_;
    std::int64_t capacity_ = 0;
};

}  // namespace qdml
