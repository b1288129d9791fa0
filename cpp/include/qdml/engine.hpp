// SPDX-License-Identifier: MIT
/// The public face of libqdml: load a `.qdml` potential, evaluate energies, forces and virials of a graph.
///
/// Units Å and eV, conventions in docs/conventions.md. Nothing here knows of Python or LAMMPS. All faults are
/// `qdml::Error` (never exit, abort or print). One Engine may be used by one thread at a time; it runs OpenMP inside.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace qdml {

/// A fault with a stable code and a message that says what to do. docs/file-format.md lists the codes of files;
/// beside them: `graph_invalid` (impossible input of compute), `request_unsupported` (Graph::shell on a GPU), `value_invalid` (of build_neighbor_list and
/// set_memory_limit), `memory_limit` (the work arrays do not fit into the bound set, or into the card), `isa_unavailable`
/// (environment variable QDML_ISA asks for kernels this processor lacks), `device_unavailable` (Device::gpu and what is
/// missing for it), `device_failed` (a call of the CUDA runtime failed), `species_differ` (members of a
/// committee, qdml/committee.hpp), `several_members` (Engine was given the file of a committee).
class Error : public std::runtime_error {
public:
    Error(std::string code, const std::string& message) : std::runtime_error(message), code_(std::move(code)) {}
    const std::string& code() const noexcept { return code_; }

private:
    std::string code_;
};

enum class Precision {
    mixed,    ///< fp64 displacements and totals, fp32 kernels
    float64,  ///< fp64 throughout: the reference
};

/// Where the work is done.
enum class Device {
    automatic,  ///< a GPU where one can be used, else the CPU
    cpu,
    gpu,
};

struct DeviceChoice {
    Device device = Device::cpu;
    int local_rank = 0;  ///< of this process on its node: picks card local_rank modulo their number; sharing is allowed
};

/// What the spread of a committee is multiplied by to be the error to expect.
struct SpreadFactors {
    double energy = 1.0;
    double forces = 1.0;
};

/// What a file says of itself; strings are copies.
struct ModelInfo {
    std::string path;
    int member = 0;  ///< place in a file of several members
    SpreadFactors spread_factors;  ///< of a file of several members; 1 where it does not say
    std::string hash;  ///< SHA-256 of the file's bytes, hexadecimal
    std::string metadata_json;  ///< the JSON document of the file, verbatim
    std::vector<std::string> species;  ///< chemical symbols, index = model species
    double cutoff = 0.0;  ///< Å
    /// [species][species] shortest distance in the training data, Å; 0: the file does not say.
    std::vector<double> distances_seen;
    int n_layers = 0;
    int message_channels = 0;
    std::string isa;  ///< instruction set of the CPU's kernels: baseline, avx2, avx512 or neon
    std::string device = "cpu";  ///< where the work is done: cpu, or the name of the card
    std::string architecture;  ///< one line for humans, e.g. "cartesian-summed, l_max 2, 32 channels, 3 layers, 5.5 Å"
};

/// One domain: local atoms 0..n_local-1, ghosts n_local..n_total-1, directed edges grouped by local center.
///
/// Arrays are owned by the caller and only read. Edges longer than the cutoff are allowed and skipped. The list must be
/// symmetric over the whole system (every edge's reverse is in the list of the rank that owns its center).
struct Graph {
    int n_local = 0;
    int n_total = 0;
    const int* species = nullptr;  ///< [n_total] model species; -1: not part of the model (must have no edges)
    const std::int64_t* row_start = nullptr;  ///< [n_local + 1] from 0 on, never decreasing
    const int* neighbor = nullptr;  ///< [n_edges] index into 0..n_total-1
    const double* edge_vector = nullptr;  ///< [n_edges][3] r_ij = x_j - x_i, Å
    /// [n_total][3] Å, for Request::centroid_virial and graphs without a list: every image is a ghost of its own,
    /// r_ij = x_j - x_i.
    const double* position = nullptr;

    /// Without a list (row_start null; needs Engine::makes_lists): all pairs of `position` closer than the cutoff are edges.
    /// They are found among pairs up to `skin` Å further, which are looked for when `list_number` is another than before: it
    /// must change with species, numbers and ghosts, and when an atom has moved more than half of `skin`.
    double skin = 0.0;
    std::int64_t list_number = 0;
    /// [n_total - n_local] local row whose features a ghost has, for a rank alone: then no Exchange is needed.
    const int* owner = nullptr;

    /// Shells instead of an Exchange, on a CPU: of the local atoms the first shell[0] have energies, and the first shell[k] are
    /// all atoms with a row that these reach over k edges. As many shells as the model has layers, or more; the atoms
    /// that the last of the shells reaches over one edge are there, too. Edges longer than the cutoff may count.
    const int* shell = nullptr;
    int n_shells = 0;
};

/// How the values of a row travel between ranks in mixed precision.
enum class Halo {
    full,   ///< as the kernels compute: fp32 (mixed) or fp64
    int16,  ///< the largest absolute value of the row as fp32, and integers of it / 32767; mixed precision only
};

/// A row of features on its way.
struct RowShape {
    int width = 0;  ///< values
    bool is_single = true;
    Halo halo = Halo::full;

    std::int64_t bytes() const noexcept {
        if (!is_single) return 8ll * width;
        return halo == Halo::int16 ? 4 + 2ll * width : 4ll * width;
    }
};

/// Which rows travel, by the rows of the graph. A ghost with neither an arrival nor an owner has no edges.
struct Routes {
    std::int64_t number = -1;  ///< another whenever anything below, or the neighbour list, is
    std::vector<int> sent;     ///< local rows in the order in which they leave; a row may leave several times
    int n_received = 0;        ///< rows that arrive
    std::vector<int> arrival;  ///< [n_total - n_local] the arrived row that a ghost gets, or -1
    std::vector<int> owner;    ///< [n_total - n_local] the local row of this rank that a ghost is an image of, or -1
};

/// How ghost rows get their owners' values between layers. Serial callers without ghosts pass none.
///
/// The engine packs the rows that leave, and evaluates what needs no ghosts of other ranks while they travel.
class Exchange {
public:
    virtual ~Exchange() = default;
    virtual const Routes& routes() const = 0;
    virtual Halo halo() const { return Halo::full; }
    /// May start() be given device memory? A GPU then packs and unpacks without the host.
    virtual bool takes_device_memory() const { return false; }
    /// Send the packed rows routes().sent and receive routes().n_received others; both arrays stay as they are until
    /// finish() returns. Called the same number of times, with the same rows and in the same order on every rank, also
    /// on ranks without atoms or edges.
    virtual void start(const void* sent, void* received, const RowShape& row) = 0;
    /// Called now and then while rows travel, by the thread that called compute: many a transport moves only when asked.
    virtual void progress() {}
    virtual void finish() = 0;
};

/// What to compute beyond energy, forces and virial; the same on every rank, because exchanges depend on it.
struct Request {
    bool atom_energy = false;
    bool atom_virial = false;
    /// The virial of each atom that belongs to the heat flux; costs three more backward passes, with their exchanges.
    bool centroid_virial = false;
    /// The closest neighbour of each species; only where Engine::makes_lists, whose caller has no edges to look at.
    bool nearest = false;
};

/// Results; vectors are resized by compute and reused between calls.
struct Result {
    double energy = 0.0;  ///< of the local atoms with energies, eV
    double virial[9] = {};  ///< W row-major, eV: the edges found by this rank
    std::vector<double> force;  ///< [n_total][3]; rows of ghosts belong to their owners (caller adds them up)
    std::vector<double> atom_energy;  ///< [n_local], 0 for local atoms without energy (Graph::shell)
    std::vector<double> atom_virial;  ///< [n_total][9], sums to virial
    std::vector<double> nearest_distance;  ///< [n_local][species] Å, to the digits of the kernels; 0: none within the cutoff
    std::vector<int> nearest_row;          ///< [n_local][species] row of that neighbour
    /// [n_total][9] Σ_k (x_k - x_i) ⊗ ∂E_k/∂x_i, row-major, eV; sums to virial (docs/conventions.md).
    std::vector<double> centroid_virial;
};

class Engine {
public:
    /// Memory-map, check and load a file; throws Error naming file, tensor, found and expected.
    /// Device::gpu throws `device_unavailable` where Device::automatic takes the CPU.
    explicit Engine(const std::string& path, Precision precision = Precision::mixed, const DeviceChoice& choice = {});
    ~Engine();
    Engine(Engine&&) noexcept;
    Engine& operator=(Engine&&) noexcept;

    const ModelInfo& info() const noexcept;
    Precision precision() const noexcept;

    /// Largest width of the rows of an Exchange, values.
    int max_exchange_width() const noexcept;
    /// Estimated bytes of all work arrays for so many local atoms, ghosts and edges, under the limit that is set;
    /// centroid_virial doubles them. Weights and the caller's Graph and Result are not counted.
    std::int64_t memory_estimate(std::int64_t n_local, std::int64_t n_ghost, std::int64_t n_edges) const noexcept;
    /// Bytes of the work arrays as they are allocated now.
    std::int64_t memory_allocated() const noexcept;

    /// Bound the work arrays of this engine to `bytes`; 0, the default, is no bound. Arrays over edges are then made for as
    /// many rows at a time as fit and made again in every pass over a layer (slower); node and message features of all
    /// atoms stay. A bound too small for those is Error `memory_limit` in compute, with the bytes needed. The numbers
    /// change by rounding of the sums of forces only. Throws Error (`value_invalid`) for a negative number.
    void set_memory_limit(std::int64_t bytes);
    std::int64_t memory_limit() const noexcept;

    /// Whether compute takes graphs without a list and with owners of ghosts; on a GPU it does.
    bool makes_lists() const noexcept;

    /// Evaluate. `exchange` may be null only when n_total == n_local on every rank, or with Graph::owner or Graph::shell.
    /// Bitwise the same for any number of threads.
    void compute(const Graph& graph, const Request& request, Exchange* exchange, Result& result);

private:
    friend class Committee;  // evaluates its engines in shared work arrays
    struct Impl;
    explicit Engine(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// Neighbour list of a periodic or finite system with explicit images; any cell, any cutoff.
struct NeighborList {
    std::vector<std::int64_t> row_start;  ///< [n + 1]
    std::vector<int> neighbor;  ///< [n_edges]
    std::vector<int> shift;  ///< [n_edges][3] image of the neighbour
    std::vector<double> edge_vector;  ///< [n_edges][3]
};

/// All directed edges with r < cutoff, rows ordered by (distance, neighbour, shift). Linked cells, O(n).
/// `cell` [9] row-major, rows are the vectors (ignored along non-periodic directions), `pbc` [3].
/// Throws Error (`value_invalid`) for a singular cell along periodic directions or non-finite positions.
NeighborList build_neighbor_list(int n, const double* positions, const double* cell, const bool* pbc, double cutoff);

/// Version of this library, "major.minor.patch".
const char* version() noexcept;

}  // namespace qdml
