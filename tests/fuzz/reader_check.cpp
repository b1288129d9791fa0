// SPDX-License-Identifier: MIT
/// The bytes go through an anonymous file in memory, so that the code tested is that of a real path.
#include "reader_check.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "qdml/committee.hpp"

namespace qdml_fuzz {
namespace {

void promise(bool kept, const std::string& what) {
    if (!kept) {
        throw std::logic_error("broken promise: " + what);
    }
}

/// The codes of docs/file-format.md, by way of the table that a test compares with that page.
const std::set<std::string>& known_codes() {
    static const std::set<std::string> codes = [] {
        std::ifstream stream(std::string(QDML_GOLDEN) + "/broken/cases.json");
        std::set<std::string> found;
        const auto cases = nlohmann::json::parse(stream);
        for (const auto& item : cases.items()) {
            found.insert(item.value().get<std::string>());
        }
        return found;
    }();
    return codes;
}

class MemoryFile {
public:
    MemoryFile(const std::uint8_t* data, std::size_t size) : file_(::memfd_create("qdml", 0)) {
        while (size > 0) {
            const auto written = ::write(file_, data, size);
            if (written <= 0) {
                throw std::runtime_error("no memory for the file");
            }
            data += written;
            size -= static_cast<std::size_t>(written);
        }
    }
    ~MemoryFile() { ::close(file_); }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;
    std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

private:
    int file_;
};

/// Five atoms within a cutoff of each other, one of them of no species of the model.
void evaluate(qdml::Committee& committee) {
    constexpr int n = 5;
    constexpr double fraction[n][3] = {
        {0, 0, 0}, {0.4, 0.1, 0}, {-0.2, 0.5, 0.3}, {0.1, -0.6, 0.7}, {0.9, 0.2, -0.1}};
    const double cell[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    const bool pbc[3] = {false, false, false};
    const double cutoff = committee.cutoff();
    double positions[3 * n];
    int species[n];
    for (int i = 0; i < n; ++i) {
        species[i] = i == 4 ? -1 : i % static_cast<int>(committee.species().size());
        for (int k = 0; k < 3; ++k) {
            positions[3 * i + k] = cutoff * fraction[i][k];
        }
    }
    try {
        const auto list = qdml::build_neighbor_list(n, positions, cell, pbc, cutoff);
        const qdml::Graph graph = {n,
                                   n,
                                   species,
                                   list.row_start.data(),
                                   list.neighbor.data(),
                                   list.edge_vector.data()};
        std::vector<qdml::Result> results;
        committee.compute(graph, {true, true}, nullptr, 0, committee.size(), results);
        for (const auto& result : results) {
            promise(result.force.size() == 3 * n && result.atom_energy.size() == n &&
                        result.atom_virial.size() == 9 * n,
                    "sizes of the results");
        }
    } catch (const qdml::Error& error) {  // a cutoff near zero puts all atoms at one place
        promise(error.code() == "graph_invalid" || error.code() == "value_invalid",
                std::string("code of ") + error.what());
    }
}

std::string load(const std::string& path, qdml::Precision precision) {
    try {
        qdml::Committee committee({path}, precision);
        for (int m = 0; m < committee.size(); ++m) {
            const auto& info = committee.info(m);
            promise(!info.species.empty() && info.n_layers > 0 && info.hash.size() == 64 &&
                        info.member == m,
                    "description of a loaded potential");
        }
        evaluate(committee);
        return "ok";
    } catch (const qdml::Error& error) {
        const std::string message = error.what();
        promise(known_codes().count(error.code()) > 0, "unknown code " + error.code());
        promise(message.rfind(path + ": ", 0) == 0, "message names the path: " + message);
        promise(message.size() < path.size() + 1000, "length of the message: " + message);
        return error.code();
    }
}

}  // namespace

std::string check_reader(const std::uint8_t* data, std::size_t size) {
    const MemoryFile file(data, size);
    try {
        const auto code = load(file.path(), qdml::Precision::mixed);
        if (code == "ok") {
            promise(load(file.path(), qdml::Precision::float64) == "ok", "both precisions load");
        }
        return code;
    } catch (const std::logic_error&) {
        throw;
    } catch (const std::exception& error) {
        throw std::logic_error(std::string("an exception that is no qdml::Error: ") + error.what());
    }
}

}  // namespace qdml_fuzz
