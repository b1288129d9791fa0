// SPDX-License-Identifier: MIT
/// The linear maps of a model as jobs of one kernel: which rows, which weights, where to.
#pragma once

#include <vector>

#include "memory.hpp"
#include "weights.hpp"

namespace qdml {

/// The jobs of one launch.
struct Stage {
    int first = 0, n_jobs = 0, n_blocks = 0;
};

/// A feature array: values per atom and layout.
template <class real>
struct FeatureArray {
    real* data;
    std::int64_t width;
    FeatureLayout layout;
};

/// Collects jobs and hands them to the device together.
template <class real>
class LinearPlan {
public:
    explicit LinearPlan(DeviceContext& context) : device_jobs_(context) {}

    void clear() { jobs_.clear(); }
    Stage begin() const { return {static_cast<int>(jobs_.size()), 0, 0}; }
    /// A job for `n` atoms (device indices `atoms`) of degree l into `to`, slot `slot` of separated sums; no terms yet.
    /// Null if there are no atoms.
    LinearJob<real>* add(Stage& stage, const int* atoms, int n, int l, const FeatureArray<real>& to, int slot = 0);
    /// Finish the latest job: its number of blocks is known.
    void close(Stage& stage);
    static void add_term(LinearJob<real>* job, const LinearMap<real>& map, const FeatureArray<real>& from, int l,
                         int slot = 0);

    void upload() { device_jobs_.upload(jobs_.data(), static_cast<std::int64_t>(jobs_.size())); }
    const LinearJob<real>* data() const noexcept { return device_jobs_.data(); }

private:
    std::vector<LinearJob<real>> jobs_;
    DeviceBuffer<LinearJob<real>> device_jobs_;
};

/// A layout of scalars alone: blocks of 16 channels one after the other.
FeatureLayout scalar_layout(int blocks);

extern template class LinearPlan<float>;
extern template class LinearPlan<double>;

}  // namespace qdml
