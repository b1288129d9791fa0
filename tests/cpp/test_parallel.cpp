// SPDX-License-Identifier: MIT
/// Domains with ghosts equal the undivided system; the number of threads changes no bit.
#include <doctest/doctest.h>

#include <numeric>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "domains.hpp"
#include "path_model.hpp"

using qdml::Engine;
using qdml::Precision;
using namespace qdml_test;

namespace {

/// [n][9] of a structure that is one domain, images added to their atoms; checks the sum.
std::vector<double> centroid_virials_of_one_domain(Engine& engine, const Structure& s,
                                                   const qdml::NeighborList& list) {
    std::vector<int> all(std::size_t(s.n()));
    std::iota(all.begin(), all.end(), 0);
    const Domain d = make_domain(s, list, all, std::vector<int>(all.size(), 0), 0);
    SelfExchange exchange(d);
    qdml::Result result;
    engine.compute(d.graph(), {false, false, true}, &exchange, result);
    std::vector<double> sums(9 * all.size()), total(9);
    for (std::size_t k = 0; k < 9 * d.owner.size(); ++k) {
        sums[9 * std::size_t(d.owner[k / 9]) + k % 9] += result.centroid_virial[k];
        total[k % 9] += result.centroid_virial[k];
    }
    const double tolerance = engine.precision() == Precision::mixed ? 1e-3 : 1e-9;
    CHECK(difference(total, {result.virial, result.virial + 9}) < tolerance);
    return sums;
}

}  // namespace

TEST_CASE("three domains, one of them empty, equal the whole") {
    for (const auto precision : {Precision::float64, Precision::mixed}) {
        for (int l_max = 0; l_max <= 4; ++l_max) {
            CAPTURE(l_max);
            const TemporaryFile file("split.qdml");
            Options o;
            o.l_max = std::min(l_max, 3);
            o.separated = l_max == 3;
            write_random_model(file.path, o);
            const std::string path = l_max == 4 ? path_model() : file.path;
            const auto s = random_structure(40, 21);
            const auto list = s.neighbors(o.cutoff);
            Engine whole(path, precision);
            const qdml::Request request = {true, true, true};
            auto expected = evaluate(whole, s, {true, true});
            expected.centroid_virial = centroid_virials_of_one_domain(whole, s, list);

            const std::vector<Domain> domains = three_domains(s, list);
            REQUIRE(domains[0].n_local > 5);
            REQUIRE(domains[2].n_local > 5);
            Meeting meeting(3, s.n());
            std::vector<qdml::Result> results(3);
            std::vector<int> widest(3);
            on_three_ranks([&](std::size_t rank) {
                Engine engine(path, precision);
                const Domain& d = domains[rank];
                ThreadExchange exchange(meeting, d);
                engine.compute(d.graph(), request, &exchange, results[rank]);
                widest[rank] = exchange.widest == engine.max_exchange_width() ? 1 : 0;
            });
            // two layers after the first, forward and backward; the centroid virial needs one of
            // them again for x, y and z
            CHECK(meeting.rounds() == 4 + 3);
            CHECK(widest == std::vector<int>(3, 1));
            double energy = 0, virial[9] = {};
            std::vector<double> force(std::size_t(3 * s.n())), atom_virial(std::size_t(9 * s.n())),
                centroid(std::size_t(9 * s.n())), atom_energy(std::size_t(s.n()));
            for (std::size_t rank = 0; rank < 3; ++rank) {
                const auto& r = results[rank];
                const Domain& d = domains[rank];
                energy += r.energy;
                for (int k = 0; k < 9; ++k) {
                    virial[k] += r.virial[k];
                }
                REQUIRE(r.force.size() == 3 * d.owner.size());
                for (std::size_t i = 0; i < d.owner.size(); ++i) {
                    for (std::size_t k = 0; k < 3; ++k) {
                        force[3 * std::size_t(d.owner[i]) + k] += r.force[3 * i + k];
                    }
                    for (std::size_t k = 0; k < 9; ++k) {
                        atom_virial[9 * std::size_t(d.owner[i]) + k] += r.atom_virial[9 * i + k];
                        centroid[9 * std::size_t(d.owner[i]) + k] += r.centroid_virial[9 * i + k];
                    }
                    if (int(i) < d.n_local) {
                        atom_energy[std::size_t(d.owner[i])] = r.atom_energy[i];
                    }
                }
            }
            // only the order of the last sums differs, the features are the same bits
            CHECK(std::fabs(energy - expected.energy) < 1e-10);
            CHECK(difference(force, expected.force) < 1e-10);
            CHECK(difference(atom_virial, expected.atom_virial) < 1e-10);
            CHECK(difference(atom_energy, expected.atom_energy) < 1e-10);
            // positions count from another origin in every domain
            CHECK(difference(centroid, expected.centroid_virial) <
                  (precision == Precision::mixed ? 2e-4 : 1e-10));
            for (int k = 0; k < 9; ++k) {
                CHECK(std::fabs(virial[k] - expected.virial[k]) < 1e-9);
            }
        }
    }
}

TEST_CASE("centroid virials are finite differences of the atoms' energies") {
    for (const int layers : {1, 2, 4, 0}) {  // 0: Clebsch-Gordan paths
        CAPTURE(layers);
        const TemporaryFile file("centroid.qdml");
        Options o;
        o.layers = std::max(layers, 1);
        write_random_model(file.path, o);
        auto s = random_structure(14, 41);
        std::fill(s.pbc, s.pbc + 3, false);
        Engine engine(layers == 0 ? path_model() : file.path, Precision::float64);
        const auto found = centroid_virials_of_one_domain(engine, s, s.neighbors(o.cutoff));
        std::vector<double> expected(found.size());
        const double h = 1e-4;
        for (std::size_t i = 0; i < std::size_t(s.n()); ++i) {
            for (std::size_t b = 0; b < 3; ++b) {
                auto moved = s;
                moved.positions[3 * i + b] += h;
                const auto up = evaluate(engine, moved, {true, false});
                moved.positions[3 * i + b] -= 2 * h;
                const auto down = evaluate(engine, moved, {true, false});
                for (std::size_t k = 0; k < std::size_t(s.n()); ++k) {
                    const double slope = (up.atom_energy[k] - down.atom_energy[k]) / (2 * h);
                    for (std::size_t a = 0; a < 3; ++a) {
                        expected[9 * i + 3 * a + b] +=
                            (s.positions[3 * k + a] - s.positions[3 * i + a]) * slope;
                    }
                }
            }
        }
        const double size = difference(found, std::vector<double>(found.size()));
        CHECK(size > (layers == 0 ? 0.005 : 1.0));  // not zero
        CHECK(difference(found, expected) < 1e-4 * std::min(size, 1.0));
    }
}

TEST_CASE("centroid virials without positions are refused") {
    const TemporaryFile file("positions.qdml");
    write_random_model(file.path, {});
    Engine engine(file.path);
    CHECK_THROWS_WITH_AS(evaluate(engine, random_structure(12, 1), {false, false, true}),
                         doctest::Contains("positions"), qdml::Error);
}

#ifdef _OPENMP
TEST_CASE("any number of threads gives the same bits") {
    const TemporaryFile file("threads.qdml");
    write_random_model(file.path, {});
    const auto s = random_structure(160, 31);  // four tiles
    const int before = omp_get_max_threads();
    for (const auto precision : {Precision::mixed, Precision::float64}) {
        Engine engine(file.path, precision);
        omp_set_num_threads(1);
        const auto one = evaluate(engine, s, {true, true});
        for (const int n : {2, 3, 7}) {
            omp_set_num_threads(n);
            const auto many = evaluate(engine, s, {true, true});
            CHECK(one.energy == many.energy);
            CHECK(one.force == many.force);
            CHECK(one.atom_energy == many.atom_energy);
            CHECK(one.atom_virial == many.atom_virial);
            CHECK(std::equal(one.virial, one.virial + 9, many.virial));
        }
    }
    omp_set_num_threads(before);
}
#endif
