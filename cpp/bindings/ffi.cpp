// SPDX-License-Identifier: MIT
/// XLA FFI handlers: check shapes, lend XLA's threads to the operation, turn faults into XLA errors.
#include "ffi.hpp"

#include <new>

#include <pybind11/stl.h>

#include "ffi_call.hpp"
#include "training/messages.hpp"
#include "training/path_messages.hpp"

namespace py = pybind11;

namespace {

template <class real>
void make_plan(const Call& call, const qdml::Parallel& parallel) {
    const auto n_atoms = call.extent(1, 0), n_slots = call.extent(1, 1);
    const qdml::EdgeSlots<real> slots = {
        static_cast<int>(n_atoms), static_cast<int>(n_slots),
        call.argument<real>(0, "edge_vector", {n_atoms, n_slots, 3}),
        call.argument<int>(1, "neighbor", {n_atoms, n_slots}),
        call.argument<int>(2, "reverse", {n_atoms, n_slots})};
    using Plan = qdml::EdgePlan<real>;
    auto plan = Plan::at(call.result<char>(0, "plan", {Plan::bytes(n_atoms, n_slots)}), n_atoms, n_slots);
    const auto spline =
        call.attribute<bool>("hermite") ? qdml::Spline::hermite : qdml::Spline::cubic_b;
    const qdml::Knots knots = {spline, call.attribute<std::int32_t>("knots"),
                               call.attribute<double>("cutoff")};
    make_edge_plan(slots, knots, plan, parallel);
}

/// What the operations on messages of the Cartesian family read from a call.
template <class real>
struct CartesianLayer {
    using Messages = qdml::Messages<real>;
    qdml::MessageShape shape;
    Shape features, sums, table;

    explicit CartesianLayer(const Call& call)
        : shape{call.attribute<std::int32_t>("l_in"), call.attribute<std::int32_t>("l_out"),
                call.attribute<bool>("separated"), static_cast<int>(call.extent(0, 0)),
                call.attribute<std::int32_t>("n_slots"), static_cast<int>(call.extent(0, 2)),
                static_cast<int>(call.extent(1, 0)) - 3},
          features{shape.n_atoms, shape.components_in(), shape.channels},
          sums{shape.n_atoms, shape.components_out(), shape.channels},
          table{shape.knots + 3, shape.terms(), shape.channels} {}
};

/// The degrees and channels of the irreps, and the parts and degrees of the paths, of `shape`.
qdml::PathShape path_shape(const std::vector<int>& irreps, const std::vector<int>& paths) {
    qdml::PathShape shape;
    if (irreps.size() % 2 != 0 || paths.size() % 3 != 0) {
        throw qdml::Error("call_invalid", "irreps come in pairs, paths in triples");
    }
    for (std::size_t k = 0; k < irreps.size(); k += 2) shape.add_irrep(irreps[k], irreps[k + 1]);
    for (std::size_t k = 0; k < paths.size(); k += 3) {
        shape.add_path(paths[k], paths[k + 1], paths[k + 2]);
    }
    return shape;
}

/// The same for Clebsch-Gordan paths.
template <class real>
struct PathLayer {
    using Messages = qdml::PathMessages<real>;
    qdml::PathShape shape;
    Shape features, sums, table;

    explicit PathLayer(const Call& call)
        : shape(path_shape(call.list("irreps"), call.list("paths"))) {
        shape.n_atoms = static_cast<int>(call.extent(0, 0));
        shape.n_slots = call.attribute<std::int32_t>("n_slots");
        shape.knots = static_cast<int>(call.extent(1, 0)) - 1;
        features = {shape.n_atoms, shape.width_in()};
        sums = {shape.n_atoms, shape.width_out()};
        table = {shape.knots + 1, 2, shape.channels()};
    }
};

/// What all operations on messages begin with: sent, table, plan.
template <class real, class Layer>
struct Operation {
    const Call& call;
    Layer layer;
    Shape vectors;
    const real *sent, *table;
    typename Layer::Messages messages;

    Operation(const Call& call_, const qdml::Parallel& parallel)
        : call(call_),
          layer(call),
          vectors{layer.shape.n_atoms, layer.shape.n_slots, 3},
          sent(call.argument<real>(0, "sent", layer.features)),
          table(call.argument<real>(1, "table", layer.table)),
          messages(layer.shape, call.attribute<double>("cutoff"), plan(), parallel) {}

    qdml::EdgePlan<real> plan() const {
        using Plan = qdml::EdgePlan<real>;
        const auto n_atoms = layer.shape.n_atoms, n_slots = layer.shape.n_slots;
        const auto* memory = call.argument<char>(2, "plan", {Plan::bytes(n_atoms, n_slots)});
        if (reinterpret_cast<std::uintptr_t>(memory) % 64 != 0) {
            throw qdml::Error("call_invalid", "the plan does not begin at a multiple of 64 bytes");
        }
        return Plan::at(const_cast<char*>(memory), n_atoms, n_slots);
    }
    qdml::Direction<real> direction(std::size_t first) const {
        return {call.argument<real>(first, "edge_vector", vectors),
                call.argument<real>(first + 1, "u_sent", layer.features),
                call.argument<real>(first + 2, "u_vector", vectors)};
    }
    const real* gradient(std::size_t k) const {
        return call.argument<real>(k, "gradient of the sums", layer.sums);
    }
    real* received() const { return call.result<real>(0, "sums", layer.sums); }
    real* of_sent() const { return call.result<real>(0, "gradient of sent", layer.features); }
    real* of_vector() const { return call.result<real>(1, "gradient of edge_vector", vectors); }
    real* of_table() const { return call.result<real>(1, "gradient of table", layer.table); }
};

template <class real, class Layer>
void forward(const Call& call, const qdml::Parallel& parallel) {
    Operation<real, Layer> o(call, parallel);
    o.messages.forward(o.sent, o.table, o.received());
}

template <class real, class Layer>
void vector_gradient(const Call& call, const qdml::Parallel& parallel) {
    Operation<real, Layer> o(call, parallel);
    o.messages.vector_gradient(o.sent, o.table, o.gradient(3), o.of_sent(), o.of_vector());
}

template <class real, class Layer>
void table_gradient(const Call& call, const qdml::Parallel& parallel) {
    Operation<real, Layer> o(call, parallel);
    o.messages.table_gradient(o.sent, o.table, o.gradient(3), o.of_sent(), o.of_table());
}

template <class real, class Layer>
void tangent(const Call& call, const qdml::Parallel& parallel) {
    Operation<real, Layer> o(call, parallel);
    o.messages.tangent(o.direction(3), o.sent, o.table, o.received());
}

template <class real, class Layer>
void vector_second(const Call& call, const qdml::Parallel& parallel) {
    Operation<real, Layer> o(call, parallel);
    o.messages.vector_second(o.direction(3), o.sent, o.table, o.gradient(6), o.of_sent(),
                             o.of_vector());
}

template <class real, class Layer>
void table_second(const Call& call, const qdml::Parallel& parallel) {
    Operation<real, Layer> o(call, parallel);
    o.messages.table_second(o.direction(3), o.sent, o.table, o.gradient(6), o.of_sent(),
                            o.of_table());
}

template <void (*work)(const Call&, const qdml::Parallel&)>
ffi::Error run(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets,
               ffi::Dictionary attributes) {
    try {
        work({args, rets, attributes}, shared_by(pool));
    } catch (const qdml::Error& error) {
        return ffi::Error(ffi::ErrorCode::kInvalidArgument,
                          std::string(error.code()) + ": " + error.what());
    } catch (const std::bad_alloc&) {
        return ffi::Error(ffi::ErrorCode::kResourceExhausted, "no memory for the messages");
    }
    return ffi::Error::Success();
}

template <void (*work)(const Call&, const qdml::Parallel&)>
XLA_FFI_Error* handle(XLA_FFI_CallFrame* frame) {
    static auto* const handler = ffi::Ffi::Bind()
                                     .Ctx<ffi::ThreadPool>()
                                     .RemainingArgs()
                                     .RemainingRets()
                                     .Attrs()
                                     .To(run<work>)
                                     .release();
    return handler->Call(frame);
}

template <void (*work)(const Call&, const qdml::Parallel&)>
py::capsule capsule() {
    return py::capsule(reinterpret_cast<void*>(&handle<work>));
}

template <class real, class Layer>
void add_layer(py::dict& to, const std::string& name, const std::string& suffix) {
    const auto add = [&](const char* operation, const py::capsule& handler) {
        to[(name + operation + suffix).c_str()] = handler;
    };
    add("", capsule<forward<real, Layer>>());
    add("_vector_gradient", capsule<vector_gradient<real, Layer>>());
    add("_table_gradient", capsule<table_gradient<real, Layer>>());
    add("_tangent", capsule<tangent<real, Layer>>());
    add("_vector_second", capsule<vector_second<real, Layer>>());
    add("_table_second", capsule<table_second<real, Layer>>());
}

template <class real>
void add_handlers(py::dict& to, const std::string& suffix) {
    to[("qdml_edge_plan" + suffix).c_str()] = capsule<make_plan<real>>();
    add_layer<real, CartesianLayer<real>>(to, "qdml_messages", suffix);
    add_layer<real, PathLayer<real>>(to, "qdml_path_messages", suffix);
}

}  // namespace

void add_ffi(py::module_& module) {
    module.def("ffi_targets", [] {
        py::dict targets;
        add_handlers<float>(targets, "_f32");
        add_handlers<double>(targets, "_f64");
        return targets;
    });
    module.def(
        "edge_plan_bytes",
        [](std::int64_t n_atoms, std::int64_t n_slots, bool fp64) {
            return fp64 ? qdml::EdgePlan<double>::bytes(n_atoms, n_slots)
                        : qdml::EdgePlan<float>::bytes(n_atoms, n_slots);
        },
        py::arg("n_atoms"), py::arg("n_slots"), py::arg("fp64"));
    module.def(
        "has_messages",
        [](int l_in, int l_out, int channels) {
            return qdml::has_messages({l_in, l_out, false, 0, 0, channels, 0});
        },
        py::arg("l_in"), py::arg("l_out"), py::arg("channels"));
    module.def(
        "has_path_messages",
        [](const std::vector<int>& irreps, const std::vector<int>& paths) {
            return qdml::has_path_messages(path_shape(irreps, paths));
        },
        py::arg("irreps"), py::arg("paths"));
}
