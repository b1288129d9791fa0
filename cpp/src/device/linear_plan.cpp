// SPDX-License-Identifier: MIT
/// Parts of arrays turned into strides of the kernel.
#include "linear_plan.hpp"

namespace qdml {

template <class real>
void LinearPlan<real>::clear() {
    jobs_.clear();
    terms_.clear();
}

template <class real>
void LinearPlan<real>::add(Stage& stage, const int* atoms, int n, const FeaturePart<real>& to,
                           const std::vector<Term>& terms) {
    if (n == 0) return;
    LinearJob<real> job = {};
    job.first_term = static_cast<int>(terms_.size());
    job.n_terms = static_cast<int>(terms.size());
    job.components = 2 * to.degree + 1;
    job.atoms = atoms;
    job.n_atoms = n;
    job.out = to.data;
    job.width = to.width;
    job.blocks = to.blocks;
    job.stride = to.stride;
    job.first_block = stage.n_blocks;
    for (const Term& term : terms) {
        terms_.push_back({term.map.weight, term.from.data, term.from.width, term.map.in_blocks, term.from.stride});
    }
    stage.n_blocks += linear_blocks(job);
    ++stage.n_jobs;
    jobs_.push_back(job);
}

template <class real>
void LinearPlan<real>::upload() {
    device_jobs_.upload(jobs_.data(), static_cast<std::int64_t>(jobs_.size()));
    device_terms_.upload(terms_.data(), static_cast<std::int64_t>(terms_.size()));
}

template class LinearPlan<float>;
template class LinearPlan<double>;

}  // namespace qdml
