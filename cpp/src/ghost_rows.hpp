// SPDX-License-Identifier: MIT
/// Rows of ghosts on a CPU: those of other ranks travel while rows that need none are evaluated.
#pragma once

#include "buffer.hpp"
#include "qdml/engine.hpp"

namespace qdml {

template <class real>
class GhostRows {
public:
    /// Pack and send local rows of `rows` [n_total][width]; images of local rows are filled at once.
    void start(Exchange& exchange, int n_local, real* rows, int width);
    /// Are rows on their way?
    bool is_waiting() const noexcept { return exchange_ != nullptr; }
    void progress() { exchange_->progress(); }
    /// Wait for them and fill the ghosts; nothing where none are on their way.
    void finish();
    /// An evaluation broke off between start and finish.
    void forget() noexcept { exchange_ = nullptr; }

    static std::int64_t bytes_for(std::int64_t n_sent, std::int64_t n_received, int width) noexcept;
    std::int64_t bytes() const noexcept { return sent_.bytes() + received_.bytes(); }
    void release() noexcept;

private:
    Exchange* exchange_ = nullptr;
    RowShape shape_;
    real* ghosts_ = nullptr;
    Buffer<char> sent_, received_;
};

extern template class GhostRows<float>;
extern template class GhostRows<double>;

}  // namespace qdml
