// SPDX-License-Identifier: MIT
/// `qdml._native`: the engine for numpy arrays. Faults arrive in Python as ModelFileError or
/// EngineError with `.code`.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <string>

#include "ffi.hpp"
#include "qdml/committee.hpp"
#include "qdml/whole_rows.hpp"
#ifdef QDML_PROFILE
#include "profile.hpp"
#endif

namespace py = pybind11;

namespace {

using Array = py::array_t<double, py::array::c_style | py::array::forcecast>;
using IntArray = py::array_t<int, py::array::c_style | py::array::forcecast>;

/// Raise `name` of qdml.errors with the engine's message and code.
[[noreturn]] void raise_as(const char* name, const qdml::Error& error) {
    py::object type = py::module_::import("qdml.errors").attr(name);
    py::object instance = type(error.what());
    instance.attr("code") = error.code();
    PyErr_SetObject(type.ptr(), instance.ptr());
    throw py::error_already_set();
}

template <class Work>
auto guarded(const char* name, const Work& work) {
    try {
        py::gil_scoped_release release;
        return work();
    } catch (const qdml::Error& error) {
        // a card that is missing is no fault of the file; the lock is held again here
        raise_as(error.code().rfind("device_", 0) == 0 ? "EngineError" : name, error);
    }
}

void need_shape(const py::array& array, const char* name, const std::vector<py::ssize_t>& shape) {
    bool same = array.ndim() == static_cast<py::ssize_t>(shape.size());
    for (std::size_t k = 0; same && k < shape.size(); ++k) {
        same = array.shape(static_cast<py::ssize_t>(k)) == shape[k];
    }
    if (!same) {
        std::string text = std::string(name) + " must have shape (";
        for (const auto extent : shape) {
            text += std::to_string(extent) + ",";
        }
        throw py::value_error(text + ")");
    }
}

template <class T>
py::array_t<T> to_array(const std::vector<T>& values, std::vector<py::ssize_t> shape) {
    py::array_t<T> array(shape);
    std::copy(values.begin(), values.end(), array.mutable_data());
    return array;
}

struct System {
    py::ssize_t n;
    Array positions, cell;
    std::array<bool, 3> pbc;

    System(const Array& positions_, const Array& cell_, const std::array<bool, 3>& pbc_)
        : n(positions_.ndim() > 0 ? positions_.shape(0) : 0),
          positions(positions_),
          cell(cell_),
          pbc(pbc_) {
        need_shape(positions, "positions", {n, 3});
        need_shape(cell, "cell", {3, 3});
    }
    qdml::NeighborList neighbors(double cutoff) const {
        return qdml::build_neighbor_list(static_cast<int>(n), positions.data(), cell.data(),
                                         pbc.data(), cutoff);
    }
};

py::tuple neighbor_list(const Array& positions, const Array& cell, const std::array<bool, 3>& pbc,
                        double cutoff) {
    const System system(positions, cell, pbc);
    const auto list = guarded("EngineError", [&] { return system.neighbors(cutoff); });
    const auto n = static_cast<py::ssize_t>(list.neighbor.size());
    return py::make_tuple(to_array(list.row_start, {system.n + 1}), to_array(list.neighbor, {n}),
                          to_array(list.shift, {n, 3}), to_array(list.edge_vector, {n, 3}));
}

/// One potential or the members of a committee file, and averages over them.
class Potential {
public:
    Potential(const std::string& path, qdml::Precision precision, const qdml::DeviceChoice& choice)
        : committee_({path}, precision, choice) {}

    qdml::Committee& committee() noexcept { return committee_; }
    const qdml::Committee& committee() const noexcept { return committee_; }

    void compute(const qdml::Graph& graph, const qdml::Request& request, qdml::Exchange* exchange) {
        committee_.compute(graph, request, exchange, 0, committee_.size(), members);
        if (committee_.size() > 1) {
            qdml::average(members, mean_);
        }
    }
    const qdml::Result& result() const { return committee_.size() > 1 ? mean_ : members.front(); }

    std::vector<qdml::Result> members;  ///< of the last compute

private:
    qdml::Committee committee_;
    qdml::Result mean_;
};

py::dict to_dict(const Potential& potential, const qdml::Request& request, py::ssize_t n) {
    const qdml::Result& result = potential.result();
    py::dict out;
    out["energy"] = result.energy;
    out["forces"] = to_array(result.force, {n, 3});
    out["virial"] = to_array(std::vector<double>(result.virial, result.virial + 9), {3, 3});
    if (request.atom_energy) {
        out["atom_energy"] = to_array(result.atom_energy,
                                      {static_cast<py::ssize_t>(result.atom_energy.size())});
    }
    if (request.atom_virial) {
        out["atom_virial"] = to_array(result.atom_virial, {n, 3, 3});
    }
    const auto n_members = static_cast<py::ssize_t>(potential.members.size());
    if (n_members > 1) {
        std::vector<double> energies, forces;
        for (const auto& member : potential.members) {
            energies.push_back(member.energy);
            forces.insert(forces.end(), member.force.begin(), member.force.end());
        }
        out["member_energies"] = to_array(energies, {n_members});
        out["member_forces"] = to_array(forces, {n_members, n, 3});
    }
    return out;
}

/// An Exchange that calls a Python function with the rows as a writable array [n_total][width].
class PythonExchange : public qdml::WholeRows {
public:
    PythonExchange(py::object function, int n_local, int n_total)
        : WholeRows(n_local, n_total), function_(std::move(function)), n_total_(n_total) {}
    void fill_ghosts(float* rows, int width) override { call(rows, width); }
    void fill_ghosts(double* rows, int width) override { call(rows, width); }

private:
    template <class real>
    void call(real* rows, int width) {
        py::gil_scoped_acquire acquire;
        function_(py::array_t<real>({n_total_, width}, rows, py::capsule(rows, [](void*) {})));
    }
    py::object function_;
    int n_total_;
};

py::dict compute(Potential& potential, const Array& positions, const IntArray& species,
                 const Array& cell, const std::array<bool, 3>& pbc, bool atom_energy,
                 bool atom_virial) {
    const System system(positions, cell, pbc);
    need_shape(species, "species", {system.n});
    const qdml::Request request = {atom_energy, atom_virial};
    guarded("EngineError", [&] {
        const auto list = system.neighbors(potential.committee().cutoff());
        const int n = static_cast<int>(system.n);
        const qdml::Graph graph = {n,
                                   n,
                                   species.data(),
                                   list.row_start.data(),
                                   list.neighbor.data(),
                                   list.edge_vector.data()};
        potential.compute(graph, request, nullptr);
        return 0;
    });
    return to_dict(potential, request, system.n);
}

using LongArray = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>;

py::dict compute_graph(Potential& potential, const IntArray& species, const LongArray& row_start,
                       const IntArray& neighbor, const Array& edge_vector,
                       const py::object& exchange, bool atom_energy, bool atom_virial) {
    const py::ssize_t n_total = species.size(), n_edges = neighbor.size();
    const py::ssize_t n_local = row_start.size() - 1;
    need_shape(edge_vector, "edge_vector", {n_edges, 3});
    if (n_local < 0 || row_start.data()[0] != 0 || row_start.data()[n_local] != n_edges) {
        throw py::value_error("row_start must begin with 0 and end with the number of edges");
    }
    const qdml::Graph graph = {static_cast<int>(n_local), static_cast<int>(n_total),
                               species.data(),            row_start.data(),
                               neighbor.data(),           edge_vector.data()};
    const qdml::Request request = {atom_energy, atom_virial};
    PythonExchange through(exchange, static_cast<int>(n_local), static_cast<int>(n_total));
    qdml::Exchange* used = exchange.is_none() ? nullptr : &through;
    guarded("EngineError", [&] {
        potential.compute(graph, request, used);
        return 0;
    });
    return to_dict(potential, request, n_total);
}

}  // namespace

PYBIND11_MODULE(_native, module) {
    module.doc() = "Native engine of qdml; use qdml.Calculator or qdml.engine instead.";
    module.attr("__version__") = qdml::version();
    module.def("build_neighbor_list", &neighbor_list, py::arg("positions"), py::arg("cell"),
               py::arg("pbc"), py::arg("cutoff"));
    add_ffi(module);
#ifdef QDML_PROFILE
    module.def("reset_stage_times", &qdml::reset_stage_times);
    module.def("stage_times", [] {
        py::dict out;  // name: seconds, summed over threads
        for (const auto& stage : qdml::stage_times()) {
            out[stage.name.c_str()] = stage.seconds;
        }
        return out;
    });
#endif
    py::class_<Potential>(module, "Engine")
        .def(py::init([](const std::string& path, const std::string& precision,
                         const std::string& device, int local_rank) {
                 if (precision != "mixed" && precision != "double") {
                     throw py::value_error("precision must be 'mixed' or 'double', not '" +
                                           precision + "'");
                 }
                 if (device != "auto" && device != "cpu" && device != "gpu") {
                     throw py::value_error("device must be 'auto', 'cpu' or 'gpu', not '" + device +
                                           "'");
                 }
                 const qdml::DeviceChoice choice = {device == "auto"  ? qdml::Device::automatic
                                                    : device == "cpu" ? qdml::Device::cpu
                                                                      : qdml::Device::gpu,
                                                    local_rank};
                 return guarded("ModelFileError", [&] {
                     return std::make_unique<Potential>(path,
                                                        precision == "mixed"
                                                            ? qdml::Precision::mixed
                                                            : qdml::Precision::float64,
                                                        choice);
                 });
             }),
             py::arg("path"), py::arg("precision") = "mixed", py::arg("device") = "auto",
             py::arg("local_rank") = 0)
        .def("compute", &compute, py::arg("positions"), py::arg("species"), py::arg("cell"),
             py::arg("pbc"), py::arg("atom_energy") = false, py::arg("atom_virial") = false)
        .def("compute_graph", &compute_graph, py::arg("species"), py::arg("row_start"),
             py::arg("neighbor"), py::arg("edge_vector"), py::arg("exchange") = py::none(),
             py::arg("atom_energy") = false, py::arg("atom_virial") = false)
        .def("memory_estimate",
             [](const Potential& potential, std::int64_t n_local, std::int64_t n_ghost,
                std::int64_t n_edges) {
                 return potential.committee().memory_estimate(n_local, n_ghost, n_edges);
             },
             py::arg("n_local"), py::arg("n_ghost"), py::arg("n_edges"))
        .def_property_readonly(
            "memory_allocated",
            [](const Potential& potential) { return potential.committee().memory_allocated(); })
        .def_property(
            "memory_limit",
            [](const Potential& potential) { return potential.committee().memory_limit(); },
            [](Potential& potential, std::int64_t bytes) {
                guarded("EngineError", [&] {
                    potential.committee().set_memory_limit(bytes);
                    return 0;
                });
            })
        .def_property_readonly(
            "max_exchange_width",
            [](const Potential& potential) { return potential.committee().max_exchange_width(); })
        .def_property_readonly("n_members", [](const Potential& potential) {
            return potential.committee().size();
        })
        .def_property_readonly("info", [](const Potential& potential) {
            const auto& info = potential.committee().info(0);
            py::dict out;
            out["path"] = info.path;
            out["hash"] = info.hash;
            out["metadata_json"] = info.metadata_json;
            out["species"] = info.species;
            out["cutoff"] = info.cutoff;
            out["n_layers"] = info.n_layers;
            out["message_channels"] = info.message_channels;
            out["isa"] = info.isa;
            out["device"] = info.device;
            out["architecture"] = info.architecture;
            return out;
        });
}
