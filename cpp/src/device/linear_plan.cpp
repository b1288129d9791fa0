// SPDX-License-Identifier: MIT
/// Layouts of weights.hpp turned into strides of the kernel.
#include "linear_plan.hpp"

namespace qdml {
namespace {

/// Where component 0 of degree l begins, in values.
std::int64_t start_of(const FeatureLayout& layout, int l, int slot) {
    const DegreeLayout& d = layout.degree[static_cast<std::size_t>(l)];
    return d.offset + (d.slots > 1 ? slot : 0) * (2 * l + 1) * kBlock;
}

}  // namespace

FeatureLayout scalar_layout(int blocks) {
    FeatureLayout layout;
    layout.width = blocks * kBlock;
    layout.degree[0] = {0, kBlock, blocks, 1};
    return layout;
}

template <class real>
LinearJob<real>* LinearPlan<real>::add(Stage& stage, const int* atoms, int n, int l, const FeatureArray<real>& to,
                                       int slot) {
    if (n == 0) return nullptr;
    LinearJob<real> job = {};
    job.components = 2 * l + 1;
    job.atoms = atoms;
    job.n_atoms = n;
    job.out = to.data + start_of(to.layout, l, slot);
    job.width = to.width;
    job.stride = to.layout.degree[static_cast<std::size_t>(l)].stride;
    job.first_block = stage.n_blocks;
    jobs_.push_back(job);
    ++stage.n_jobs;
    return &jobs_.back();
}

template <class real>
void LinearPlan<real>::close(Stage& stage) {
    stage.n_blocks += linear_blocks(jobs_.back());
}

template <class real>
void LinearPlan<real>::add_term(LinearJob<real>* job, const LinearMap<real>& map, const FeatureArray<real>& from, int l,
                                int slot) {
    if (job->n_terms == kMostTerms) {
        throw Error("device_failed", "a linear map with more terms than the device's kernel holds; this is a fault of qdml");
    }
    job->blocks = map.out_blocks;
    job->term[job->n_terms++] = {map.weight, from.data + start_of(from.layout, l, slot), from.width, map.in_blocks,
                                 from.layout.degree[static_cast<std::size_t>(l)].stride};
}

template class LinearPlan<float>;
template class LinearPlan<double>;

}  // namespace qdml
