// SPDX-License-Identifier: MIT
/// Rows of ghosts on the device: through the host and an Exchange, or from their owners on the same rank.
#include "device_evaluator.hpp"

#include <algorithm>

namespace qdml {

/// Packed on the device, so that only rows that travel cross the bus.
template <class real>
void DeviceEvaluator<real>::fetch_sent_rows(const DeviceBuffer<real>& rows, int width, const std::vector<int>& sent) {
    const auto n = static_cast<std::int64_t>(sent.size());
    arrays_->sent.reserve(n * width);
    arrays_->host_sent.reserve(n * width);
    if (sent != arrays_->sent_rows) {
        arrays_->sent_rows = sent;
        arrays_->sent_index.upload(arrays_->sent_rows.data(), n);
    }
    do_it(kernels_.copy_rows(stream(), static_cast<int>(n), width, arrays_->sent_index.data(), rows.data(),
                             arrays_->sent.data()),
          "rows to send");
    arrays_->sent.download(arrays_->host_sent.data(), n * width);
    context().synchronize();
    for (std::int64_t k = 0; k < n; ++k) {
        std::copy_n(arrays_->host_sent.data() + k * width, width,
                    arrays_->host_rows.data() + std::int64_t(sent[static_cast<std::size_t>(k)]) * width);
    }
}

/// The rows of local atoms go to the host, `exchange` fills the ghosts, theirs come back.
template <class real>
void DeviceEvaluator<real>::exchange_rows(DeviceBuffer<real>& rows, int width, Exchange* exchange) {
    const std::int64_t n_local = list().n_local(), n_total = list().n_total();
    if (const std::vector<int>* sent = exchange->sent_rows()) {
        fetch_sent_rows(rows, width, *sent);
    } else {
        rows.download(arrays_->host_rows.data(), n_local * width);
        context().synchronize();
    }
    exchange->fill_ghosts(arrays_->host_rows.data(), width);
    const auto bytes = static_cast<std::size_t>((n_total - n_local) * width) * sizeof(real);
    do_it(context().call().to_device(stream(), rows.data() + n_local * width,
                                     arrays_->host_rows.data() + n_local * width, bytes),
          "copying to the device");
}

/// On a rank alone the ghosts are images of its own atoms.
template <class real>
void DeviceEvaluator<real>::copy_to_ghosts(DeviceBuffer<real>& rows, int width) {
    do_it(kernels_.copy_rows(stream(), list().n_total() - list().n_local(), width, list().owner(), rows.data(),
                             rows.data() + std::int64_t(list().n_local()) * width),
          "ghosts");
}

template <class real>
void DeviceEvaluator<real>::send(DeviceBuffer<real>& rows, int width, Exchange* exchange) {
    if (list().owner() != nullptr) {
        copy_to_ghosts(rows, width);
    } else if (exchange != nullptr) {
        exchange_rows(rows, width, exchange);
    }
}
template class DeviceEvaluator<float>;
template class DeviceEvaluator<double>;

}  // namespace qdml
