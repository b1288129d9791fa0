// SPDX-License-Identifier: MIT
/// Engine: picks precision and instruction set, forwards to the evaluator.
#include "qdml/engine.hpp"

#include <cstdlib>

#include "evaluator.hpp"
#ifdef QDML_PROFILE
#include "profile.hpp"
#endif

namespace qdml {
namespace {

/// The widest kernels this processor runs; QDML_ISA=baseline|avx2|avx512 forces others (tests).
const KernelSet& choose_kernels() {
    const char* variable = std::getenv("QDML_ISA");
    const std::string forced = variable == nullptr ? "" : variable;
#ifdef QDML_X86
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") &&
                            __builtin_cpu_supports("avx512vl") &&
                            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    if (has_avx512 && (forced.empty() || forced == "avx512")) {
        return avx512::kernels();
    }
    if (has_avx2 && (forced.empty() || forced == "avx2")) {
        return avx2::kernels();
    }
#endif
    if (!forced.empty() && forced != "baseline") {
        throw Error("isa_unavailable", "QDML_ISA=" + forced +
                                           ": this processor or build has no such kernels; unset "
                                           "it or use baseline, avx2 or avx512");
    }
    return baseline::kernels();
}

#ifndef QDML_PROFILE
template <class real>
const Kernels<real>& profiled(const Kernels<real>& kernels) {
    return kernels;
}
#endif

}  // namespace

struct Engine::Impl {
    ModelInfo info;
    Precision precision;
    std::unique_ptr<Evaluator<float>> mixed;
    std::unique_ptr<Evaluator<double>> reference;
};

Engine::Engine(const std::string& path, Precision precision) : impl_(std::make_unique<Impl>()) {
    const KernelSet& kernels = choose_kernels();
    const Model model = read_model(path);
    impl_->info = model.info;
    impl_->info.isa = kernels.name;
    impl_->precision = precision;
    if (precision == Precision::mixed) {
        impl_->mixed = std::make_unique<Evaluator<float>>(model, profiled(kernels.single));
    } else {
        impl_->reference = std::make_unique<Evaluator<double>>(model, profiled(kernels.reference));
    }
}

Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

const ModelInfo& Engine::info() const noexcept { return impl_->info; }
Precision Engine::precision() const noexcept { return impl_->precision; }

int Engine::max_exchange_width() const noexcept {
    return impl_->mixed ? impl_->mixed->max_exchange_width()
                        : impl_->reference->max_exchange_width();
}

std::int64_t Engine::memory_estimate(std::int64_t n_local, std::int64_t n_ghost,
                                     std::int64_t n_edges) const noexcept {
    return impl_->mixed ? impl_->mixed->memory_estimate(n_local, n_ghost, n_edges)
                        : impl_->reference->memory_estimate(n_local, n_ghost, n_edges);
}

void Engine::compute(const Graph& graph, const Request& request, Exchange* exchange,
                     Result& result) {
    if (graph.n_local < 0 || graph.n_total < graph.n_local) {
        throw Error("graph_invalid", "n_local " + std::to_string(graph.n_local) + ", n_total " +
                                         std::to_string(graph.n_total) +
                                         ": expected 0 <= n_local <= n_total");
    }
    if (request.centroid_virial && graph.position == nullptr && graph.n_total > 0) {
        throw Error("graph_invalid", "centroid_virial needs the positions of all atoms and ghosts");
    }
    if (impl_->mixed) {
        impl_->mixed->compute(graph, request, exchange, result);
    } else {
        impl_->reference->compute(graph, request, exchange, result);
    }
}

const char* version() noexcept { return QDML_VERSION; }

}  // namespace qdml
