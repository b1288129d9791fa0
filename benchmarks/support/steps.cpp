// SPDX-License-Identifier: MIT
/// Time of one engine step from positions to forces, and whether it repeats bit by bit; or its difference from the CPU
/// engine in fp64 beside that of the CPU engine in the same precision. One JSON line.
///
///     qdml_steps cpu|gpu mixed|double MODEL N_ATOMS SECONDS|compare [CATION ANION zincblende|rocksalt LATTICE]
///
/// MODEL is a preset with random weights (fast, std, accurate: those of docs/training.md; accurate-l3: l_max 3 with 64
/// channels; small: for trying out), all with cutoff 6.9 Å, or the file of a potential. The crystal is that of
/// docs/benchmarks.md unless another is named: periodic zinc blende of Cd and Se, a = 6.05 Å, displaced by 0.15 Å. On a GPU a
/// step sends positions and makes its edges from a list with a skin of 1 Å that is new in every 20th step, with ghosts on
/// the card; on a CPU the list is made outside the time.
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <numeric>
#include <tuple>

#include "random_model.hpp"

using Clock = std::chrono::steady_clock;

namespace {

constexpr double kDisplacement = 0.15, kCutoff = 6.9, kSkin = 1.0;  // Å
constexpr int kStepsPerList = 20;

struct Crystal {
    const char *cation = "Cd", *anion = "Se";
    bool is_rocksalt = false;
    double lattice = 6.05;  ///< Å
};

/// Number of an element in the species of a potential.
int species_of(const qdml::Engine& engine, const char* element) {
    const auto& known = engine.info().species;
    const auto found = std::find(known.begin(), known.end(), element);
    if (found == known.end()) throw qdml::Error("value_invalid", std::string("the potential does not know ") + element);
    return static_cast<int>(found - known.begin());
}

/// At least n atoms in whole cells.
qdml_test::Structure crystal(int n, int cation, int anion, const Crystal& shape) {
    int repeat = 1;
    while (8 * repeat * repeat * repeat < n) ++repeat;
    const double site[4][3] = {{0, 0, 0}, {0, .5, .5}, {.5, 0, .5}, {.5, .5, 0}};
    const double lattice = shape.lattice, other = shape.is_rocksalt ? 0 : .25;
    const double shift[3] = {shape.is_rocksalt ? .5 : .25, other, other};
    std::mt19937 generator(1);
    std::normal_distribution<double> displaced(0.0, kDisplacement);
    qdml_test::Structure s;
    for (int c = 0; c < repeat * repeat * repeat; ++c) {
        const int at[3] = {c % repeat, c / repeat % repeat, c / repeat / repeat};
        for (int k = 0; k < 8; ++k) {
            for (int axis = 0; axis < 3; ++axis) {
                const double x = at[axis] + site[k % 4][axis] + (k < 4 ? 0 : shift[axis]);
                s.positions.push_back(lattice * x + displaced(generator));
            }
            s.species.push_back(k < 4 ? cation : anion);
        }
    }
    for (int k = 0; k < 9; ++k) s.cell[k] = k % 4 == 0 ? lattice * repeat : 0.0;
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

/// Positions to forces, in the way of the device.
class Stepper {
public:
    Stepper(qdml::Engine& engine, const qdml_test::Structure& s, bool on_gpu)
        : engine_(engine), s_(s), on_gpu_(on_gpu) {
        if (on_gpu) {
            ghosts_ = with_ghosts(s, engine.info().cutoff);
        } else {
            list_ = s.neighbors(engine.info().cutoff);
        }
    }
    void step(int number, qdml::Result& result) {
        qdml::Graph graph;
        graph.n_local = s_.n();
        if (on_gpu_) {
            graph.n_total = int(ghosts_.species.size());
            graph.species = ghosts_.species.data();
            graph.position = ghosts_.position.data();
            graph.owner = ghosts_.owner.data();
            graph.skin = kSkin;
            graph.list_number = number / kStepsPerList;
        } else {
            graph.n_total = s_.n();
            graph.species = s_.species.data();
            graph.row_start = list_.row_start.data();
            graph.neighbor = list_.neighbor.data();
            graph.edge_vector = list_.edge_vector.data();
        }
        engine_.compute(graph, {}, nullptr, result);
    }
    /// Forces of the atoms, with those on their images.
    std::vector<double> forces(const qdml::Result& result) const {
        const auto n = std::size_t(s_.n());
        std::vector<double> f(result.force.begin(), result.force.begin() + std::ptrdiff_t(3 * n));
        for (std::size_t g = 0; 3 * (n + g) < result.force.size(); ++g) {
            const auto owner = std::size_t(ghosts_.owner[g]);
            for (std::size_t axis = 0; axis < 3; ++axis) f[3 * owner + axis] += result.force[3 * (n + g) + axis];
        }
        return f;
    }

private:
    qdml::Engine& engine_;
    const qdml_test::Structure& s_;
    bool on_gpu_;
    WithGhosts ghosts_;
    qdml::NeighborList list_;
};

/// 1e300 stands for what is not finite.
double largest(const std::vector<double>& values) {
    double most = 0;
    for (const double x : values) most = std::isfinite(x) ? std::max(most, std::fabs(x)) : 1e300;
    return most;
}

struct Difference {
    double force = 0, energy = 0;  ///< eV/Å, eV per atom
};

/// Largest differences of two steps, with a new list and with an old one, in which work is replayed.
Difference largest_difference(Stepper& stepper, int n, double energy, const std::vector<double>& force) {
    Difference most;
    qdml::Result found;
    for (int number = 0; number < 2; ++number) {
        stepper.step(number, found);
        auto difference = stepper.forces(found);
        for (std::size_t k = 0; k < difference.size(); ++k) difference[k] -= force[k];
        most.force = std::max(most.force, largest(difference));
        most.energy = std::max(most.energy, largest({(found.energy - energy) / n}));
    }
    return most;
}

/// Against the CPU in fp64, and beside that the CPU in this precision.
void compare(Stepper& stepper, const qdml_test::Structure& s, const std::string& path, qdml::Precision precision) {
    const qdml::DeviceChoice cpu = {qdml::Device::cpu, 0};
    qdml::Engine reference(path, qdml::Precision::float64, cpu), same(path, precision, cpu);
    Stepper reference_stepper(reference, s, false), same_stepper(same, s, false);
    qdml::Result expected;
    reference_stepper.step(0, expected);
    const auto force = reference_stepper.forces(expected);
    const Difference found = largest_difference(stepper, s.n(), expected.energy, force);
    const Difference on_cpu = largest_difference(same_stepper, s.n(), expected.energy, force);
    std::printf("\"largest_force\": %.6g, \"force_difference\": %.3g, \"energy_difference_per_atom\": %.3g, "
                "\"cpu_force_difference\": %.3g, \"cpu_energy_difference_per_atom\": %.3g}\n",
                largest(force), found.force, found.energy, on_cpu.force, on_cpu.energy);
}

void time_steps(const qdml::Engine& engine, Stepper& stepper, int n, double seconds) {
    qdml::Result result;
    stepper.step(0, result);
    const double first_energy = result.energy;
    const auto first_force = result.force;
    bool repeats = true;
    std::vector<double> times;
    const auto start = Clock::now();
    for (int number = 1; times.size() < 3 || std::chrono::duration<double>(Clock::now() - start).count() < seconds;
         ++number) {
        const auto begin = Clock::now();
        stepper.step(number, result);
        times.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
        repeats = repeats && result.energy == first_energy && result.force == first_force;
    }
    const double mean = std::accumulate(times.begin(), times.end(), 0.0) / double(times.size());
    std::sort(times.begin(), times.end());
    std::printf("\"steps\": %zu, \"median_us_per_atom\": %.5f, \"mean_us_per_atom\": %.5f, \"memory_bytes\": %lld, "
                "\"repeats\": %s}\n",
                times.size(), 1e6 * times[times.size() / 2] / n, 1e6 * mean / n,
                static_cast<long long>(engine.memory_allocated()), repeats ? "true" : "false");
}

/// Preset or small potential with random weights; false for the file of a potential.
bool random_options(const std::string& model, qdml_test::Options& o) {
    const std::map<std::string, std::tuple<int, int, int>> presets = {
        {"fast", {1, 32, 3}},        {"std", {2, 64, 3}},   {"accurate", {3, 32, 4}},
        {"accurate-l3", {3, 64, 4}}, {"small", {1, 16, 2}},
    };
    const auto found = presets.find(model);
    if (found == presets.end()) return false;
    std::tie(o.l_max, o.channels, o.layers) = found->second;
    o.message_channels = o.channels;
    o.cutoff = kCutoff;
    o.knots = 64;
    o.readout = {16};
    o.zbl = false;
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 6 && argc != 10) {
        std::fprintf(stderr,
                     "usage: qdml_steps cpu|gpu mixed|double fast|std|accurate|accurate-l3|small|FILE N_ATOMS "
                     "SECONDS|compare [CATION ANION zincblende|rocksalt LATTICE]\n");
        return 2;
    }
    const bool on_gpu = std::strcmp(argv[1], "gpu") == 0;
    const auto precision = std::strcmp(argv[2], "double") == 0 ? qdml::Precision::float64 : qdml::Precision::mixed;
    const qdml_test::TemporaryFile file("steps.qdml");
    qdml_test::Options o;
    const bool is_random = random_options(argv[3], o);
    if (is_random) qdml_test::write_random_model(file.path, o);
    const std::string path = is_random ? file.path : argv[3];
    Crystal c;
    if (argc == 10) c = {argv[6], argv[7], std::strcmp(argv[8], "rocksalt") == 0, std::atof(argv[9])};
    try {
        const qdml::DeviceChoice choice = {on_gpu ? qdml::Device::gpu : qdml::Device::cpu, 0};
        qdml::Engine engine(path, precision, choice);
        const int cation = species_of(engine, c.cation), anion = species_of(engine, c.anion);
        const auto s = crystal(std::atoi(argv[4]), cation, anion, c);
        const auto part = crystal(std::min(1000, s.n()), cation, anion, c);  // enough for a mean
        const double neighbours = double(part.neighbors(engine.info().cutoff).neighbor.size()) / part.n();
        Stepper stepper(engine, s, on_gpu);
        std::printf("{\"device\": \"%s\", \"precision\": \"%s\", \"model\": \"%s\", \"atoms\": %d, "
                    "\"neighbours\": %.2f, ",
                    engine.info().device.c_str(), argv[2], argv[3], s.n(), neighbours);
        if (std::strcmp(argv[5], "compare") == 0) {
            compare(stepper, s, path, precision);
        } else {
            time_steps(engine, stepper, s.n(), std::atof(argv[5]));
        }
    } catch (const qdml::Error& error) {
        std::fprintf(stderr, "%s: %s\n", error.code().c_str(), error.what());
        return 1;
    }
    return 0;
}
