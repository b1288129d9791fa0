// SPDX-License-Identifier: MIT
/// Rows of ghosts on the device: packed there, sent by an Exchange, from the device's memory or through the host's.
#include "device_evaluator.hpp"
#include "row_shape.hpp"

namespace qdml {
/// Indices go to the device, and the list puts rows without edges to other ranks first.
template <class real>
void DeviceEvaluator<real>::take_routes(const Exchange& exchange) {
    const Routes& routes = exchange.routes();
    auto& a = *arrays_;
    const auto n_ghost = static_cast<std::int64_t>(routes.arrival.size());
    const std::int64_t row = row_shape<real>(max_exchange_width(), Halo::full).bytes();
    const bool is_new = routes.number != a.routes || list().version() != a.routes_of_list;
    if (is_new) {
        a.routes = -1;
        a.n_sent = static_cast<int>(routes.sent.size());
        a.n_received = routes.n_received;
        a.sent_index.upload(routes.sent.data(), a.n_sent);
        a.arrival.upload(routes.arrival.data(), n_ghost);
        a.owner.upload(routes.owner.data(), n_ghost);
        list().put_inner_first(a.arrival.data());
        context().synchronize();  // the routes are the caller's
        a.routes = routes.number;
        a.routes_of_list = list().version();
    }
    a.sent.reserve(a.n_sent * row);
    a.received.reserve(a.n_received * row);
    if (!exchange.takes_device_memory()) {
        a.host_sent.reserve(a.n_sent * row);
        a.host_received.reserve(a.n_received * row);
    }
}

/// Rows to send, and images of local rows.
template <class real>
void DeviceEvaluator<real>::pack_rows(DeviceBuffer<real>& rows, int width, const Exchange& exchange) {
    auto& a = *arrays_;
    const RowShape shape = row_shape<real>(width, exchange.halo());
    if (shape.halo == Halo::int16) {
        do_it(kernels_.shorten_rows(stream(), a.n_sent, width, a.sent_index.data(), rows.data(), a.sent.data()),
              "rows to send");
    } else {
        do_it(kernels_.copy_rows(stream(), a.n_sent, width, a.sent_index.data(), rows.data(),
                                 reinterpret_cast<real*>(a.sent.data())),
              "rows to send");
    }
    if (!exchange.takes_device_memory() && a.n_sent > 0) a.sent.download(a.host_sent.data(), a.n_sent * shape.bytes());
    do_it(kernels_.copy_rows(stream(), list().n_total() - list().n_local(), width, a.owner.data(), rows.data(),
                             rows.data() + std::int64_t(list().n_local()) * width),
          "ghosts");
}

/// Once the packed rows are there.
template <class real>
void DeviceEvaluator<real>::start_exchange(int width, Exchange& exchange) {
    auto& a = *arrays_;
    context().synchronize();
    const bool direct = exchange.takes_device_memory();
    exchange.start(direct ? a.sent.data() : a.host_sent.data(), direct ? a.received.data() : a.host_received.data(),
                   row_shape<real>(width, exchange.halo()));
}

/// Ghosts of other ranks from what has arrived.
template <class real>
void DeviceEvaluator<real>::unpack_rows(DeviceBuffer<real>& rows, int width, const Exchange& exchange) {
    auto& a = *arrays_;
    const RowShape shape = row_shape<real>(width, exchange.halo());
    if (!exchange.takes_device_memory() && a.n_received > 0) {
        a.received.upload(a.host_received.data(), a.n_received * shape.bytes());
    }
    const int n_ghost = list().n_total() - list().n_local();
    real* ghosts = rows.data() + std::int64_t(list().n_local()) * width;
    if (shape.halo == Halo::int16) {
        do_it(kernels_.lengthen_rows(stream(), n_ghost, width, a.arrival.data(), a.received.data(), ghosts),
              "rows of ghosts");
    } else {
        do_it(kernels_.copy_rows(stream(), n_ghost, width, a.arrival.data(),
                                 reinterpret_cast<const real*>(a.received.data()), ghosts),
              "rows of ghosts");
    }
}

/// On a rank alone the ghosts are images of its own atoms.
template <class real>
void DeviceEvaluator<real>::copy_to_ghosts(DeviceBuffer<real>& rows, int width) {
    do_it(kernels_.copy_rows(stream(), list().n_total() - list().n_local(), width, list().owner(), rows.data(),
                             rows.data() + std::int64_t(list().n_local()) * width),
          "ghosts");
}

/// Outside a recorded step, and nothing is done meanwhile.
template <class real>
void DeviceEvaluator<real>::send(DeviceBuffer<real>& rows, int width, Exchange* exchange) {
    if (list().owner() != nullptr) {
        copy_to_ghosts(rows, width);
    } else if (exchange != nullptr) {
        pack_rows(rows, width, *exchange);
        start_exchange(width, *exchange);
        exchange->finish();
        unpack_rows(rows, width, *exchange);
    }
}
template class DeviceEvaluator<float>;
template class DeviceEvaluator<double>;

}  // namespace qdml
