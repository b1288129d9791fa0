// SPDX-License-Identifier: MIT
/// An Exchange for callers that want to see all rows: they get an array of local rows and fill the ghosts.
#pragma once

#include <cstdint>
#include <vector>

#include "qdml/engine.hpp"

namespace qdml {

class WholeRows : public Exchange {
public:
    WholeRows(int n_local, int n_total);
    /// Fill rows n_local..n_total-1 of `rows` [n_total][width] from their owners.
    virtual void fill_ghosts(float* rows, int width) = 0;
    virtual void fill_ghosts(double* rows, int width) = 0;

    const Routes& routes() const override { return routes_; }
    void start(const void* sent, void* received, const RowShape& row) override;
    void finish() override;

private:
    Routes routes_;
    RowShape row_;
    void* received_ = nullptr;
    std::vector<double> rows_;  ///< room for either precision
};

}  // namespace qdml
