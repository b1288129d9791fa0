// SPDX-License-Identifier: GPL-2.0-only
/// The steps of `pair_style qdml`: edges, evaluation, what goes back to LAMMPS.

#include "pair_qdml.h"

#include "atom.h"
#include "comm.h"
#include "compute.h"
#include "error.h"
#include "exceptions.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "output.h"
#include "update.h"

#include <algorithm>
#include <cmath>
#include <new>

#ifdef _OPENMP
#include <omp.h>
#endif

using namespace LAMMPS_NS;

namespace {

constexpr double kMebibyte = 1048576.0;

}  // namespace

void PairQdml::update_graph()
{
    const int n_total = atom->nlocal + atom->nghost;
    if (list_is_new_ || neighbor->ago == 0) {
        species_.resize(static_cast<std::size_t>(n_total));
        for (int i = 0; i < n_total; ++i) species_[static_cast<std::size_t>(i)] = map[atom->type[i]];
        if (sends_positions_) {
            ++list_number_;
        } else if (settings_.is_wide()) {
            shells_.rebuild(*list, atom->nlocal, n_total, n_shells(), species_.data());
            edges_.rebuild(*list, atom->nlocal, &shells_, species_.data(), atom->x, atom->tag);
            row_species_.clear();
            for (const int i : shells_.atoms()) row_species_.push_back(species_[static_cast<std::size_t>(i)]);
        } else {
            edges_.rebuild(*list, atom->nlocal, nullptr, species_.data(), atom->x, atom->tag);
        }
        if (!settings_.is_wide()) {
            exchange_.find_routes(atom->nlocal, sends_positions_ ? ghosts_in_reach() : edges_.needed_ghosts(atom->nghost));
        }
        list_is_new_ = false;
    }
    if (!sends_positions_) edges_.update(atom->x, active().cutoff());
}

/// Those [n_ghost] that can be neighbours of local atoms until the next list.
std::vector<char> PairQdml::ghosts_in_reach() const
{
    std::vector<char> is_near(static_cast<std::size_t>(atom->nghost), 0);
    if (atom->nlocal == 0) return is_near;
    double low[3], high[3];
    for (int d = 0; d < 3; ++d) {
        low[d] = high[d] = atom->x[0][d];
        for (int i = 1; i < atom->nlocal; ++i) {
            low[d] = std::min(low[d], atom->x[i][d]);
            high[d] = std::max(high[d], atom->x[i][d]);
        }
    }
    const double reach = committee_->cutoff() + neighbor->skin;
    for (int g = 0; g < atom->nghost; ++g) {
        const double* x = atom->x[atom->nlocal + g];
        double squared = 0.0;
        for (int d = 0; d < 3; ++d) {
            const double beyond = std::max({low[d] - x[d], x[d] - high[d], 0.0});
            squared += beyond * beyond;
        }
        is_near[static_cast<std::size_t>(g)] = squared < reach * reach ? 1 : 0;
    }
    return is_near;
}

qdml::Graph PairQdml::make_graph()
{
    qdml::Graph graph;
    graph.n_local = atom->nlocal;
    graph.n_total = atom->nlocal + atom->nghost;
    graph.species = species_.data();
    graph.position = graph.n_total > 0 ? atom->x[0] : nullptr;
    if (sends_positions_) {
        graph.skin = neighbor->skin;
        graph.list_number = list_number_;
        graph.owner = comm->nprocs == 1 ? exchange_.routes().owner.data() : nullptr;
    } else {
        graph.row_start = edges_.row_start();
        graph.neighbor = edges_.neighbor();
        graph.edge_vector = edges_.edge_vector();
    }
    if (settings_.is_wide()) use_shells(graph);
    return graph;
}

/// Rows in the order of the shells.
void PairQdml::use_shells(qdml::Graph& graph)
{
    graph.n_local = shells_.counts().back();
    graph.n_total = static_cast<int>(shells_.atoms().size());
    graph.species = row_species_.data();
    graph.shell = shells_.counts().data();
    graph.n_shells = static_cast<int>(shells_.counts().size());
    if (cvflag_atom == 0) return;
    row_position_.clear();
    for (const int i : shells_.atoms()) row_position_.insert(row_position_.end(), atom->x[i], atom->x[i] + 3);
    graph.position = row_position_.data();
}

void PairQdml::check_distances()
{
    if (sends_positions_) {
        short_distances_.measure(results_[0], atom->nlocal, species_.data(), atom->tag);
    } else {
        short_distances_.measure(edges_, species_.data(), atom->tag);
    }
    if (!short_distances_.wants_report(!eflag_global && neighbor->ago != 0)) return;
    for (const auto& line : short_distances_.report(world)) {
        const std::string text = fmt::format("pair_style qdml: step {}: atoms closer than in the training data: {}",
                                             update->ntimestep, line);
        if (short_distances_.is_error()) {
            error->all(FLERR, text + "; the forces cannot be trusted ('extrapolation warn' or 'off' goes on)");
        }
        if (comm->me == 0) error->warning(FLERR, text + " (said once per pair of elements)");
    }
}

void PairQdml::compute(int eflag, int vflag)
{
    ev_init(eflag, vflag);
    const int n_local = atom->nlocal;
    const int n_total = atom->nlocal + atom->nghost;

#ifdef _OPENMP
    // The plugin may have another OpenMP runtime than LAMMPS; both follow LAMMPS' number of threads.
    omp_set_num_threads(std::max(1, comm->nthreads));
#endif

    const bool with_spread = active().size() > 1 && spread_is_due();

    try {
        update_graph();
        if (!sends_positions_) check_distances();  // before fp32 meets what a collision makes of forces
        // Every rank gets here in every step, also one without atoms: the exchanges inside are collective.
        evaluate(make_graph(), with_spread);
        if (sends_positions_) check_distances();
    } catch (const LAMMPSException&) {
        throw;  // raised by LAMMPS itself, with its own message
    } catch (const qdml::Error& fault) {
        error->one(FLERR, "pair_style qdml ({}): {}", paths_text(), fault.what());
    } catch (const std::bad_alloc&) {
        error->one(FLERR,
                   "pair_style qdml ({}): not enough memory for {} atoms, {} ghosts and {} edges on rank {} (about {:.0f} "
                   "MiB); use more ranks on more nodes, or the keyword memory",
                   paths_text(), n_local, n_total - n_local, edges_.n_edges(), comm->me,
                   needed_memory() / kMebibyte);
    }
    add_results();
    if (with_spread) add_spread();
    if (!run_was_printed_) print_run();
}

/// The same answer on all ranks. Many things ask for the energy in every step (minimisers, fix ave/time): what shows the
/// spread is a line of output or `compute pair`.
bool PairQdml::spread_is_due() const
{
    if (trigger_force_spread_ != 0 || spread_every_step_) return true;
    if (settings_.spread_every > 0 && update->ntimestep % settings_.spread_every == 0) return true;
    if (n_computes_ == 0.0 || update->ntimestep == output->next_thermo) return true;
    for (Compute* compute : modify->get_compute_by_style("pair")) {
        if (compute->matchstep(update->ntimestep) != 0) return true;
    }
    return false;
}

void PairQdml::evaluate(const qdml::Graph& graph, bool with_spread)
{
    const bool is_mean = settings_.members == qdml_lammps::Members::mean;
    const int n_members = active().size();
    qdml::Request request;
    request.atom_energy = true;
    request.atom_virial = vflag_atom != 0;
    request.centroid_virial = cvflag_atom != 0;
    // fix pair and compute pair may ask for the nearest neighbours after any step
    request.nearest = sends_positions_;
    const int n_followed = is_mean ? n_members : 1;
    qdml_lammps::GhostExchange* exchange = settings_.is_wide() ? nullptr : &exchange_;
    active().compute(graph, request, exchange, 0, n_followed, results_);
    if (with_spread) active().compute(graph, {}, exchange, n_followed, n_members, results_);
    for (int m = 0; settings_.is_wide() && m < (with_spread ? n_members : n_followed); ++m) {
        auto& result = results_[static_cast<std::size_t>(m)];
        shells_.to_atoms(result.force, 3);
        if (m >= n_followed) continue;
        result.atom_energy.resize(static_cast<std::size_t>(atom->nlocal));
        if (request.atom_virial) shells_.to_atoms(result.atom_virial, 9);
        if (request.centroid_virial) shells_.to_atoms(result.centroid_virial, 9);
    }
    if (is_mean && n_members > 1) qdml::average(results_, mean_);
    result_ = is_mean && n_members > 1 ? &mean_ : results_.data();
    n_computes_ += 1.0;
    n_ghosts_ += static_cast<double>(atom->nghost);
    n_complete_ += is_mean || with_spread ? 1.0 : 0.0;
}

void PairQdml::add_results()
{
    const int n_local = atom->nlocal;
    const int n_total = atom->nlocal + atom->nghost;
    const double unit = energy_unit_;
    // LAMMPS order xx yy zz xy xz yz (yx zx zy) of a row-major 3 x 3 tensor; six are symmetrised.
    constexpr int kRow[9] = {0, 4, 8, 1, 2, 5, 3, 6, 7};
    constexpr int kTransposed[6] = {0, 4, 8, 3, 6, 7};

    // Forces on ghosts go back to their owners by LAMMPS' reverse communication (newton on).
    double* const* f = atom->f;
    for (int i = 0; i < n_total; ++i) {
        for (int d = 0; d < 3; ++d) f[i][d] += unit * result_->force[3 * static_cast<std::size_t>(i) + d];
    }
    if (eflag_global) eng_vdwl += unit * result_->energy;
    if (vflag_global) {
        for (int v = 0; v < 6; ++v) virial[v] += 0.5 * unit * (result_->virial[kRow[v]] + result_->virial[kTransposed[v]]);
    }
    if (eflag_atom) {
        for (int i = 0; i < n_local; ++i) eatom[i] += unit * result_->atom_energy[static_cast<std::size_t>(i)];
    }
    if (vflag_atom) {
        for (int i = 0; i < n_total; ++i) {
            const double* w = &result_->atom_virial[9 * static_cast<std::size_t>(i)];
            for (int v = 0; v < 6; ++v) vatom[i][v] += 0.5 * unit * (w[kRow[v]] + w[kTransposed[v]]);
        }
    }
    if (cvflag_atom) {
        for (int i = 0; i < n_total; ++i) {
            const double* w = &result_->centroid_virial[9 * static_cast<std::size_t>(i)];
            for (int v = 0; v < 9; ++v) cvatom[i][v] += unit * w[kRow[v]];
        }
    }
}

void PairQdml::add_spread()
{
    const int n_local = atom->nlocal;
    const int n_members = active().size();
    const auto& factors = active().spread_factors();
    const auto& spread = force_spread_.compute(results_, n_local, n_local + atom->nghost);
    spread_.resize(static_cast<std::size_t>(std::max(1, n_local)));
    double most = 0.0;
    for (int i = 0; i < n_local; ++i) {
        spread_[static_cast<std::size_t>(i)] = energy_unit_ * factors.forces * spread[static_cast<std::size_t>(i)];
        most = std::max(most, spread_[static_cast<std::size_t>(i)]);
    }
    MPI_Allreduce(&most, &max_force_spread_, 1, MPI_DOUBLE, MPI_MAX, world);

    std::vector<double> energy(static_cast<std::size_t>(n_members));
    for (int m = 0; m < n_members; ++m) energy[static_cast<std::size_t>(m)] = results_[static_cast<std::size_t>(m)].energy;
    MPI_Allreduce(MPI_IN_PLACE, energy.data(), n_members, MPI_DOUBLE, MPI_SUM, world);
    double mean = 0.0, squares = 0.0;
    for (const double e : energy) mean += e / n_members;
    for (const double e : energy) squares += (e - mean) * (e - mean) / n_members;
    energy_spread_ = energy_unit_ * factors.energy * std::sqrt(squares);
    // compute pair adds pvector up over the ranks
    spread_values_[0] = comm->me == 0 ? max_force_spread_ : 0.0;
    spread_values_[1] = comm->me == 0 ? energy_spread_ : 0.0;
}

int PairQdml::pack_forward_comm(int n, int* list, double* buf, int /*pbc_flag*/, int* /*pbc*/)
{
    return exchange_.pack(n, list, buf);
}

void PairQdml::unpack_forward_comm(int n, int first, double* buf) { exchange_.unpack(n, first, buf); }

int PairQdml::pack_reverse_comm(int n, int first, double* buf) { return force_spread_.pack(n, first, buf); }

void PairQdml::unpack_reverse_comm(int n, int* list, double* buf) { force_spread_.unpack(n, list, buf); }
