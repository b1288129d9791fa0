// SPDX-License-Identifier: MIT
/// An Exchange by routes between ranks that are threads.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "domains.hpp"

namespace qdml_test {

/// The rows that all ranks sent last, and who has read them.
struct Board {
    explicit Board(std::size_t n) : rows(n) {}
    std::vector<const char*> rows;
    std::size_t posted = 0, done = 0;
    int round = 0;
    std::mutex mutex;
    std::condition_variable changed;
};

/// Routes of one of several domains, and transport between threads. Arrays are undefined whenever the engine must not
/// use what is in them.
class RoutedExchange : public qdml::Exchange {
public:
    RoutedExchange(Board& board, const std::vector<Domain>& domains, std::size_t me, std::int64_t number)
        : board_(board), me_(me) {
        std::map<int, std::pair<std::size_t, int>> home;  // of an atom: rank and row
        for (std::size_t rank = 0; rank < domains.size(); ++rank) {
            for (int i = 0; i < domains[rank].n_local; ++i) home[domains[rank].owner[std::size_t(i)]] = {rank, i};
        }
        // what every rank needs of every other; a row comes once for all its images
        std::vector<std::vector<std::vector<int>>> wanted(domains.size());
        for (std::size_t rank = 0; rank < domains.size(); ++rank) {
            const Domain& d = domains[rank];
            std::set<std::pair<std::size_t, int>> rows;
            for (std::size_t g = std::size_t(d.n_local); g < d.owner.size(); ++g) rows.insert(home[d.owner[g]]);
            wanted[rank].resize(domains.size());
            for (const auto& row : rows) {
                if (row.first != rank) wanted[rank][row.first].push_back(row.second);
            }
        }
        routes_.number = number;
        std::map<std::pair<std::size_t, int>, int> place;
        for (std::size_t from = 0; from < domains.size(); ++from) {
            int first = 0;  // of our rows in what `from` sends
            for (std::size_t to = 0; to < me; ++to) first += int(wanted[to][from].size());
            for (const int row : wanted[me][from]) {
                place[{from, row}] = routes_.n_received++;
                source_.emplace_back(from, first++);
            }
            const auto& to_there = wanted[from][me];
            routes_.sent.insert(routes_.sent.end(), to_there.begin(), to_there.end());
        }
        const Domain& d = domains[me];
        for (std::size_t g = std::size_t(d.n_local); g < d.owner.size(); ++g) {
            const auto row = home[d.owner[g]];
            routes_.owner.push_back(row.first == me ? row.second : -1);
            routes_.arrival.push_back(row.first == me ? -1 : place[row]);
        }
    }

    const qdml::Routes& routes() const override { return routes_; }
    qdml::Halo halo() const override { return used_halo; }
    bool takes_device_memory() const override { return from_device; }

    void start(const void* sent, void* received, const qdml::RowShape& row) override {
        bytes_ = std::size_t(row.bytes());
        received_ = static_cast<char*>(received);
        std::fill_n(received_, bytes_ * source_.size(), '\xff');
        std::unique_lock<std::mutex> lock(board_.mutex);
        board_.rows[me_] = static_cast<const char*>(sent);
        ++board_.posted;
        caller_ = std::this_thread::get_id();
        board_.changed.notify_all();
    }

    void progress() override {
        CHECK(std::this_thread::get_id() == caller_);
        ++n_asked;
    }

    void finish() override {
        std::unique_lock<std::mutex> lock(board_.mutex);
        board_.changed.wait(lock, [&] { return board_.posted == board_.rows.size(); });
        for (std::size_t k = 0; k < source_.size(); ++k) {
            const char* row = board_.rows[source_[k].first] + bytes_ * std::size_t(source_[k].second);
            std::copy_n(row, bytes_, received_ + k * bytes_);
        }
        if (++board_.done == board_.rows.size()) {
            board_.posted = board_.done = 0;
            ++board_.round;
            board_.changed.notify_all();
        } else {
            board_.changed.wait(lock, [&, round = board_.round] { return board_.round != round; });
        }
    }

    qdml::Halo used_halo = qdml::Halo::full;
    bool from_device = false;
    int n_asked = 0;  ///< times that progress was called

private:
    Board& board_;
    std::size_t me_, bytes_ = 0;
    qdml::Routes routes_;
    std::vector<std::pair<std::size_t, int>> source_;  ///< rank and place of each row that arrives
    char* received_ = nullptr;
    std::thread::id caller_;
};

}  // namespace qdml_test
