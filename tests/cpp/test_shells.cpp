// SPDX-License-Identifier: MIT
/// Domains that evaluate the features of their ghosts themselves (Graph::shell) equal the whole.
#include <doctest/doctest.h>

#include <numeric>

#include "domains.hpp"
#include "path_model.hpp"
#include "qdml/committee.hpp"

using qdml::Committee;
using qdml::Engine;
using qdml::Precision;
using namespace qdml_test;

namespace {

/// Results of all domains on the atoms of the structure.
struct Sums {
    double energy = 0.0;
    std::vector<double> virial, force, atom_energy, atom_virial, centroid_virial;

    explicit Sums(int n)
        : virial(9),
          force(std::size_t(3 * n)),
          atom_energy(std::size_t(n)),
          atom_virial(std::size_t(9 * n)),
          centroid_virial(std::size_t(9 * n)) {}
    void add(const qdml::Result& r, const Domain& d) {
        energy += r.energy;
        for (std::size_t k = 0; k < 9; ++k) {
            virial[k] += r.virial[k];
        }
        for (std::size_t row = 0; row < d.owner.size(); ++row) {
            const auto i = std::size_t(d.owner[row]);
            for (std::size_t k = 0; k < 3; ++k) {
                force[3 * i + k] += r.force[3 * row + k];
            }
            for (std::size_t k = 0; k < 9; ++k) {
                atom_virial[9 * i + k] += r.atom_virial[9 * row + k];
                centroid_virial[9 * i + k] += r.centroid_virial[9 * row + k];
            }
            atom_energy[i] += int(row) < d.n_local ? r.atom_energy[row] : 0.0;
        }
    }
};

void check_equal(const Sums& found, const Sums& expected, double tolerance) {
    CHECK(std::fabs(found.energy - expected.energy) < 1e-9);
    CHECK(difference(found.atom_energy, expected.atom_energy) < 1e-10);
    CHECK(difference(found.force, expected.force) < tolerance);
    CHECK(difference(found.atom_virial, expected.atom_virial) < tolerance);
    CHECK(difference(found.virial, expected.virial) < 10 * tolerance);
    CHECK(difference(found.centroid_virial, expected.centroid_virial) < 10 * tolerance);
}

const qdml::Request kAll = {true, true, true};

/// Left, nothing, right: three domains of the structure.
std::vector<std::vector<int>> parts(const Structure& s) {
    std::vector<std::vector<int>> mine(3);
    for (int i = 0; i < s.n(); ++i) {
        mine[s.positions[std::size_t(3 * i)] < s.cell[0] / 2 ? 0 : 2].push_back(i);
    }
    return mine;
}

/// One domain whose ghosts get their features from their owners.
Domain one_domain(const Structure& s, const qdml::NeighborList& list) {
    std::vector<int> all(std::size_t(s.n()));
    std::iota(all.begin(), all.end(), 0);
    return make_domain(s, list, all, std::vector<int>(all.size(), 0), 0);
}

}  // namespace

TEST_CASE("domains with shells and without exchange equal the whole") {
    auto s = random_structure(40, 61);
    s.species[3] = -1;  // an atom of another potential
    const auto list = s.neighbors(4.0);
    const Domain whole = one_domain(s, list);
    for (const auto precision : {Precision::float64, Precision::mixed}) {
        for (int layers = 0; layers <= 4; ++layers) {  // 0: Clebsch-Gordan paths
            CAPTURE(layers);
            const TemporaryFile file("shells.qdml");
            Options o;
            o.layers = std::max(layers, 1);
            o.separated = layers == 2;
            write_random_model(file.path, o);
            Engine engine(layers == 0 ? path_model() : file.path, precision);
            SelfExchange exchange(whole);
            qdml::Result result;
            engine.compute(whole.graph(), kAll, &exchange, result);
            Sums expected(s.n());
            expected.add(result, whole);
            // one shell more than the layers need changes nothing
            const int n_shells = engine.info().n_layers + (layers == 3 ? 1 : 0);
            Sums found(s.n()), chunked(s.n());
            for (const auto& mine : parts(s)) {
                const Domain d = make_wide_domain(s, list, mine, n_shells);
                engine.set_memory_limit(0);
                engine.compute(d.graph(), kAll, nullptr, result);
                found.add(result, d);
                const auto centroid = result.centroid_virial;
                const auto in_chunks = [&] {
                    engine.compute(d.graph(), {true, true, false}, nullptr, result);
                };
                const std::int64_t limit = least_limit(engine, in_chunks);
                engine.set_memory_limit(limit);
                in_chunks();
                CHECK(engine.memory_allocated() <= limit);
                result.centroid_virial = centroid;
                chunked.add(result, d);
            }
            const double tolerance = precision == Precision::mixed ? 1e-4 : 1e-10;
            check_equal(found, expected, tolerance);
            check_equal(chunked, expected, tolerance);
            CHECK(difference(expected.force, std::vector<double>(expected.force.size())) > 5e-3);
        }
    }
}

TEST_CASE("members of different depth, cutoff and family share the shells of the deepest") {
    const auto s = random_structure(30, 62);
    const auto list = s.neighbors(4.0);
    Options small, deep;
    small.layers = 2;
    small.cutoff = 3.2;
    deep.layers = 4;
    deep.seed = 2;
    const TemporaryFile first("small.qdml"), second("deep.qdml");
    write_random_model(first.path, small);
    write_random_model(second.path, deep);
    Committee committee({first.path, second.path, path_model()}, Precision::float64);
    const Domain whole = one_domain(s, list);
    SelfExchange exchange(whole);
    std::vector<qdml::Result> results;
    committee.compute(whole.graph(), kAll, &exchange, 0, 3, results);
    std::vector<Sums> expected(3, Sums(s.n())), found(3, Sums(s.n()));
    for (std::size_t m = 0; m < 3; ++m) {
        expected[m].add(results[m], whole);
    }
    for (const auto& mine : parts(s)) {
        const Domain d = make_wide_domain(s, list, mine, 4);
        committee.compute(d.graph(), kAll, nullptr, 0, 3, results);
        for (std::size_t m = 0; m < 3; ++m) {
            found[m].add(results[m], d);
        }
    }
    for (std::size_t m = 0; m < 3; ++m) {
        CAPTURE(m);
        check_equal(found[m], expected[m], 1e-10);
    }
}

TEST_CASE("impossible shells are refused by name") {
    const TemporaryFile file("bad-shells.qdml");
    write_random_model(file.path, {});
    Engine engine(file.path);
    const auto s = random_structure(12, 63);
    const auto list = s.neighbors(4.0);
    Domain d = make_wide_domain(s, list, {0, 1}, 3);
    SelfExchange exchange(d);
    qdml::Result result;
    const auto refusal = [&](const char* words, qdml::Exchange* used = nullptr) {
        CHECK_THROWS_WITH_AS(engine.compute(d.graph(), {}, used, result), doctest::Contains(words),
                             qdml::Error);
    };
    engine.compute(d.graph(), {}, nullptr, result);
    refusal("needs no exchange", &exchange);
    const auto good = d.shell;
    d.shell.pop_back();
    refusal("2 shells for a model of 3 layers");
    d.shell = {good[0], good[0] - 1, good[2]};
    refusal("shell 1 has 1 rows; expected 2..");
    d.shell = {good[0], good[1], d.n_local + 1};
    refusal("shell 2 has");
    d.shell = {-1, good[1], good[2]};
    refusal("shell 0 has -1 rows");
}
