// The threads of emulated kernels as fibers, their barriers and exchanges of values, and the
// emulated special-function unit.
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "cuda_runtime.h"

Index3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

Position position;

namespace {

struct Thread {
  ucontext_t context;  // state of the thread while it waits at a barrier
  const char* used_stack = nullptr;
  std::unique_ptr<char[]> stack{new char[kStack]};  // stack of the fiber that starts here
  bool done = false;
};

struct Block {
  std::vector<Thread> threads;
  ucontext_t scheduler;
  const std::function<void()>* kernel = nullptr;
  void* shared = nullptr;
  bool vote = false, next_vote = false;  // of __syncthreads_or
  std::vector<unsigned> order;           // order of the threads in this interval
  unsigned started = 0, done = 0;
  std::vector<std::array<char, 8>> exchanged;
} block;

std::optional<double> exp2_error;  // error of approximate_exp2 if LAYERBITS_EMULATED_EXP2 is set

// Returns an order of the threads for an interval between two barriers.
std::vector<unsigned> order_of(unsigned threads, std::mt19937& random) {
  const char* name = getenv("LAYERBITS_EMULATED_ORDER");
  const std::string order = name ? name : "forward";
  std::vector<unsigned> result(threads);
  std::iota(result.begin(), result.end(), 0u);
  if (order == "backward") std::reverse(result.begin(), result.end());
  if (order == "shuffled") std::shuffle(result.begin(), result.end(), random);
  return result;
}

// The function of a fiber: runs threads that have not started, until a thread waits at a barrier. A
// kernel without barriers therefore needs a single fiber for all threads.
void run_threads() {
  while (block.started < block.order.size()) {
    threadIdx.x = block.order[block.started++];
    (*block.kernel)();
    block.threads[threadIdx.x].done = true;
    ++block.done;
  }
}

void start_threads() {
  while (block.started < block.order.size()) {
    ucontext_t context;
    getcontext(&context);
    char* const stack = block.threads[block.order[block.started]].stack.get();
    position.stack = stack;
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = kStack;
    context.uc_link = &block.scheduler;
    makecontext(&context, run_threads, 0);
    swapcontext(&block.scheduler, &context);
  }
}

void resume_threads() {
  for (const unsigned t : block.order) {
    if (block.threads[t].done) continue;
    threadIdx.x = t;
    swapcontext(&block.scheduler, &block.threads[t].context);
  }
}

void run_block(unsigned threads, std::mt19937& random) {
  for (unsigned t = 0; t < threads; ++t) block.threads[t].done = false;
  block.started = block.done = 0;
  while (block.done < threads) {
    block.order = order_of(threads, random);
    if (block.started < threads)
      start_threads();
    else
      resume_threads();
    if (block.done > 0 && block.done < threads) {
      std::fputs("a barrier that not all threads of a block reach\n", stderr);
      abort();
    }
    block.vote = block.next_vote;
    block.next_vote = false;
    ++position.interval;
  }
}

}  // namespace

void run(unsigned blocks, unsigned threads, size_t shared, const std::function<void()>& kernel) {
  static std::mutex mutex;  // threads of the process share the emulated device
  const std::lock_guard lock(mutex);
  const char* const bias = getenv("LAYERBITS_EMULATED_EXP2");
  exp2_error = bias ? std::optional(atof(bias)) : std::nullopt;
  std::mt19937 random(0);
  if (block.threads.size() < threads) block.threads = std::vector<Thread>(threads);
  block.kernel = &kernel;
  // Aligned as on a device, without a byte more than requested.
  constexpr std::align_val_t kAlignment{16};
  block.shared = operator new(shared, kAlignment);
  blockDim.x = threads, gridDim.x = blocks;
  ++position.kernel, position.in_kernel = true;
  for (unsigned b = 0; b < blocks; ++b) {
    blockIdx.x = b;
    memset(block.shared, 0xff, shared);  // NaN, because the memory is uninitialised on a device
    watch(block.shared, shared, false);
    run_block(threads, random);
  }
  position.in_kernel = false;
  forget(block.shared, shared);
  operator delete(block.shared, kAlignment);
}

void* shared_memory() { return block.shared; }

void barrier() {
  Thread& thread = block.threads[threadIdx.x];
  thread.used_stack = position.stack;
  swapcontext(&thread.context, &block.scheduler);
  position.stack = thread.used_stack;
}

int barrier_or(int predicate) {
  block.next_vote |= predicate != 0;
  barrier();
  return block.vote;
}

void exchange(const void* value, size_t size, unsigned thread, void* result) {
  block.exchanged.resize(block.threads.size());
  memcpy(block.exchanged[threadIdx.x].data(), value, size);
  barrier();
  memcpy(result, block.exchanged[thread].data(), size);
  barrier();
}

// The relative error is at most 2^-22: three quarters come from this function, a quarter from
// rounding. LAYERBITS_EMULATED_EXP2, from -1 to 1, sets the error's size and sign; without the
// variable the error is pseudo-random.
float approximate_exp2(float x) {
  if (x < -126) return 0;
  if (x == 0) return 1;
  const uint32_t bits = emulated_bits<uint32_t>(x) * 2654435761u;
  const double error = exp2_error ? *exp2_error : double(bits) * 0x1p-31 - 1;
  return float(exp2(double(x)) * (1 + 0x1p-22 * 0.75 * error));
}

}  // namespace emulation
