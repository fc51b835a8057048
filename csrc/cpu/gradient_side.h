// One side of the pairs of a gradient: its packed rows, and the sums of each row over the other
// side.
#pragma once

#include <memory>
#include <new>
#include <vector>

#include "packing.h"
#include "thread_pool.h"

namespace layerbits {

// Memory aligned to registers, because an access across two cache lines costs twice as much.
// Uninitialised: zeroing is slow, serial and not interruptible.
struct AlignedDelete {
  void operator()(void* memory) const { ::operator delete(memory, std::align_val_t{64}); }
};
template <typename T>
using AlignedArray = std::unique_ptr<T[], AlignedDelete>;
template <typename T>
AlignedArray<T> make_aligned(int64_t size) {
  return AlignedArray<T>(
      static_cast<T*>(::operator new(size_t(size) * sizeof(T), std::align_val_t{64})));
}

// Packed points or centers, and their sums. A pack is a tile of points or a block of centers; each
// run, and so each group, starts a new pack.
template <typename T, size_t kExtras>
struct GradientSide {
  const Matrix<const T>& rows;
  int64_t width, pack_size, sums_size;  // rows, values and sums of a pack
  std::vector<Run> runs;
  std::vector<int64_t> first_run;   // of each group, and the number of runs
  std::vector<int64_t> first_pack;  // of each run, and the number of packs
  AlignedArray<T> values;
  AlignedArray<double> sums;

  GradientSide(const Matrix<const T>& matrix, const Groups& groups, int64_t largest_run,
               int64_t width_)
      : rows(matrix),
        width(width_),
        pack_size(width * (int64_t(kExtras) + rows.cols)),
        sums_size(width * (1 + rows.cols)),
        runs(split_into_runs(groups, largest_run)),
        first_run(size_t(groups.count()) + 1, 0),
        first_pack(1, 0) {
    for (const Run& run : runs) {
      ++first_run[run.group + 1];
      first_pack.push_back(first_pack.back() + divide_up(run.count, width));
    }
    for (int64_t g = 0; g < groups.count(); ++g) first_run[g + 1] += first_run[g];
    values = make_aligned<T>(first_pack.back() * pack_size);
    sums = make_aligned<double>(first_pack.back() * sums_size);
  }

  int64_t packs(int64_t run) const { return first_pack[run + 1] - first_pack[run]; }
  int64_t packs_of_group(int64_t group) const {
    return first_pack[first_run[group + 1]] - first_pack[first_run[group]];
  }
  T* packed(int64_t run) const { return values.get() + first_pack[run] * pack_size; }
  double* sums_of(int64_t run) const { return sums.get() + first_pack[run] * sums_size; }

  template <typename Work>
  Status for_each_run(int threads, Cancellation& cancellation, const Work& work) const {
    return parallel_for_short(threads, int64_t(runs.size()), cancellation, work);
  }

  // Packs all rows with the extra values extras(i), and sets the sums to 0.
  template <typename ExtrasOf>
  Status pack_all(const Packer<NotFinite::kZero, T, kExtras>& packer, const char* name,
                  const ExtrasOf& extras, int threads, Cancellation& cancellation) {
    std::atomic<bool> too_large{false};
    Status status = for_each_run(threads, cancellation, [&](int64_t r) {
      if (packer.pack(runs[r].first, runs[r].count, extras, packed(r)).too_large) too_large = true;
      std::fill_n(sums_of(r), packs(r) * sums_size, 0.0);
    });
    if (!status.ok()) return status;
    return too_large ? too_far_from_zero(name) : Status{};
  }

  // Adds the sums of a cell to the sums of a run; a null `cell` adds nothing.
  void add(int64_t run, const AlignedArray<T>& cell) const {
    double* total = sums_of(run);
    const int64_t size = cell ? packs(run) * sums_size : 0;
    for (int64_t i = 0; i < size; ++i) total[i] += double(cell[i]);
  }

  // Calls finish(i, sum) for every row i, where sum(k) is its k-th sum.
  template <typename Finish>
  Status finish_all(int threads, Cancellation& cancellation, const Finish& finish) const {
    return for_each_run(threads, cancellation, [&](int64_t r) {
      for (int64_t i = 0; i < runs[r].count; ++i) {
        const double* first = sums_of(r) + i / width * sums_size + i % width;
        finish(runs[r].first + i, [&](int64_t k) { return first[k * width]; });
      }
    });
  }
};

}  // namespace layerbits
