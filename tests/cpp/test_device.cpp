// SPDX-License-Identifier: MIT
/// The CUDA engine, its kernels run on the host by the emulation, against the CPU engine in fp64.
#include <doctest/doctest.h>

#include <limits>
#include <numeric>


#include "device_engine.hpp"

using qdml::Device;
using qdml::Engine;
using qdml::Precision;
using namespace qdml_test;

namespace {

double largest(const std::vector<double>& values) {
    double most = 1.0;
    for (const double v : values) most = std::max(most, std::fabs(v));
    return most;
}

void check_equal(const qdml::Result& found, const qdml::Result& reference, double tolerance) {
    const double scale = tolerance * largest(reference.force);
    CHECK(found.energy == doctest::Approx(reference.energy).epsilon(tolerance));
    CHECK(difference(found.force, reference.force) < scale);
    CHECK(difference(found.atom_energy, reference.atom_energy) < scale);
    CHECK(difference(found.atom_virial, reference.atom_virial) < 4 * scale);
    CHECK(difference(found.centroid_virial, reference.centroid_virial) < 10 * scale);
    const std::vector<double> a(found.virial, found.virial + 9), b(reference.virial, reference.virial + 9);
    CHECK(difference(a, b) < 10 * scale);
}

}  // namespace

TEST_CASE("the device engine equals the CPU engine, every pair of degrees and both layouts") {
    const TemporaryFile file("device.qdml");
    const auto s = random_structure(7, 5);
    const std::vector<std::vector<int>> degrees = {{0}, {2, 0}, {1, 1, 0}, {3, 2, 1, 0}, {0, 3, 3, 0}, {2, 2, 3, 1, 0}};
    for (std::size_t k = 0; k < degrees.size(); ++k) {
        for (const bool separated : {false, true}) {
            CAPTURE(k);
            CAPTURE(separated);
            Options o;
            o.degrees = degrees[k];
            o.separated = separated;
            o.message_channels = k % 2 == 0 ? 16 : 48;  // half a warp; one and a half
            o.readout = k % 3 == 0 ? std::vector<int>{} : std::vector<int>{8, 20};
            o.zbl = k % 2 == 0;
            write_random_model(file.path, o);
            Engine reference(file.path, Precision::float64);
            const auto expected = evaluate(reference, s, {true, true, false});
            for (const auto precision : {Precision::float64, Precision::mixed}) {
                Engine engine = device_engine(file.path, precision);
                CHECK((engine.info().device == "emulated device 0") == is_emulated());
                const auto found = evaluate(engine, s, {true, true, false});
                check_equal(found, expected, precision == Precision::float64 ? 1e-10 : 2e-5);
            }
        }
    }
}

TEST_CASE("the device engine equals the CPU engine, paths of both parities up to degree 3") {
    const TemporaryFile file("device-paths.qdml");
    const auto s = random_structure(7, 5);
    const std::string wide = "8x0e+6x1e+4x2e+3x3e";
    std::vector<PathOptions> options(5);
    options[0].features = {"16x0e", "8x0e"};
    options[0].l_edge = 0;
    options[0].self_connection = "none";
    options[1].features = {"20x0e", "20x0e+40x1o", "16x0e"};  // one and a half warps
    options[1].self_connection = "linear";
    options[1].readout = {8, 20};
    options[2].features = {"12x0e", "20x0e+9x1o+6x2e+5x3o", "16x0e+8x1o+5x1e+4x2e+3x2o+3x3o+4x3e",
                           "17x0e+3x0o+5x1e+3x2o", "16x0e"};
    options[2].l_edge = 3;
    options[2].gate = "tanh";
    options[3].features = {"16x0e", wide, wide, "8x0e"};
    options[3].l_edge = 3;
    options[3].natural = false;
    options[3].zbl = false;
    // features that nothing reads, messages without a path
    options[4].features = {"33x0e", "16x0e+8x1o+8x2e", "16x0e+4x1e+4x2e", "16x0e"};
    options[4].messages = {"33x0e", "48x1o", "16x0e+20x1e"};
    for (std::size_t k = 0; k <= options.size(); ++k) {
        CAPTURE(k);
        if (k < options.size()) write_random_path_model(file.path, options[k]);
        const std::string path = k < options.size() ? file.path : path_model();
        Engine reference(path, Precision::float64);
        const auto expected = evaluate(reference, s, {true, true, false});
        CHECK(difference(expected.force, std::vector<double>(expected.force.size())) > 1e-3);
        for (const auto precision : {Precision::float64, Precision::mixed}) {
            Engine engine = device_engine(path, precision);
            CHECK((engine.info().device == "emulated device 0") == is_emulated());
            const auto found = evaluate(engine, s, {true, true, false});
            check_equal(found, expected, precision == Precision::float64 ? 1e-10 : 2e-5);
        }
    }
}

TEST_CASE("forces of the device engine are the gradient of its energy") {
    for (const bool paths : {false, true}) {
        CAPTURE(paths);
        const TemporaryFile file("device-gradient.qdml");
        Options o;
        o.layers = 2;
        o.message_channels = 16;
        write_model(file.path, paths, o);
        Engine engine = device_engine(file.path, Precision::float64);
        const auto s = random_structure(5, 3);
        const auto force = evaluate(engine, s).force;
        const double h = 1e-3;
        for (std::size_t i = 0; i < force.size(); i += 2) {
            const auto energy = [&](double d) {
                auto moved = s;
                moved.positions[i] += d;
                return evaluate(engine, moved).energy;
            };
            const double slope = (8 * (energy(h) - energy(-h)) - (energy(2 * h) - energy(-2 * h))) / (12 * h);
            CHECK(slope == doctest::Approx(-force[i]).epsilon(1e-7).scale(10));
        }
    }
}

TEST_CASE("a list with skin: steps are replayed, and new neighbours are noticed") {
    for (const bool paths : {false, true}) {
        CAPTURE(paths);
        const TemporaryFile file("device-steps.qdml");
        Options o;
        o.layers = 2;
        o.message_channels = 16;
        write_model(file.path, paths, o);
        Engine reference(file.path, Precision::float64);
        Engine engine = device_engine(file.path, Precision::float64);
        for (const unsigned seed : {51u, 52u}) {  // the second has more atoms and other neighbours
            auto s = random_structure(seed == 51 ? 9 : 14, seed);
            const auto list = s.neighbors(o.cutoff + 0.7);
            auto vectors = list.edge_vector;
            for (int step = 0; step < 3; ++step) {
                const qdml::Graph graph = {s.n(), s.n(), s.species.data(), list.row_start.data(), list.neighbor.data(),
                                           vectors.data()};
                qdml::Result expected, found;
                const qdml::Request request = {true, step == 2, false};
                reference.compute(graph, request, nullptr, expected);
                engine.compute(graph, request, nullptr, found);
                check_equal(found, expected, 1e-10);
                for (auto& x : vectors) x *= 1.01;  // an isotropic strain keeps the list symmetric
            }
        }
    }
}

TEST_CASE("atoms without neighbours, of other potentials, and no atoms at all") {
    for (const bool paths : {false, true}) {
        CAPTURE(paths);
        const TemporaryFile file("device-empty.qdml");
        write_model(file.path, paths, {});
        Engine reference(file.path, Precision::float64);
        Engine engine = device_engine(file.path, Precision::float64);
        auto s = random_structure(12, 61);
        auto list = s.neighbors(4.0);
        // atom 3 leaves the model: its edges go, its row is empty
        const auto without = [&](int gone) {
            Structure kept = s;
            kept.species[std::size_t(gone)] = -1;
            qdml::NeighborList left;
            left.row_start.push_back(0);
            for (int i = 0; i < s.n(); ++i) {
                for (auto e = list.row_start[std::size_t(i)]; e < list.row_start[std::size_t(i) + 1]; ++e) {
                    const auto k = std::size_t(e);
                    if (i == gone || list.neighbor[k] == gone) continue;
                    left.neighbor.push_back(list.neighbor[k]);
                    left.edge_vector.insert(left.edge_vector.end(), &list.edge_vector[3 * k], &list.edge_vector[3 * k] + 3);
                }
                left.row_start.push_back(std::int64_t(left.neighbor.size()));
            }
            qdml::Result expected, found;
            const qdml::Graph graph = {s.n(), s.n(), kept.species.data(), left.row_start.data(), left.neighbor.data(),
                                       left.edge_vector.data()};
            reference.compute(graph, {true, true, false}, nullptr, expected);
            engine.compute(graph, {true, true, false}, nullptr, found);
            check_equal(found, expected, 1e-10);
        };
        check_equal(evaluate(engine, s, {true, true, false}), evaluate(reference, s, {true, true, false}), 1e-10);
        without(3);  // after a step in which it was there
        without(0);

        Structure alone;  // one atom: exactly E0, but for the self-connection of paths
        alone.species = {1};
        alone.positions = {0, 0, 0};
        alone.pbc[0] = alone.pbc[1] = alone.pbc[2] = false;
        const auto one = evaluate(engine, alone, {true, true, false});
        CHECK(one.energy == doctest::Approx(paths ? evaluate(reference, alone).energy : -103.0).epsilon(1e-15));
        CHECK(one.force == std::vector<double>(3));

        const std::int64_t start[1] = {0};
        qdml::Result none;
        engine.compute({0, 0, nullptr, start, nullptr, nullptr}, {true, true, false}, nullptr, none);
        CHECK(none.energy == 0.0);
        CHECK(none.force.empty());
    }
}

TEST_CASE("domains with ghosts on devices equal the same domains on the CPU") {
    for (const bool paths : {false, true}) {
        CAPTURE(paths);
        for (const auto precision : {Precision::float64, Precision::mixed}) {
            const TemporaryFile file("device-split.qdml");
            Options o;
            o.separated = precision == Precision::float64;
            o.message_channels = 16;
            write_model(file.path, paths, o);
            const auto s = random_structure(24, 21);
            const auto list = s.neighbors(o.cutoff);
            const std::vector<Domain> domains = three_domains(s, list);
            Meeting meeting(3, s.n());
            std::vector<qdml::Result> expected(3), found(3);
            const qdml::Request request = {true, true, true};
            std::vector<Engine> references, engines;
            for (int rank = 0; rank < 3; ++rank) {
                references.emplace_back(file.path, Precision::float64);
                engines.push_back(device_engine(file.path, precision));
            }
            on_three_ranks([&](std::size_t rank) {
                ThreadExchange exchange(meeting, domains[rank]);
                references[rank].compute(domains[rank].graph(), request, &exchange, expected[rank]);
                engines[rank].compute(domains[rank].graph(), request, &exchange, found[rank]);
                engines[rank].compute(domains[rank].graph(), request, &exchange, found[rank]);  // replayed
            });
            CHECK(meeting.rounds() == 3 * (4 + 3));
            for (std::size_t rank = 0; rank < 3; ++rank) {
                check_equal(found[rank], expected[rank], precision == Precision::float64 ? 1e-10 : 3e-5);
            }
        }
    }
}

TEST_CASE("the order of blocks and threads changes no bit on the device") {
    for (const bool paths : {false, true}) {
        CAPTURE(paths);
        const TemporaryFile file("device-order.qdml");
        Options o;
        o.layers = 2;
        write_model(file.path, paths, o);
        const auto s = random_structure(11, 71);
        std::vector<qdml::Result> found;
        for (const char* seed : {"1", "2", "3"}) {
            const Variable variable("QDML_EMULATION_SEED", seed);
            Engine engine = device_engine(file.path, Precision::mixed);
            found.push_back(evaluate(engine, s, {true, true, false}));
        }
        for (const auto& other : {found[1], found[2]}) {
            CHECK(other.energy == found[0].energy);
            CHECK(other.force == found[0].force);
            CHECK(other.atom_energy == found[0].atom_energy);
            CHECK(other.atom_virial == found[0].atom_virial);
            CHECK(std::equal(other.virial, other.virial + 9, found[0].virial));
        }
    }
}

TEST_CASE("in chunks the device engine keeps its numbers and its limit") {
    for (const bool paths : {false, true}) {
        CAPTURE(paths);
        const auto s = random_structure(30, 41);
        for (int layers = 1; layers <= 3; ++layers) {
            CAPTURE(layers);
            const TemporaryFile file("device-memory.qdml");
            Options o;
            o.layers = layers;
            o.message_channels = 16;
            write_model(file.path, paths, o);
            Engine engine = device_engine(file.path, Precision::float64);
            const auto expected = evaluate(engine, s, {true, true, false});
            const std::int64_t whole = engine.memory_allocated(), n_edges = s.neighbors(o.cutoff).row_start.back();
            CHECK(engine.memory_estimate(s.n(), 0, n_edges) == whole);
            engine.set_memory_limit(1);
            std::int64_t least = 0;
            try {
                evaluate(engine, s);
            } catch (const qdml::Error& error) {
                CHECK(error.code() == "memory_limit");
                const std::string text = error.what(), before = "need at least ";
                least = std::stoll(text.substr(text.find(before) + before.size()));
            }
            REQUIRE(least > 0);
            REQUIRE(least < whole);
            for (const std::int64_t limit : {least, (least + whole) / 2, 2 * whole}) {
                engine.set_memory_limit(limit);
                const auto found = evaluate(engine, s, {true, true, false});
                CHECK(engine.memory_allocated() <= limit);
                check_equal(found, expected, 1e-11);
            }
            CHECK(evaluate(engine, s).force == expected.force);  // undivided again: the same bits
        }
    }
}

TEST_CASE("what is missing for a GPU is said; automatic then takes the CPU") {
    const TemporaryFile file("device-faults.qdml");
    write_random_model(file.path, {});
    const auto refusal = [&](const char* words) {
        CHECK_THROWS_WITH_AS(Engine(file.path, Precision::mixed, {Device::gpu, 0}), doctest::Contains(words), qdml::Error);
        Engine engine(file.path, Precision::mixed, {Device::automatic, 0});
        CHECK(engine.info().device == "cpu");
        CHECK(std::isfinite(evaluate(engine, random_structure(12, 1)).energy));
    };
    {
        const Variable library("QDML_DEVICE_LIBRARY", "/nowhere/libqdml_cuda.so");
        refusal("was not found");
    }
    {
        const Variable library("QDML_DEVICE_LIBRARY", "libc.so.6");
        refusal("is not a device library of qdml");
    }
    const Variable library("QDML_DEVICE_LIBRARY", QDML_EMULATED_DEVICE);
    {
        const Variable devices("QDML_EMULATED_DEVICES", "0");
        refusal("no CUDA-capable device is detected");
    }
    {
        const Variable driver("QDML_EMULATED_DRIVER", "12040");
        refusal("the driver supports CUDA 12.4, this build needs 13.0 or newer");
    }
    {
        const Variable driver("QDML_EMULATED_DRIVER", "0");
        refusal("no NVIDIA driver is installed");
    }
    {
        const Variable capability("QDML_EMULATED_CAPABILITY", "7");
        refusal("has compute capability 7.0, this build needs 8.0 or newer");
    }
    {
        const Variable devices("QDML_EMULATED_DEVICES", "2");
        CHECK(Engine(file.path, Precision::mixed, {Device::gpu, 3}).info().device == "emulated device 1");
    }
    {
        const Variable memory("QDML_EMULATED_MEMORY", "1000000");
        Engine engine(file.path, Precision::mixed, {Device::gpu, 0});
        try {
            evaluate(engine, random_structure(120, 1));
            FAIL("more memory than there is");
        } catch (const qdml::Error& error) {
            CHECK(error.code() == "memory_limit");
            CHECK(std::string(error.what()).find("the memory of emulated device 0 does not suffice") == 0);
        }
        CHECK(std::isfinite(evaluate(engine, random_structure(2, 1)).energy));  // a smaller system still runs
    }
}

namespace {

/// nearest_distance and nearest_row against all edges of a domain.
void check_nearest(const Domain& d, double cutoff, const qdml::Result& found) {
    REQUIRE(found.nearest_distance.size() == std::size_t(3 * d.n_local));
    for (std::size_t i = 0; i < std::size_t(d.n_local); ++i) {
        double nearest[3] = {};
        for (auto e = d.row_start[i]; e < d.row_start[i + 1]; ++e) {
            const double* v = &d.edge_vector[std::size_t(3 * e)];
            const double r = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
            const int s = d.species[std::size_t(d.neighbor[std::size_t(e)])];
            if (d.species[i] < 0 || s < 0 || r >= cutoff) continue;
            if (nearest[s] == 0 || r < nearest[s]) nearest[s] = r;
        }
        for (std::size_t s = 0; s < 3; ++s) {
            CHECK(found.nearest_distance[3 * i + s] == doctest::Approx(nearest[s]));
            const int j = found.nearest_row[3 * i + s];
            CHECK((j >= 0) == (nearest[s] > 0));
            if (j < 0) continue;
            CHECK(d.species[std::size_t(j)] == int(s));
            double squared = 0;
            for (std::size_t k = 0; k < 3; ++k) {
                squared += std::pow(d.position[3 * std::size_t(j) + k] - d.position[3 * i + k], 2);
            }
            CHECK(std::sqrt(squared) == doctest::Approx(nearest[s]));
        }
    }
}

}  // namespace

TEST_CASE("lists made on the device from positions equal the host's, ghosts with owners and without") {
    for (const bool paths : {false, true}) {
        CAPTURE(paths);
        for (const bool periodic : {true, false}) {
            CAPTURE(periodic);
            const TemporaryFile file("device-positions.qdml");
            Options o;
            o.message_channels = 16;
            o.separated = periodic;
            write_model(file.path, paths, o);
            auto s = random_structure(periodic ? 16 : 60, 81);  // the second spans several cells
            if (!periodic) std::fill(s.pbc, s.pbc + 3, false);
            s.species[2] = periodic ? s.species[2] : -1;  // not part of the model, but with atoms around
            const auto list = s.neighbors(o.cutoff + 0.6);
            std::vector<int> all(std::size_t(s.n()));
            std::iota(all.begin(), all.end(), 0);
            const Domain domain = make_domain(s, list, all, std::vector<int>(all.size(), 0), 0);
            const std::vector<int> owner(domain.owner.begin() + s.n(), domain.owner.end());
            auto x = domain.position;
            Engine reference(file.path, Precision::float64), engine = device_engine(file.path, Precision::float64);
            CHECK(engine.makes_lists());
            CHECK(!reference.makes_lists());
            for (int step = 0; step < 4; ++step) {
                CAPTURE(step);
                Domain moved = domain;  // the reference's edges of atom 2 go, and vectors follow the positions
                moved.row_start = {0};
                moved.neighbor.clear();
                moved.edge_vector.clear();
                for (std::size_t i = 0; i < std::size_t(s.n()); ++i) {
                    for (auto e = domain.row_start[i]; e < domain.row_start[i + 1]; ++e) {
                        const auto j = std::size_t(domain.neighbor[std::size_t(e)]);
                        if (domain.species[i] < 0 || domain.species[j] < 0) continue;
                        moved.neighbor.push_back(int(j));
                        for (std::size_t k = 0; k < 3; ++k) moved.edge_vector.push_back(x[3 * j + k] - x[3 * i + k]);
                    }
                    moved.row_start.push_back(std::int64_t(moved.neighbor.size()));
                }
                moved.position = x;
                SelfExchange exchange(domain);
                qdml::Request request = {true, step % 2 == 1, step == 3};
                qdml::Result expected, found;
                reference.compute(moved.graph(), request, &exchange, expected);
                qdml::Graph graph = moved.graph();
                graph.row_start = nullptr;
                graph.neighbor = nullptr;
                graph.edge_vector = nullptr;
                graph.skin = 0.6;
                graph.list_number = step / 2;  // 2: from owners to an exchange
                if (step < 2 && !owner.empty()) graph.owner = owner.data();
                request.nearest = step > 0;
                engine.compute(graph, request, graph.owner != nullptr ? nullptr : &exchange, found);
                check_equal(found, expected, 1e-10);
                if (step == 1 && graph.owner != nullptr) {
                    const auto n_edges = std::int64_t(moved.neighbor.size());
                    const double estimate = double(engine.memory_estimate(s.n(), std::int64_t(owner.size()), n_edges));
                    CHECK(estimate == doctest::Approx(double(engine.memory_allocated())).epsilon(0.02));
                }
                if (step > 0) check_nearest(moved, o.cutoff, found);
                // less than half of the skin; images move with their owners
                for (std::size_t i = 0; i < domain.owner.size(); ++i) {
                    for (std::size_t k = 0; k < 3; ++k) x[3 * i + k] += 0.05 * std::sin(double(domain.owner[i]) + 2.0 * double(k));
                }
            }
            // in chunks
            engine.set_memory_limit(engine.memory_allocated() - 20000);
            qdml::Graph graph = domain.graph();
            SelfExchange exchange(domain);
            qdml::Result whole, chunks;
            graph.row_start = nullptr;
            graph.skin = 0.6;
            engine.compute(graph, {true, true, false, true}, &exchange, chunks);
            check_nearest(domain, o.cutoff, chunks);
            engine.set_memory_limit(0);
            engine.compute(graph, {true, true, false}, &exchange, whole);
            check_equal(chunks, whole, 1e-11);
        }
    }
}

TEST_CASE("many sparse atoms: cells and rows beyond one piece of the sums") {
    const TemporaryFile file("device-sparse.qdml");
    Options o;
    o.degrees = {0};
    o.message_channels = 16;
    write_random_model(file.path, o);
    Structure s;
    for (int i = 0; i < 12 * 12 * 10; ++i) {
        s.species.push_back(i % 3);
        for (const double u : {i % 12, i / 12 % 12, i / 144}) s.positions.push_back(3.1 * u + 0.2 * std::sin(7.0 * i + u));
    }
    std::fill(s.pbc, s.pbc + 3, false);
    Engine reference(file.path, Precision::float64), engine = device_engine(file.path, Precision::float64);
    qdml::Graph graph;
    graph.n_local = graph.n_total = s.n();
    graph.species = s.species.data();
    graph.position = s.positions.data();
    qdml::Result found;
    engine.compute(graph, {true, true, false}, nullptr, found);
    check_equal(found, evaluate(reference, s, {true, true, false}), 1e-10);
}

TEST_CASE("graphs without a list that cannot be are refused") {
    const TemporaryFile file("device-refused.qdml");
    write_random_model(file.path, {});
    Engine cpu(file.path), engine = device_engine(file.path, Precision::mixed);
    const int species[3] = {0, 1, 0}, owner[1] = {2};
    double x[9] = {0, 0, 0, 2, 0, 0, 0, 3, 0};
    qdml::Graph graph;
    graph.n_local = 2;
    graph.n_total = 3;
    graph.species = species;
    graph.position = x;
    qdml::Result result;
    const auto refusal = [&](Engine& by, const char* words) {
        CHECK_THROWS_WITH_AS(by.compute(graph, {}, nullptr, result), doctest::Contains(words), qdml::Error);
    };
    CHECK_THROWS_WITH_AS(cpu.compute({0, 0}, {false, false, false, true}, nullptr, result),
                         doctest::Contains("nearest is asked of an engine on the CPU"), qdml::Error);
    refusal(cpu, "needs positions, a skin that is not negative and an engine on a GPU");
    graph.skin = -1;
    refusal(engine, "needs positions, a skin that is not negative");
    graph.skin = 0.5;
    graph.owner = owner;
    refusal(engine, "ghost 2 has owner 2, there are 2 local atoms");
    graph.owner = nullptr;
    x[3] = std::numeric_limits<double>::infinity();
    refusal(engine, "position of atom 1 is not finite");
    x[3] = 0;
    refusal(engine, "from atom 0 to 1: two atoms at the same place");
    x[3] = 2;
    engine.compute(graph, {}, nullptr, result);
    CHECK(std::isfinite(result.energy));
}

#ifdef QDML_CUDA_LIBRARY
TEST_CASE("the compiled CUDA library loads; without a card it says so") {
    const TemporaryFile file("device-library.qdml");
    write_random_model(file.path, {});
    const Variable library("QDML_DEVICE_LIBRARY", QDML_CUDA_LIBRARY);
    try {
        Engine engine(file.path, Precision::mixed, {Device::gpu, 0});
        CHECK(std::isfinite(evaluate(engine, random_structure(12, 1)).energy));
    } catch (const qdml::Error& error) {
        CHECK(error.code() == "device_unavailable");
        CHECK(std::string(error.what()).find("CUDA finds no card") != std::string::npos);
    }
}
#endif

TEST_CASE("a bad graph on the device is named as on the CPU") {
    const TemporaryFile file("device-graph.qdml");
    write_random_model(file.path, {});
    Engine engine = device_engine(file.path, Precision::mixed);
    int species[2] = {0, 1}, neighbor[2] = {1, 0};
    std::int64_t start[3] = {0, 1, 2};
    double vector[6] = {2, 0, 0, -2, 0, 0};
    const qdml::Graph graph = {2, 2, species, start, neighbor, vector};
    qdml::Result result;
    const auto refusal = [&](const char* words) {
        CHECK_THROWS_WITH_AS(engine.compute(graph, {}, nullptr, result), doctest::Contains(words), qdml::Error);
    };
    engine.compute(graph, {}, nullptr, result);
    vector[0] = std::numeric_limits<double>::quiet_NaN();
    refusal("edge 0 from atom 0 to 1: the distance is not finite");
    vector[0] = 0;
    refusal("two atoms at the same place");
    vector[0] = 2;
    species[1] = 3;
    refusal("atom 1 has species 3");
    species[1] = 1;
    neighbor[0] = 2;
    refusal("no such atom");
    neighbor[0] = 1;
    start[1] = 3;
    refusal("row_start decreases");
    start[1] = 1;
    const int shell[3] = {1, 2, 2};
    qdml::Graph with_shells = graph;
    with_shells.shell = shell;
    with_shells.n_shells = 3;
    CHECK_THROWS_WITH_AS(engine.compute(with_shells, {}, nullptr, result), doctest::Contains("on the CPU only"),
                         qdml::Error);
    engine.compute(graph, {}, nullptr, result);  // good again
    CHECK(std::isfinite(result.energy));
}
