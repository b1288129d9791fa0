// SPDX-License-Identifier: MIT
/// QDML_CUDA_PROFILE=FILE: device time of the calls of the table, summed by name, as JSON in FILE when the process ends.
///
/// The work of a call lies between two events on its stream; they are read where the host waits for the stream anyway.
/// Steps are not recorded as graphs then (DeviceInterface::is_timed): a step takes longer than without, its kernels do not.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "kernels.cuh"

namespace qdml {
namespace cuda {

class Profile {
public:
    static const char* file() {
        const char* name = std::getenv("QDML_CUDA_PROFILE");
        return name == nullptr || *name == '\0' ? nullptr : name;
    }
    static Profile& get() {
        static Profile profile;
        return profile;
    }

    /// Time what `work` puts on the stream; returns its error.
    template <class Work>
    int time(void* stream, const std::string& name, const Work& work) {
        Call call = {name, stream, make_event(), make_event()};
        int error = cudaEventRecord(call.begin, stream_of(stream));
        if (error == cudaSuccess) error = work();
        if (error == cudaSuccess) error = cudaEventRecord(call.end, stream_of(stream));
        const std::lock_guard<std::mutex> lock(lock_);
        if (error == cudaSuccess) pending_.push_back(call);
        return error;
    }
    /// The host has waited for the stream: take the times of its calls.
    int collect(void* stream) {
        const std::lock_guard<std::mutex> lock(lock_);
        std::vector<Call> others;
        int error = cudaSuccess;
        for (const Call& call : pending_) {
            if (call.stream != stream) {
                others.push_back(call);
                continue;
            }
            float milliseconds = 0;
            const int fault = cudaEventElapsedTime(&milliseconds, call.begin, call.end);
            if (fault != cudaSuccess) error = fault;
            Sum& sum = sums_[call.name];
            ++sum.calls;
            sum.milliseconds += static_cast<double>(milliseconds);
            free_.insert(free_.end(), {call.begin, call.end});
        }
        pending_.swap(others);
        return error;
    }

private:
    struct Call {
        std::string name;
        void* stream;
        cudaEvent_t begin, end;
    };
    struct Sum {
        long long calls = 0;
        double milliseconds = 0;
    };

    /// The runtime may be gone by now: only the file is written.
    ~Profile() {
        std::FILE* out = file() == nullptr ? nullptr : std::fopen(file(), "w");
        if (out == nullptr) return;
        const char* before = "{";
        for (const auto& [name, sum] : sums_) {
            std::fprintf(out, "%s\n \"%s\": {\"calls\": %lld, \"milliseconds\": %.6f}", before, name.c_str(), sum.calls,
                         sum.milliseconds);
            before = ",";
        }
        std::fprintf(out, "%s\n}\n", sums_.empty() ? "{" : "");
        std::fclose(out);
    }
    cudaEvent_t make_event() {
        const std::lock_guard<std::mutex> lock(lock_);
        cudaEvent_t event = nullptr;
        if (free_.empty()) {
            cudaEventCreate(&event);  // recording one that is not there gives the error
        } else {
            event = free_.back();
            free_.pop_back();
        }
        return event;
    }

    std::mutex lock_;
    std::vector<Call> pending_;
    std::vector<cudaEvent_t> free_;
    std::map<std::string, Sum> sums_;
};

// Names with the degrees of the layer or path.
template <class... Rest>
std::string label(const char* name, const Rest&...) {
    return name;
}
template <class real, class... Rest>
std::string label(const char* name, int l_in, int l_out, int, const DeviceMessages<real>&, const Rest&...) {
    return name + (" " + std::to_string(l_in) + "-" + std::to_string(l_out));
}
template <class real, class... Rest>
std::string label(const char* name, int l_out, const DeviceMessages<real>&, const Rest&...) {
    return name + (" 0-" + std::to_string(l_out));
}
template <class... Rest>
std::string label(const char* name, const DevicePath& p, const Rest&...) {
    return name + (" " + std::to_string(p.l_in) + "-" + std::to_string(p.l_edge) + "-" + std::to_string(p.l_out));
}

/// A timed call in place of one member of a table.
template <auto kMember>
struct Timed;
template <class Table, class... Arguments, int (*Table::*kMember)(void*, Arguments...)>
struct Timed<kMember> {
    static inline int (*work)(void*, Arguments...) = nullptr;
    static inline const char* name = nullptr;

    static int call(void* stream, Arguments... arguments) {
        return Profile::get().time(stream, label(name, arguments...), [&] { return work(stream, arguments...); });
    }
    static void put_into(Table& table, const char* as) {
        work = table.*kMember;
        name = as;
        table.*kMember = call;
    }
};

template <class real>
void time_kernels(DeviceKernels<real>& k) {
    using K = DeviceKernels<real>;
    Timed<&K::forward>::put_into(k, "forward");
    Timed<&K::backward>::put_into(k, "backward");
    Timed<&K::first_gradient>::put_into(k, "first_gradient");
    Timed<&K::path_forward>::put_into(k, "path_forward");
    Timed<&K::path_backward>::put_into(k, "path_backward");
    Timed<&K::path_first_gradient>::put_into(k, "path_first_gradient");
    Timed<&K::path_finish>::put_into(k, "path_finish");
    Timed<&K::path_gate_forward>::put_into(k, "path_gate_forward");
    Timed<&K::path_gate_backward>::put_into(k, "path_gate_backward");
    Timed<&K::linear>::put_into(k, "linear");
    Timed<&K::gate_forward>::put_into(k, "gate_forward");
    Timed<&K::gate_backward>::put_into(k, "gate_backward");
    Timed<&K::silu_forward>::put_into(k, "silu_forward");
    Timed<&K::silu_backward>::put_into(k, "silu_backward");
    Timed<&K::to_tensors>::put_into(k, "to_tensors");
    Timed<&K::energies>::put_into(k, "energies");
    Timed<&K::geometry>::put_into(k, "geometry");
    Timed<&K::restart_edges>::put_into(k, "restart_edges");
    Timed<&K::forces>::put_into(k, "forces");
    Timed<&K::nearest>::put_into(k, "nearest");
    Timed<&K::copy_rows>::put_into(k, "copy_rows");
    Timed<&K::shorten_rows>::put_into(k, "shorten_rows");
    Timed<&K::lengthen_rows>::put_into(k, "lengthen_rows");
    Timed<&K::scale_rows>::put_into(k, "scale_rows");
    Timed<&K::add_scaled_rows>::put_into(k, "add_scaled_rows");
    Timed<&K::scale_edges>::put_into(k, "scale_edges");
    Timed<&K::centroid>::put_into(k, "centroid");
}

/// Let the table time its work.
inline void time_all(DeviceInterface& d) {
    using D = DeviceInterface;
    d.is_timed = 1;
    static int (*const wait)(void*) = d.synchronize;
    d.synchronize = [](void* stream) {
        const int error = wait(stream);
        return error == cudaSuccess ? Profile::get().collect(stream) : error;
    };
    Timed<&D::to_device>::put_into(d, "to_device");
    Timed<&D::to_host>::put_into(d, "to_host");
    Timed<&D::copy>::put_into(d, "copy");
    Timed<&D::fill>::put_into(d, "fill");
    Timed<&D::transpose>::put_into(d, "transpose");
    Timed<&D::cells>::put_into(d, "cells");
    Timed<&D::count_neighbors>::put_into(d, "count_neighbors");
    Timed<&D::fill_neighbors>::put_into(d, "fill_neighbors");
    Timed<&D::mark_outer>::put_into(d, "mark_outer");
    Timed<&D::totals>::put_into(d, "totals");
    time_kernels(d.single);
    time_kernels(d.reference);
}

}  // namespace cuda
}  // namespace qdml
