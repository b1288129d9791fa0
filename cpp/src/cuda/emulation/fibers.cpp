// SPDX-License-Identifier: MIT
/// Threads of a block as fibers: entered by ucontext, switched by setjmp, which needs no system call.
#include <setjmp.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <vector>

#include "recording.hpp"

EmulatedIndex threadIdx, blockIdx, blockDim, gridDim;

namespace qdml {
namespace emulation {
namespace {

constexpr int kWarpSize = 32;
constexpr std::size_t kStack = 256 * 1024;

enum class Waits { no, for_warp, for_block, done };

struct Fiber {
    jmp_buf state;
    ucontext_t entry;
    bool started = false;
    Waits waits = Waits::no;
    unsigned posts = 0;  ///< values left for the warp; their place alternates, as a lane is at most one ahead
    alignas(8) char posted[2][8];
};

/// The block that runs now; stacks are kept for the next one.
struct Block {
    std::vector<std::unique_ptr<char[]>> stacks;
    std::vector<Fiber> fibers;
    std::size_t current = 0;
    jmp_buf scheduler;
    ucontext_t scheduler_entry;
    const std::function<void()>* thread = nullptr;
};

Block block_;
std::mutex one_kernel;

unsigned seed() {
    const char* text = std::getenv("QDML_EMULATION_SEED");
    return text == nullptr ? 1u : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

void enter() {
    (*block_.thread)();
    block_.fibers[block_.current].waits = Waits::done;
    _longjmp(block_.scheduler, 1);
}

/// Run one fiber until it waits or ends.
void resume(std::size_t index) {
    block_.current = index;
    threadIdx.x = static_cast<unsigned>(index);
    Fiber& fiber = block_.fibers[index];
    if (_setjmp(block_.scheduler) != 0) return;
    if (fiber.started) _longjmp(fiber.state, 1);
    fiber.started = true;
    getcontext(&fiber.entry);
    fiber.entry.uc_stack.ss_sp = block_.stacks[index].get();
    fiber.entry.uc_stack.ss_size = kStack;
    fiber.entry.uc_link = nullptr;
    makecontext(&fiber.entry, enter, 0);
    setcontext(&fiber.entry);
}

void wait(Waits what) {
    Fiber& fiber = block_.fibers[block_.current];
    fiber.waits = what;
    if (_setjmp(fiber.state) == 0) _longjmp(block_.scheduler, 1);
}

/// Let the fibers first..last-1 go on if all of them wait for the same; true if so.
bool release(std::size_t first, std::size_t last, Waits what) {
    const auto begin = block_.fibers.begin();
    const auto waits = [&](const Fiber& f) { return f.waits == what; };
    if (!std::all_of(begin + long(first), begin + long(last), waits)) return false;
    for (std::size_t k = first; k < last; ++k) block_.fibers[k].waits = Waits::no;
    return true;
}

void run_block(std::mt19937& random) {
    const std::size_t n = block_.fibers.size();
    for (auto& fiber : block_.fibers) fiber = {};
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t(0));
    for (;;) {
        std::shuffle(order.begin(), order.end(), random);
        bool any = false;
        for (const std::size_t k : order) {
            if (block_.fibers[k].waits != Waits::no) continue;
            any = true;
            resume(k);
        }
        for (std::size_t first = 0; first < n; first += kWarpSize) {
            any = release(first, std::min(first + kWarpSize, n), Waits::for_warp) || any;
        }
        if (any) continue;
        if (release(0, n, Waits::done)) return;
        if (!release(0, n, Waits::for_block)) fault("threads of a block or warp wait at different barriers");
    }
}

void on_bad_address(int) {
    const char text[] = "emulated CUDA: a kernel or copy touched memory outside the device's arrays\n";
    if (::write(2, text, sizeof text - 1) < 0) ::_exit(98);
    ::_exit(99);
}

}  // namespace

[[noreturn]] void fault(const char* what) {
    std::fprintf(stderr, "emulated CUDA: %s (thread %u of block %u)\n", what, threadIdx.x, blockIdx.x);
    std::_Exit(99);
}

Guarded::Guarded() {
    struct sigaction action;
    std::memset(&action, 0, sizeof action);
    action.sa_handler = on_bad_address;
    ::sigaction(SIGSEGV, &action, &before_);
}

Guarded::~Guarded() { ::sigaction(SIGSEGV, &before_, nullptr); }

void run_kernel(const std::function<void()>& thread, long long grid, int block) {
    const std::lock_guard<std::mutex> lock(one_kernel);
    if (grid < 1 || grid > 0x7fffffff || block < 1 || block > 1024 || block % kWarpSize != 0) {
        fault("launch of a shape that CUDA or these kernels do not have");
    }
    const Guarded guarded;
    while (block_.stacks.size() < static_cast<std::size_t>(block)) {
        block_.stacks.push_back(std::make_unique<char[]>(kStack));
    }
    block_.fibers.resize(static_cast<std::size_t>(block));
    block_.thread = &thread;
    gridDim = {static_cast<unsigned>(grid), 1, 1};
    blockDim = {static_cast<unsigned>(block), 1, 1};
    std::mt19937 random(seed());
    std::vector<unsigned> order(static_cast<std::size_t>(grid));
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), random);
    for (const unsigned index : order) {
        blockIdx.x = index;
        run_block(random);
    }
}

void block_barrier() { wait(Waits::for_block); }
void warp_barrier() { wait(Waits::for_warp); }
int lane() { return static_cast<int>(block_.current) % kWarpSize; }

const void* swap_in_warp(const void* mine, std::size_t size, int from) {
    if (size > sizeof Fiber().posted[0] || from < 0 || from >= kWarpSize) fault("shuffle of a value too large or a lane that is not there");
    const std::size_t index = block_.current;
    Fiber& fiber = block_.fibers[index];
    const unsigned place = fiber.posts++ % 2;
    std::memcpy(fiber.posted[place], mine, size);
    wait(Waits::for_warp);
    const Fiber& other = block_.fibers[index / kWarpSize * kWarpSize + static_cast<std::size_t>(from)];
    return other.posted[place];
}

}  // namespace emulation
}  // namespace qdml
