// SPDX-License-Identifier: MIT
/// All local rows leave, all ghosts arrive.
#include "qdml/whole_rows.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>

namespace qdml {

WholeRows::WholeRows(int n_local, int n_total) {
    static std::atomic<std::int64_t> n_made{0};
    routes_.number = n_made++;
    routes_.sent.resize(static_cast<std::size_t>(n_local));
    std::iota(routes_.sent.begin(), routes_.sent.end(), 0);
    routes_.n_received = n_total - n_local;
    routes_.arrival.resize(static_cast<std::size_t>(n_total - n_local));
    std::iota(routes_.arrival.begin(), routes_.arrival.end(), 0);
    routes_.owner.assign(routes_.arrival.size(), -1);
}

void WholeRows::start(const void* sent, void* received, const RowShape& row) {
    row_ = row;
    received_ = received;
    const std::size_t n_local = routes_.sent.size(), n_total = n_local + routes_.arrival.size();
    const auto bytes = static_cast<std::size_t>(row.bytes());
    // a rank without atoms has an address to hand out, too
    rows_.resize(std::max<std::size_t>(1, (n_total * bytes + sizeof(double) - 1) / sizeof(double)));
    if (n_local > 0) std::memcpy(rows_.data(), sent, n_local * bytes);
}

void WholeRows::finish() {
    if (row_.is_single) {
        fill_ghosts(reinterpret_cast<float*>(rows_.data()), row_.width);
    } else {
        fill_ghosts(rows_.data(), row_.width);
    }
    const auto bytes = static_cast<std::size_t>(row_.bytes());
    const char* ghosts = reinterpret_cast<const char*>(rows_.data()) + routes_.sent.size() * bytes;
    if (!routes_.arrival.empty()) std::memcpy(received_, ghosts, routes_.arrival.size() * bytes);
}

}  // namespace qdml
