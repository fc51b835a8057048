// Sorts points in the plane by square cells.
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

  void allocate(int64_t count) {
    const auto size = size_t(count + kPadding);
    x = std::make_unique_for_overwrite<T[]>(size);
    y = std::make_unique_for_overwrite<T[]>(size);
    companions = std::make_unique_for_overwrite<Companion[]>(size);
    for (int64_t i = count; i < count + kPadding; ++i) set(i, {});
  }
  void set(int64_t i, const PlaneItem<T, Companion>& item) {
    x[i] = item.x, y[i] = item.y, companions[i] = item.companion;
  }
};

// Orders cells by bands of 2^band_bits rows, then by x, then by y.
template <typename T, typename Companion>
class PlaneSort {
 public:
  using Item = PlaneItem<T, Companion>;

  PlaneSort(const CellIndex& cell_index, const PlaneBox& box, int band_bits, int threads)
      : cell_index_(cell_index),
        box_(box),
        band_bits_(band_bits),
        threads_(threads),
        x_bits_(bits_of(box.highest[0] - box.lowest[0])),
        bits_(x_bits_ + std::max(band_bits, bits_of(box.highest[1] - box.lowest[1]))) {}

  bool fits() const { return bits_ < 63; }

  // item(i) returns point i.
  template <typename ItemOf>
  Status sort(int64_t count, const ItemOf& item, Cancellation& cancellation,
              SortedPlane<T, Companion>& sorted) const {
    const RadixSort radix_sort(count, threads_);
    Items items;
    const auto key_of = [&](const Item& point) { return key(point); };
    Status status = radix_sort.sort(bits_, item, key_of, cancellation, items);
    if (!status.ok()) return status;
    sorted.allocate(count);
    const auto cell_of_point = [&](int64_t i) { return cell_of(items[i]); };
    const auto store = [&](int64_t i) { sorted.set(i, items[i]); };
    return radix_sort.find_cells(cell_of_point, store, cancellation, sorted.cells, sorted.first);
  }

 private:
  // An array of structures, which a pass writes faster than an array for each coordinate.
  struct Items {
    std::unique_ptr<Item[]> items;

    static Items allocated(int64_t count) {
      return {std::make_unique_for_overwrite<Item[]>(size_t(count))};
    }
    const Item& operator[](int64_t i) const { return items[i]; }
    void set(int64_t i, const Item& item) { items[i] = item; }
  };

  PlaneCell cell_of(const Item& item) const {
    return {cell_index_(double(item.x)), cell_index_(double(item.y))};
  }
  uint64_t key(const Item& item) const {
    const PlaneCell cell = cell_of(item);
    const auto x = uint64_t(cell.x - box_.lowest[0]), y = uint64_t(cell.y - box_.lowest[1]);
    const uint64_t row = y & ((uint64_t(1) << band_bits_) - 1);
    return ((y >> band_bits_) << (x_bits_ + band_bits_)) | (x << band_bits_) | row;
  }

  const CellIndex cell_index_;
  const PlaneBox box_;
  const int band_bits_, threads_, x_bits_, bits_;
};

}  // namespace layerbits
