// Sorts points in the plane by square cells, stably, by a radix sort of their keys in parallel. The
// order depends on the points alone.
#pragma once

#include "cell_sort.h"
#include "kernel_table.h"

namespace layerbits {

template <typename T, typename Companion>
struct PlaneItem {
  T x, y;
  Companion companion;
};

// Indices of cells, both ends included.
struct PlaneBox {
  int64_t lowest[2], highest[2];
};

struct PlaneCell {
  int64_t x, y;
  bool operator==(const PlaneCell&) const = default;
};

// Points in the order of their cells, each with a companion, and the cells that contain any. The
// arrays end with kPadding zeros, so that kernels may load whole registers.
template <typename T, typename Companion>
struct SortedPlane {
  static constexpr int64_t kPadding = 16;
  std::unique_ptr<T[]> x, y;
  std::unique_ptr<Companion[]> companions;
  std::vector<PlaneCell> cells;
  std::vector<int64_t> first;  // of each cell, and the end
};

// Orders cells by bands of 2^band_bits rows, then by x, then by y.
template <typename T, typename Companion>
class PlaneSort {
 public:
  using Item = PlaneItem<T, Companion>;

  PlaneSort(const CellIndex& cell_index, const PlaneBox& box, int band_bits, int threads)
      : cell_index_(cell_index), box_(box), band_bits_(band_bits), threads_(threads) {
    x_bits_ = bits(box.highest[0] - box.lowest[0]);
    bits_ = x_bits_ + std::max(band_bits, bits(box.highest[1] - box.lowest[1]));
    passes_ = std::max(1, (bits_ + kMaxDigit - 1) / kMaxDigit);
    digit_ = (bits_ + passes_ - 1) / passes_;
  }

  bool fits() const { return bits_ < 63; }

  // item(i) returns point i.
  template <typename ItemOf>
  Status sort(int64_t count, const ItemOf& item, Cancellation& cancellation,
              SortedPlane<T, Companion>& sorted) {
    count_ = count;
    std::unique_ptr<Item[]> items, before;
    Status status = pass(0, item, cancellation, items);
    for (int p = 1; p < passes_ && status.ok(); ++p) {
      before = std::move(items);
      status = pass(p, [&](int64_t i) { return before[i]; }, cancellation, items);
    }
    return status.ok() ? split(items.get(), cancellation, sorted) : status;
  }

 private:
  static constexpr int kMaxDigit = 13;  // as in CellSort
  static constexpr int64_t kChunk = 1 << 16;

  static int bits(int64_t largest) {
    int count = 0;
    while ((largest >> count) > 0) ++count;
    return count;
  }
  int64_t chunks() const { return divide_up(count_, kChunk); }
  int64_t chunk_end(int64_t c) const { return std::min(count_, (c + 1) * kChunk); }

  PlaneCell cell_of(const Item& item) const {
    return {cell_index_(double(item.x)), cell_index_(double(item.y))};
  }
  uint64_t key(const Item& item) const {
    const PlaneCell cell = cell_of(item);
    const auto x = uint64_t(cell.x - box_.lowest[0]), y = uint64_t(cell.y - box_.lowest[1]);
    const uint64_t row = y & ((uint64_t(1) << band_bits_) - 1);
    return ((y >> band_bits_) << (x_bits_ + band_bits_)) | (x << band_bits_) | row;
  }

  // Orders by one digit of the keys. A chunk of items has its own place in every bucket.
  template <typename ItemOf>
  Status pass(int p, const ItemOf& item, Cancellation& cancellation, std::unique_ptr<Item[]>& out) {
    out = std::make_unique_for_overwrite<Item[]>(size_t(count_));
    const int shift = p * digit_;
    const size_t buckets = size_t(1) << digit_;
    const auto bucket = [&](const Item& value) {
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
        const Item value = item(i);
        out[next[bucket(value)]++] = value;
      }
    });
  }

  // Writes each coordinate to an array of its own, and finds the cells.
  Status split(const Item* items, Cancellation& cancellation,
               SortedPlane<T, Companion>& sorted) const {
    const auto size = size_t(count_ + SortedPlane<T, Companion>::kPadding);
    sorted.x = std::make_unique_for_overwrite<T[]>(size);
    sorted.y = std::make_unique_for_overwrite<T[]>(size);
    sorted.companions = std::make_unique_for_overwrite<Companion[]>(size);
    for (auto i = size_t(count_); i < size; ++i)
      sorted.x[i] = sorted.y[i] = T(0), sorted.companions[i] = Companion(0);
    std::vector<std::vector<std::pair<PlaneCell, int64_t>>> starts(static_cast<size_t>(chunks()));
    Status status = parallel_for(threads_, chunks(), cancellation, [&](int64_t c) {
      PlaneCell before = c > 0 ? cell_of(items[c * kChunk - 1]) : PlaneCell{-1, -1};
      for (int64_t i = c * kChunk; i < chunk_end(c); ++i) {
        sorted.x[i] = items[i].x;
        sorted.y[i] = items[i].y;
        sorted.companions[i] = items[i].companion;
        const PlaneCell cell = cell_of(items[i]);
        if (cell != before) starts[c].emplace_back(cell, i);
        before = cell;
      }
    });
    if (!status.ok()) return status;
    for (const auto& chunk : starts)
      for (const auto& [cell, i] : chunk) {
        sorted.cells.push_back(cell);
        sorted.first.push_back(i);
      }
    sorted.first.push_back(count_);
    return {};
  }

  const CellIndex cell_index_;
  const PlaneBox box_;
  const int band_bits_, threads_;
  int x_bits_ = 0, bits_ = 0, passes_ = 1, digit_ = 0;
  int64_t count_ = 0;
};

}  // namespace layerbits
