// SPDX-License-Identifier: MIT
/// Linked cells against a sum over all images, for cells small and large, periodic and not.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <tuple>

#include "random_model.hpp"

namespace {

using Edge = std::tuple<int, int, int, int, int>;

std::vector<Edge> by_all_images(const qdml_test::Structure& s, double cutoff, int reach) {
    std::vector<Edge> edges;
    const auto range = [&](int k) { return s.pbc[k] ? reach : 0; };
    for (int i = 0; i < s.n(); ++i) {
        for (int j = 0; j < s.n(); ++j) {
            for (int a = -range(0); a <= range(0); ++a) {
                for (int b = -range(1); b <= range(1); ++b) {
                    for (int c = -range(2); c <= range(2); ++c) {
                        double squared = 0;
                        for (int x = 0; x < 3; ++x) {
                            const double d = s.positions[std::size_t(3 * j + x)] -
                                             s.positions[std::size_t(3 * i + x)] + a * s.cell[x] +
                                             b * s.cell[3 + x] + c * s.cell[6 + x];
                            squared += d * d;
                        }
                        if (squared < cutoff * cutoff && (i != j || a != 0 || b != 0 || c != 0)) {
                            edges.emplace_back(i, j, a, b, c);
                        }
                    }
                }
            }
        }
    }
    std::sort(edges.begin(), edges.end());
    return edges;
}

std::vector<Edge> by_cells(const qdml_test::Structure& s, double cutoff) {
    const auto list = s.neighbors(cutoff);
    std::vector<Edge> edges;
    REQUIRE(list.row_start.size() == std::size_t(s.n()) + 1);
    for (int i = 0; i < s.n(); ++i) {
        double before = 0;
        for (auto e = list.row_start[std::size_t(i)]; e < list.row_start[std::size_t(i) + 1]; ++e) {
            const auto k = std::size_t(e);
            const double* r = &list.edge_vector[3 * k];
            const double squared = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
            CHECK(squared >= before);  // sorted by distance
            before = squared;
            edges.emplace_back(i, list.neighbor[k], list.shift[3 * k], list.shift[3 * k + 1],
                               list.shift[3 * k + 2]);
        }
    }
    std::sort(edges.begin(), edges.end());
    return edges;
}

}  // namespace

TEST_CASE("all images, cells smaller and larger than the cutoff, any periodicity") {
    for (const int n : {1, 2, 7, 40}) {
        for (int mask = 0; mask < 8; ++mask) {
            auto s = qdml_test::random_structure(n, unsigned(n + mask));
            for (int k = 0; k < 3; ++k) {
                s.pbc[k] = (mask >> k & 1) != 0;
            }
            for (std::size_t i = 0; i < s.positions.size(); i += 5) {
                s.positions[i] += 11.0;  // outside of the cell: shifts refer to what was given
            }
            for (const double cutoff : {1.0, 2.5, 7.0}) {
                CAPTURE(n);
                CAPTURE(mask);
                CAPTURE(cutoff);
                CHECK(by_cells(s, cutoff) == by_all_images(s, cutoff, 6));
            }
        }
    }
}

TEST_CASE("a strongly sheared cell") {
    auto s = qdml_test::random_structure(10, 3);
    for (std::size_t k = 0; k < 3; ++k) {
        s.cell[3 + k] += 1.5 * s.cell[k];
    }
    CHECK(by_cells(s, 5.0) == by_all_images(s, 5.0, 7));
}

TEST_CASE("no atoms, and faults by name") {
    qdml_test::Structure s;
    CHECK(s.neighbors(5.0).row_start == std::vector<std::int64_t>{0});
    s = qdml_test::random_structure(3, 1);
    const auto code = [](const qdml_test::Structure& bad, double cutoff) {
        try {
            bad.neighbors(cutoff);
        } catch (const qdml::Error& error) {
            return error.code();
        }
        return std::string("ok");
    };
    CHECK(code(s, -1.0) == "value_invalid");
    auto flat = s;
    for (int k = 0; k < 3; ++k) {
        flat.cell[3 + k] = 2 * flat.cell[k];
    }
    CHECK(code(flat, 3.0) == "value_invalid");
    flat.pbc[1] = false;  // the second vector no longer counts
    CHECK(code(flat, 3.0) == "ok");
    auto zero = s;
    std::fill(zero.cell, zero.cell + 9, 0.0);
    CHECK(code(zero, 3.0) == "value_invalid");
    s.positions[4] = std::numeric_limits<double>::quiet_NaN();
    CHECK(code(s, 3.0) == "value_invalid");
}
