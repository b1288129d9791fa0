// SPDX-License-Identifier: GPL-2.0-only
/// The keywords of `pair_style qdml`: names, values, defaults, and what is refused.
#pragma once

#include "qdml/engine.hpp"

#include <string>
#include <vector>

namespace qdml_lammps {

/// How a rank comes by the features of its ghosts.
enum class Features {
    layer,  ///< their owners send them between the layers, to ghosts within one cutoff
    wide,   ///< it evaluates them itself, from all atoms within layers * cutoff of its own
};

/// What to do about two atoms closer than any pair of their elements in the training data.
enum class Extrapolation { off, warn, error };

/// What a committee's atoms follow.
enum class Members {
    mean,   ///< the averages of all members, evaluated in every step
    first,  ///< the first member; the others are evaluated on the steps that need their spread
};

struct Settings {
    qdml::Precision precision = qdml::Precision::mixed;
    qdml::Device device = qdml::Device::automatic;
    qdml::Halo halo = qdml::Halo::full;  ///< how features travel to ghosts between layers
    bool mpi_from_device = false;  ///< MPI is given addresses on the GPU
    Features features = Features::layer;
    Extrapolation extrapolation = Extrapolation::warn;
    bool minimize_in_double = true;  ///< minimisers compare energies to digits that fp32 kernels do not have
    Members members = Members::mean;
    int spread_every = 0;  ///< steps, 0: only when something asks for the spread
    double memory_mib = 0.0;  ///< bound of the engine's work arrays on each rank, MiB; 0: none

    bool is_mixed() const { return precision == qdml::Precision::mixed; }
    bool is_wide() const { return features == Features::wide; }
    /// A wide shell is evaluated on the CPU.
    qdml::Device used_device() const { return is_wide() ? qdml::Device::cpu : device; }
    const char* precision_name() const { return is_mixed() ? "mixed" : "double"; }
    const char* halo_name() const { return halo == qdml::Halo::int16 ? "int16" : is_mixed() ? "fp32" : "fp64"; }
};

/// Read `keyword value` pairs. Throws qdml::Error (`value_invalid`) for an unknown keyword, naming the nearest one, for a
/// missing or wrong value, and for values that exclude each other.
Settings read_settings(const std::vector<std::string>& words);

/// The word of `known` that takes the fewest insertions, deletions and replacements.
std::string nearest_word(const std::string& word, const std::vector<std::string>& known);

}  // namespace qdml_lammps
