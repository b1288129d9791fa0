// SPDX-License-Identifier: MIT
/// Rows of ghosts on the device: through the host and an Exchange, or from their owners on the same rank.
#include "device_evaluator.hpp"

#include <algorithm>

namespace qdml {

/// Packed on the device, so that only rows that travel cross the bus.
template <class real>
void DeviceEvaluator<real>::fetch_sent_rows(const DeviceBuffer<real>& rows, int width, const std::vector<int>& sent) {
    const auto n = static_cast<std::int64_t>(sent.size());
    sent_.reserve(n * width);
    host_sent_.reserve(n * width);
    if (sent != sent_rows_) {
        sent_rows_ = sent;
        sent_index_.upload(sent_rows_.data(), n);
    }
    do_it(kernels_.copy_rows(context_.stream(), static_cast<int>(n), width, sent_index_.data(), rows.data(), sent_.data()),
          "rows to send");
    sent_.download(host_sent_.data(), n * width);
    context_.synchronize();
    for (std::int64_t k = 0; k < n; ++k) {
        std::copy_n(host_sent_.data() + k * width, width,
                    host_rows_.data() + std::int64_t(sent[static_cast<std::size_t>(k)]) * width);
    }
}

/// The rows of local atoms go to the host, `exchange` fills the ghosts, theirs come back.
template <class real>
void DeviceEvaluator<real>::exchange_rows(DeviceBuffer<real>& rows, int width, Exchange* exchange) {
    const std::int64_t n_local = list_.n_local(), n_total = list_.n_total();
    if (const std::vector<int>* sent = exchange->sent_rows()) {
        fetch_sent_rows(rows, width, *sent);
    } else {
        rows.download(host_rows_.data(), n_local * width);
        context_.synchronize();
    }
    exchange->fill_ghosts(host_rows_.data(), width);
    const auto bytes = static_cast<std::size_t>((n_total - n_local) * width) * sizeof(real);
    do_it(context_.call().to_device(context_.stream(), rows.data() + n_local * width, host_rows_.data() + n_local * width,
                                    bytes),
          "copying to the device");
}

/// On a rank alone the ghosts are images of its own atoms.
template <class real>
void DeviceEvaluator<real>::copy_to_ghosts(DeviceBuffer<real>& rows, int width) {
    do_it(kernels_.copy_rows(context_.stream(), list_.n_total() - list_.n_local(), width, list_.owner(), rows.data(),
                             rows.data() + std::int64_t(list_.n_local()) * width),
          "ghosts");
}

template <class real>
void DeviceEvaluator<real>::send(DeviceBuffer<real>& rows, int width, Exchange* exchange) {
    if (list_.owner() != nullptr) {
        copy_to_ghosts(rows, width);
    } else if (exchange != nullptr) {
        exchange_rows(rows, width, exchange);
    }
}
template class DeviceEvaluator<float>;
template class DeviceEvaluator<double>;

}  // namespace qdml
