// SPDX-License-Identifier: MIT
/// Members of a committee give the bits of engines of their own, whatever they share.
#include <doctest/doctest.h>

#include "members.hpp"
#include "qdml/committee.hpp"

using qdml::Committee;
using qdml::Engine;
using qdml::Precision;
using namespace qdml_test;

namespace {

/// Members: equal shape with and without ZBL; another width; another cutoff; another depth.
struct Members : MemberFiles {
    Members() {
        Options o[6];
        o[1].zbl = false;
        o[2].message_channels = 16;
        o[3].cutoff = 3.1;
        o[4].cutoff = 3.1;
        o[4].layers = 1;
        o[5].layers = 4;
        o[5].l_max = 3;
        for (unsigned m = 0; m < 6; ++m) {
            o[m].seed = 10 + m;
            write_random_model(add("m"), o[m]);
        }
    }
};

/// The edges of the longest cutoff: members skip those beyond their own.
struct Edges {
    qdml::NeighborList list;
    qdml::Graph graph;
    Edges(const Structure& s, double cutoff) : list(s.neighbors(cutoff)) {
        graph = {s.n(), s.n(), s.species.data(), list.row_start.data(), list.neighbor.data(),
                 list.edge_vector.data()};
        graph.position = s.positions.data();
    }
};

}  // namespace

TEST_CASE("members of a committee equal engines of their own, bit for bit") {
    const Members members;
    auto s = random_structure(60, 51);
    s.pbc[0] = s.pbc[1] = s.pbc[2] = false;
    s.species[7] = -1;  // an atom of another potential
    for (const auto precision : {Precision::mixed, Precision::float64}) {
        Committee committee(members.paths, precision);
        REQUIRE(committee.size() == 6);
        CHECK(committee.cutoff() == 4.0);
        // wide members after narrow ones and back, and every pair that shares its edges
        const auto& p = members.paths;
        Committee mixed_order({p[2], p[5], p[0], p[1], p[4], p[3], p[0]}, precision);
        for (const bool centroid : {false, true}) {
            const qdml::Request request = {true, true, centroid};
            for (const unsigned seed : {51U, 52U}) {  // a new graph in the same arrays
                if (seed == 52U) {
                    const auto other = random_structure(60, seed);
                    s.positions = other.positions;
                }
                const Edges edges(s, committee.cutoff());
                std::vector<qdml::Result> found, again;
                committee.compute(edges.graph, request, nullptr, 0, 6, found);
                mixed_order.compute(edges.graph, request, nullptr, 0, 7, again);
                for (std::size_t m = 0; m < 6; ++m) {
                    CAPTURE(m);
                    Engine alone(p[m], precision);
                    qdml::Result expected;
                    alone.compute(edges.graph, request, nullptr, expected);
                    check_same(found[m], expected);
                    const std::size_t place[6] = {2, 3, 0, 5, 4, 1};
                    check_same(again[place[m]], expected);
                    CHECK(found[m].centroid_virial.empty() == !centroid);
                }
                check_same(again[6], again[2]);
            }
        }
    }
}

TEST_CASE("the first member now, the others when they are wanted") {
    const Members members;
    const auto s = random_structure(40, 53);
    Committee committee({members.paths[0], members.paths[1]});
    const Edges edges(s, committee.cutoff());
    std::vector<qdml::Result> whole, parts;
    committee.compute(edges.graph, {true, true}, nullptr, 0, 2, whole);
    committee.compute(edges.graph, {true, true}, nullptr, 0, 1, parts);
    REQUIRE(parts.size() == 2);
    CHECK(parts[1].force.empty());
    committee.compute(edges.graph, {true, true}, nullptr, 1, 2, parts);
    check_same(parts[0], whole[0]);
    check_same(parts[1], whole[1]);
    CHECK_THROWS_WITH_AS(committee.compute(edges.graph, {}, nullptr, 0, 3, parts),
                         doctest::Contains("members 0 to 3 of a committee of 2"), qdml::Error);
}

TEST_CASE("a committee needs the memory of its largest member") {
    const Members members;
    const auto s = random_structure(150, 54);
    Committee committee(members.paths);
    const Edges edges(s, committee.cutoff());
    std::vector<qdml::Result> whole, bounded;
    committee.compute(edges.graph, {true, true}, nullptr, 0, 6, whole);
    const auto n_edges = std::int64_t(edges.list.neighbor.size());
    std::int64_t largest = 0;
    for (const auto& path : members.paths) {
        largest = std::max(largest, Engine(path).memory_estimate(s.n(), 0, n_edges));
    }
    CHECK(committee.memory_estimate(s.n(), 0, n_edges) == largest);
    CHECK(double(committee.memory_allocated()) < 1.5 * double(largest));
    // within a limit: the same numbers but for the order of the last sums, and no more memory
    std::int64_t limit = 1;  // the least that no member refuses
    for (std::size_t m = 0; m <= members.paths.size(); ++m) {
        committee.set_memory_limit(limit);
        try {
            committee.compute(edges.graph, {true, true}, nullptr, 0, 6, bounded);
        } catch (const qdml::Error& error) {
            const std::string text = error.what(), before = "need at least ";
            REQUIRE(error.code() == "memory_limit");
            limit = std::stoll(text.substr(text.find(before) + before.size()));
        }
    }
    REQUIRE(limit > 1);
    REQUIRE(limit < largest);
    CHECK(committee.memory_allocated() <= limit);
    for (std::size_t m = 0; m < 6; ++m) {
        CAPTURE(m);
        CHECK(difference(bounded[m].force, whole[m].force) < 1e-3);
        CHECK(difference(bounded[m].atom_energy, whole[m].atom_energy) < 1e-4);
    }
}

TEST_CASE("a file of several members is a committee, and no engine") {
    const std::string path = std::string(QDML_GOLDEN) + "/broken/good-committee.qdml";
    Committee committee({path, path}, Precision::float64);
    REQUIRE(committee.size() == 4);
    for (int m = 0; m < 4; ++m) {
        CHECK(committee.info(m).member == m % 2);
        CHECK(committee.info(m).path == path);
        CHECK(committee.info(m).distances_seen == std::vector<double>{0, 2.4, 2.4, 0});
    }
    try {
        Engine engine(path);
        FAIL("an engine of two potentials");
    } catch (const qdml::Error& error) {
        CHECK(error.code() == "several_members");
        CHECK(std::string(error.what()).find("holds 2 members") != std::string::npos);
    }
    Engine alone(std::string(QDML_GOLDEN) + "/broken/good.qdml", Precision::float64);
    auto s = random_structure(12, 55);
    for (auto& species : s.species) {
        species %= 2;
    }
    const Edges edges(s, committee.cutoff());
    std::vector<qdml::Result> members;
    committee.compute(edges.graph, {true, true}, nullptr, 0, 4, members);
    for (const auto& member : members) {  // the stored members are good.qdml twice
        check_same(member, evaluate(alone, s, {true, true}));
    }
}

TEST_CASE("averages of a committee") {
    std::vector<qdml::Result> members(2);
    for (std::size_t m = 0; m < 2; ++m) {
        members[m].energy = 1.0 + 2.0 * double(m);
        members[m].virial[3] = 4.0 - 2.0 * double(m);
        members[m].force = {1.0, 2.0, 3.0 + double(m)};
        members[m].atom_energy = {double(m)};
    }
    qdml::Result mean;
    mean.force = {9.0};
    qdml::average(members, mean);
    CHECK(mean.energy == 2.0);
    CHECK(mean.virial[3] == 3.0);
    CHECK(mean.force == std::vector<double>{1.0, 2.0, 3.5});
    CHECK(mean.atom_energy == std::vector<double>{0.5});
    CHECK(mean.atom_virial.empty());
}

TEST_CASE("committees that cannot be are refused by name") {
    CHECK_THROWS_WITH_AS(Committee({}), doctest::Contains("without files"), qdml::Error);
    const Members members;
    CHECK_THROWS_WITH_AS(Committee({members.paths[0], "/no/such.qdml"}),
                         doctest::Contains("/no/such.qdml"), qdml::Error);
}
