// SPDX-License-Identifier: MIT
/// The memory limit: same numbers in chunks, bounded arrays, honest estimates, refusal by name.
#include <doctest/doctest.h>

#include "buffer.hpp"
#include "path_model.hpp"
#include "random_model.hpp"

using qdml::Engine;
using qdml::Precision;
using namespace qdml_test;

namespace {

std::int64_t edges_of(const Structure& s, double cutoff) {
    return s.neighbors(cutoff).row_start.back();
}

std::int64_t least_limit(Engine& engine, const Structure& s) {
    const std::int64_t least = qdml_test::least_limit(engine, [&] { evaluate(engine, s); });
    REQUIRE(least > 0);
    return least;
}

}  // namespace

TEST_CASE("in chunks the numbers are the same and the arrays stay within the limit") {
    const auto s = random_structure(150, 41);
    for (const auto precision : {Precision::float64, Precision::mixed}) {
        for (int layers = 0; layers <= 3; ++layers) {  // 0: Clebsch-Gordan paths
            CAPTURE(layers);
            const TemporaryFile file("memory.qdml");
            Options o;
            o.layers = std::max(layers, 1);
            o.message_channels = 16;
            write_random_model(file.path, o);
            Engine engine(layers == 0 ? path_model() : file.path, precision);
            const auto expected = evaluate(engine, s, {true, true});
            const std::int64_t whole = engine.memory_allocated();
            const std::int64_t least = least_limit(engine, s);
            REQUIRE(least < whole);
            const double tolerance = precision == Precision::mixed ? 1e-4 : 1e-11;
            for (const std::int64_t limit : {least, (least + whole) / 2, 2 * whole}) {
                engine.set_memory_limit(limit);
                CHECK(engine.memory_limit() == limit);
                const auto found = evaluate(engine, s, {true, true});
                CHECK(engine.memory_allocated() <= limit);
                CHECK(std::fabs(found.energy - expected.energy) < 1e-9);
                CHECK(difference(found.force, expected.force) < tolerance);
                CHECK(difference(found.atom_energy, expected.atom_energy) < 1e-10);
                CHECK(difference(found.atom_virial, expected.atom_virial) < tolerance);
                double worst = 0;
                for (int k = 0; k < 9; ++k) {
                    worst = std::max(worst, std::fabs(found.virial[k] - expected.virial[k]));
                }
                CHECK(worst < 100 * tolerance);
                if (limit > whole) {
                    CHECK(found.force == expected.force);  // undivided again, the same bits
                }
            }
            // a limit met by a small system must hold for the larger one after it, and back
            engine.set_memory_limit((least + whole) / 2);
            const auto small = random_structure(50, 42);
            for (const auto* system : {&small, &s, &small}) {
                evaluate(engine, *system);
                CHECK(engine.memory_allocated() <= engine.memory_limit());
            }
            engine.set_memory_limit(0);
            CHECK(evaluate(engine, s).force == expected.force);
        }
    }
}

TEST_CASE("memory estimates are within a fifth of what is allocated") {
    for (const auto precision : {Precision::float64, Precision::mixed}) {
        for (const int n : {10, 100, 300}) {
            for (const int layers : {1, 3, 0}) {  // 0: Clebsch-Gordan paths
                CAPTURE(n);
                CAPTURE(layers);
                const TemporaryFile file("estimate.qdml");
                Options o;
                o.layers = std::max(layers, 1);
                write_random_model(file.path, o);
                Engine engine(layers == 0 ? path_model() : file.path, precision);
                const auto s = random_structure(n, 43);
                evaluate(engine, s);
                const double estimate = double(engine.memory_estimate(n, 0, edges_of(s, o.cutoff)));
                const double found = double(engine.memory_allocated());
                CHECK(found > 0.8 * estimate);
                CHECK(found < 1.2 * estimate);
                const auto limit = least_limit(engine, s) * 11 / 10;
                engine.set_memory_limit(limit);
                evaluate(engine, s);
                const double bounded = double(engine.memory_estimate(n, 0, edges_of(s, o.cutoff)));
                CHECK(double(engine.memory_allocated()) > 0.8 * bounded);
                CHECK(engine.memory_allocated() <= limit);
            }
        }
    }
}

TEST_CASE("centroid virials need all edges at once, and say so") {
    const TemporaryFile file("centroid.qdml");
    Options o;
    o.message_channels = 16;
    write_random_model(file.path, o);
    auto s = random_structure(100, 44);
    s.pbc[0] = s.pbc[1] = s.pbc[2] = false;  // every image would be a ghost
    const auto list = s.neighbors(o.cutoff);
    qdml::Graph graph = {s.n(), s.n(), s.species.data(), list.row_start.data(),
                         list.neighbor.data(), list.edge_vector.data()};
    graph.position = s.positions.data();
    qdml::Request request;
    request.centroid_virial = true;
    for (const auto& path : {file.path, path_model()}) {
        Engine engine(path, Precision::float64);
        qdml::Result expected, found;
        engine.compute(graph, {}, nullptr, expected);  // leaves arrays that centroid virials do not need
        engine.compute(graph, request, nullptr, expected);
        const std::int64_t whole = engine.memory_allocated();
        engine.set_memory_limit(whole + whole / 8);
        engine.compute(graph, request, nullptr, found);
        CHECK(found.centroid_virial == expected.centroid_virial);
        CHECK(engine.memory_allocated() <= engine.memory_limit());
        engine.set_memory_limit(whole / 2);
        CHECK_THROWS_WITH_AS(engine.compute(graph, request, nullptr, found),
                             doctest::Contains("with centroid virials"), qdml::Error);
    }
}

TEST_CASE("an array that grows slowly is allocated a logarithmic number of times") {
    qdml::Buffer<double> buffer;
    int allocations = 0;
    for (std::int64_t n = 1000; n <= 100000; ++n) {
        const auto before = buffer.bytes();
        buffer.reserve(n);
        allocations += buffer.bytes() != before ? 1 : 0;
        REQUIRE(buffer.bytes() >= n * 8);
        REQUIRE(buffer.bytes() <= qdml::Buffer<double>::bytes_for(n));
    }
    CHECK(allocations < 80);  // ln 100 / ln (17/16) = 76
    buffer.release();
    CHECK(buffer.bytes() == 0);
}

TEST_CASE("negative limits are refused") {
    const TemporaryFile file("negative.qdml");
    write_random_model(file.path, {});
    Engine engine(file.path);
    CHECK_THROWS_WITH_AS(engine.set_memory_limit(-1), doctest::Contains("-1 bytes"), qdml::Error);
    CHECK(engine.memory_limit() == 0);
}
