// SPDX-License-Identifier: MIT
/// Engine: picks precision, device and instruction set, forwards to the evaluator.
#include "qdml/engine.hpp"

#include "cartesian_evaluator.hpp"
#include "device/device_cartesian.hpp"
#include "device/device_paths.hpp"
#include "device/library.hpp"
#include "engine_impl.hpp"
#include "instruction_set.hpp"
#include "paths/evaluator.hpp"
#ifdef QDML_PROFILE
#include "profile.hpp"
#endif

namespace qdml {
namespace {

struct ChosenKernels {
    const KernelSet& cartesian;
    const PathKernelSet& paths;
};

ChosenKernels choose_kernels() {
    switch (choose_instruction_set()) {
#ifdef QDML_X86
        case InstructionSet::avx512: return {avx512::kernels(), avx512::path_kernels()};
        case InstructionSet::avx2: return {avx2::kernels(), avx2::path_kernels()};
#elif defined(QDML_NEON)
        case InstructionSet::neon: return {neon::kernels(), neon::path_kernels()};
#endif
        default: return {baseline::kernels(), baseline::path_kernels()};
    }
}

#ifndef QDML_PROFILE
template <class real>
const Kernels<real>& profiled(const Kernels<real>& kernels) {
    return kernels;
}
#endif

/// One branch per family of architectures (families.cpp).
template <class real>
std::unique_ptr<AnyEvaluator> make_evaluator(const Model& model, const Kernels<real>& cartesian,
                                             const PathKernels<real>& paths) {
    if (model.paths) {
        return std::make_unique<PathEvaluator<real>>(model, cartesian, paths);
    }
    return std::make_unique<CartesianEvaluator<real>>(model, profiled(cartesian));
}

/// The same on a card.
template <class real>
std::unique_ptr<DeviceEvaluator<real>> make_device_evaluator(const Model& model, const DeviceInterface& interface,
                                                             const DeviceKernels<real>& kernels, int index) {
    if (model.paths) {
        return std::make_unique<DevicePaths<real>>(model, interface, kernels, index);
    }
    return std::make_unique<DeviceCartesian<real>>(model, interface, kernels, index);
}

/// The evaluator on a card and the card's name, or null where Device::automatic finds none.
std::unique_ptr<AnyEvaluator> find_device(const Model& model, Precision precision, const DeviceChoice& choice,
                                          std::string& name) {
    const auto named = [&](auto made) -> std::unique_ptr<AnyEvaluator> {
        name = made->device_name();
        return made;
    };
    try {
        const ChosenDevice chosen = choose_device(choice.local_rank);
        const DeviceInterface& interface = *chosen.interface;
        return precision == Precision::mixed
                   ? named(make_device_evaluator(model, interface, interface.single, chosen.index))
                   : named(make_device_evaluator(model, interface, interface.reference, chosen.index));
    } catch (const Error& error) {
        if (choice.device == Device::automatic && error.code() == "device_unavailable") {
            return nullptr;
        }
        throw;
    }
}

/// Rows must follow one another: whatever reads the edges relies on it.
void check_rows(const Graph& graph) {
    const std::int64_t* start = graph.row_start;
    if (start[0] != 0) {
        throw Error("graph_invalid",
                    "row_start begins with " + std::to_string(start[0]) + "; expected 0");
    }
    for (int i = 0; i < graph.n_local; ++i) {
        if (start[i + 1] < start[i]) {
            throw Error("graph_invalid", "row_start decreases from " + std::to_string(start[i]) +
                                             " to " + std::to_string(start[i + 1]) +
                                             " at atom " + std::to_string(i));
        }
    }
}

/// Shells instead of an exchange: as many as the model needs, each within the next.
void check_shells(const Graph& graph, int n_layers, const Exchange* exchange) {
    if (exchange != nullptr) {
        throw Error("graph_invalid", "a graph with shells needs no exchange; leave one of them out");
    }
    if (graph.n_shells < n_layers) {
        throw Error("graph_invalid", std::to_string(graph.n_shells) + " shells for a model of " +
                                         std::to_string(n_layers) + " layers; expected one for each");
    }
    int before = 0;
    for (int k = 0; k < graph.n_shells; ++k) {
        if (graph.shell[k] < before || graph.shell[k] > graph.n_local) {
            throw Error("graph_invalid", "shell " + std::to_string(k) + " has " +
                                             std::to_string(graph.shell[k]) + " rows; expected " +
                                             std::to_string(before) + ".." +
                                             std::to_string(graph.n_local));
        }
        before = graph.shell[k];
    }
}

/// Routes that belong to this graph.
void check_routes(const Graph& graph, const Routes& routes) {
    const auto n_ghost = static_cast<std::size_t>(graph.n_total - graph.n_local);
    const auto is_row = [](int row, int first, int n) { return row >= first && row < n; };
    if (routes.arrival.size() != n_ghost || routes.owner.size() != n_ghost) {
        throw Error("graph_invalid", "the exchange has routes to " + std::to_string(routes.arrival.size()) +
                                         " ghosts, the graph has " + std::to_string(n_ghost));
    }
    for (std::size_t g = 0; g < n_ghost; ++g) {
        if (!is_row(routes.arrival[g], -1, routes.n_received) || !is_row(routes.owner[g], -1, graph.n_local)) {
            throw Error("graph_invalid", "ghost " + std::to_string(graph.n_local + std::int64_t(g)) +
                                             " is to get arrived row " + std::to_string(routes.arrival[g]) + " of " +
                                             std::to_string(routes.n_received) + ", or local row " +
                                             std::to_string(routes.owner[g]) + " of " +
                                             std::to_string(graph.n_local));
        }
    }
    for (const int row : routes.sent) {
        if (!is_row(row, 0, graph.n_local)) {
            throw Error("graph_invalid", "the exchange sends row " + std::to_string(row) + ", there are " +
                                             std::to_string(graph.n_local) + " local atoms");
        }
    }
}

}  // namespace

Engine::Impl::Impl(const Model& model, Precision chosen, const DeviceChoice& choice)
    : info(model.info), precision(chosen) {
    const ChosenKernels kernels = choose_kernels();
    info.isa = kernels.cartesian.name;
    if (choice.device != Device::cpu) {
        evaluator = find_device(model, precision, choice, info.device);
        if (evaluator) {
            return;
        }
    }
    evaluator = precision == Precision::mixed
                    ? make_evaluator(model, kernels.cartesian.single, kernels.paths.single)
                    : make_evaluator(model, kernels.cartesian.reference, kernels.paths.reference);
}

void Engine::Impl::compute(const Graph& graph, const Request& request, Exchange* exchange,
                           Result& result, bool same_graph) {
    if (graph.n_local < 0 || graph.n_total < graph.n_local) {
        throw Error("graph_invalid", "n_local " + std::to_string(graph.n_local) + ", n_total " +
                                         std::to_string(graph.n_total) +
                                         ": expected 0 <= n_local <= n_total");
    }
    if (request.centroid_virial && graph.position == nullptr && graph.n_total > 0) {
        throw Error("graph_invalid", "centroid_virial needs the positions of all atoms and ghosts");
    }
    if (graph.n_local > 0 && graph.row_start == nullptr &&
        (!evaluator->makes_lists() || graph.position == nullptr || !(graph.skin >= 0))) {
        throw Error("graph_invalid",
                    "a graph without a neighbour list needs positions, a skin that is not negative "
                    "and an engine on a GPU");
    }
    if (graph.shell != nullptr) {
        if (!evaluator->takes_shells()) {
            throw Error("request_unsupported",
                        "graphs with shells are evaluated on the CPU only; use 'device cpu'");
        }
        check_shells(graph, info.n_layers, exchange);
    }
    if (graph.row_start != nullptr && !same_graph) {
        check_rows(graph);
    }
    if (exchange != nullptr && graph.owner == nullptr && !same_graph) {
        check_routes(graph, exchange->routes());
    }
    if (request.nearest && !evaluator->makes_lists()) {
        throw Error("graph_invalid", "nearest is asked of an engine on the CPU, whose caller has the edges");
    }
    if (same_graph) {
        evaluator->compute_same_graph(graph, request, exchange, result);
    } else {
        evaluator->compute(graph, request, exchange, result);
    }
}

Engine::Engine(const std::string& path, Precision precision, const DeviceChoice& choice)
    : impl_(std::make_unique<Impl>(read_model(path), precision, choice)) {}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

const ModelInfo& Engine::info() const noexcept { return impl_->info; }
Precision Engine::precision() const noexcept { return impl_->precision; }

bool Engine::makes_lists() const noexcept { return impl_->evaluator->makes_lists(); }

int Engine::max_exchange_width() const noexcept { return impl_->evaluator->max_exchange_width(); }

std::int64_t Engine::memory_estimate(std::int64_t n_local, std::int64_t n_ghost,
                                     std::int64_t n_edges) const noexcept {
    return impl_->evaluator->memory_estimate(n_local, n_ghost, n_edges);
}

std::int64_t Engine::memory_allocated() const noexcept {
    return impl_->evaluator->memory_allocated();
}

void Engine::set_memory_limit(std::int64_t bytes) {
    if (bytes < 0) {
        throw Error("value_invalid", "memory limit of " + std::to_string(bytes) +
                                         " bytes; expected a positive number, or 0 for no limit");
    }
    impl_->memory_limit = bytes;
    impl_->evaluator->set_memory_limit(bytes);
}

std::int64_t Engine::memory_limit() const noexcept { return impl_->memory_limit; }

void Engine::compute(const Graph& graph, const Request& request, Exchange* exchange,
                     Result& result) {
    impl_->compute(graph, request, exchange, result, false);
}

const char* version() noexcept { return QDML_VERSION; }

}  // namespace qdml
