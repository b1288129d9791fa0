// SPDX-License-Identifier: MIT
/// ZBL: hand-computed value, derivative, smooth end.
#include <doctest/doctest.h>

#include <cmath>

#include "elements.hpp"
#include "zbl.hpp"

TEST_CASE("value of two protons at 0.1 Å, computed by hand") {
    const qdml::Zbl zbl({"H"}, {100.0});  // f(0.001) = 1 to 1e-16
    // a = 0.4685 / 2 = 0.23425; x = 0.4268943; φ = 0.18175 e^-1.365976 + 0.50986 e^-0.402258
    //   + 0.28022 e^-0.171996 + 0.02817 e^-0.086070 = 0.0463701 + 0.3409985 + 0.2359402 + 0.0258468
    CHECK(zbl(0, 0, 0.1).energy == doctest::Approx(143.99645 * 0.649156).epsilon(1e-5));
}

TEST_CASE("derivative is that of the energy") {
    const qdml::Zbl zbl({"Cd", "Se"}, {2.0, 1.8, 1.8, 1.5});
    const double h = 1e-5;
    for (double r = 0.3; r < 1.79; r += 0.07) {
        const double slope = (zbl(0, 1, r + h).energy - zbl(0, 1, r - h).energy) / (2 * h);
        CHECK(zbl(0, 1, r).derivative == doctest::Approx(slope).epsilon(1e-6));
        CHECK(zbl(0, 1, r).energy == zbl(1, 0, r).energy);
    }
}

TEST_CASE("value and two derivatives vanish at r_max") {
    const qdml::Zbl zbl({"Cd"}, {2.0});
    const double d = 1e-3;
    CHECK(std::fabs(zbl(0, 0, 2.0 - d).energy) < 1e-3);       // ~ d^3
    CHECK(std::fabs(zbl(0, 0, 2.0 - d).derivative) < 1e-2);   // ~ d^2
    CHECK(zbl(0, 0, 2.0).energy == 0.0);
    CHECK(zbl(0, 0, 2.5).energy == 0.0);
}

TEST_CASE("atomic numbers") {
    CHECK(qdml::atomic_number("H") == 1);
    CHECK(qdml::atomic_number("Se") == 34);
    CHECK(qdml::atomic_number("Cd") == 48);
    CHECK(qdml::atomic_number("Og") == 118);
    CHECK(qdml::atomic_number("Xx") == 0);
}
