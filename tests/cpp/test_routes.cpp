// SPDX-License-Identifier: MIT
/// Rows between ranks by Routes: images, rows for several ghosts, rows that need none, 16 bits, device memory.
#include <doctest/doctest.h>

#include <limits>

#include "device_engine.hpp"
#include "domains.hpp"
#include "members.hpp"
#include "path_model.hpp"
#include "routed_exchange.hpp"
#include "short_rows.hpp"

using qdml::Engine;
using qdml::Halo;
using qdml::Precision;
using namespace qdml_test;

namespace {

constexpr int kLong = 320, kShort = 120;

/// Long enough for rows that need nothing from other ranks, sorted along its axis; in the long one they are whole tiles.
Structure rod(unsigned seed, int n_atoms = kLong) {
    std::mt19937 generator(seed);
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    Structure s;
    const double cell[9] = {150.0 * n_atoms / kLong, 0, 0, 0, 6.5, 0, 0, 0, 6.5};
    std::copy_n(cell, 9, s.cell);
    std::vector<std::array<double, 3>> x;
    while (x.size() < std::size_t(n_atoms)) {
        const std::array<double, 3> at = {cell[0] * uniform(generator), cell[4] * uniform(generator),
                                          cell[8] * uniform(generator)};
        const bool is_free = std::none_of(x.begin(), x.end(), [&](const auto& other) {
            double squared = 0;
            for (std::size_t k = 0; k < 3; ++k) {
                const double d = std::remainder(at[k] - other[k], cell[4 * k]);
                squared += d * d;
            }
            return squared < 1.3 * 1.3;
        });
        if (is_free) x.push_back(at);
    }
    std::sort(x.begin(), x.end());
    for (const auto& at : x) {
        s.positions.insert(s.positions.end(), at.begin(), at.end());
        s.species.push_back(s.n() % 3);
    }
    return s;
}

struct Way {
    bool on_device, from_device;
    Halo halo;
    bool in_chunks = false;
    int n_atoms = kLong;
};

/// Results of all ranks for two structures in turn, so that what an array holds is another structure's.
std::vector<qdml::Result> results_of(const std::string& file, Precision precision, const Way& way) {
    std::vector<qdml::Result> results(6);
    std::vector<Engine> engines;
    for (int rank = 0; rank < 3; ++rank) {
        engines.push_back(way.on_device ? device_engine(file, precision) : Engine(file, precision));
    }
    for (std::size_t turn = 0; turn < 3; ++turn) {  // the first two, and the first again
        const auto s = rod(turn == 1 ? 17 : 16, way.n_atoms);
        const auto domains = three_domains(s, s.neighbors(4.0));
        Board board(3);
        on_three_ranks([&](std::size_t rank) {
            RoutedExchange exchange(board, domains, rank, std::int64_t(turn));
            exchange.used_halo = way.halo;
            exchange.from_device = way.from_device;
            // centroid virials, which cost the emulation four times as much, by one of its ways
            const qdml::Request request = {true, true, !way.in_chunks && way.on_device == way.from_device};
            if (way.in_chunks) {  // refused before anything is sent
                const std::int64_t least = least_limit(engines[rank], [&] {
                    engines[rank].compute(domains[rank].graph(), request, &exchange, results[rank]);
                });
                engines[rank].set_memory_limit(least + least / 20);
            }
            engines[rank].compute(domains[rank].graph(), request, &exchange, results[3 * (turn % 2) + rank]);
            const bool has_inner_tiles = !way.on_device && !way.in_chunks && way.n_atoms == kLong && domains[rank].n_local > 0;
            CHECK((exchange.n_asked > 0) == has_inner_tiles);
            if (turn == 2) {  // once more, as a step that was recorded
                engines[rank].compute(domains[rank].graph(), request, &exchange, results[rank]);
            }
        });
    }
    return results;
}

/// The same through WholeRows, where all ghosts arrive and nothing is done meanwhile that another rank could disturb.
std::vector<qdml::Result> expected_of(const std::string& file, Precision precision, bool on_device, int n_atoms) {
    std::vector<qdml::Result> results(6);
    for (std::size_t turn = 0; turn < 2; ++turn) {
        const auto s = rod(turn == 1 ? 17 : 16, n_atoms);
        const auto domains = three_domains(s, s.neighbors(4.0));
        Meeting meeting(3, s.n());
        std::vector<Engine> engines;
        for (int rank = 0; rank < 3; ++rank) {
            engines.push_back(on_device ? device_engine(file, precision) : Engine(file, precision));
        }
        on_three_ranks([&](std::size_t rank) {
            ThreadExchange exchange(meeting, domains[rank]);
            engines[rank].compute(domains[rank].graph(), {true, true, true}, &exchange, results[3 * turn + rank]);
        });
    }
    return results;
}

void check_same(const std::vector<qdml::Result>& found, std::vector<qdml::Result> expected) {
    for (std::size_t k = 0; k < found.size(); ++k) {
        CAPTURE(k);
        if (found[k].centroid_virial.empty()) expected[k].centroid_virial.clear();  // not asked for
        qdml_test::check_same(found[k], expected[k]);
    }
}

double worst_force(const std::vector<qdml::Result>& a, const std::vector<qdml::Result>& b) {
    double most = 0;
    for (std::size_t k = 0; k < a.size(); ++k) most = std::max(most, difference(a[k].force, b[k].force));
    return most;
}

}  // namespace

TEST_CASE("the rods have rows of every kind") {
    const auto s = rod(16);
    const auto domains = three_domains(s, s.neighbors(4.0));
    Board board(3);
    const RoutedExchange exchange(board, domains, 0, 0);
    const auto& routes = exchange.routes();
    const auto n = [](const std::vector<int>& rows) {
        return std::count_if(rows.begin(), rows.end(), [](int row) { return row >= 0; });
    };
    CHECK(n(routes.owner) > 50);
    CHECK(n(routes.arrival) > routes.n_received);  // images share
    CHECK(routes.sent.size() > 10);
    CHECK(routes.sent.size() < std::size_t(domains[0].n_local));
    const Domain& d = domains[0];
    int n_inner_tiles = 0, n_tiles = 0;  // of 48 rows, as on the CPU
    for (int first = 0; first < d.n_local; first += 48, ++n_tiles) {
        const int last = std::min(first + 48, d.n_local);
        n_inner_tiles += std::none_of(
            d.neighbor.begin() + d.row_start[std::size_t(first)], d.neighbor.begin() + d.row_start[std::size_t(last)],
            [&](int j) { return j >= d.n_local && routes.arrival[std::size_t(j - d.n_local)] >= 0; });
    }
    CHECK(n_inner_tiles > 0);
    CHECK(n_inner_tiles < n_tiles);
    CHECK(domains[1].n_local == 0);
}

TEST_CASE("rows that travel by routes give the bits of those that all go by hand, on CPUs") {
    for (const bool paths : {false, true}) {
        for (const auto precision : {Precision::float64, Precision::mixed}) {
            CAPTURE(paths);
            const TemporaryFile file("routes.qdml");
            Options o;
            o.message_channels = 16;
            write_model(file.path, paths, o);
            const auto expected = expected_of(file.path, precision, false, kLong);
            check_same(results_of(file.path, precision, {false, false, Halo::full}), expected);
            if (precision == Precision::float64) continue;
            const auto rounded = results_of(file.path, precision, {false, false, Halo::int16});
            const double error = worst_force(rounded, expected);
            CHECK(error > 1e-6);
            CHECK(error < 5e-3);
        }
    }
}

TEST_CASE("rows that travel by routes give the same bits on devices, from their memory too") {
    for (const bool paths : {false, true}) {
        CAPTURE(paths);
        const TemporaryFile file("routes-device.qdml");
        Options o;
        o.message_channels = 16;
        o.layers = 2;
        write_model(file.path, paths, o);
        const auto expected = expected_of(file.path, Precision::mixed, true, kShort);
        check_same(results_of(file.path, Precision::mixed, {true, false, Halo::full, false, kShort}), expected);
        if (is_emulated()) {  // one process: on a card, host threads could not copy device memory
            check_same(results_of(file.path, Precision::mixed, {true, true, Halo::full, false, kShort}), expected);
        }
        const auto rounded = results_of(file.path, Precision::mixed, {true, false, Halo::int16, false, kShort});
        const auto on_cpu = results_of(file.path, Precision::mixed, {false, false, Halo::int16, false, kShort});
        CHECK(worst_force(rounded, expected) > 1e-6);
        CHECK(worst_force(rounded, on_cpu) < 5e-3);
    }
}

TEST_CASE("in chunks rows by routes change forces by rounding only") {
    const TemporaryFile file("routes-chunks.qdml");
    Options o;
    o.message_channels = 16;
    write_random_model(file.path, o);
    for (const bool on_device : {false, true}) {
        CAPTURE(on_device);
        const int n_atoms = on_device ? kShort : kLong;
        const auto expected = results_of(file.path, Precision::float64, {on_device, false, Halo::full, false, n_atoms});
        const auto found = results_of(file.path, Precision::float64, {on_device, false, Halo::full, true, n_atoms});
        CHECK(worst_force(found, expected) < 1e-10);
        CHECK(worst_force(found, expected) > 0);
    }
}

TEST_CASE("routes that do not belong to the graph are refused") {
    struct Wrong : qdml::Exchange {
        const qdml::Routes& routes() const override { return wrong; }
        void start(const void*, void*, const qdml::RowShape&) override { FAIL("started"); }
        void finish() override {}
        qdml::Routes wrong;
    };
    const TemporaryFile file("routes-wrong.qdml");
    write_random_model(file.path, {});
    Engine engine(file.path);
    const int species[2] = {0, 1};
    const std::int64_t row_start[2] = {0, 1};
    const int neighbor[1] = {1};
    const double vector[3] = {2, 0, 0};
    const auto refusal = [&](std::vector<int> arrival, std::vector<int> owner, std::vector<int> sent) {
        Wrong exchange;
        exchange.wrong = {0, std::move(sent), 1, std::move(arrival), std::move(owner)};
        qdml::Result result;
        try {
            engine.compute({1, 2, species, row_start, neighbor, vector}, {}, &exchange, result);
        } catch (const qdml::Error& error) {
            CHECK(error.code() == "graph_invalid");
            return std::string(error.what());
        }
        return std::string();
    };
    CHECK(refusal({}, {}, {0}).find("routes to 0 ghosts, the graph has 1") != std::string::npos);
    CHECK(refusal({1}, {-1}, {0}).find("ghost 1 is to get arrived row 1 of 1") != std::string::npos);
    CHECK(refusal({-1}, {1}, {0}).find("or local row 1 of 1") != std::string::npos);
    CHECK(refusal({0}, {-1}, {1}).find("sends row 1") != std::string::npos);
}

TEST_CASE("rows in 16 bits: half a step off at most, nothing made of nothing") {
    const auto travelled = [](std::vector<float> row) {
        float scale = 0;
        for (const float x : row) scale = qdml::larger(scale, std::fabs(x));
        const float steps = qdml::short_steps(scale);
        for (float& x : row) x = qdml::lengthen(qdml::shorten(x, steps), scale);
        return row;
    };
    const std::vector<float> row = {0.0F, -3.25F, 1e-5F, 2.0F, 3.2499F};
    const auto found = travelled(row);
    for (std::size_t k = 0; k < row.size(); ++k) CHECK(std::fabs(found[k] - row[k]) <= 0.51F * 3.25F / 32767.0F);
    CHECK(found[1] == -3.25F);
    CHECK(travelled({0.0F, -0.0F}) == std::vector<float>{0.0F, 0.0F});
    CHECK(travelled({1e-36F, 1e-37F}) == std::vector<float>{0.0F, 0.0F});
    const float infinite = std::numeric_limits<float>::infinity(), undefined = std::nanf("");
    for (const auto& bad : {std::vector<float>{1.0F, infinite}, {undefined, 1.0F}, {1.0F, undefined, 2.0F}}) {
        for (const float x : travelled(bad)) CHECK(std::isnan(x));
    }
}
