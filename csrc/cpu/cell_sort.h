// Sorts numbers by cells of equal width on the line, stably, by a radix sort of their cell indices
// in parallel. The order depends on the numbers alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "../api/divide_up.h"
#include "thread_pool.h"

namespace layerbits {

// A cell contains the numbers x with round(x scale / step) = index - kOrigin, up to a rounding of
// 2^-11 of its width: both the sum and an index below 2^40 have 11 bits after the point.
struct CellIndex {
  static constexpr int64_t kOrigin = int64_t(1) << 41;
  static constexpr double kMaxCells = 0x1p40;
  double scale = 1, step = 1;
  double inverse = 1 / step;

  double in_cells(double x) const { return (x * scale) * inverse; }
  int64_t operator()(double x) const { return int64_t(in_cells(x) + (double(kOrigin) + 0.5)); }
  double middle(int64_t index) const { return double(index - kOrigin) * step; }
};

// Numbers in the order of their cells, each with a companion, and the cells that contain any.
template <typename T, typename Companion>
struct SortedCells {
  std::unique_ptr<T[]> values;
  std::unique_ptr<Companion[]> companions;  // null if they are not wanted
  std::vector<int64_t> index, first;        // of each cell; `first` has the end too

  int64_t cells() const { return int64_t(index.size()); }
  int64_t size(int64_t cell) const { return first[cell + 1] - first[cell]; }
};

template <typename T, typename Companion>
class CellSort {
 public:
  // The numbers have indices from `lowest` to `highest`.
  CellSort(const CellIndex& cell_index, int64_t lowest, int64_t highest, int threads)
      : cell_index_(cell_index), lowest_(lowest), threads_(threads) {
    while (((highest - lowest) >> bits_) > 0) ++bits_;
    passes_ = std::max(1, (bits_ + kMaxDigit - 1) / kMaxDigit);
    digit_ = (bits_ + passes_ - 1) / passes_;
  }

  // value(i) and companion(i) return number i and its companion.
  template <typename Value, typename CompanionOf>
  Status sort(int64_t count, bool with_companions, const Value& value, const CompanionOf& companion,
              Cancellation& cancellation, SortedCells<T, Companion>& sorted) {
    count_ = count;
    Status status = pass(0, with_companions, value, companion, cancellation, sorted);
    for (int p = 1; p < passes_ && status.ok(); ++p) {
      const SortedCells<T, Companion> before = std::move(sorted);
      sorted = {};
      status = pass(
          p, with_companions, [&](int64_t i) { return before.values[i]; },
          [&](int64_t i) { return before.companions[i]; }, cancellation, sorted);
    }
    if (!status.ok()) return status;
    return find_cells(cancellation, sorted);
  }

 private:
  static constexpr int kMaxDigit = 13;  // one pass over 2^13 buckets is faster than two over 2^7
  static constexpr int64_t kChunk = 1 << 16;

  int64_t chunks() const { return divide_up(count_, kChunk); }
  int64_t chunk_end(int64_t c) const { return std::min(count_, (c + 1) * kChunk); }

  // Orders by one digit of the index. A chunk of numbers has its own place in every bucket.
  template <typename Value, typename CompanionOf>
  Status pass(int p, bool with_companions, const Value& value, const CompanionOf& companion,
              Cancellation& cancellation, SortedCells<T, Companion>& out) {
    out.values = std::make_unique_for_overwrite<T[]>(size_t(count_));
    if (with_companions)
      out.companions = std::make_unique_for_overwrite<Companion[]>(size_t(count_));
    const int shift = p * digit_;
    const size_t buckets = size_t(1) << digit_;
    const auto bucket = [&](T x) {
      return size_t((cell_index_(double(x)) - lowest_) >> shift) & (buckets - 1);
    };
    std::vector<int64_t> places(size_t(chunks()) * buckets, 0);
    Status status = parallel_for(threads_, chunks(), cancellation, [&](int64_t c) {
      int64_t* counts = places.data() + size_t(c) * buckets;
      for (int64_t i = c * kChunk; i < chunk_end(c); ++i) ++counts[bucket(value(i))];
    });
    if (!status.ok()) return status;
    int64_t place = 0;
    for (size_t b = 0; b < buckets; ++b)
      for (int64_t c = 0; c < chunks(); ++c)
        place += std::exchange(places[size_t(c) * buckets + b], place);
    return parallel_for(threads_, chunks(), cancellation, [&](int64_t c) {
      int64_t* next = places.data() + size_t(c) * buckets;
      for (int64_t i = c * kChunk; i < chunk_end(c); ++i) {
        const T x = value(i);
        const int64_t target = next[bucket(x)]++;
        out.values[target] = x;
        if (with_companions) out.companions[target] = companion(i);
      }
    });
  }

  Status find_cells(Cancellation& cancellation, SortedCells<T, Companion>& sorted) const {
    const T* values = sorted.values.get();
    std::vector<std::vector<std::pair<int64_t, int64_t>>> starts(static_cast<size_t>(chunks()));
    Status status = parallel_for(threads_, chunks(), cancellation, [&](int64_t c) {
      int64_t before = c > 0 ? cell_index_(double(values[c * kChunk - 1])) : -1;
      for (int64_t i = c * kChunk; i < chunk_end(c); ++i) {
        const int64_t index = cell_index_(double(values[i]));
        if (index != before) starts[c].emplace_back(index, i);
        before = index;
      }
    });
    if (!status.ok()) return status;
    for (const auto& chunk : starts)
      for (const auto& [index, i] : chunk) {
        sorted.index.push_back(index);
        sorted.first.push_back(i);
      }
    sorted.first.push_back(count_);
    return {};
  }

  const CellIndex cell_index_;
  const int64_t lowest_;
  const int threads_;
  int bits_ = 0, passes_ = 1, digit_ = 0;
  int64_t count_ = 0;
};

}  // namespace layerbits
