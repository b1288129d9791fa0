// SPDX-License-Identifier: MIT
/// Packs rows as they are, or in 16 bits a value.
#include "ghost_rows.hpp"

#include <algorithm>
#include <cstring>

#include "row_shape.hpp"
#include "short_rows.hpp"

namespace qdml {
namespace {

template <class real>
void pack(const real* row, const RowShape& shape, char* out) {
    if (shape.halo == Halo::full) {
        std::memcpy(out, row, static_cast<std::size_t>(shape.bytes()));
        return;
    }
    float scale = 0.0F;
    for (int c = 0; c < shape.width; ++c) {
        scale = larger(scale, std::fabs(static_cast<float>(row[c])));
    }
    std::memcpy(out, &scale, sizeof scale);
    const float steps = short_steps(scale);
    auto* values = reinterpret_cast<std::int16_t*>(out + sizeof scale);
    for (int c = 0; c < shape.width; ++c) {
        values[c] = shorten(static_cast<float>(row[c]), steps);
    }
}

template <class real>
void unpack(const char* in, const RowShape& shape, real* row) {
    if (shape.halo == Halo::full) {
        std::memcpy(row, in, static_cast<std::size_t>(shape.bytes()));
        return;
    }
    float scale = 0.0F;
    std::memcpy(&scale, in, sizeof scale);
    const auto* values = reinterpret_cast<const std::int16_t*>(in + sizeof scale);
    for (int c = 0; c < shape.width; ++c) {
        row[c] = static_cast<real>(lengthen(values[c], scale));
    }
}

}  // namespace

template <class real>
void GhostRows<real>::start(Exchange& exchange, int n_local, real* rows, int width) {
    const Routes& routes = exchange.routes();
    shape_ = row_shape<real>(width, exchange.halo());
    const std::int64_t bytes = shape_.bytes();
    const auto n_sent = static_cast<std::int64_t>(routes.sent.size());
    sent_.reserve(n_sent * bytes);
    received_.reserve(routes.n_received * bytes);
#pragma omp parallel for schedule(static)
    for (std::int64_t k = 0; k < n_sent; ++k) {
        const std::int64_t row = routes.sent[static_cast<std::size_t>(k)];
        pack(rows + row * width, shape_, sent_.data() + k * bytes);
    }
    exchange.start(sent_.data(), received_.data(), shape_);
    exchange_ = &exchange;
    ghosts_ = rows + std::int64_t(n_local) * width;
    const auto n_ghosts = static_cast<std::int64_t>(routes.owner.size());
#pragma omp parallel for schedule(static)
    for (std::int64_t g = 0; g < n_ghosts; ++g) {
        const std::int64_t row = routes.owner[static_cast<std::size_t>(g)];
        if (row >= 0) {
            std::copy_n(rows + row * width, width, ghosts_ + g * width);
        }
    }
}

template <class real>
void GhostRows<real>::finish() {
    if (exchange_ == nullptr) {
        return;
    }
    exchange_->finish();
    const std::vector<int>& arrival = exchange_->routes().arrival;
    const auto n_ghosts = static_cast<std::int64_t>(arrival.size());
#pragma omp parallel for schedule(static)
    for (std::int64_t g = 0; g < n_ghosts; ++g) {
        const std::int64_t row = arrival[static_cast<std::size_t>(g)];
        if (row >= 0) {
            unpack(received_.data() + row * shape_.bytes(), shape_, ghosts_ + g * shape_.width);
        }
    }
    exchange_ = nullptr;
}

template <class real>
std::int64_t GhostRows<real>::bytes_for(std::int64_t n_sent, std::int64_t n_received, int width) noexcept {
    const std::int64_t row = row_shape<real>(width, Halo::full).bytes();
    return Buffer<char>::bytes_for(n_sent * row) + Buffer<char>::bytes_for(n_received * row);
}

template <class real>
void GhostRows<real>::release() noexcept {
    sent_.release();
    received_.release();
}

template class GhostRows<float>;
template class GhostRows<double>;

}  // namespace qdml
