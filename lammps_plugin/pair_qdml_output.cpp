// SPDX-License-Identifier: GPL-2.0-only
/// What `pair_style qdml` tells: messages at start and end, quantities for fix pair and compute pair.

#include "pair_qdml.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "utils.h"

#include <algorithm>
#include <cstring>

using namespace LAMMPS_NS;

namespace {

constexpr double kMebibyte = 1048576.0;

std::string mebibytes(double bytes) { return fmt::format("{:.1f} MiB", bytes / kMebibyte); }

}  // namespace

std::string PairQdml::paths_text() const { return utils::join_words(paths_, " "); }

/// "cpu (avx512)", "gpu (NVIDIA H100)", and how many ranks found one if not all did.
std::string PairQdml::device_text() const
{
    const auto& info = committee_->info(0);
    const std::string text = info.device == "cpu" ? fmt::format("cpu ({})", info.isa) : fmt::format("gpu ({})", info.device);
    if (ranks_on_gpu_ == 0 || ranks_on_gpu_ == comm->nprocs) return text;
    return fmt::format("{} on rank 0, a GPU on {} of {} ranks", text, ranks_on_gpu_, comm->nprocs);
}

void PairQdml::print_model()
{
    if (comm->me != 0) return;
    std::string text;
    for (int m = 0; m < committee_->size(); ++m) {
        const auto& info = committee_->info(m);
        text += fmt::format("pair qdml: {} (hash {})\n  {}\n", info.path, info.hash.substr(0, 12), info.architecture);
    }
    if (committee_->size() > 1) {
        const bool is_mean = settings_.members == qdml_lammps::Members::mean;
        text += fmt::format("  committee of {}: {}\n", committee_->size(),
                            is_mean ? "averages, and the spread of forces"
                                    : "the first alone, the others when their spread is asked for");
        const auto& factors = committee_->spread_factors();
        if (factors.energy != 1.0 || factors.forces != 1.0) {
            text += fmt::format("  spreads are multiplied by {:.3g} (energy) and {:.3g} (forces), the factors of the file\n",
                                factors.energy, factors.forces);
        }
    }
    text += "  types:";
    for (int type = 1; type <= atom->ntypes; ++type) {
        text += fmt::format(" {} = {}", type, map[type] < 0 ? "NULL" : committee_->species()[static_cast<std::size_t>(map[type])]);
    }
    text += fmt::format("\n  precision {}, device {}, libqdml {}, {} rank(s) with {} thread(s) each\n",
                        settings_.precision_name(), device_text(), qdml::version(), comm->nprocs, comm->nthreads);
    text += settings_.is_wide() ? fmt::format("  exchange wide: no features travel, every rank evaluates those of its ghosts within {:.2f} A\n",
                                              shell_width())
                                : fmt::format("  exchange layer by layer, halo {}\n", settings_.halo_name());
    utils::logmesg(lmp, text);
}

void PairQdml::reset_run_counts()
{
    exchange_.reset_counts();
    n_computes_ = n_complete_ = n_ghosts_ = 0.0;
    run_was_printed_ = false;
}

/// Of the engine's work arrays on this rank, bytes: what they take.
double PairQdml::work_memory() const
{
    const qdml::Committee& used = minimizer_ ? *minimizer_ : *committee_;
    return static_cast<double>(used.memory_allocated());
}

/// The same of arrays that could not be made.
double PairQdml::needed_memory() const
{
    const qdml::Committee& used = minimizer_ ? *minimizer_ : *committee_;
    std::int64_t n_rows = atom->nlocal, n_others = atom->nghost;
    if (settings_.is_wide() && !shells_.counts().empty()) {
        n_rows = shells_.counts().back();
        n_others = static_cast<std::int64_t>(shells_.atoms().size()) - n_rows;
    }
    return static_cast<double>(used.memory_estimate(n_rows, n_others, edges_.n_edges()));
}

/// "812, 240, 64": for so many atoms the busiest rank evaluates the layers. Collective.
std::string PairQdml::atoms_of_layers() const
{
    const std::vector<int>& mine = shells_.counts();
    std::vector<int> most(mine.size());
    MPI_Reduce(mine.data(), most.data(), static_cast<int>(mine.size()), MPI_INT, MPI_MAX, 0, world);
    std::string text;
    for (std::size_t k = most.size(); k-- > 0;) text += fmt::format("{}{}", most[k], k > 0 ? ", " : "");
    return text;
}

void PairQdml::print_run()
{
    run_was_printed_ = true;
    const auto& counts = exchange_.counts();
    const double mine[4] = {work_memory() + edges_.memory_bytes(), static_cast<double>(atom->nghost),
                            static_cast<double>(counts.messages), counts.bytes};
    double most[4] = {};
    MPI_Reduce(mine, most, 4, MPI_DOUBLE, MPI_MAX, 0, world);
    const std::string layers = settings_.is_wide() ? atoms_of_layers() : std::string();
    if (comm->me != 0) return;
    const char* style = comm->style == Comm::BRICK ? "brick" : "tiled";
    std::string text =
        settings_.is_wide()
            ? fmt::format("pair qdml: no features go to ghosts, which lie within {:.2f} A ({} communication): {} exchanges and {:.0f} bytes "
                          "per ghost and step\n  a rank evaluates the layers for at most {} atoms\n",
                          comm->cutghostuser, style, counts.exchanges, counts.bytes_per_ghost, layers)
            : fmt::format("pair qdml: features go straight to ghosts layer by layer ({} communication, halo {}{}): {} exchanges and "
                          "{:.0f} bytes per ghost and step\n",
                          style, minimizer_ ? "fp64" : settings_.halo_name(), settings_.mpi_from_device ? ", from the GPU's memory" : "",
                          counts.exchanges, counts.bytes_per_ghost);
    text += fmt::format("  a rank has at most {:.0f} ghosts, sends {:.0f} messages with {} a step, and needs about {}{}\n", most[1],
                        most[2], mebibytes(most[3]), mebibytes(most[0]),
                        settings_.memory_mib > 0 ? fmt::format(" (work arrays bound to {:.0f} MiB)", settings_.memory_mib) : "");
    utils::logmesg(lmp, text);
}

void PairQdml::finish()
{
    if (n_computes_ == 0.0) return;
    const auto& counts = exchange_.counts();
    // LAMMPS itself sends positions to ghosts and forces back, three numbers each
    const double of_ghosts = n_ghosts_ / n_computes_ * 6 * sizeof(double);
    const double mine[3] = {static_cast<double>(counts.messages) / n_computes_, counts.bytes / n_computes_, of_ghosts};
    double most[3] = {}, sum[3] = {};
    MPI_Reduce(mine, most, 3, MPI_DOUBLE, MPI_MAX, 0, world);
    MPI_Reduce(mine, sum, 3, MPI_DOUBLE, MPI_SUM, 0, world);
    if (comm->me != 0) return;
    if (n_complete_ < n_computes_) {
        utils::logmesg(lmp, fmt::format("pair qdml: {:.0f} of {:.0f} evaluations were of all {} members\n", n_complete_, n_computes_,
                                        active().size()));
    }
    utils::logmesg(lmp, fmt::format("pair qdml: {:.0f} evaluations; exchanged per evaluation: {:.0f} times, {:.0f} messages and {} "
                                    "by the busiest rank\n  {:.0f} messages and {} by all\n"
                                    "  LAMMPS' own positions and forces of ghosts: {} by the busiest rank, {} by all\n",
                                    n_computes_, static_cast<double>(counts.exchanges) / n_computes_, most[0], mebibytes(most[1]),
                                    sum[0], mebibytes(sum[1]), mebibytes(most[2]), mebibytes(sum[2])));
}

void* PairQdml::extract(const char* name, int& dim)
{
    dim = 0;
    if (committee_ && committee_->size() > 1) {
        if (std::strcmp(name, "max_force_spread") == 0) return &max_force_spread_;
        if (std::strcmp(name, "energy_spread") == 0) return &energy_spread_;
        if (std::strcmp(name, "force_spread_flag") == 0) {
            spread_every_step_ = spread_every_step_before_;
            return &trigger_force_spread_;
        }
    }
    for (const char* other : {"energy_flag", "nearest_flag", "extrapolation_flag"}) {
        if (std::strcmp(name, other) == 0) return &trigger_other_;
    }
    return nullptr;
}

void* PairQdml::extract_peratom(const char* name, int& n_columns)
{
    n_columns = 0;
    const bool is_committee = committee_ && committee_->size() > 1;
    const bool is_spread = std::strcmp(name, "force_spread") == 0;
    const bool is_energy = std::strcmp(name, "energy") == 0;
    const bool is_nearest = std::strcmp(name, "nearest") == 0;
    const bool is_ratio = std::strcmp(name, "extrapolation") == 0;
    if (!is_spread && !is_energy && !is_nearest && !is_ratio) {
        error->all(FLERR, "pair_style qdml has no per-atom quantity '{}'; it has energy, nearest, extrapolation and, for a "
                          "committee, force_spread", name);
    }
    if (is_spread && !is_committee) {
        error->all(FLERR, "pair_style qdml: force_spread needs a committee, that is several .qdml files in pair_coeff");
    }
    if (is_spread) {
        // A fix without trigger wants it in every step. One with a trigger asks here first, then for the trigger, and sets
        // that before each later call.
        if (trigger_force_spread_ == 0) {
            spread_every_step_before_ = spread_every_step_;
            spread_every_step_ = true;
        }
        return spread_.empty() ? nullptr : spread_.data();
    }
    if (n_computes_ == 0.0) return nullptr;  // fix pair asks before the first step to learn the number of columns
    if (is_energy) {
        atom_energy_.assign(std::max<std::size_t>(1, result_->atom_energy.size()), 0.0);
        for (std::size_t i = 0; i < result_->atom_energy.size(); ++i) atom_energy_[i] = energy_unit_ * result_->atom_energy[i];
        return atom_energy_.data();
    }
    if (sends_positions_) {
        const auto n_local = static_cast<int>(results_[0].atom_energy.size());
        short_distances_.per_atom(results_[0], n_local, species_.data(), committee_->cutoff(), nearest_, ratio_);
    } else {
        short_distances_.per_atom(edges_, species_.data(), committee_->cutoff(), nearest_, ratio_);
    }
    nearest_.resize(std::max<std::size_t>(1, nearest_.size()));
    ratio_.resize(std::max<std::size_t>(1, ratio_.size()));
    return is_nearest ? nearest_.data() : ratio_.data();
}

double PairQdml::memory_usage()
{
    double bytes = Pair::memory_usage() + edges_.memory_bytes() + shells_.memory_bytes() + force_spread_.memory_bytes();
    bytes += static_cast<double>((species_.capacity() + row_species_.capacity()) * sizeof(int));
    const auto add = [&bytes](const qdml::Result& r) {
        bytes += static_cast<double>((r.force.capacity() + r.atom_energy.capacity() + r.atom_virial.capacity() +
                                      r.centroid_virial.capacity()) *
                                     sizeof(double));
    };
    add(mean_);
    for (const auto& result : results_) add(result);
    if (committee_) bytes += work_memory();
    return bytes;
}
