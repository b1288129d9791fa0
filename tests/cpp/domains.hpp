// SPDX-License-Identifier: MIT
/// Structures divided among ranks that are threads, and exchanges between them.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <tuple>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "qdml/whole_rows.hpp"
#include "random_model.hpp"

namespace qdml_test {

/// Atoms of one rank: local ones, then one ghost per (owner, image) that they see.
struct Domain {
    std::vector<int> owner;  ///< global index of every row
    std::vector<int> species;
    int n_local = 0;
    std::vector<std::int64_t> row_start = {0};
    std::vector<int> neighbor;
    std::vector<double> edge_vector;
    std::vector<double> position;  ///< of every row, images where they are
    std::vector<int> shell;        ///< Graph::shell, if not empty; n_local counts all rows with edges

    qdml::Graph graph() const {
        qdml::Graph graph = {n_local,         int(owner.size()),  species.data(), row_start.data(),
                             neighbor.data(), edge_vector.data(), position.data()};
        if (!shell.empty()) {
            graph.shell = shell.data();
            graph.n_shells = int(shell.size());
        }
        return graph;
    }
};

/// The atoms `mine` with all that they reach over `n_shells` edges, images as atoms of their own.
inline Domain make_wide_domain(const Structure& s, const qdml::NeighborList& list,
                               const std::vector<int>& mine, int n_shells) {
    Domain d;
    std::map<std::tuple<int, int, int, int>, int> row_of;
    std::vector<std::array<int, 3>> image;
    const auto row = [&](int j, const std::array<int, 3>& at) {
        const auto found = row_of.emplace(std::make_tuple(j, at[0], at[1], at[2]), int(d.owner.size()));
        if (found.second) {
            d.owner.push_back(j);
            d.species.push_back(s.species[std::size_t(j)]);
            image.push_back(at);
            for (std::size_t c = 0; c < 3; ++c) {
                d.position.push_back(s.positions[std::size_t(3 * j) + c] + at[0] * s.cell[c] +
                                     at[1] * s.cell[3 + c] + at[2] * s.cell[6 + c]);
            }
        }
        return found.first->second;
    };
    for (const int i : mine) {
        row(i, {0, 0, 0});
    }
    for (int k = 0; k < n_shells; ++k) {
        d.shell.push_back(int(d.owner.size()));
        for (; d.n_local < d.shell.back(); ++d.n_local) {
            const auto i = std::size_t(d.owner[std::size_t(d.n_local)]);
            const auto here = image[std::size_t(d.n_local)];
            for (auto e = std::size_t(list.row_start[i]); e < std::size_t(list.row_start[i + 1]); ++e) {
                const int* shift = &list.shift[3 * e];
                d.neighbor.push_back(row(list.neighbor[e], {here[0] + shift[0], here[1] + shift[1],
                                                            here[2] + shift[2]}));
                d.edge_vector.insert(d.edge_vector.end(), &list.edge_vector[3 * e],
                                     &list.edge_vector[3 * e] + 3);
            }
            d.row_start.push_back(std::int64_t(d.neighbor.size()));
        }
    }
    return d;
}

inline Domain make_domain(const Structure& s, const qdml::NeighborList& list, const std::vector<int>& mine,
                   std::vector<int> rank_of, int rank) {
    Domain d;
    std::map<int, int> row_of;
    for (const int i : mine) {
        row_of[i] = int(d.owner.size());
        d.owner.push_back(i);
        d.species.push_back(s.species[std::size_t(i)]);
        d.position.insert(d.position.end(), &s.positions[std::size_t(3 * i)],
                          &s.positions[std::size_t(3 * i)] + 3);
    }
    d.n_local = int(mine.size());
    std::map<std::tuple<int, int, int, int>, int> ghosts;
    for (const int i : mine) {
        for (auto e = list.row_start[std::size_t(i)]; e < list.row_start[std::size_t(i) + 1]; ++e) {
            const auto k = std::size_t(e);
            const int j = list.neighbor[k], *shift = &list.shift[3 * k];
            const bool at_home = shift[0] == 0 && shift[1] == 0 && shift[2] == 0;
            int row = -1;
            if (at_home && rank_of[std::size_t(j)] == rank) {
                row = row_of[j];
            } else {
                const auto key = std::make_tuple(j, shift[0], shift[1], shift[2]);
                const auto found = ghosts.emplace(key, int(d.owner.size()));
                row = found.first->second;
                if (found.second) {
                    d.owner.push_back(j);
                    d.species.push_back(s.species[std::size_t(j)]);
                    for (std::size_t c = 0; c < 3; ++c) {
                        d.position.push_back(s.positions[std::size_t(3 * j) + c] +
                                             shift[0] * s.cell[c] + shift[1] * s.cell[3 + c] +
                                             shift[2] * s.cell[6 + c]);
                    }
                }
            }
            d.neighbor.push_back(row);
            d.edge_vector.insert(d.edge_vector.end(), &list.edge_vector[3 * k],
                                 &list.edge_vector[3 * k] + 3);
        }
        d.row_start.push_back(std::int64_t(d.neighbor.size()));
    }
    return d;
}

/// Two halves of the atoms, by x, on the first and the last of three ranks; the second owns nothing.
inline std::vector<Domain> three_domains(const Structure& s, const qdml::NeighborList& list) {
    std::vector<int> rank_of;
    std::vector<std::vector<int>> mine(3);
    for (int i = 0; i < s.n(); ++i) {
        rank_of.push_back(s.positions[std::size_t(3 * i)] < s.cell[0] / 2 ? 0 : 2);
        mine[std::size_t(rank_of.back())].push_back(i);
    }
    std::vector<Domain> domains;
    for (int rank = 0; rank < 3; ++rank) {
        domains.push_back(make_domain(s, list, mine[std::size_t(rank)], rank_of, rank));
    }
    return domains;
}

/// body(rank) on three threads at once.
template <class Body>
void on_three_ranks(const Body& body) {
    std::vector<std::thread> ranks;
    for (std::size_t rank = 0; rank < 3; ++rank) {
        ranks.emplace_back([&body, rank] {
#ifdef _OPENMP
            omp_set_num_threads(1);
#endif
            body(rank);
        });
    }
    for (auto& rank : ranks) {
        rank.join();
    }
}

/// All ranks meet here; each waits until the owners' rows of the same call are posted.
class Meeting {
public:
    explicit Meeting(int n_ranks, int n_atoms) : n_ranks_(n_ranks), n_atoms_(n_atoms) {}

    template <class real>
    void exchange(const Domain& d, real* rows, int width) {
        std::unique_lock<std::mutex> lock(mutex_);
        if (posted_ == 0) {
            board_.assign(std::size_t(n_atoms_ * width), 0.0);
            width_ = width;
        }
        CHECK(width == width_);  // every rank calls with the same widths in the same order
        for (int i = 0; i < d.n_local; ++i) {
            for (int c = 0; c < width; ++c) {
                board_[std::size_t(d.owner[std::size_t(i)] * width + c)] =
                    double(rows[std::int64_t(i) * width + c]);
            }
        }
        ++posted_;
        wait(lock, [&] { return posted_ == n_ranks_; });
        for (std::size_t i = std::size_t(d.n_local); i < d.owner.size(); ++i) {
            for (int c = 0; c < width; ++c) {
                rows[i * std::size_t(width) + std::size_t(c)] =
                    real(board_[std::size_t(d.owner[i] * width + c)]);
            }
        }
        ++read_;
        if (read_ == n_ranks_) {
            posted_ = read_ = 0;
            ++round_;
            changed_.notify_all();
        } else {
            const int round = round_;
            wait(lock, [&] { return round_ != round; });
        }
    }
    int rounds() const { return round_; }

private:
    template <class Condition>
    void wait(std::unique_lock<std::mutex>& lock, Condition condition) {
        changed_.notify_all();
        changed_.wait(lock, condition);
    }
    int n_ranks_, n_atoms_, width_ = 0, posted_ = 0, read_ = 0, round_ = 0;
    std::vector<double> board_;
    std::mutex mutex_;
    std::condition_variable changed_;
};

class ThreadExchange : public qdml::WholeRows {
public:
    ThreadExchange(Meeting& meeting, const Domain& domain)
        : WholeRows(domain.n_local, int(domain.owner.size())), meeting_(meeting), domain_(domain) {}
    void fill_ghosts(float* rows, int width) override { call(rows, width); }
    void fill_ghosts(double* rows, int width) override { call(rows, width); }
    int widest = 0;

private:
    template <class real>
    void call(real* rows, int width) {
        widest = std::max(widest, width);
        meeting_.exchange(domain_, rows, width);
    }
    Meeting& meeting_;
    const Domain& domain_;
};

/// An Exchange within one domain: images of its own atoms.
class SelfExchange : public qdml::WholeRows {
public:
    explicit SelfExchange(const Domain& domain)
        : WholeRows(domain.n_local, int(domain.owner.size())), domain_(domain) {}
    void fill_ghosts(float* rows, int width) override { copy(rows, width); }
    void fill_ghosts(double* rows, int width) override { copy(rows, width); }

private:
    template <class real>
    void copy(real* rows, int width) {
        for (std::size_t i = std::size_t(domain_.n_local); i < domain_.owner.size(); ++i) {
            std::copy_n(rows + std::int64_t(domain_.owner[i]) * width, width,
                        rows + std::int64_t(i) * width);
        }
    }
    const Domain& domain_;
};

}  // namespace qdml_test
