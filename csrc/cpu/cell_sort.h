// Sorts numbers by cells of equal width on the line.
#pragma once

#include <memory>

#include "radix_sort.h"

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

// Numbers in the order of their cells, each with a companion (a weight or a row index), and the
// cells that contain any.
template <typename T, typename Companion>
struct SortedCells {
  struct Item {
    T value;
    Companion companion;
  };

  bool has_companions = true;
  std::unique_ptr<T[]> values;
  std::unique_ptr<Companion[]> companions;  // null if they are not wanted
  std::vector<int64_t> index, first;        // by cell; `first` also has the end

  int64_t cells() const { return int64_t(index.size()); }
  int64_t size(int64_t cell) const { return first[cell + 1] - first[cell]; }

  // For RadixSort.
  SortedCells allocated(int64_t count) const {
    SortedCells result;
    result.has_companions = has_companions;
    result.values = std::make_unique_for_overwrite<T[]>(size_t(count));
    if (has_companions)
      result.companions = std::make_unique_for_overwrite<Companion[]>(size_t(count));
    return result;
  }
  Item operator[](int64_t i) const {
    return {values[i], has_companions ? companions[i] : Companion(1)};
  }
  void set(int64_t i, const Item& item) {
    values[i] = item.value;
    if (has_companions) companions[i] = item.companion;
  }
};

// Sorts numbers with indices from `lowest` to `highest`; item(i) returns number i.
template <typename T, typename Companion, typename ItemOf>
Status sort_by_cells(const RadixSort& sort, const CellIndex& cell_index, int64_t lowest,
                     int64_t highest, const ItemOf& item, Cancellation& cancellation,
                     SortedCells<T, Companion>& sorted) {
  const auto key = [&](const auto& value) { return cell_index(double(value.value)) - lowest; };
  Status status = sort.sort(bits_of(highest - lowest), item, key, cancellation, sorted);
  if (!status.ok()) return status;
  const auto cell_of = [&](int64_t i) { return cell_index(double(sorted.values[i])); };
  return sort.find_cells(cell_of, [](int64_t) {}, cancellation, sorted.index, sorted.first);
}

}  // namespace layerbits
