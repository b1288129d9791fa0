// SPDX-License-Identifier: MIT
/// Members of a committee on a device share list and edges, and give the bits of engines of their own.
#include <doctest/doctest.h>

#include <limits>
#include <numeric>

#include "device_engine.hpp"
#include "members.hpp"
#include "qdml/committee.hpp"
#include "routed_exchange.hpp"

using qdml::Committee;
using qdml::Device;
using qdml::Engine;
using qdml::Precision;
using namespace qdml_test;

namespace {

/// The shape of the first three is the same, but the third has no ZBL; the others differ in width and depth.
struct Members : MemberFiles {
    explicit Members(bool of_paths) {
        Options o[5];
        for (auto& options : o) options.message_channels = 16;
        o[2].zbl = false;
        o[3].message_channels = 32;
        o[4].layers = 1;
        for (unsigned m = 0; m < 5; ++m) {
            o[m].seed = 90 + m;
            write_model(add("d"), of_paths, o[m]);
        }
    }
};

Committee device_committee(const std::vector<std::string>& paths, Precision precision) {
    const Variable library("QDML_DEVICE_LIBRARY", device_library());
    return Committee(paths, precision, {Device::gpu, 0});
}

/// A step of the caller's list, or of one made on the device from positions.
qdml::Graph graph_of(const Domain& domain, bool made, int number) {
    qdml::Graph graph = domain.graph();
    if (made) {
        graph.row_start = nullptr;
        graph.neighbor = nullptr;
        graph.edge_vector = nullptr;
        graph.skin = 0.6;
        graph.list_number = number;
    }
    return graph;
}

Domain cluster(int n, unsigned seed) {
    auto s = random_structure(n, seed);
    std::fill(s.pbc, s.pbc + 3, false);
    std::vector<int> all(std::size_t(s.n()));
    std::iota(all.begin(), all.end(), 0);
    return make_domain(s, s.neighbors(4.6), all, std::vector<int>(all.size(), 0), 0);
}

void move(Domain& domain, double factor) {
    for (auto& x : domain.position) x *= factor;
    for (auto& x : domain.edge_vector) x *= factor;
}

}  // namespace

TEST_CASE("members of a committee on a device equal engines of their own, bit for bit") {
    for (const bool paths : {false, true}) {
        CAPTURE(paths);
        const Members members(paths);
        const auto& p = members.paths;
        for (const auto precision : {Precision::mixed, Precision::float64}) {
            // sharing after sharing, after one that does not, and again at the end
            const std::vector<std::string> files = {p[0], p[1], p[2], p[3], p[1], p[4], p[0]};
            auto committee = device_committee(files, precision);
            std::vector<Engine> alone;
            for (const auto& file : files) alone.push_back(device_engine(file, precision));
            int number = 0;
            for (const bool made : {false, true}) {
                CAPTURE(made);
                for (const unsigned seed : {91U, 92U}) {  // the second has more atoms
                    auto domain = cluster(seed == 91 ? 9 : 13, seed);
                    ++number;
                    for (int step = 0; step < 3; ++step) {  // made, recorded, replayed
                        CAPTURE(step);
                        const qdml::Graph graph = graph_of(domain, made, number);
                        const qdml::Request request = {true, step == 2, step == 2, made};
                        std::vector<qdml::Result> found;
                        const int first = step == 1 ? 1 : 7;  // at once, or in two calls
                        committee.compute(graph, request, nullptr, 0, first, found);
                        committee.compute(graph, request, nullptr, first, 7, found);
                        for (std::size_t m = 0; m < files.size(); ++m) {
                            CAPTURE(m);
                            qdml::Result expected;
                            alone[m].compute(graph, request, nullptr, expected);
                            check_same(found[m], expected);
                        }
                        move(domain, 1.01);
                    }
                }
            }
        }
    }
}

TEST_CASE("members on a device that share arrays need the memory of one, also in chunks") {
    for (const bool paths : {false, true}) {
        CAPTURE(paths);
        const Members members(paths);
        const auto domain = cluster(40, 93);
        Engine alone = device_engine(members.paths[0], Precision::mixed);
        auto committee = device_committee({members.paths[0], members.paths[1], members.paths[0]}, Precision::mixed);
        const qdml::Request request = {true, true};
        qdml::Result expected;
        std::vector<qdml::Result> found;
        alone.compute(domain.graph(), request, nullptr, expected);
        committee.compute(domain.graph(), request, nullptr, 0, 3, found);
        CHECK(committee.memory_allocated() == alone.memory_allocated());
        const std::int64_t n_edges = domain.row_start.back();
        CHECK(committee.memory_estimate(domain.n_local, 0, n_edges) == alone.memory_estimate(domain.n_local, 0, n_edges));
        const std::int64_t limit = alone.memory_allocated() * 9 / 10;
        alone.set_memory_limit(limit);
        committee.set_memory_limit(limit);
        alone.compute(domain.graph(), request, nullptr, expected);
        committee.compute(domain.graph(), request, nullptr, 0, 3, found);
        CHECK(committee.memory_allocated() <= limit);
        check_same(found[0], expected);
        check_same(found[2], expected);
        committee.set_memory_limit(0);  // undivided again
        alone.set_memory_limit(0);
        alone.compute(domain.graph(), request, nullptr, expected);
        committee.compute(domain.graph(), request, nullptr, 0, 3, found);
        check_same(found[2], expected);
    }
}

TEST_CASE("a bad edge is found by the first member, and the committee goes on after it") {
    const Members members(false);
    auto domain = cluster(9, 94);
    auto committee = device_committee({members.paths[0], members.paths[1]}, Precision::mixed);
    std::vector<qdml::Result> before, after;
    committee.compute(domain.graph(), {true}, nullptr, 0, 2, before);
    auto bad = domain;
    bad.edge_vector[4] = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH_AS(committee.compute(bad.graph(), {true}, nullptr, 0, 2, after), doctest::Contains("edge 1"),
                         qdml::Error);
    committee.compute(domain.graph(), {true}, nullptr, 0, 2, after);
    check_same(after[1], before[1]);
}

TEST_CASE("committees on three ranks, one of them without atoms, exchange the rows of every member") {
    for (const bool paths : {false, true}) {
        CAPTURE(paths);
        const Members members(paths);
        const std::vector<std::string> files = {members.paths[0], members.paths[1], members.paths[3]};
        const auto s = random_structure(24, 95);
        const auto domains = three_domains(s, s.neighbors(4.0));
        REQUIRE(domains[1].n_local == 0);
        std::vector<Committee> committees;
        std::vector<Engine> alone;
        for (int rank = 0; rank < 3; ++rank) {
            committees.push_back(device_committee(files, Precision::mixed));
            for (const auto& file : files) alone.push_back(device_engine(file, Precision::mixed));
        }
        std::vector<std::vector<qdml::Result>> found(3);
        std::vector<qdml::Result> expected(9);
        Board together(3), apart(3);
        const qdml::Request request = {true, true};
        on_three_ranks([&](std::size_t rank) {
            const qdml::Graph graph = domains[rank].graph();
            RoutedExchange exchange(together, domains, rank, 5), other(apart, domains, rank, 5);
            for (int step = 0; step < 2; ++step) committees[rank].compute(graph, request, &exchange, 0, 3, found[rank]);
            for (std::size_t m = 0; m < 3; ++m) {
                alone[3 * rank + m].compute(graph, request, &other, expected[3 * rank + m]);
            }
        });
        for (std::size_t k = 0; k < 9; ++k) check_same(found[k / 3][k % 3], expected[k]);
    }
}
