// SPDX-License-Identifier: GPL-2.0-only
/// Input, checks, compute and output of `pair_style qdml`.

#include "pair_qdml.h"

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "exceptions.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <cstring>
#include <new>

#ifdef _OPENMP
#include <omp.h>
#endif

using namespace LAMMPS_NS;

namespace {

std::string join(const std::vector<std::string>& words)
{
    std::string text;
    for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
    return text;
}

}  // namespace

PairQdml::PairQdml(LAMMPS* lmp) : Pair(lmp), exchange_(comm, this)
{
    single_enable = 0;
    restartinfo = 0;  // the potential is a file: pair_style and pair_coeff are repeated after read_restart
    writedata = 0;
    one_coeff = 1;
    manybody_flag = 1;
    respa_enable = 0;
    unit_convert_flag = utils::get_supported_conversions(utils::ENERGY);
    // The virial comes from the engine, edge by edge; F.r over ghosts would count it a second time.
    no_virial_fdotr_compute = 1;
    // Sharing an edge half and half between its atoms is no centroid virial for a message-passing energy.
    centroidstressflag = CENTROID_NOTAVAIL;
}

PairQdml::~PairQdml()
{
    if (copymode) return;
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
    auto precision = qdml::Precision::mixed;
    for (int k = 0; k < narg; k += 2) {
        if (std::strcmp(arg[k], "precision") != 0) {
            error->all(FLERR, "pair_style qdml: unknown keyword '{}'; the only one is: precision mixed|double", arg[k]);
        }
        if (k + 1 >= narg) error->all(FLERR, "pair_style qdml: 'precision' needs a value, mixed or double");
        if (std::strcmp(arg[k + 1], "mixed") == 0) {
            precision = qdml::Precision::mixed;
        } else if (std::strcmp(arg[k + 1], "double") == 0) {
            precision = qdml::Precision::float64;
        } else {
            error->all(FLERR, "pair_style qdml: precision '{}' is not known; use mixed or double", arg[k + 1]);
        }
    }

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

    // pair_style given again with the same potential: LAMMPS keeps the pair_coeff, so the file is read again.
    const bool reload = engine_ && precision != precision_;
    precision_ = precision;
    if (reload) load_engine(path_);
}

void PairQdml::agree_or_stop(const std::string& problem)
{
    // A file may be unreadable on one node only. All ranks learn of it, so none waits for the others.
    int mine = problem.empty() ? comm->nprocs : comm->me;
    int first = comm->nprocs;
    MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, world);
    if (first == comm->nprocs) return;
    int length = static_cast<int>(problem.size());
    MPI_Bcast(&length, 1, MPI_INT, first, world);
    std::string text(problem);
    text.resize(static_cast<std::size_t>(length));
    MPI_Bcast(text.data(), length, MPI_CHAR, first, world);
    error->all(FLERR, text);
}

void PairQdml::load_engine(const std::string& path)
{
    std::string problem;
    try {
        const std::string found = utils::get_potential_file_path(path);
        // A path that is not found still goes to the engine, whose message says why it cannot be opened.
        engine_ = std::make_unique<qdml::Engine>(found.empty() ? path : found, precision_);
    } catch (const qdml::Error& fault) {
        problem = fmt::format("pair_coeff qdml: {}", fault.what());
    } catch (const std::bad_alloc&) {
        problem = fmt::format("pair_coeff qdml: not enough memory to read {}", path);
    }
    agree_or_stop(problem);

    const std::string& hash = engine_->info().hash;
    std::string first = hash;
    MPI_Bcast(first.data(), static_cast<int>(first.size()), MPI_CHAR, 0, world);
    agree_or_stop(first == hash ? std::string()
                                : fmt::format("pair_coeff qdml: {} differs between nodes: rank 0 read a file with hash {}, "
                                              "rank {} one with hash {}; copy the same file to all nodes",
                                              path, first.substr(0, 12), comm->me, hash.substr(0, 12)));
    path_ = path;
    comm_forward = std::max(1, qdml_lammps::GhostExchange::doubles_per_row(engine_->max_exchange_width(), is_mixed()));
    run_was_printed_ = false;
    list_is_new_ = true;
}

void PairQdml::coeff(int narg, char** arg)
{
    if (!allocated) allocate();
    const int ntypes = atom->ntypes;
    if (narg < 4 || std::strcmp(arg[0], "*") != 0 || std::strcmp(arg[1], "*") != 0) {
        error->all(FLERR, "pair_coeff for qdml must read: pair_coeff * * FILE.qdml ELEMENT_1 ... ELEMENT_{}", ntypes);
    }
    if (narg != 3 + ntypes) {
        error->all(FLERR,
                   "pair_coeff qdml: found {} element name(s), expected {}, one for each atom type (the same element may be "
                   "repeated, NULL leaves a type to other pair styles)",
                   narg - 3, ntypes);
    }
    load_engine(arg[2]);

    const auto& species = engine_->info().species;
    for (int type = 1; type <= ntypes; ++type) {
        const std::string element = arg[2 + type];
        map[type] = -1;
        if (element == "NULL") continue;
        const auto place = std::find(species.begin(), species.end(), element);
        if (place == species.end()) {
            error->all(FLERR, "pair_coeff qdml: element '{}' of atom type {} is not in {}; its species are: {}", element, type,
                       arg[2], join(species));
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
    if (n_set == 0) error->all(FLERR, "pair_coeff qdml: all atom types are NULL; name at least one element of {}", arg[2]);
    print_model();
}

void PairQdml::init_style()
{
    if (!engine_) error->all(FLERR, "pair_style qdml: no potential; give pair_coeff * * FILE.qdml with the elements");
    if (force->newton_pair == 0) {
        error->all(FLERR,
                   "pair_style qdml needs newton pair on: put 'newton on' before the simulation box is created, and do not "
                   "use '-suffix gpu' or 'package gpu', which turn it off");
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
    neighbor->add_request(this, NeighConst::REQ_FULL);
    // LAMMPS sizes its buffers from the top-level pair style. A hybrid style asked its sub-styles before pair_coeff.
    if (force->pair) force->pair->comm_forward = std::max(force->pair->comm_forward, comm_forward);
    list_is_new_ = true;
}

void PairQdml::init_list(int id, NeighList* new_list)
{
    Pair::init_list(id, new_list);
    list_is_new_ = true;
}

double PairQdml::init_one(int /*i*/, int /*j*/) { return engine_->info().cutoff; }

void PairQdml::compute(int eflag, int vflag)
{
    ev_init(eflag, vflag);
    const int n_local = atom->nlocal;
    const int n_total = atom->nlocal + atom->nghost;

#ifdef _OPENMP
    // The plugin may have another OpenMP runtime than LAMMPS; both follow LAMMPS' number of threads.
    omp_set_num_threads(std::max(1, comm->nthreads));
#endif

    try {
        if (list_is_new_ || neighbor->ago == 0) {
            species_.resize(static_cast<std::size_t>(n_total));
            for (int i = 0; i < n_total; ++i) species_[i] = map[atom->type[i]];
            edges_.rebuild(*list, n_local, species_.data(), atom->x, atom->tag);
            list_is_new_ = false;
        }
        edges_.update(atom->x, engine_->info().cutoff);

        qdml::Graph graph;
        graph.n_local = n_local;
        graph.n_total = n_total;
        graph.species = species_.data();
        graph.row_start = edges_.row_start();
        graph.neighbor = edges_.neighbor();
        graph.edge_vector = edges_.edge_vector();
        qdml::Request request;
        request.atom_energy = eflag_atom != 0;
        request.atom_virial = vflag_atom != 0;
        // Every rank gets here in every step, also one without atoms: the exchanges inside are collective.
        exchange_.reset_counts();
        engine_->compute(graph, request, &exchange_, result_);
    } catch (const LAMMPSException&) {
        throw;  // raised by LAMMPS inside an exchange; it has its own message
    } catch (const qdml::Error& fault) {
        error->one(FLERR, "pair_style qdml ({}): {}", path_, fault.what());
    } catch (const std::bad_alloc&) {
        error->one(FLERR,
                   "pair_style qdml ({}): not enough memory for {} atoms, {} ghosts and {} edges on rank {} (about {:.0f} "
                   "MiB); use more ranks on more nodes",
                   path_, n_local, n_total - n_local, edges_.n_edges(), comm->me,
                   static_cast<double>(engine_->memory_estimate(n_local, n_total - n_local, edges_.n_edges())) / 1048576.0);
    }
    add_results();
    if (!run_was_printed_) print_run();
}

void PairQdml::add_results()
{
    const int n_local = atom->nlocal;
    const int n_total = atom->nlocal + atom->nghost;
    const double unit = energy_unit_;
    // LAMMPS order xx yy zz xy xz yz of a row-major 3 x 3 tensor, off-diagonals symmetrised.
    constexpr int kRow[6] = {0, 4, 8, 1, 2, 5};
    constexpr int kColumn[6] = {0, 4, 8, 3, 6, 7};

    // Forces on ghosts go back to their owners by LAMMPS' reverse communication (newton on).
    double* const* f = atom->f;
    for (int i = 0; i < n_total; ++i) {
        for (int d = 0; d < 3; ++d) f[i][d] += unit * result_.force[3 * static_cast<std::size_t>(i) + d];
    }
    if (eflag_global) eng_vdwl += unit * result_.energy;
    if (vflag_global) {
        for (int v = 0; v < 6; ++v) virial[v] += 0.5 * unit * (result_.virial[kRow[v]] + result_.virial[kColumn[v]]);
    }
    if (eflag_atom) {
        for (int i = 0; i < n_local; ++i) eatom[i] += unit * result_.atom_energy[i];
    }
    if (vflag_atom) {
        for (int i = 0; i < n_total; ++i) {
            const double* w = &result_.atom_virial[9 * static_cast<std::size_t>(i)];
            for (int v = 0; v < 6; ++v) vatom[i][v] += 0.5 * unit * (w[kRow[v]] + w[kColumn[v]]);
        }
    }
}

void PairQdml::print_model()
{
    if (comm->me != 0) return;
    const auto& info = engine_->info();
    std::string text = fmt::format("pair qdml: {} (hash {})\n", info.path, info.hash.substr(0, 12));
    text += fmt::format("  {}\n", info.architecture);
    text += "  types:";
    for (int type = 1; type <= atom->ntypes; ++type) {
        text += fmt::format(" {} = {}", type, map[type] < 0 ? "NULL" : info.species[map[type]]);
    }
    text += fmt::format("\n  precision {}, libqdml {}, {} rank(s) with {} thread(s) each\n", is_mixed() ? "mixed" : "double",
                        qdml::version(), comm->nprocs, comm->nthreads);
    utils::logmesg(lmp, text);
}

void PairQdml::print_run()
{
    run_was_printed_ = true;
    const int n_ghost = atom->nghost;
    const double mine[2] = {
        static_cast<double>(engine_->memory_estimate(atom->nlocal, n_ghost, edges_.n_edges())) + edges_.memory_bytes(),
        static_cast<double>(n_ghost)};
    double most[2] = {};
    MPI_Reduce(mine, most, 2, MPI_DOUBLE, MPI_MAX, 0, world);
    if (comm->me != 0) return;
    utils::logmesg(lmp, fmt::format("pair qdml: features go to ghosts layer by layer ({} communication), {} exchanges and {} "
                                    "bytes per ghost and step; at most {:.0f} ghosts and about {:.1f} MiB on a rank\n",
                                    comm->style == Comm::BRICK ? "brick" : "tiled", exchange_.n_exchanges(),
                                    exchange_.bytes_per_ghost(), most[1], most[0] / 1048576.0));
}

int PairQdml::pack_forward_comm(int n, int* list, double* buf, int /*pbc_flag*/, int* /*pbc*/)
{
    return exchange_.pack(n, list, buf);
}

void PairQdml::unpack_forward_comm(int n, int first, double* buf) { exchange_.unpack(n, first, buf); }

double PairQdml::memory_usage()
{
    double bytes = Pair::memory_usage() + edges_.memory_bytes();
    bytes += static_cast<double>(species_.capacity() * sizeof(int));
    bytes += static_cast<double>((result_.force.capacity() + result_.atom_energy.capacity() + result_.atom_virial.capacity()) *
                                 sizeof(double));
    if (engine_) {
        bytes += static_cast<double>(engine_->memory_estimate(atom->nlocal, atom->nghost, edges_.n_edges()));
    }
    return bytes;
}
