// SPDX-License-Identifier: GPL-2.0-only
/// Input and checks of `pair_style qdml`.

#include "pair_qdml.h"

#include "atom.h"
#include "comm.h"
#include "device_memory.h"
#include "error.h"
#include "force.h"
#include "local_rank.h"
#include "memory.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <cstring>
#include <new>

using namespace LAMMPS_NS;

namespace {

constexpr double kMebibyte = 1048576.0;

bool is_potential(const std::string& word)
{
    const std::string ending = ".qdml";
    return word.size() > ending.size() && word.compare(word.size() - ending.size(), ending.size(), ending) == 0;
}

}  // namespace

PairQdml::PairQdml(LAMMPS* lmp) : Pair(lmp), exchange_(comm, this, world), force_spread_(comm, this)
{
    single_enable = 0;
    restartinfo = 1;
    writedata = 0;
    one_coeff = 1;
    manybody_flag = 1;
    respa_enable = 0;
    unit_convert_flag = utils::get_supported_conversions(utils::ENERGY);
    // The virial comes from the engine, edge by edge; F.r over ghosts would count it a second time.
    no_virial_fdotr_compute = 1;
    centroidstressflag = CENTROID_AVAIL;
}

PairQdml::~PairQdml()
{
    if (copymode) return;
    take_back_ghosts();
    if (allocated) {
        memory->destroy(setflag);
        memory->destroy(cutsq);
    }
}

void PairQdml::allocate()
{
    allocated = 1;
    const int n = atom->ntypes;
    memory->create(setflag, n + 1, n + 1, "pair:setflag");
    memory->create(cutsq, n + 1, n + 1, "pair:cutsq");
    map = new int[n + 1];  // freed by Pair
    for (int i = 1; i <= n; ++i) {
        map[i] = -1;
        for (int j = 1; j <= n; ++j) setflag[i][j] = 0;
    }
}

void PairQdml::settings(int narg, char** arg)
{
    qdml_lammps::Settings settings;
    try {
        settings = qdml_lammps::read_settings(std::vector<std::string>(arg, arg + narg));
    } catch (const qdml::Error& fault) {
        error->all(FLERR, fmt::format("pair_style qdml: {}", fault.what()));
    }
    use_settings(settings);
    // pair_style given again with the same potential: LAMMPS keeps the pair_coeff, so the file is read again.
    if (committee_) load(paths_);
}

void PairQdml::use_settings(const qdml_lammps::Settings& settings)
{
    if (std::strcmp(update->unit_style, "metal") == 0) {
        energy_unit_ = 1.0;
    } else if (std::strcmp(update->unit_style, "real") == 0) {
        energy_unit_ = utils::get_conversion_factor(utils::ENERGY, utils::METAL2REAL);
    } else {
        error->all(FLERR,
                   "pair_style qdml: units {} are not supported; put 'units metal' (eV) or 'units real' (kcal/mol) at "
                   "the top of the input",
                   update->unit_style);
    }
    settings_ = settings;
    exchange_.set_halo(settings.halo);
}

std::string PairQdml::agreed_problem(const std::string& problem)
{
    // A file may be unreadable on one node only. All ranks learn of it, so none waits for the others.
    int mine = problem.empty() ? comm->nprocs : comm->me;
    int first = comm->nprocs;
    MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, world);
    if (first == comm->nprocs) return "";
    int length = static_cast<int>(problem.size());
    MPI_Bcast(&length, 1, MPI_INT, first, world);
    std::string text(problem);
    text.resize(static_cast<std::size_t>(length));
    MPI_Bcast(text.data(), length, MPI_CHAR, first, world);
    return text;
}

void PairQdml::agree_or_stop(const std::string& problem)
{
    const std::string text = agreed_problem(problem);
    if (!text.empty()) error->all(FLERR, text);
}

std::string PairQdml::load_problem(const std::vector<std::string>& paths, qdml::Precision precision,
                                   std::unique_ptr<qdml::Committee>& committee)
{
    try {
        std::vector<std::string> found;
        for (const auto& path : paths) {
            // A path that is not found still goes to the engine, whose message says why it cannot be opened.
            const std::string place = utils::get_potential_file_path(path);
            found.push_back(place.empty() ? path : place);
        }
        committee = std::make_unique<qdml::Committee>(found, precision, qdml::DeviceChoice{settings_.used_device(), local_rank_});
        if (settings_.memory_mib > 0) committee->set_memory_limit(static_cast<std::int64_t>(settings_.memory_mib * kMebibyte));
    } catch (const qdml::Error& fault) {
        return fmt::format("pair_coeff qdml: {}", fault.what());
    } catch (const std::bad_alloc&) {
        return "pair_coeff qdml: not enough memory to read the potential";
    }
    return "";
}

void PairQdml::load(const std::vector<std::string>& paths)
{
    minimizer_.reset();
    local_rank_ = qdml_lammps::local_rank(world);
    agree_or_stop(load_problem(paths, settings_.precision, committee_));
    for (std::size_t k = 0; k < paths.size(); ++k) {
        const std::string& hash = file_info(k).hash;
        std::string first = hash;
        MPI_Bcast(first.data(), static_cast<int>(first.size()), MPI_CHAR, 0, world);
        agree_or_stop(first == hash ? std::string()
                                    : fmt::format("pair_coeff qdml: {} differs between nodes: rank 0 read a file with hash {}, "
                                                  "rank {} one with hash {}; copy the same file to all nodes",
                                                  paths[k], first.substr(0, 12), comm->me,
                                                  hash.substr(0, 12)));
    }
    paths_ = paths;
    const int on_gpu = committee_->info(0).device != "cpu" ? 1 : 0;
    MPI_Allreduce(&on_gpu, &ranks_on_gpu_, 1, MPI_INT, MPI_SUM, world);
    const int n_members = committee_->size();
    comm_forward = qdml_lammps::GhostExchange::kDoublesPerAtom;
    comm_reverse = qdml_lammps::ForceSpread::doubles_per_atom(n_members);
    nextra = n_members > 1 ? 2 : 0;
    pvector = n_members > 1 ? spread_values_ : nullptr;
    short_distances_.configure(settings_.extrapolation, committee_->distances_seen(), committee_->species());
    run_was_printed_ = false;
    list_is_new_ = true;
}

/// A file may hold several members; this is the first of them.
const qdml::ModelInfo& PairQdml::file_info(std::size_t file) const
{
    int member = 0;
    for (std::size_t k = 0; k < file; ++k) {
        do ++member;
        while (committee_->info(member).member > 0);
    }
    return committee_->info(member);
}

void PairQdml::coeff(int narg, char** arg)
{
    if (!allocated) allocate();
    const int ntypes = atom->ntypes;
    if (narg < 3 || std::strcmp(arg[0], "*") != 0 || std::strcmp(arg[1], "*") != 0) {
        error->all(FLERR, "pair_coeff for qdml must read: pair_coeff * * FILE.qdml ELEMENT_1 ... ELEMENT_{}", ntypes);
    }
    std::vector<std::string> paths, elements;
    for (int k = 2; k < narg; ++k) (is_potential(arg[k]) ? paths : elements).emplace_back(arg[k]);
    if (paths.empty()) {
        error->all(FLERR, "pair_coeff qdml: no potential among the arguments; its name must end in .qdml, found: {}",
                   utils::join_words(elements, " "));
    }
    if (static_cast<int>(elements.size()) != ntypes) {
        error->all(FLERR,
                   "pair_coeff qdml: found {} element name(s), expected {}, one for each atom type (the same element may be "
                   "repeated, NULL leaves a type to other pair styles)",
                   elements.size(), ntypes);
    }
    restart_problem_.clear();
    load(paths);
    map_types(elements);
    compare_with_restart();
    print_model();
}

void PairQdml::map_types(const std::vector<std::string>& elements)
{
    const int ntypes = atom->ntypes;
    const auto& species = committee_->species();
    for (int type = 1; type <= ntypes; ++type) {
        const std::string& element = elements[static_cast<std::size_t>(type) - 1];
        map[type] = -1;
        if (element == "NULL") continue;
        const auto place = std::find(species.begin(), species.end(), element);
        if (place == species.end()) {
            error->all(FLERR, "pair_coeff qdml: element '{}' of atom type {} is not in {}; its species are: {}", element, type,
                       paths_text(), utils::join_words(species, " "));
        }
        map[type] = static_cast<int>(place - species.begin());
    }
    int n_set = 0;
    for (int i = 1; i <= ntypes; ++i) {
        for (int j = 1; j <= ntypes; ++j) {
            setflag[i][j] = map[i] >= 0 && map[j] >= 0 ? 1 : 0;
            n_set += setflag[i][j];
        }
    }
    if (n_set == 0) {
        error->all(FLERR, "pair_coeff qdml: all atom types are NULL; name at least one element of {}", paths_text());
    }
}

void PairQdml::init_style()
{
    if (!restart_problem_.empty()) error->all(FLERR, restart_problem_);
    if (!committee_) error->all(FLERR, "pair_style qdml: no potential; give pair_coeff * * FILE.qdml with the elements");
    if (force->newton_pair == 0) {
        error->all(FLERR,
                   "pair_style qdml needs newton pair on: put 'newton on' before the simulation box is created, and do not "
                   "use '-suffix gpu' or 'package gpu', which turn it off");
    }
    if (atom->tag_enable == 0) {
        error->all(FLERR, "pair_style qdml needs atom IDs, because neighbours are summed in their order; remove 'atom_modify id no'");
    }
    if (atom->molecular != Atom::ATOMIC && atom->nbonds > 0) {
        for (int k = 1; k <= 3; ++k) {
            if (force->special_lj[k] == 0.0 && force->special_coul[k] == 0.0) {
                error->all(FLERR,
                           "pair_style qdml: special_bonds removes 1-{} neighbours of bonded atoms from the neighbour list; "
                           "use 'special_bonds lj/coul 1.0e-50 1.0e-50 1.0e-50', which keeps them",
                           k + 1);
            }
        }
    }
    choose_committee();
    choose_memory_of_messages();
    ask_for_ghosts();
    sends_positions_ = can_send_positions();
    if (!sends_positions_) neighbor->add_request(this, NeighConst::REQ_FULL | (settings_.is_wide() ? NeighConst::REQ_GHOST : 0));
    // LAMMPS sizes its buffers from the top-level pair style. A hybrid style asked its sub-styles before pair_coeff.
    if (force->pair) {
        force->pair->comm_forward = std::max(force->pair->comm_forward, comm_forward);
        force->pair->comm_reverse = std::max(force->pair->comm_reverse, comm_reverse);
    }
    list_is_new_ = true;
    reset_run_counts();
}

/// In mixed precision the energy of 64 atoms is uncertain by some 1e-7 eV, as much as a line search near a minimum gains: it
/// would end early with "linesearch alpha is zero". Minimisations therefore run in fp64, about twice as long per step.
void PairQdml::choose_committee()
{
    const bool is_minimisation = update->whichflag == 2;
    if (!is_minimisation || !settings_.is_mixed() || !settings_.minimize_in_double) {
        minimizer_.reset();
        return;
    }
    if (minimizer_) return;
    std::string problem = load_problem(paths_, qdml::Precision::float64, minimizer_);
    for (int m = 0; problem.empty() && m < committee_->size(); ++m) {
        if (m < minimizer_->size() && minimizer_->info(m).hash == committee_->info(m).hash) continue;
        problem = fmt::format("pair_style qdml: {} has changed since pair_coeff read it: its hash was {}, now it is {}; give pair_coeff "
                              "again",
                              committee_->info(m).path, committee_->info(m).hash,
                              m < minimizer_->size() ? minimizer_->info(m).hash : "another");
    }
    agree_or_stop(problem);
    if (comm->me == 0) {
        utils::logmesg(lmp, "pair qdml: this minimisation runs in double precision ('minimize mixed' in pair_style does not)\n");
    }
}

/// Features go to MPI from the GPU's memory where that was asked for and can be.
void PairQdml::choose_memory_of_messages()
{
    std::string problem;
    if (settings_.mpi_from_device && ranks_on_gpu_ < comm->nprocs) {
        problem = fmt::format("pair_style qdml: mpi device needs a GPU on every rank, found one on {} of {}; use 'mpi host'",
                              ranks_on_gpu_, comm->nprocs);
    } else if (settings_.mpi_from_device && !qdml_lammps::mpi_takes_device_memory()) {
        problem = "pair_style qdml: mpi device needs an MPI that takes addresses on a GPU, which this one does not say of itself; "
                  "use 'mpi host', or set QDML_MPI_DEVICE_MEMORY=1 if it does";
    }
    agree_or_stop(problem);
    exchange_.set_device_memory(settings_.mpi_from_device);
}

/// Å: how far the energies of this rank's atoms reach.
double PairQdml::shell_width() const
{
    double widest = 0.0;
    for (int m = 0; m < committee_->size(); ++m) {
        widest = std::max(widest, committee_->info(m).n_layers * committee_->info(m).cutoff);
    }
    return widest;
}

/// Layers of the deepest member, which is also the number of shells.
int PairQdml::n_shells() const
{
    int most = 0;
    for (int m = 0; m < committee_->size(); ++m) most = std::max(most, committee_->info(m).n_layers);
    return most;
}

/// LAMMPS' ghosts reach one cutoff; a wide shell asks for more, as `comm_modify cutoff` would.
void PairQdml::ask_for_ghosts()
{
    take_back_ghosts();
    if (!settings_.is_wide()) return;
    if (comm->mode != Comm::SINGLE) {
        error->all(FLERR, "pair_style qdml: exchange wide needs one ghost cutoff for all atoms; use 'comm_modify mode single'");
    }
    ghost_cutoff_before_ = comm->cutghostuser;
    ghost_cutoff_ = std::max(comm->cutghostuser, shell_width() + neighbor->skin);
    comm->cutghostuser = ghost_cutoff_;
}

/// What was asked for, unless the input has changed it since.
void PairQdml::take_back_ghosts()
{
    if (ghost_cutoff_ > 0 && comm->cutghostuser == ghost_cutoff_) comm->cutghostuser = ghost_cutoff_before_;
    ghost_cutoff_ = 0.0;
}

/// The engine sees positions only: pairs that LAMMPS leaves out of its lists for reasons of its own would come back.
bool PairQdml::can_send_positions()
{
    // `exclude` itself is set after the pair styles have been asked
    const bool thinned = neighbor->nex_type > 0 || neighbor->nex_group > 0 || neighbor->nex_mol > 0;
    const bool here = active().makes_lists() && !thinned;
    int mine = here ? 1 : 0, all = 0;
    MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, world);
    return all == 1;
}

void PairQdml::init_list(int id, NeighList* new_list)
{
    Pair::init_list(id, new_list);
    list_is_new_ = true;
}

double PairQdml::init_one(int /*i*/, int /*j*/) { return committee_->cutoff(); }
