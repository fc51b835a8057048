// A stable radix sort by cells, in parallel. The order depends on the items alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "../api/divide_up.h"
#include "thread_pool.h"

namespace layerbits {

// The number of bits of a number that is not negative.
inline int bits_of(int64_t number) {
  int count = 0;
  while ((number >> count) > 0) ++count;
  return count;
}

class RadixSort {
 public:
  RadixSort(int64_t count, int threads) : count_(count), threads_(threads) {}

  // Writes the items to `sorted`, in the order of their keys, which have `bits` bits. item(i)
  // returns item i; `Items` has the members operator[](i), set(i, item) and allocated(count), which
  // returns space for `count` items.
  template <typename Items, typename ItemOf, typename KeyOf>
  Status sort(int bits, const ItemOf& item, const KeyOf& key, Cancellation& cancellation,
              Items& sorted) const {
    const int passes = std::max(1, (bits + kMaxDigit - 1) / kMaxDigit);
    const int digit = (bits + passes - 1) / passes;
    sorted = sorted.allocated(count_);
    Status status = pass(0, digit, item, key, cancellation, sorted);
    for (int p = 1; p < passes && status.ok(); ++p) {
      const Items before = std::exchange(sorted, sorted.allocated(count_));
      const auto item_before = [&](int64_t i) { return before[i]; };
      status = pass(p * digit, digit, item_before, key, cancellation, sorted);
    }
    return status;
  }

  // Appends the cells of sorted items to `cells`, and the first item of each, then the number of
  // items, to `first`. cell_of(i) returns the cell of item i. Calls visit(i) once for each item.
  template <typename Cell, typename CellOf, typename Visit>
  Status find_cells(const CellOf& cell_of, const Visit& visit, Cancellation& cancellation,
                    std::vector<Cell>& cells, std::vector<int64_t>& first) const {
    std::vector<std::vector<std::pair<Cell, int64_t>>> starts(static_cast<size_t>(chunks()));
    Status status = parallel_for(threads_, chunks(), cancellation, [&](int64_t c) {
      std::optional<Cell> before;
      if (c > 0) before = cell_of(c * kChunk - 1);
      for (int64_t i = c * kChunk; i < chunk_end(c); ++i) {
        visit(i);
        const Cell cell = cell_of(i);
        if (cell != before) starts[c].emplace_back(cell, i);
        before = cell;
      }
    });
    if (!status.ok()) return status;
    for (const auto& chunk : starts)
      for (const auto& [cell, i] : chunk) {
        cells.push_back(cell);
        first.push_back(i);
      }
    first.push_back(count_);
    return {};
  }

 private:
  static constexpr int kMaxDigit = 13;  // one pass over 2^13 buckets is faster than two over 2^7
  static constexpr int64_t kChunk = 1 << 16;

  int64_t chunks() const { return divide_up(count_, kChunk); }
  int64_t chunk_end(int64_t c) const { return std::min(count_, (c + 1) * kChunk); }

  // Orders by one digit of the keys. A chunk of items has its own place in every bucket.
  template <typename Items, typename ItemOf, typename KeyOf>
  Status pass(int shift, int digit, const ItemOf& item, const KeyOf& key,
              Cancellation& cancellation, Items& out) const {
    const size_t buckets = size_t(1) << digit;
    const auto bucket = [&](const auto& value) {
      return size_t(key(value) >> shift) & (buckets - 1);
    };
    std::vector<int64_t> places(size_t(chunks()) * buckets, 0);
    Status status = parallel_for(threads_, chunks(), cancellation, [&](int64_t c) {
      int64_t* counts = places.data() + size_t(c) * buckets;
      for (int64_t i = c * kChunk; i < chunk_end(c); ++i) ++counts[bucket(item(i))];
    });
    if (!status.ok()) return status;
    int64_t place = 0;
    for (size_t b = 0; b < buckets; ++b)
      for (int64_t c = 0; c < chunks(); ++c)
        place += std::exchange(places[size_t(c) * buckets + b], place);
    return parallel_for(threads_, chunks(), cancellation, [&](int64_t c) {
      int64_t* next = places.data() + size_t(c) * buckets;
      for (int64_t i = c * kChunk; i < chunk_end(c); ++i) {
        const auto value = item(i);
        out.set(next[bucket(value)]++, value);
      }
    });
  }

  const int64_t count_;
  const int threads_;
};

}  // namespace layerbits
