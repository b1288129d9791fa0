// SPDX-License-Identifier: MIT
/// Energy, forces and virial of one domain: derivatives, instruction sets, precision, faults.
#include <doctest/doctest.h>

#include <cstdlib>
#include <limits>

#include "random_model.hpp"

using qdml::Engine;
using qdml::Precision;
using namespace qdml_test;

namespace {

/// Largest |dE/dx + F| by central differences of fourth order.
double force_error(Engine& engine, const Structure& s) {
    const auto force = evaluate(engine, s).force;
    double worst = 0;
    const double h = 1e-3;
    for (std::size_t i = 0; i < force.size(); ++i) {
        const auto energy = [&](double d) {
            auto moved = s;
            moved.positions[i] += d;
            return evaluate(engine, moved).energy;
        };
        const double slope =
            (8 * (energy(h) - energy(-h)) - (energy(2 * h) - energy(-2 * h))) / (12 * h);
        worst = std::max(worst, std::fabs(slope + force[i]));
    }
    return worst;
}

/// Every pair (l_in, l_out) occurs in a layer after the first; l_out 0..3 in the first.
const std::vector<std::vector<int>> kEveryPair = {
    {0, 1, 2, 3, 0}, {3, 3, 2, 2, 0}, {1, 1, 3, 1, 0}, {2, 1, 0, 2, 0}, {0, 3, 0, 0},
};

std::vector<std::string> instruction_sets(const std::string& path) {
    std::vector<std::string> found;
    for (const char* isa : {"baseline", "avx2", "avx512", "neon"}) {
        setenv("QDML_ISA", isa, 1);
        try {
            Engine engine(path);
            CHECK(engine.info().isa == isa);
            found.push_back(isa);
        } catch (const qdml::Error& error) {
            CHECK(error.code() == "isa_unavailable");
        }
    }
    unsetenv("QDML_ISA");
    return found;
}

}  // namespace

TEST_CASE("forces are the gradient of the energy, every pair of degrees") {
    const auto s = random_structure(6, 4);
    for (int l_max = 0; l_max <= 3; ++l_max) {
        for (int layers = 1; layers <= 3; ++layers) {
            const TemporaryFile file("fd.qdml");
            Options o;
            o.l_max = l_max;
            o.layers = layers;
            o.message_channels = 16;
            o.readout = layers == 2 ? std::vector<int>{} : std::vector<int>{8};
            o.zbl = layers != 3;
            write_random_model(file.path, o);
            Engine engine(file.path, Precision::float64);
            CAPTURE(l_max);
            CAPTURE(layers);
            CHECK(force_error(engine, s) < 1e-6);
        }
    }
}

TEST_CASE("separated terms: forces are the gradient of the energy") {
    const auto s = random_structure(6, 4);
    for (int l_max = 1; l_max <= 3; ++l_max) {
        const TemporaryFile file("separated.qdml");
        Options o;
        o.separated = true;
        o.l_max = l_max;
        o.message_channels = 16;
        write_random_model(file.path, o);
        Engine engine(file.path, Precision::float64);
        CAPTURE(l_max);
        CHECK(force_error(engine, s) < 1e-6);
    }
}

TEST_CASE("the derivative of the forces is symmetric") {
    const auto s = random_structure(4, 14);
    for (const bool separated : {false, true}) {
        const TemporaryFile file("hessian.qdml");
        Options o;
        o.separated = separated;
        o.l_max = 3;
        o.message_channels = 16;
        write_random_model(file.path, o);
        Engine engine(file.path, Precision::float64);
        const std::size_t n = s.positions.size();
        std::vector<double> hessian(n * n);
        const double h = 1e-4;
        double largest = 0, worst = 0;
        for (std::size_t i = 0; i < n; ++i) {
            auto plus = s, minus = s;
            plus.positions[i] += h;
            minus.positions[i] -= h;
            const auto a = evaluate(engine, plus).force, b = evaluate(engine, minus).force;
            for (std::size_t k = 0; k < n; ++k) {
                hessian[i * n + k] = (b[k] - a[k]) / (2 * h);
            }
        }
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t k = 0; k < n; ++k) {
                largest = std::max(largest, std::fabs(hessian[i * n + k]));
                worst = std::max(worst, std::fabs(hessian[i * n + k] - hessian[k * n + i]));
            }
        }
        CHECK(largest > 0.05);
        CHECK(worst < 1e-5 * largest);  // truncation of the differences
    }
}

TEST_CASE("every kernel of every instruction set agrees with the others in both precisions") {
    const auto s = random_structure(20, 5);
    for (const bool separated : {false, true}) {
        for (const auto& degrees : kEveryPair) {
            const TemporaryFile file("isa.qdml");
            Options o;
            o.separated = separated;
            o.degrees = degrees;
            write_random_model(file.path, o);
            setenv("QDML_ISA", "baseline", 1);
            Engine native(file.path, Precision::float64);
            const auto expected = evaluate(native, s);
            double largest = 1;
            for (const double f : expected.force) {
                largest = std::max(largest, std::fabs(f));
            }
            const auto sets = instruction_sets(file.path);
            REQUIRE(!sets.empty());
            CHECK(sets.front() == "baseline");
            for (const auto& isa : sets) {
                CAPTURE(isa);
                CAPTURE(separated);
                CAPTURE(degrees);
                setenv("QDML_ISA", isa.c_str(), 1);
                Engine reference(file.path, Precision::float64), mixed(file.path);
                unsetenv("QDML_ISA");
                const auto r = evaluate(reference, s), m = evaluate(mixed, s);
                CHECK(std::fabs(r.energy - expected.energy) < 1e-9);
                CHECK(difference(r.force, expected.force) < 1e-10 * largest);
                CHECK(std::fabs(m.energy - expected.energy) < 1e-4);
                CHECK(difference(m.force, expected.force) < 2e-5 * largest);
                CHECK(difference(m.force, expected.force) > 0);  // fp32 was in use
            }
        }
    }
    const TemporaryFile file("unknown.qdml");
    write_random_model(file.path, {});
    setenv("QDML_ISA", "sse9", 1);
    CHECK_THROWS_AS(Engine(file.path), qdml::Error);
    unsetenv("QDML_ISA");
}

TEST_CASE("an isolated atom has exactly its reference energy, an unknown atom none") {
    const TemporaryFile file("one.qdml");
    write_random_model(file.path, {});
    for (const auto precision : {Precision::mixed, Precision::float64}) {
        Engine engine(file.path, precision);
        const int species[3] = {1, -1, 0};
        const std::int64_t rows[4] = {0, 0, 0, 0};
        qdml::Result result;
        engine.compute({3, 3, species, rows, nullptr, nullptr}, {true, true}, nullptr, result);
        CHECK(result.atom_energy == std::vector<double>{-103, 0, -100});
        CHECK(result.energy == -203);
        CHECK(result.force == std::vector<double>(9, 0.0));
        CHECK(result.atom_virial == std::vector<double>(27, 0.0));
        engine.compute({0, 0, nullptr, rows, nullptr, nullptr}, {}, nullptr, result);
        CHECK(result.energy == 0.0);
        CHECK(result.force.empty());
    }
}

TEST_CASE("atoms of other potentials do not interact") {
    const TemporaryFile file("null.qdml");
    write_random_model(file.path, {});
    Engine engine(file.path, Precision::float64);
    auto s = random_structure(12, 8);
    s.pbc[0] = s.pbc[1] = s.pbc[2] = false;
    auto fewer = s;
    s.species[3] = -1;
    fewer.species.erase(fewer.species.begin() + 3);
    fewer.positions.erase(fewer.positions.begin() + 9, fewer.positions.begin() + 12);
    const auto a = evaluate(engine, s), b = evaluate(engine, fewer);
    CHECK(std::fabs(a.energy - b.energy) < 1e-10);
    CHECK(a.force[9] == 0.0);
    CHECK(std::fabs(a.force[0] - b.force[0]) < 1e-11);
}

TEST_CASE("impossible graphs are refused by name") {
    const TemporaryFile file("bad.qdml");
    write_random_model(file.path, {});
    Engine engine(file.path);
    std::int64_t rows[3] = {0, 1, 2};
    const auto message = [&](std::vector<int> species, std::vector<int> neighbor, double x) {
        const double vectors[6] = {x, 0, 0, -x, 0, 0};
        qdml::Result result;
        try {
            engine.compute({2, 2, species.data(), rows, neighbor.data(), vectors}, {}, nullptr,
                           result);
        } catch (const qdml::Error& error) {
            CHECK(error.code() == "graph_invalid");
            return std::string(error.what());
        }
        return std::string("ok");
    };
    CHECK(message({0, 1}, {1, 0}, 2.0) == "ok");
    CHECK(message({0, 3}, {1, 0}, 2.0).find("species 3") != std::string::npos);
    CHECK(message({0, 1}, {2, 0}, 2.0).find("no such atom") != std::string::npos);
    CHECK(message({0, 1}, {1, 0}, 0.0).find("same place") != std::string::npos);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(message({0, 1}, {1, 0}, nan).find("not finite") != std::string::npos);
    rows[1] = 1 << 30;  // no edge of the row may be looked at
    CHECK(message({0, 1}, {1, 0}, 2.0).find("decreases from 1073741824 to 2 at atom 1") !=
          std::string::npos);
    rows[0] = rows[1] = 1;
    CHECK(message({0, 1}, {1, 0}, 2.0).find("begins with 1; expected 0") != std::string::npos);
    rows[0] = 0;
    CHECK(message({0, 1}, {1, 0}, 2.0) == "ok");  // the engine is usable afterwards
}

TEST_CASE("edges beyond the cutoff change nothing, one at the cutoff neither") {
    const TemporaryFile file("long.qdml");
    Options o;
    write_random_model(file.path, o);
    Engine engine(file.path, Precision::float64);
    const auto s = random_structure(10, 9);
    const auto expected = evaluate(engine, s);
    const auto list = s.neighbors(o.cutoff + 1.0);
    qdml::Result result;
    engine.compute({s.n(), s.n(), s.species.data(), list.row_start.data(), list.neighbor.data(),
                    list.edge_vector.data()},
                   {}, nullptr, result);
    CHECK(result.energy == expected.energy);
    CHECK(result.force == expected.force);
    const int species[2] = {0, 1}, neighbor[2] = {1, 0};
    const std::int64_t rows[3] = {0, 1, 2};
    for (const double r : {o.cutoff, std::nextafter(o.cutoff, 0.0), std::nextafter(o.cutoff, 9.0)}) {
        const double vectors[6] = {r, 0, 0, -r, 0, 0};
        engine.compute({2, 2, species, rows, neighbor, vectors}, {}, nullptr, result);
        CHECK(std::fabs(result.energy + 203) < 1e-12);
        CHECK(std::fabs(result.force[0]) < 1e-12);
    }
}
