// SPDX-License-Identifier: MIT
/// Constants of the pairs of species; the formula is in edge_geometry.hpp.
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
    const std::size_t pair = index(a, b);
    return zbl_term(charge_[pair], inverse_a_[pair], r_max_[pair], r);
}

}  // namespace qdml
