// SPDX-License-Identifier: MIT
/// Screened nuclear repulsion of Ziegler, Biersack and Littmark (1985), switched off smoothly.
#pragma once

#include <string>
#include <vector>

#include "edge_geometry.hpp"

namespace qdml {

class Zbl {
public:
    Zbl() = default;  ///< no ZBL term
    /// `species` chemical symbols, `r_max` [S*S] in Å.
    Zbl(const std::vector<std::string>& species, const std::vector<double>& r_max);

    bool active() const noexcept { return n_ > 0; }
    /// [S*S] per pair of species: r_max (Å), k_e Z_a Z_b (eV Å), 1 / screening length (1/Å).
    const std::vector<double>& r_max() const noexcept { return r_max_; }
    const std::vector<double>& charge() const noexcept { return charge_; }
    const std::vector<double>& inverse_a() const noexcept { return inverse_a_; }
    double r_max(int a, int b) const noexcept { return r_max_[index(a, b)]; }
    /// zbl(r) of one pair of species; r in Å, less than r_max.
    PairTerm operator()(int a, int b, double r) const noexcept;

private:
    std::size_t index(int a, int b) const noexcept { return static_cast<std::size_t>(a * n_ + b); }
    int n_ = 0;
    std::vector<double> r_max_;
    std::vector<double> charge_;     ///< k_e Z_a Z_b, eV Å
    std::vector<double> inverse_a_;  ///< 1 / screening length, 1/Å
};

}  // namespace qdml
