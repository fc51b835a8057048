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

Now now;

namespace {

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[kStack]};
  bool done = false;
};

struct Block {
  std::vector<Fiber> fibers;
  ucontext_t scheduler;
  const std::function<void()>* kernel = nullptr;
  void* shared = nullptr;
  bool any = false, any_next = false;
  std::vector<std::array<char, 8>> exchanged;
} block;

std::optional<double> exp2_error;  // of approximate_exp2, by LAYERBITS_EMULATED_EXP2

void enter() {
  (*block.kernel)();
  block.fibers[threadIdx.x].done = true;
}

// The order in which threads run: a new one for each interval between barriers.
std::vector<unsigned> order_of(unsigned threads, std::mt19937& random) {
  const char* name = getenv("LAYERBITS_EMULATED_ORDER");
  const std::string order = name ? name : "forward";
  std::vector<unsigned> result(threads);
  std::iota(result.begin(), result.end(), 0u);
  if (order == "backward") std::reverse(result.begin(), result.end());
  if (order == "shuffled") std::shuffle(result.begin(), result.end(), random);
  return result;
}

void run_block(unsigned threads, std::mt19937& random) {
  for (unsigned t = 0; t < threads; ++t) {
    Fiber& fiber = block.fibers[t];
    fiber.done = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = &block.scheduler;
    makecontext(&fiber.context, enter, 0);
  }
  unsigned done = 0;
  while (done < threads) {
    unsigned at_barrier = 0;
    for (const unsigned t : order_of(threads, random)) {
      Fiber& fiber = block.fibers[t];
      if (fiber.done) continue;
      threadIdx.x = t;
      swapcontext(&block.scheduler, &fiber.context);
      ++(fiber.done ? done : at_barrier);
    }
    if (at_barrier > 0 && done > 0) {
      std::fputs("a barrier that not all threads of a block reach\n", stderr);
      abort();
    }
    block.any = block.any_next;
    block.any_next = false;
    ++now.interval;
  }
}

}  // namespace

void run(unsigned blocks, unsigned threads, size_t shared, const std::function<void()>& kernel) {
  static std::mutex mutex;  // the emulated device is one for the process; several threads may call
  const std::lock_guard lock(mutex);
  const char* const bias = getenv("LAYERBITS_EMULATED_EXP2");
  exp2_error = bias ? std::optional(atof(bias)) : std::nullopt;
  std::mt19937 random(0);
  if (block.fibers.size() < threads) block.fibers = std::vector<Fiber>(threads);
  block.kernel = &kernel;
  // Aligned as on a device, without a byte more than requested.
  constexpr std::align_val_t kAlignment{16};
  block.shared = operator new(shared, kAlignment);
  blockDim.x = threads, gridDim.x = blocks;
  ++now.kernel, now.in_kernel = true;
  for (unsigned b = 0; b < blocks; ++b) {
    blockIdx.x = b;
    memset(block.shared, 0xff, shared);  // NaN: uninitialised, as on a device
    watch(block.shared, shared, false);
    run_block(threads, random);
  }
  now.in_kernel = false;
  forget(block.shared, shared);
  operator delete(block.shared, kAlignment);
}

void* shared_memory() { return block.shared; }

void barrier() {
  const unsigned thread = threadIdx.x;
  swapcontext(&block.fibers[thread].context, &block.scheduler);
}

int barrier_or(int predicate) {
  block.any_next |= predicate != 0;
  barrier();
  return block.any;
}

void exchange(const void* value, size_t size, unsigned thread, void* result) {
  block.exchanged.resize(block.fibers.size());
  memcpy(block.exchanged[threadIdx.x].data(), value, size);
  barrier();
  memcpy(result, block.exchanged[thread].data(), size);
  barrier();
}

// The relative error is up to 2^-22; rounding adds a quarter of it. LAYERBITS_EMULATED_EXP2, from
// -1 to 1, sets its size and sign; without the variable the error is pseudo-random.
float approximate_exp2(float x) {
  if (x < -126) return 0;
  if (x == 0) return 1;
  const uint32_t bits = emulated_bits<uint32_t>(x) * 2654435761u;
  const double error = exp2_error ? *exp2_error : double(bits) * 0x1p-31 - 1;
  return float(exp2(double(x)) * (1 + 0x1p-22 * 0.75 * error));
}

}  // namespace emulation
