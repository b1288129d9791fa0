// SPDX-License-Identifier: MIT
/// What an Engine holds; shared with Committee, which evaluates several in the same work arrays.
#pragma once

#include <memory>

#include "evaluator.hpp"
#include "model.hpp"
#include "qdml/engine.hpp"

namespace qdml {

struct Engine::Impl {
    /// Throws Error `isa_unavailable`, `device_unavailable`, `device_failed`.
    Impl(const Model& model, Precision precision, const DeviceChoice& choice);
    /// Check what all evaluators need, then AnyEvaluator::compute or compute_same_graph.
    void compute(const Graph& graph, const Request& request, Exchange* exchange, Result& result,
                 bool same_graph);

    ModelInfo info;
    Precision precision;
    std::unique_ptr<AnyEvaluator> evaluator;
    std::int64_t memory_limit = 0;
};

}  // namespace qdml
