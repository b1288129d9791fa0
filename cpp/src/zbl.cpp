// SPDX-License-Identifier: MIT
/// ZBL as written in docs/conventions.md, "Energy".
#include "zbl.hpp"

#include <cmath>

#include "elements.hpp"

namespace qdml {

Zbl::Zbl(const std::vector<std::string>& species, const std::vector<double>& r_max)
    : n_(static_cast<int>(species.size())), r_max_(r_max) {
    constexpr double kCoulomb = 14.399645478425668;  // eV Å
    for (const auto& a : species) {
        for (const auto& b : species) {
            const double za = atomic_number(a), zb = atomic_number(b);
            charge_.push_back(kCoulomb * za * zb);
            inverse_a_.push_back((std::pow(za, 0.23) + std::pow(zb, 0.23)) / 0.46850);
        }
    }
}

PairTerm Zbl::operator()(int a, int b, double r) const noexcept {
    constexpr double kAmplitude[4] = {0.18175, 0.50986, 0.28022, 0.02817};
    constexpr double kExponent[4] = {3.19980, 0.94229, 0.40290, 0.20162};
    const std::size_t pair = index(a, b);
    const double x = r / r_max_[pair];
    if (x >= 1.0) {
        return {};
    }
    double phi = 0.0, slope = 0.0;  // φ(r/a) and dφ/dr
    for (int k = 0; k < 4; ++k) {
        const double rate = kExponent[k] * inverse_a_[pair];
        const double term = kAmplitude[k] * std::exp(-rate * r);
        phi += term;
        slope -= rate * term;
    }
    const double x2 = x * x, x5 = x2 * x2 * x;
    const double f = 1.0 + x5 * x * (-28.0 + x * (48.0 - 21.0 * x));
    const double df = x5 * (-168.0 + x * (336.0 - 168.0 * x)) / r_max_[pair];
    const double bare = charge_[pair] / r;
    return {bare * phi * f, bare * (slope * f + phi * df - phi * f / r)};
}

}  // namespace qdml
