// SPDX-License-Identifier: MIT
/// XLA FFI handlers: check shapes, lend XLA's threads to the operation, turn faults into XLA errors.
#include "ffi.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>

#include "qdml/engine.hpp"
#include "training/messages.hpp"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
namespace py = pybind11;

namespace {

/// Tasks that XLA's threads and the caller take in turn. The caller never waits for a thread that has
/// not begun, so that operations that run inside the pool cannot block each other.
class SharedLoop {
public:
    SharedLoop(int n, const std::function<void(int)>& task) : n_(n), task_(&task) {}

    void work() {
        for (int i = next_++; i < n_; i = next_++) {
            (*task_)(i);
            if (++done_ == n_) {
                std::lock_guard<std::mutex> lock(mutex_);
                finished_.notify_all();
            }
        }
    }
    void wait() {
        std::unique_lock<std::mutex> lock(mutex_);
        finished_.wait(lock, [&] { return done_ == n_; });
    }

private:
    const int n_;
    const std::function<void(int)>* task_;  ///< the caller's; not touched once all tasks are taken
    std::atomic<int> next_{0}, done_{0};
    std::mutex mutex_;
    std::condition_variable finished_;
};

/// OMP_NUM_THREADS, which the engine obeys as well; 0 where it says nothing.
int wanted_threads() {
    const char* variable = std::getenv("OMP_NUM_THREADS");
    return variable == nullptr ? 0 : std::max(0, std::atoi(variable));
}

qdml::Parallel shared_by(ffi::ThreadPool& pool) {
    int threads = static_cast<int>(std::max<std::int64_t>(1, pool.num_threads()));
    if (const int wanted = wanted_threads(); wanted > 0) {
        threads = std::min(threads, wanted);
    }
    return [&pool, threads](int n, const std::function<void(int)>& task) {
        const int helpers = std::min(threads, n) - 1;
        if (helpers <= 0) {
            for (int i = 0; i < n; ++i) task(i);
            return;
        }
        const auto loop = std::make_shared<SharedLoop>(n, task);
        for (int k = 0; k < helpers; ++k) pool.Schedule([loop] { loop->work(); });
        loop->work();
        loop->wait();
    };
}

template <class T>
constexpr ffi::DataType kType = ffi::F32;
template <>
constexpr ffi::DataType kType<double> = ffi::F64;
template <>
constexpr ffi::DataType kType<int> = ffi::S32;
template <>
constexpr ffi::DataType kType<char> = ffi::U8;

using Shape = std::vector<std::int64_t>;

/// Arguments, results and attributes of a call; faults are Error `call_invalid`.
struct Call {
    ffi::RemainingArgs args;
    ffi::RemainingRets rets;
    ffi::Dictionary attributes;

    template <class T>
    static T* checked(const ffi::AnyBuffer& buffer, const std::string& name, const Shape& shape) {
        const auto found = buffer.dimensions();
        if (buffer.element_type() != kType<T> || Shape(found.begin(), found.end()) != shape) {
            std::string text = name + " must be an array [";
            for (const auto n : shape) text += std::to_string(n) + ",";
            throw qdml::Error("call_invalid", text + "] of the operation's number type");
        }
        return static_cast<T*>(buffer.untyped_data());
    }
    ffi::AnyBuffer argument(std::size_t k) const {
        const auto found = args.get<ffi::AnyBuffer>(k);
        if (!found.has_value()) throw qdml::Error("call_invalid", "an argument is missing");
        return *found;
    }
    template <class T>
    const T* argument(std::size_t k, const char* name, const Shape& shape) const {
        return checked<T>(argument(k), name, shape);
    }
    template <class T>
    T* result(std::size_t k, const char* name, const Shape& shape) const {
        const auto found = rets.get<ffi::AnyBuffer>(k);
        if (!found.has_value()) throw qdml::Error("call_invalid", "a result is missing");
        ffi::Result<ffi::AnyBuffer> buffer = *found;
        return checked<T>(*buffer, name, shape);
    }
    template <class T>
    T attribute(const char* name) const {
        const auto found = attributes.get<T>(name);
        if (!found.has_value()) {
            throw qdml::Error("call_invalid", std::string("attribute ") + name + " is missing");
        }
        return *found;
    }
    /// Extent of an axis of an argument; 0 where it has no such axis.
    std::int64_t extent(std::size_t k, std::size_t axis) const {
        const auto shape = argument(k).dimensions();
        return axis < shape.size() ? shape[axis] : 0;
    }
};

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
    make_edge_plan(slots, call.attribute<double>("cutoff"), call.attribute<std::int32_t>("knots"),
                   plan, parallel);
}

/// What all operations on messages begin with: sent, table, plan.
template <class real>
struct Operation {
    const Call& call;
    qdml::MessageShape shape;
    Shape features, vectors, sums, coefficients;
    const real *sent, *table;
    qdml::Messages<real> messages;

    Operation(const Call& call_, const qdml::Parallel& parallel)
        : call(call_),
          shape{call.attribute<std::int32_t>("l_in"), call.attribute<std::int32_t>("l_out"),
                call.attribute<bool>("separated"), static_cast<int>(call.extent(0, 0)),
                call.attribute<std::int32_t>("n_slots"), static_cast<int>(call.extent(0, 2)),
                static_cast<int>(call.extent(1, 0)) - 3},
          features{shape.n_atoms, shape.components_in(), shape.channels},
          vectors{shape.n_atoms, shape.n_slots, 3},
          sums{shape.n_atoms, shape.components_out(), shape.channels},
          coefficients{shape.knots + 3, shape.terms(), shape.channels},
          sent(call.argument<real>(0, "sent", features)),
          table(call.argument<real>(1, "table", coefficients)),
          messages(shape, call.attribute<double>("cutoff"), plan(), parallel) {}

    qdml::EdgePlan<real> plan() const {
        using Plan = qdml::EdgePlan<real>;
        const auto* memory = call.argument<char>(2, "plan", {Plan::bytes(shape.n_atoms, shape.n_slots)});
        if (reinterpret_cast<std::uintptr_t>(memory) % 64 != 0) {
            throw qdml::Error("call_invalid", "the plan does not begin at a multiple of 64 bytes");
        }
        return Plan::at(const_cast<char*>(memory), shape.n_atoms, shape.n_slots);
    }
    typename qdml::Messages<real>::Direction direction(std::size_t first) const {
        return {call.argument<real>(first, "edge_vector", vectors),
                call.argument<real>(first + 1, "u_sent", features),
                call.argument<real>(first + 2, "u_vector", vectors)};
    }
    const real* gradient(std::size_t k) const {
        return call.argument<real>(k, "gradient of the sums", sums);
    }
    real* received() const { return call.result<real>(0, "sums", sums); }
    real* of_sent() const { return call.result<real>(0, "gradient of sent", features); }
    real* of_vector() const { return call.result<real>(1, "gradient of edge_vector", vectors); }
    real* of_table() const { return call.result<real>(1, "gradient of table", coefficients); }
};

template <class real>
void forward(const Call& call, const qdml::Parallel& parallel) {
    Operation<real> o(call, parallel);
    o.messages.forward(o.sent, o.table, o.received());
}

template <class real>
void vector_gradient(const Call& call, const qdml::Parallel& parallel) {
    Operation<real> o(call, parallel);
    o.messages.vector_gradient(o.sent, o.table, o.gradient(3), o.of_sent(), o.of_vector());
}

template <class real>
void table_gradient(const Call& call, const qdml::Parallel& parallel) {
    Operation<real> o(call, parallel);
    o.messages.table_gradient(o.sent, o.table, o.gradient(3), o.of_sent(), o.of_table());
}

template <class real>
void tangent(const Call& call, const qdml::Parallel& parallel) {
    Operation<real> o(call, parallel);
    o.messages.tangent(o.direction(3), o.sent, o.table, o.received());
}

template <class real>
void vector_second(const Call& call, const qdml::Parallel& parallel) {
    Operation<real> o(call, parallel);
    o.messages.vector_second(o.direction(3), o.sent, o.table, o.gradient(6), o.of_sent(),
                             o.of_vector());
}

template <class real>
void table_second(const Call& call, const qdml::Parallel& parallel) {
    Operation<real> o(call, parallel);
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

template <class real>
void add_handlers(py::dict& to, const std::string& suffix) {
    to[("qdml_edge_plan" + suffix).c_str()] = capsule<make_plan<real>>();
    to[("qdml_messages" + suffix).c_str()] = capsule<forward<real>>();
    to[("qdml_messages_vector_gradient" + suffix).c_str()] = capsule<vector_gradient<real>>();
    to[("qdml_messages_table_gradient" + suffix).c_str()] = capsule<table_gradient<real>>();
    to[("qdml_messages_tangent" + suffix).c_str()] = capsule<tangent<real>>();
    to[("qdml_messages_vector_second" + suffix).c_str()] = capsule<vector_second<real>>();
    to[("qdml_messages_table_second" + suffix).c_str()] = capsule<table_second<real>>();
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
}
