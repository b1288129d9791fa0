// SPDX-License-Identifier: MIT
/// Work between two exchanges: issued, or recorded once and replayed as a graph while nothing it holds has moved.
#pragma once

#include <functional>
#include <vector>

#include "memory.hpp"

namespace qdml {

class Segments {
public:
    explicit Segments(DeviceContext& context) : context_(&context) {}
    ~Segments() {
        for (void* graph : graphs_) {
            if (graph != nullptr) context_->call().destroy_graph(graph);
        }
    }
    Segments(const Segments&) = delete;
    Segments& operator=(const Segments&) = delete;

    /// Later work goes to the stream of `context`, on the same device.
    void move_to(DeviceContext& context) {
        context_ = &context;
        valid_ = 0;
    }
    /// Start a step. `same`: shape and addresses of the step before; `record`: the work may be recorded at all.
    void begin(bool same, bool record) {
        record_ = record && context_->call().is_timed == 0;
        valid_ = same && record_ ? valid_ : 0;
        next_ = 0;
        pending_.clear();
    }
    template <class Work>
    void add(const Work& work) {
        pending_.emplace_back(work);
    }
    /// Do all work added since the last time.
    void flush() {
        if (!record_) {
            issue();
            return;
        }
        if (graphs_.size() == next_) graphs_.push_back(nullptr);
        if (next_ >= valid_) {
            const auto& call = context_->call();
            context_->check(call.begin_recording(context_->stream()), "recording a step");
            try {
                issue();
            } catch (...) {  // the stream must not stay in its recording state
                void* unfinished = nullptr;
                if (call.end_recording(context_->stream(), &unfinished) == 0) call.destroy_graph(unfinished);
                throw;
            }
            context_->check(call.end_recording(context_->stream(), &graphs_[next_]), "recording a step");
            valid_ = next_ + 1;
        }
        pending_.clear();
        context_->check(context_->call().replay(graphs_[next_], context_->stream()), "replaying a step");
        ++next_;
    }

private:
    void issue() {
        for (const auto& work : pending_) work();
        pending_.clear();
    }

    DeviceContext* context_;
    std::vector<std::function<void()>> pending_;
    std::vector<void*> graphs_;
    std::size_t valid_ = 0, next_ = 0;
    bool record_ = false;
};

}  // namespace qdml
