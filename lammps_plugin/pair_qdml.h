// SPDX-License-Identifier: GPL-2.0-only
/// `pair_style qdml [precision mixed|double]`, `pair_coeff * * model.qdml Cd Se Cl`: glue between LAMMPS and libqdml.
///
/// Metal units pass through; in real units energies are converted with LAMMPS' own factor. All mathematics is in libqdml.
#pragma once

#include "edge_list.h"
#include "ghost_exchange.h"
#include "pair.h"
#include "qdml/engine.hpp"

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
    double memory_usage() override;

    int pack_forward_comm(int n, int* list, double* buf, int pbc_flag, int* pbc) override;
    void unpack_forward_comm(int n, int first, double* buf) override;

private:
    void allocate();
    void load_engine(const std::string& path);
    void agree_or_stop(const std::string& problem);
    void print_model();
    void print_run();
    void add_results();
    bool is_mixed() const { return precision_ == qdml::Precision::mixed; }

    qdml::Precision precision_ = qdml::Precision::mixed;
    double energy_unit_ = 1.0;  ///< LAMMPS energy unit per eV
    std::unique_ptr<qdml::Engine> engine_;
    std::string path_;

    qdml_lammps::GhostExchange exchange_;
    qdml_lammps::EdgeList edges_;
    std::vector<int> species_;  ///< [n_total] model species, -1 for NULL types
    qdml::Result result_;

    bool list_is_new_ = true;    ///< the neighbour list was replaced since the last compute
    bool run_was_printed_ = false;  ///< exchange and memory figures are known after the first compute
};

}  // namespace LAMMPS_NS
