// SPDX-License-Identifier: MIT
/// Time of one engine step from positions to forces, and whether it repeats bit by bit: one JSON line.
///
///     qdml_steps cpu|gpu mixed|double MODEL N_ATOMS SECONDS
///
/// MODEL is std (l_max 2, 64 channels, 3 layers), fast (l_max 1), small (for trying out), all with cutoff 6.9 Å, or the
/// file of a potential that knows Cd and Se. The crystal is that of docs/benchmarks.md: periodic zinc blende, a = 6.05 Å,
/// displaced by 0.15 Å. On a GPU a step sends positions and makes its edges from a list with a skin of 1 Å that is new in
/// every 20th step, with ghosts on the card; on a CPU the list is made outside the time.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <numeric>
#include <tuple>

#include "random_model.hpp"

using Clock = std::chrono::steady_clock;

namespace {

constexpr double kLattice = 6.05, kDisplacement = 0.15, kCutoff = 6.9, kSkin = 1.0;  // Å
constexpr int kStepsPerList = 20;

/// Number of an element in the species of a potential.
int species_of(const qdml::Engine& engine, const char* element) {
    const auto& known = engine.info().species;
    const auto found = std::find(known.begin(), known.end(), element);
    if (found == known.end()) throw qdml::Error("value_invalid", std::string("the potential does not know ") + element);
    return static_cast<int>(found - known.begin());
}

/// At least n atoms in whole cells.
qdml_test::Structure crystal(int n, int cation, int anion) {
    int repeat = 1;
    while (8 * repeat * repeat * repeat < n) ++repeat;
    const double site[8][3] = {{0, 0, 0},          {0, .5, .5},         {.5, 0, .5},         {.5, .5, 0},
                               {.25, .25, .25}, {.25, .75, .75}, {.75, .25, .75}, {.75, .75, .25}};
    std::mt19937 generator(1);
    std::normal_distribution<double> displaced(0.0, kDisplacement);
    qdml_test::Structure s;
    for (int c = 0; c < repeat * repeat * repeat; ++c) {
        const int at[3] = {c % repeat, c / repeat % repeat, c / repeat / repeat};
        for (int k = 0; k < 8; ++k) {
            for (int axis = 0; axis < 3; ++axis) {
                s.positions.push_back(kLattice * (at[axis] + site[k][axis]) + displaced(generator));
            }
            s.species.push_back(k < 4 ? cation : anion);
        }
    }
    for (int k = 0; k < 9; ++k) s.cell[k] = k % 4 == 0 ? kLattice * repeat : 0.0;
    return s;
}

/// The atoms with their images within cutoff and skin, as one rank of LAMMPS has them.
struct WithGhosts {
    std::vector<double> position;
    std::vector<int> species, owner;
};

WithGhosts with_ghosts(const qdml_test::Structure& s, double cutoff) {
    WithGhosts g = {s.positions, s.species, {}};
    const double reach = cutoff + kSkin, length = s.cell[0];
    const int images = int(reach / length) + 1;
    for (int c = 0; c < (2 * images + 1) * (2 * images + 1) * (2 * images + 1); ++c) {
        const int n = 2 * images + 1;
        const int shift[3] = {c % n - images, c / n % n - images, c / n / n - images};
        if (shift[0] == 0 && shift[1] == 0 && shift[2] == 0) continue;
        for (int i = 0; i < s.n(); ++i) {
            double x[3];
            bool near = true;
            for (int axis = 0; axis < 3; ++axis) {
                x[axis] = s.positions[std::size_t(3 * i + axis)] + shift[axis] * length;
                near = near && x[axis] > -reach - 1 && x[axis] < length + reach + 1;
            }
            if (!near) continue;
            g.position.insert(g.position.end(), x, x + 3);
            g.species.push_back(s.species[std::size_t(i)]);
            g.owner.push_back(i);
        }
    }
    return g;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 6) {
        std::fprintf(stderr, "usage: qdml_steps cpu|gpu mixed|double std|fast|small|FILE N_ATOMS SECONDS\n");
        return 2;
    }
    const std::string model = argv[3];
    const bool on_gpu = std::strcmp(argv[1], "gpu") == 0, small = model == "small";
    const bool is_random = small || model == "std" || model == "fast";
    const auto precision = std::strcmp(argv[2], "double") == 0 ? qdml::Precision::float64 : qdml::Precision::mixed;
    const double seconds = std::atof(argv[5]);
    qdml_test::Options o;
    o.l_max = model == "std" ? 2 : 1;
    o.channels = o.message_channels = small ? 16 : 64;
    o.layers = small ? 2 : 3;
    o.cutoff = kCutoff;
    o.knots = 64;
    o.readout = {16};
    o.zbl = false;
    const qdml_test::TemporaryFile file("steps.qdml");
    if (is_random) qdml_test::write_random_model(file.path, o);
    try {
        const qdml::DeviceChoice choice = {on_gpu ? qdml::Device::gpu : qdml::Device::cpu, 0};
        qdml::Engine engine(is_random ? file.path : model, precision, choice);
        const double cutoff = engine.info().cutoff;
        const auto s = crystal(std::atoi(argv[4]), species_of(engine, "Cd"), species_of(engine, "Se"));
        const auto ghosts = with_ghosts(s, cutoff);
        qdml::NeighborList list;
        if (!on_gpu) list = s.neighbors(cutoff);
        qdml::Result result;
        const auto step = [&](int number) {
            qdml::Graph graph;
            graph.n_local = s.n();
            if (on_gpu) {
                graph.n_total = int(ghosts.species.size());
                graph.species = ghosts.species.data();
                graph.position = ghosts.position.data();
                graph.owner = ghosts.owner.data();
                graph.skin = kSkin;
                graph.list_number = number / kStepsPerList;
            } else {
                graph.n_total = s.n();
                graph.species = s.species.data();
                graph.row_start = list.row_start.data();
                graph.neighbor = list.neighbor.data();
                graph.edge_vector = list.edge_vector.data();
            }
            engine.compute(graph, {}, nullptr, result);
        };
        step(0);
        const double first_energy = result.energy;
        const auto first_force = result.force;
        bool repeats = true;
        std::vector<double> times;
        const auto start = Clock::now();
        for (int number = 1; times.size() < 3 || std::chrono::duration<double>(Clock::now() - start).count() < seconds;
             ++number) {
            const auto begin = Clock::now();
            step(number);
            times.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
            repeats = repeats && result.energy == first_energy && result.force == first_force;
        }
        const double mean = std::accumulate(times.begin(), times.end(), 0.0) / double(times.size());
        std::sort(times.begin(), times.end());
        std::printf("{\"device\": \"%s\", \"precision\": \"%s\", \"model\": \"%s\", \"atoms\": %d, \"steps\": %zu, "
                    "\"median_us_per_atom\": %.4f, \"mean_us_per_atom\": %.4f, \"memory_bytes\": %lld, \"repeats\": %s}\n",
                    engine.info().device.c_str(), argv[2], argv[3], s.n(), times.size(),
                    1e6 * times[times.size() / 2] / s.n(), 1e6 * mean / s.n(),
                    static_cast<long long>(engine.memory_allocated()), repeats ? "true" : "false");
    } catch (const qdml::Error& error) {
        std::fprintf(stderr, "%s: %s\n", error.code().c_str(), error.what());
        return 1;
    }
    return 0;
}
