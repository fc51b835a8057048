#include "dispatch.h"

#include <cstdlib>
#include <string>

namespace layerbits {

#if defined(LAYERBITS_HAS_AVX512)
extern const KernelTable kKernelsAvx512;
#endif
#if defined(LAYERBITS_HAS_AVX2)
extern const KernelTable kKernelsAvx2;
#endif
#if defined(LAYERBITS_HAS_SSE2)
extern const KernelTable kKernelsSse2;
#endif
#if defined(LAYERBITS_HAS_NEON)
extern const KernelTable kKernelsNeon;
#endif

namespace {

std::vector<const KernelTable*> probe() {
  std::vector<const KernelTable*> levels;
#if defined(LAYERBITS_HAS_AVX512)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
    levels.push_back(&kKernelsAvx512);
#endif
#if defined(LAYERBITS_HAS_AVX2)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    levels.push_back(&kKernelsAvx2);
#endif
#if defined(LAYERBITS_HAS_SSE2)
  levels.push_back(&kKernelsSse2);
#endif
#if defined(LAYERBITS_HAS_NEON)
  levels.push_back(&kKernelsNeon);
#endif
  return levels;
}

// The levels of all builds, because LAYERBITS_MAX_ISA may name a level that this machine lacks.
constexpr std::string_view kX86[] = {"avx512", "avx2", "sse2"};
constexpr std::string_view kArm[] = {"neon"};

int rank(std::string_view level) {
  for (int i = 0; i < 3; ++i)
    if (kX86[i] == level) return 3 - i;
  return kArm[0] == level ? 1 : 0;
}

std::string names_of(const std::vector<const KernelTable*>& levels) {
  std::string names;
  for (const KernelTable* table : levels) {
    if (!names.empty()) names += ", ";
    names += table->level;
  }
  return names;
}

}  // namespace

const std::vector<const KernelTable*>& usable_levels() {
  static const std::vector<const KernelTable*> levels = probe();
  return levels;
}

Status find_level(std::string_view level, const KernelTable*& table) {
  const auto& levels = usable_levels();
  if (!level.empty()) {
    for (const KernelTable* candidate : levels)
      if (candidate->level == level) {
        table = candidate;
        return {};
      }
    return Status::bad_value("level: got '" + std::string(level) + "', wanted one of " +
                             names_of(levels));
  }
  table = levels.front();
  const char* cap = std::getenv("LAYERBITS_MAX_ISA");
  if (cap == nullptr || *cap == '\0') return {};
  if (rank(cap) == 0)
    return Status::bad_value(
        "LAYERBITS_MAX_ISA: got '" + std::string(cap) +
        "', wanted one of avx512, avx2, sse2, neon; unset it for the best level");
  for (const KernelTable* candidate : levels) {
    table = candidate;
    if (rank(candidate->level) <= rank(cap)) break;
  }
  return {};
}

}  // namespace layerbits
