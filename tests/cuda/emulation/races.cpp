// Detects races, and reads of uninitialised values, in emulated kernels. The kernels are compiled
// with -fsanitize=thread, which calls a function before every access. This file defines these
// functions instead of ThreadSanitizer's runtime, which would miss races of thread blocks: thread
// blocks run one after the other here, and at the same time on a device.
//
// Two accesses to a word race if at least one writes, at most one is atomic, and they come from
// different thread blocks of a kernel, or from different threads of a thread block between the same
// barriers.
#include <cstdio>
#include <map>
#include <vector>

#include "cuda_runtime.h"

namespace emulation {
namespace {

constexpr uintptr_t kWord = 4;

// The threads that made the same kind of access to a word in a kernel.
struct Users {
  unsigned kernel = 0, block = 0, interval = 0, thread = 0;
  bool several_blocks = false, several_threads = false;

  bool are_this_thread() const {
    return kernel == position.kernel && block == blockIdx.x && interval == position.interval &&
           thread == threadIdx.x && !several_blocks && !several_threads;
  }
  bool race_with_this_thread() const {
    if (kernel != position.kernel) return false;
    if (several_blocks || block != blockIdx.x) return true;
    return interval == position.interval && (several_threads || thread != threadIdx.x);
  }
  void add_this_thread() {
    if (kernel != position.kernel)
      *this = {};
    else if (block != blockIdx.x)
      several_blocks = true;
    const bool same_interval = kernel == position.kernel && interval == position.interval;
    several_threads = same_interval && (several_threads || thread != threadIdx.x);
    kernel = position.kernel, block = blockIdx.x, interval = position.interval,
    thread = threadIdx.x;
  }
};

struct Word {
  Users readers, writers, atomics;
  unsigned life = 0;  // the life of the memory at the last access
  bool written = false;
};

struct Memory {
  uintptr_t begin = 0, end = 0;
  std::vector<Word> words;
  unsigned life = 0;  // the number of times that the memory became uninitialised again

  Word& word_at(uintptr_t address) {
    Word& word = words[(address - begin) / kWord];
    if (word.life != life) word = {}, word.life = life;
    return word;
  }
};
std::map<uintptr_t, Memory> watched;  // by address

[[noreturn]] void report(const char* fault, uintptr_t address, const Memory& memory) {
  std::fprintf(stderr, "%s: thread %u of block %u in the %u. kernel, byte %zu of %zu\n", fault,
               threadIdx.x, blockIdx.x, position.kernel, size_t(address - memory.begin),
               size_t(memory.end - memory.begin));
  std::_Exit(1);
}

// Returns the watched memory that contains an address, or null.
Memory* find(uintptr_t address) {
  auto after = watched.upper_bound(address);
  if (after == watched.begin()) return nullptr;
  Memory& memory = (--after)->second;
  return address < memory.end ? &memory : nullptr;
}

enum class Use { kRead, kWrite, kAtomic };

void use_word(Word& word, Use use, uintptr_t address, const Memory& memory) {
  Users& users = use == Use::kRead    ? word.readers
                 : use == Use::kWrite ? word.writers
                                      : word.atomics;
  if (users.are_this_thread()) return;  // a race since then would have been reported
  if (!word.written && use != Use::kWrite) report("never written", address, memory);
  if (word.writers.race_with_this_thread() ||
      (use != Use::kAtomic && word.atomics.race_with_this_thread()) ||
      (use != Use::kRead && word.readers.race_with_this_thread()))
    report("race", address, memory);
  users.add_this_thread();
  word.written |= use != Use::kRead;
}

void use_memory(const void* address, size_t size, Use use) {
  if (!position.in_kernel) return;
  const auto begin = reinterpret_cast<uintptr_t>(address);
  if (begin - reinterpret_cast<uintptr_t>(position.stack) < kStack) return;
  Memory* const memory = find(begin);
  if (memory == nullptr) return;
  for (uintptr_t word = begin; word < begin + size && word < memory->end; word += kWord)
    use_word(memory->word_at(word), use, word, *memory);
}

}  // namespace

void forget(const void* memory, size_t size) {
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  std::erase_if(
      watched, [&](const auto& old) { return old.first < begin + size && begin < old.second.end; });
}

void watch(const void* memory, size_t size, bool written) {
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  Memory* const memory_before = find(begin);
  if (memory_before != nullptr && memory_before->begin == begin &&
      memory_before->end == begin + size) {
    ++memory_before->life;  // usually the shared memory of the next thread block
  } else {
    forget(memory, size);
    watched[begin] = {begin, begin + size, std::vector<Word>((size + kWord - 1) / kWord)};
  }
  if (written) write_from_host(memory, size);
}

void touch_atomically(const void* address, size_t size) { use_memory(address, size, Use::kAtomic); }

void write_from_host(const void* address, size_t size) {
  const auto begin = reinterpret_cast<uintptr_t>(address);
  Memory* const memory = find(begin);
  if (memory == nullptr) return;
  for (uintptr_t word = begin; word < begin + size && word < memory->end; word += kWord)
    memory->word_at(word).written = true;
}

}  // namespace emulation

extern "C" {
#define LAYERBITS_SIZE(size)                                      \
  void __tsan_read##size(void* address) {                         \
    emulation::use_memory(address, size, emulation::Use::kRead);  \
  }                                                               \
  void __tsan_write##size(void* address) {                        \
    emulation::use_memory(address, size, emulation::Use::kWrite); \
  }                                                               \
  void __tsan_unaligned_read##size(void* address) {               \
    emulation::use_memory(address, size, emulation::Use::kRead);  \
  }                                                               \
  void __tsan_unaligned_write##size(void* address) {              \
    emulation::use_memory(address, size, emulation::Use::kWrite); \
  }
LAYERBITS_SIZE(1)
LAYERBITS_SIZE(2)
LAYERBITS_SIZE(4)
LAYERBITS_SIZE(8)
LAYERBITS_SIZE(16)
void __tsan_read_range(void* address, size_t size) {
  emulation::use_memory(address, size, emulation::Use::kRead);
}
void __tsan_write_range(void* address, size_t size) {
  emulation::use_memory(address, size, emulation::Use::kWrite);
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
}
