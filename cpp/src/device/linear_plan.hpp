// SPDX-License-Identifier: MIT
/// The linear maps of a model as jobs of one kernel: which rows, which weights, where to.
#pragma once

#include <vector>

#include "memory.hpp"
#include "paths/weights.hpp"
#include "weights.hpp"

namespace qdml {

/// The jobs of one launch.
struct Stage {
    int first = 0, n_jobs = 0, n_blocks = 0;
};

/// One irrep of an array on the device: component m of block b of atom a is at data + a · width + b · stride + m · 16.
template <class real>
struct FeaturePart {
    real* data;
    std::int64_t width;
    int degree, blocks, stride;
};

/// Part of rows of `width` values; of degree l and, with separated sums, a slot.
template <class real>
FeaturePart<real> part_of(real* rows, std::int64_t width, const FeatureLayout& layout, int l, int slot = 0) {
    const DegreeLayout& d = layout.degree[static_cast<std::size_t>(l)];
    return {rows + d.offset + slot * (2 * l + 1) * kBlock, width, l, d.blocks, d.stride};
}

template <class real>
FeaturePart<real> part_of(real* rows, std::int64_t width, const IrrepsLayout::Part& part) {
    return {rows + part.offset, width, part.degree, part.blocks, part.stride()};
}

/// Scalars alone.
template <class real>
FeaturePart<real> scalar_part(real* rows, std::int64_t width, int blocks) {
    return {rows, width, 0, blocks, kBlock};
}

/// Collects jobs and hands them to the device together.
template <class real>
class LinearPlan {
public:
    /// One map, its weights on the device, and what it reads.
    struct Term {
        LinearMap<real> map;
        FeaturePart<real> from;
    };

    explicit LinearPlan(DeviceContext& context) : device_jobs_(context), device_terms_(context) {}

    void clear();
    Stage begin() const { return {static_cast<int>(jobs_.size()), 0, 0}; }
    /// A job of the latest stage: `to` of `n` atoms (device indices `atoms`) = the sum of the terms; zero without any.
    void add(Stage& stage, const int* atoms, int n, const FeaturePart<real>& to, const std::vector<Term>& terms);
    void upload();
    const LinearJob<real>* jobs() const noexcept { return device_jobs_.data(); }
    const LinearTerm<real>* terms() const noexcept { return device_terms_.data(); }

private:
    std::vector<LinearJob<real>> jobs_;
    std::vector<LinearTerm<real>> terms_;
    DeviceBuffer<LinearJob<real>> device_jobs_;
    DeviceBuffer<LinearTerm<real>> device_terms_;
};

extern template class LinearPlan<float>;
extern template class LinearPlan<double>;

}  // namespace qdml
