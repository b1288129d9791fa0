// SPDX-License-Identifier: GPL-2.0-only
/// Restart files of `pair_style qdml`: keywords, paths and content hashes of the potentials, element of each type.
///
/// The potential itself is not stored. A file that is missing or has changed is refused when a run starts; pair_coeff after
/// read_restart chooses another one. Sections are written and read by rank 0 only; pair_style hybrid stores the settings
/// section alone, so there pair_coeff is repeated.

#include "pair_qdml.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "utils.h"

#include <cstdio>

using namespace LAMMPS_NS;

namespace {

constexpr int kVersion = 3;          // of these sections
constexpr int kLongestText = 65536;  // no path or hash is longer: a larger number means a damaged file

/// The numbers of the settings section; arrays, because a struct would put undefined padding into the file.
enum Number { VERSION, PRECISION, MINIMIZE, HALO, FEATURES, EXTRAPOLATION, MEMBERS, EVERY, FILES, N_NUMBERS };

void write_text(FILE* file, const std::string& text)
{
    const int length = static_cast<int>(text.size());
    std::fwrite(&length, sizeof length, 1, file);
    std::fwrite(text.data(), 1, text.size(), file);
}

/// False when the file ends early or the length is impossible.
bool read_text(FILE* file, std::string& text)
{
    int length = 0;
    if (std::fread(&length, sizeof length, 1, file) != 1 || length < 0 || length > kLongestText) return false;
    text.resize(static_cast<std::size_t>(length));
    return std::fread(text.data(), 1, text.size(), file) == text.size();
}

void broadcast(std::vector<std::string>& texts, MPI_Comm world)
{
    int n = static_cast<int>(texts.size());
    MPI_Bcast(&n, 1, MPI_INT, 0, world);
    texts.resize(static_cast<std::size_t>(n));
    for (auto& text : texts) {
        int length = static_cast<int>(text.size());
        MPI_Bcast(&length, 1, MPI_INT, 0, world);
        text.resize(static_cast<std::size_t>(length));
        MPI_Bcast(text.data(), length, MPI_CHAR, 0, world);
    }
}

}  // namespace

void PairQdml::write_restart_settings(FILE* file)
{
    int numbers[N_NUMBERS] = {};
    numbers[VERSION] = kVersion;
    numbers[PRECISION] = static_cast<int>(settings_.precision);
    numbers[MINIMIZE] = settings_.minimize_in_double ? 1 : 0;
    numbers[HALO] = static_cast<int>(settings_.halo);
    numbers[FEATURES] = static_cast<int>(settings_.features);
    numbers[EXTRAPOLATION] = static_cast<int>(settings_.extrapolation);
    numbers[MEMBERS] = static_cast<int>(settings_.members);
    numbers[EVERY] = settings_.spread_every;
    numbers[FILES] = static_cast<int>(paths_.size());
    std::fwrite(numbers, sizeof(int), N_NUMBERS, file);
    std::fwrite(&settings_.memory_mib, sizeof(double), 1, file);
    for (std::size_t m = 0; m < paths_.size(); ++m) {
        write_text(file, paths_[m]);
        write_text(file, file_info(m).hash);
    }
}

void PairQdml::write_restart(FILE* file)
{
    write_restart_settings(file);
    for (int type = 1; type <= atom->ntypes; ++type) {
        const bool is_set = committee_ && map != nullptr && map[type] >= 0;
        write_text(file, is_set ? committee_->species()[static_cast<std::size_t>(map[type])] : "NULL");
    }
}

void PairQdml::read_restart_settings(FILE* file)
{
    int numbers[N_NUMBERS] = {};
    qdml_lammps::Settings settings;
    restart_paths_.clear();
    restart_hashes_.clear();
    std::string problem;
    if (comm->me == 0) {
        bool good = std::fread(numbers, sizeof(int), N_NUMBERS, file) == N_NUMBERS &&
                    std::fread(&settings.memory_mib, sizeof(double), 1, file) == 1;
        if (good && numbers[VERSION] != kVersion) {
            problem = fmt::format("pair_style qdml: the restart file was written by another version of qdml (section {}, this "
                                  "plugin reads {}); write_data with that version and read_data here",
                                  numbers[VERSION], kVersion);
        }
        for (int m = 0; problem.empty() && good && m < numbers[FILES]; ++m) {
            restart_paths_.emplace_back();
            restart_hashes_.emplace_back();
            good = read_text(file, restart_paths_.back()) && read_text(file, restart_hashes_.back());
        }
        if (!good) problem = "pair_style qdml: the restart file is damaged or ends early";
    }
    agree_or_stop(problem);
    MPI_Bcast(numbers, N_NUMBERS, MPI_INT, 0, world);
    MPI_Bcast(&settings.memory_mib, 1, MPI_DOUBLE, 0, world);
    broadcast(restart_paths_, world);
    broadcast(restart_hashes_, world);
    settings.precision = static_cast<qdml::Precision>(numbers[PRECISION]);
    settings.minimize_in_double = numbers[MINIMIZE] != 0;
    settings.halo = static_cast<qdml::Halo>(numbers[HALO]);
    settings.features = static_cast<qdml_lammps::Features>(numbers[FEATURES]);
    settings.extrapolation = static_cast<qdml_lammps::Extrapolation>(numbers[EXTRAPOLATION]);
    settings.members = static_cast<qdml_lammps::Members>(numbers[MEMBERS]);
    settings.spread_every = numbers[EVERY];
    use_settings(settings);
}

void PairQdml::read_restart(FILE* file)
{
    read_restart_settings(file);
    allocate();
    std::vector<std::string> elements;
    bool good = true;
    if (comm->me == 0) {
        for (int type = 1; good && type <= atom->ntypes; ++type) {
            elements.emplace_back();
            good = read_text(file, elements.back());
        }
    }
    agree_or_stop(good ? std::string() : "pair_style qdml: the restart file is damaged or ends early");
    broadcast(elements, world);
    if (restart_paths_.empty()) return;  // written before any pair_coeff

    // A missing or changed file is no reason to stop yet: pair_coeff may follow and name another one.
    restart_problem_ = agreed_problem(load_problem(restart_paths_, settings_.precision, committee_));
    if (restart_problem_.empty()) {
        for (std::size_t m = 0; m < restart_paths_.size() && restart_problem_.empty(); ++m) {
            const std::string& found = file_info(m).hash;
            if (found == restart_hashes_[m]) continue;
            restart_problem_ = fmt::format("pair_style qdml: {} has changed since the restart file was written: its hash is {}, the "
                                           "restart file names {}",
                                           restart_paths_[m], found, restart_hashes_[m]);
        }
        restart_problem_ = agreed_problem(restart_problem_);
    }
    if (!restart_problem_.empty()) {
        restart_problem_ += "; put the file back, or give pair_coeff * * FILE.qdml with the elements after read_restart";
        committee_.reset();
        // LAMMPS wants all pairs set before it asks init_style, which gives this message
        for (int i = 1; i <= atom->ntypes; ++i) {
            for (int j = 1; j <= atom->ntypes; ++j) setflag[i][j] = 1;
        }
        return;
    }
    load(restart_paths_);
    map_types(elements);
    print_model();
}

void PairQdml::compare_with_restart()
{
    for (std::size_t m = 0; comm->me == 0 && m < restart_hashes_.size(); ++m) {
        const bool is_member = m < paths_.size();
        const std::string found = is_member ? file_info(m).hash : std::string("none");
        if (found == restart_hashes_[m]) continue;
        error->warning(FLERR,
                       "pair_coeff qdml: another potential than in the restart file: {} has hash {}, the restart file names {} with "
                       "hash {}",
                       is_member ? paths_[m] : "(no file)", found, restart_paths_[m], restart_hashes_[m]);
    }
    restart_hashes_.clear();
}
