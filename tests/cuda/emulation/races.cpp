// Finds races, and reads of what was never written, in emulated kernels. They are compiled with
// -fsanitize=thread, whose calls before every access come here instead of to its own runtime: it
// does not know that the threads of two blocks, which run one after the other here, would not.
//
// Two accesses of a word race if one of them writes, they are not both atomic, and they are of
// different blocks of a kernel, or of different threads of a block between the same barriers.
#include <cstdio>
#include <map>
#include <vector>

#include "cuda_runtime.h"

namespace emulation {
namespace {

constexpr uintptr_t kWord = 4;

// Those who did the same to a word in a kernel.
struct Users {
  unsigned kernel = 0, block = 0, stretch = 0, thread = 0;
  bool blocks = false, threads = false;  // several

  bool are_me() const {
    return kernel == now.kernel && block == blockIdx.x && stretch == now.stretch &&
           thread == threadIdx.x && !blocks && !threads;
  }
  bool race_with_me() const {
    if (kernel != now.kernel) return false;
    if (blocks || block != blockIdx.x) return true;
    return stretch == now.stretch && (threads || thread != threadIdx.x);
  }
  void add_me() {
    if (kernel != now.kernel)
      *this = {};
    else if (block != blockIdx.x)
      blocks = true;
    const bool same_stretch = kernel == now.kernel && stretch == now.stretch;
    threads = same_stretch && (threads || thread != threadIdx.x);
    kernel = now.kernel, block = blockIdx.x, stretch = now.stretch, thread = threadIdx.x;
  }
};

struct Word {
  Users readers, writers, atomics;
  unsigned life = 0;  // of its memory
  bool written = false;
};

struct Memory {
  uintptr_t begin = 0, end = 0;
  std::vector<Word> words;
  unsigned life = 0;

  Word& word_at(uintptr_t place) {
    Word& word = words[(place - begin) / kWord];
    if (word.life != life) word = {}, word.life = life;
    return word;
  }
};
std::map<uintptr_t, Memory> watched;  // by where it begins

[[noreturn]] void report(const char* what, uintptr_t place, const Memory& memory) {
  std::fprintf(stderr, "%s: thread %u of block %u in the %u. kernel, byte %zu of %zu\n", what,
               threadIdx.x, blockIdx.x, now.kernel, size_t(place - memory.begin),
               size_t(memory.end - memory.begin));
  std::_Exit(1);
}

// The watched memory that a place is in, or null.
Memory* find(uintptr_t place) {
  auto after = watched.upper_bound(place);
  if (after == watched.begin()) return nullptr;
  Memory& memory = (--after)->second;
  return place < memory.end ? &memory : nullptr;
}

enum class Use { kRead, kWrite, kAtomic };

void use_word(Word& word, Use use, uintptr_t place, const Memory& memory) {
  Users& users = use == Use::kRead    ? word.readers
                 : use == Use::kWrite ? word.writers
                                      : word.atomics;
  if (users.are_me()) return;  // what came between was reported, if it mattered
  if (!word.written && use != Use::kWrite) report("never written", place, memory);
  if (word.writers.race_with_me() || (use != Use::kAtomic && word.atomics.race_with_me()) ||
      (use != Use::kRead && word.readers.race_with_me()))
    report("race", place, memory);
  users.add_me();
  word.written |= use != Use::kRead;
}

void use_memory(const void* place, size_t size, Use use) {
  if (!now.in_kernel) return;
  const auto begin = reinterpret_cast<uintptr_t>(place);
  const auto frame = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  if (begin - frame < kStack) return;  // the thread's own
  Memory* const memory = find(begin);
  if (memory == nullptr) return;
  for (uintptr_t at = begin; at < begin + size && at < memory->end; at += kWord)
    use_word(memory->word_at(at), use, at, *memory);
}

}  // namespace

void forget(const void* memory, size_t size) {
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  std::erase_if(
      watched, [&](const auto& old) { return old.first < begin + size && begin < old.second.end; });
}

void watch(const void* memory, size_t size, bool written) {
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  Memory* const known = find(begin);
  if (known != nullptr && known->begin == begin && known->end == begin + size) {
    ++known->life;  // the shared memory of the next block, most often
  } else {
    forget(memory, size);
    watched[begin] = {begin, begin + size, std::vector<Word>((size + kWord - 1) / kWord)};
  }
  if (written) write_from_host(memory, size);
}

void touch_atomically(const void* place, size_t size) { use_memory(place, size, Use::kAtomic); }

void write_from_host(const void* place, size_t size) {
  const auto begin = reinterpret_cast<uintptr_t>(place);
  Memory* const memory = find(begin);
  if (memory == nullptr) return;
  for (uintptr_t at = begin; at < begin + size && at < memory->end; at += kWord)
    memory->word_at(at).written = true;
}

}  // namespace emulation

extern "C" {
#define LAYERBITS_SIZE(size)                                    \
  void __tsan_read##size(void* place) {                         \
    emulation::use_memory(place, size, emulation::Use::kRead);  \
  }                                                             \
  void __tsan_write##size(void* place) {                        \
    emulation::use_memory(place, size, emulation::Use::kWrite); \
  }                                                             \
  void __tsan_unaligned_read##size(void* place) {               \
    emulation::use_memory(place, size, emulation::Use::kRead);  \
  }                                                             \
  void __tsan_unaligned_write##size(void* place) {              \
    emulation::use_memory(place, size, emulation::Use::kWrite); \
  }
LAYERBITS_SIZE(1)
LAYERBITS_SIZE(2)
LAYERBITS_SIZE(4)
LAYERBITS_SIZE(8)
LAYERBITS_SIZE(16)
void __tsan_read_range(void* place, size_t size) {
  emulation::use_memory(place, size, emulation::Use::kRead);
}
void __tsan_write_range(void* place, size_t size) {
  emulation::use_memory(place, size, emulation::Use::kWrite);
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
}
