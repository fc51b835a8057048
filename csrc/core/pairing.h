// What the verbs of mixture.h share: the choice of kernels, sigma and weights made ready, columns
// packed by group, and the rows of a run against a chunk of the columns of their group.
#pragma once

#include <algorithm>
#include <memory>

#include "dispatch.h"
#include "mixture.h"
#include "packing.h"
#include "reduction.h"

namespace layerbits {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

template <typename T>
const Kernels<T>& kernels_of(const KernelTable& table) {
  if constexpr (sizeof(T) == sizeof(float))
    return table.f32;
  else
    return table.f64;
}

// What both verbs prepare: kernels, scaling, the largest weight.
template <typename T>
struct Setup {
  const Mixture<T>& mixture;
  const KernelTable* table = nullptr;
  const Kernels<T>* kernels = nullptr;
  Scaling<T> scaling{};
  double largest_weight = 1;
  int threads = 1;

  Status prepare(const Execution& execution) {
    if (Status status = find_level(execution.level, table); !status.ok()) return status;
    if (Status status = scaling.set(mixture.sigma); !status.ok()) return status;
    if (Status status = check_weights(); !status.ok()) return status;
    kernels = &kernels_of<T>(*table);
    double pairs = 0;
    for (int64_t g = 0; g < mixture.point_groups.count(); ++g)
      pairs += double(mixture.point_groups.end(g) - mixture.point_groups.begin(g)) *
               double(mixture.center_groups.end(g) - mixture.center_groups.begin(g));
    threads = worthwhile_threads(execution.threads, pairs, mixture.points.cols);
    return {};
  }

  Status check_weights() {
    if (!mixture.weights || mixture.weights.size == 0) return {};
    double largest = 0;
    for (int64_t j = 0; j < mixture.weights.size; ++j) {
      const double weight = mixture.weights[j];
      if (!(weight >= 0) || std::isinf(weight))
        return Status::bad_value("weights: got " + std::to_string(weight) + " at index " +
                                 std::to_string(j) + ", wanted finite numbers >= 0");
      largest = std::max(largest, weight);
    }
    if (largest == 0) return Status::bad_value("weights: got all 0, wanted a positive total");
    largest_weight = largest;
    return {};
  }

  // log2 of the weight beside the largest one: never positive.
  double exponent(int64_t center) const {
    return mixture.weights ? std::log2(double(mixture.weights[center]) / largest_weight) : 0.0;
  }
};

// Columns in blocks, each group starting a block of its own.
template <typename T>
struct PackedColumns {
  std::vector<int64_t> first_block;
  // Not zeroed first: that would be slow, on one thread, and deaf to Ctrl-C.
  std::unique_ptr<T[]> values;
  // By group: has a column NaN? Kernels may pass over a block, so they cannot tell.
  std::vector<std::atomic<bool>> nan;
  int64_t block_size = 0;

  template <NotFinite kPolicy, size_t kExtras, typename ExtrasOf>
  Status pack_all(const char* name, const Matrix<const T>& columns, const Groups& groups,
                  double power, const std::array<T, kExtras>& padding, const ExtrasOf& extras,
                  int threads, Cancellation& cancellation) {
    block_size = kBlock * (int64_t(kExtras) + columns.cols);
    first_block.assign(size_t(groups.count()) + 1, 0);
    for (int64_t g = 0; g < groups.count(); ++g)
      first_block[g + 1] = first_block[g] + divide_up(groups.end(g) - groups.begin(g), kBlock);
    values = std::make_unique_for_overwrite<T[]>(size_t(first_block.back() * block_size));
    nan = std::vector<std::atomic<bool>>(size_t(groups.count()));
    const std::vector<Run> runs = split_into_runs(groups, 64 * kBlock);
    const int64_t count = int64_t(runs.size()), grain = 1 + count / (32 * int64_t(threads));
    std::atomic<bool> too_large{false};
    Status status = parallel_for(threads, divide_up(count, grain), cancellation, [&](int64_t item) {
      for (int64_t r = item * grain; r < std::min(count, (item + 1) * grain); ++r) {
        const Run& run = runs[r];
        const int64_t block =
            first_block[run.group] + (run.first - groups.begin(run.group)) / kBlock;
        const Found found = pack<kPolicy>(columns, run.first, run.count, kBlock, power, padding,
                                          extras, values.get() + block * block_size);
        if (found.too_large) too_large = true;
        if (found.nan) nan[run.group] = true;
      }
    });
    if (!status.ok()) return status;
    return too_large ? too_far_from_zero(name) : Status{};
  }

  int64_t blocks(int64_t group) const { return first_block[group + 1] - first_block[group]; }
  const T* block(int64_t group, int64_t b) const {
    return values.get() + (first_block[group] + b) * block_size;
  }
};

// The part that both reductions share: rows of a run against a chunk of the columns of its group.
template <typename T>
struct Pairing {
  const Setup<T>& setup;
  const Matrix<const T>& rows;
  const PackedColumns<T>& columns;
  int64_t chunk;  // in blocks
  mutable std::atomic<bool> too_large{false};

  int lanes() const { return setup.kernels->lanes; }
  int64_t tiles(const Run& run) const { return divide_up(run.count, lanes()); }
  int64_t chunks(const Run& run) const { return divide_up(columns.blocks(run.group), chunk); }
  const T* chunk_begin(const Run& run, int64_t c) const {
    return columns.block(run.group, c * chunk);
  }
  int64_t chunk_size(const Run& run, int64_t c) const {
    return std::min(chunk, columns.blocks(run.group) - c * chunk);
  }

  template <NotFinite kPolicy, size_t kExtras, typename ExtrasOf>
  const T* pack_tiles(const Run& run, const std::array<T, kExtras>& padding, const ExtrasOf& extras,
                      std::vector<T>& scratch) const {
    scratch.resize(size_t(tiles(run) * lanes() * (int64_t(kExtras) + rows.cols)));
    if (pack<kPolicy>(rows, run.first, run.count, lanes(), setup.scaling.power, padding, extras,
                      scratch.data())
            .too_large)
      too_large = true;
    return scratch.data();
  }
};

}  // namespace layerbits
