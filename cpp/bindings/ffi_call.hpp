// SPDX-License-Identifier: MIT
/// What every XLA FFI handler needs: XLA's threads as a loop over tasks, arguments with checks.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "qdml/engine.hpp"
#include "training/parallel.hpp"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

/// Tasks that XLA's threads and the caller take in turn. The caller never waits for a thread that has
/// not begun, so that operations that run inside the pool cannot block each other.
class SharedLoop {
public:
    SharedLoop(int n, const std::function<void(int)>& task) : n_(n), task_(&task) {}

    void work() {
        for (int i = next_++; i < n_; i = next_++) {
            (*task_)(i);
            if (++done_ == n_) {
                std::lock_guard<std::mutex> lock(mutex_);
                finished_.notify_all();
            }
        }
    }
    void wait() {
        std::unique_lock<std::mutex> lock(mutex_);
        finished_.wait(lock, [&] { return done_ == n_; });
    }

private:
    const int n_;
    const std::function<void(int)>* task_;  ///< the caller's; not touched once all tasks are taken
    std::atomic<int> next_{0}, done_{0};
    std::mutex mutex_;
    std::condition_variable finished_;
};

/// OMP_NUM_THREADS, which the engine obeys as well; 0 where it says nothing.
inline int wanted_threads() {
    const char* variable = std::getenv("OMP_NUM_THREADS");
    return variable == nullptr ? 0 : std::max(0, std::atoi(variable));
}

inline qdml::Parallel shared_by(ffi::ThreadPool& pool) {
    int threads = static_cast<int>(std::max<std::int64_t>(1, pool.num_threads()));
    if (const int wanted = wanted_threads(); wanted > 0) {
        threads = std::min(threads, wanted);
    }
    return [&pool, threads](int n, const std::function<void(int)>& task) {
        const int helpers = std::min(threads, n) - 1;
        if (helpers <= 0) {
            for (int i = 0; i < n; ++i) task(i);
            return;
        }
        const auto loop = std::make_shared<SharedLoop>(n, task);
        for (int k = 0; k < helpers; ++k) pool.Schedule([loop] { loop->work(); });
        loop->work();
        loop->wait();
    };
}

template <class T>
inline constexpr ffi::DataType kType = ffi::F32;
template <>
inline constexpr ffi::DataType kType<double> = ffi::F64;
template <>
inline constexpr ffi::DataType kType<int> = ffi::S32;
template <>
inline constexpr ffi::DataType kType<char> = ffi::U8;

using Shape = std::vector<std::int64_t>;

/// Arguments, results and attributes of a call; faults are Error `call_invalid`.
struct Call {
    ffi::RemainingArgs args;
    ffi::RemainingRets rets;
    ffi::Dictionary attributes;

    template <class T>
    static T* checked(const ffi::AnyBuffer& buffer, const std::string& name, const Shape& shape) {
        const auto found = buffer.dimensions();
        if (buffer.element_type() != kType<T> || Shape(found.begin(), found.end()) != shape) {
            std::string text = name + " must be an array [";
            for (const auto n : shape) text += std::to_string(n) + ",";
            throw qdml::Error("call_invalid", text + "] of the operation's number type");
        }
        return static_cast<T*>(buffer.untyped_data());
    }
    ffi::AnyBuffer argument(std::size_t k) const {
        const auto found = args.get<ffi::AnyBuffer>(k);
        if (!found.has_value()) throw qdml::Error("call_invalid", "an argument is missing");
        return *found;
    }
    template <class T>
    const T* argument(std::size_t k, const char* name, const Shape& shape) const {
        return checked<T>(argument(k), name, shape);
    }
    template <class T>
    T* result(std::size_t k, const char* name, const Shape& shape) const {
        const auto found = rets.get<ffi::AnyBuffer>(k);
        if (!found.has_value()) throw qdml::Error("call_invalid", "a result is missing");
        ffi::Result<ffi::AnyBuffer> buffer = *found;
        return checked<T>(*buffer, name, shape);
    }
    template <class T>
    T attribute(const char* name) const {
        const auto found = attributes.get<T>(name);
        if (!found.has_value()) {
            throw qdml::Error("call_invalid", std::string("attribute ") + name + " is missing");
        }
        return *found;
    }
    /// An attribute that is a list of numbers.
    std::vector<int> list(const char* name) const {
        const auto found = attribute<ffi::Span<const std::int32_t>>(name);
        return {found.begin(), found.end()};
    }
    /// Extent of an axis of an argument; 0 where it has no such axis.
    std::int64_t extent(std::size_t k, std::size_t axis) const {
        const auto shape = argument(k).dimensions();
        return axis < shape.size() ? shape[axis] : 0;
    }
};
