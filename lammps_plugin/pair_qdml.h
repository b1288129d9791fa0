// SPDX-License-Identifier: GPL-2.0-only
/// `pair_style qdml [keyword value ...]`, `pair_coeff * * model.qdml [...] Cd Se Cl`: glue between LAMMPS and libqdml.
///
/// Metal units pass through; in real units energies are converted with LAMMPS' own factor. All mathematics is in libqdml.
/// pair_qdml.cpp: input and checks; pair_qdml_compute.cpp: the steps; pair_qdml_output.cpp: messages and extract; pair_qdml_restart.cpp: restart files.
#pragma once

#include "edge_list.h"
#include "force_spread.h"
#include "ghost_exchange.h"
#include "pair.h"
#include "qdml/committee.hpp"
#include "settings.h"
#include "shells.h"
#include "short_distances.h"

#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

class PairQdml : public Pair {
public:
    explicit PairQdml(class LAMMPS* lmp);
    ~PairQdml() override;

    void settings(int narg, char** arg) override;
    void coeff(int narg, char** arg) override;
    void init_style() override;
    double init_one(int i, int j) override;
    void init_list(int id, class NeighList* list) override;
    void compute(int eflag, int vflag) override;
    void finish() override;
    double memory_usage() override;

    void* extract(const char* name, int& dim) override;
    void* extract_peratom(const char* name, int& n_columns) override;

    void write_restart(FILE* file) override;
    void read_restart(FILE* file) override;
    void write_restart_settings(FILE* file) override;
    void read_restart_settings(FILE* file) override;

    int pack_forward_comm(int n, int* list, double* buf, int pbc_flag, int* pbc) override;
    void unpack_forward_comm(int n, int first, double* buf) override;
    int pack_reverse_comm(int n, int first, double* buf) override;
    void unpack_reverse_comm(int n, int* list, double* buf) override;

private:
    void allocate();
    void use_settings(const qdml_lammps::Settings& settings);
    void load(const std::vector<std::string>& paths);
    void map_types(const std::vector<std::string>& elements);
    void agree_or_stop(const std::string& problem);
    std::string agreed_problem(const std::string& problem);
    std::string load_problem(const std::vector<std::string>& paths, qdml::Precision precision,
                             std::unique_ptr<qdml::Committee>& committee);
    void choose_committee();
    void choose_memory_of_messages();
    qdml::Committee& active() { return minimizer_ ? *minimizer_ : *committee_; }
    std::string paths_text() const;
    bool can_send_positions();
    double shell_width() const;
    int n_shells() const;
    void ask_for_ghosts();
    void take_back_ghosts();
    void update_graph();
    qdml::Graph make_graph();
    void use_shells(qdml::Graph& graph);
    std::vector<char> ghosts_in_reach() const;
    void check_distances();
    bool spread_is_due() const;
    void evaluate(const qdml::Graph& graph, bool with_spread);
    const qdml::ModelInfo& file_info(std::size_t file) const;
    void add_results();
    void add_spread();

    std::string device_text() const;
    void print_model();
    double work_memory() const;
    double needed_memory() const;
    std::string atoms_of_layers() const;
    void print_run();
    void reset_run_counts();

    void compare_with_restart();

    qdml_lammps::Settings settings_;
    double energy_unit_ = 1.0;  ///< LAMMPS energy unit per eV
    std::unique_ptr<qdml::Committee> committee_;
    std::unique_ptr<qdml::Committee> minimizer_;  ///< the same files in fp64, while a minimisation runs
    std::vector<std::string> paths_;  ///< as in pair_coeff
    int local_rank_ = 0;    ///< of this process on its node
    int ranks_on_gpu_ = 0;  ///< under `device auto` some nodes may have none

    qdml_lammps::GhostExchange exchange_;
    qdml_lammps::Shells shells_;  ///< under `exchange wide`
    qdml_lammps::EdgeList edges_;
    qdml_lammps::ShortDistances short_distances_;
    std::vector<int> species_;  ///< [n_total] model species, -1 for NULL types
    std::vector<int> row_species_;       ///< of the rows of the shells
    std::vector<double> row_position_;   ///< [rows][3], where centroid virials need it
    double ghost_cutoff_ = 0.0, ghost_cutoff_before_ = 0.0;  ///< Å asked of LAMMPS for a wide shell, and what the input said
    std::vector<qdml::Result> results_;  ///< of the members
    qdml::Result mean_;
    const qdml::Result* result_ = &mean_;  ///< what the atoms follow, of the last compute
    bool sends_positions_ = false;  ///< all ranks are on GPUs, which make their own lists
    std::int64_t list_number_ = 0;  ///< of LAMMPS' ghosts and sorting, for the engine's own list
    bool list_is_new_ = true;  ///< the neighbour list was replaced since the last compute

    // what extract and extract_peratom hand out, in LAMMPS units
    qdml_lammps::ForceSpread force_spread_;
    std::vector<double> spread_, nearest_, ratio_, atom_energy_;  ///< [n_local]
    double spread_values_[2] = {};  ///< largest force spread, energy spread; valid on rank 0 (pvector)
    double max_force_spread_ = 0.0, energy_spread_ = 0.0;  ///< the same on all ranks
    int trigger_force_spread_ = 0;  ///< set by fix pair for one step
    int trigger_other_ = 0;         ///< everything else is always at hand
    bool spread_every_step_ = false, spread_every_step_before_ = false;  ///< for a fix pair without trigger

    // of one run
    bool run_was_printed_ = false;  ///< exchange and memory figures are known after the first compute
    double n_computes_ = 0.0, n_complete_ = 0.0;  ///< evaluations, and those of all members
    double n_ghosts_ = 0.0;                       ///< of all evaluations

    // of a restart file that was read
    std::vector<std::string> restart_paths_, restart_hashes_;
    std::string restart_problem_;  ///< why its potential could not be used; pair_coeff clears it
};

}  // namespace LAMMPS_NS
