// Rows of points or centers, packed on the device in blocks: the extra values of the rows of a
// block, then their coordinates, scaled by a power of two, each as an array over the rows. Each
// group starts a new block, so that kernels copy 16 bytes at a time. Unused rows have coordinates 0
// and extra values that give their terms no weight, so that kernels need not test where a group
// ends.
#pragma once

#include "arithmetic.h"
#include "device.h"

namespace layerbits::cuda {

// Returns the group g of element i: offsets[g] <= i < offsets[g + 1]. Of groups with equal offsets
// all but the last are empty, so this is the last g with offsets[g] <= i.
__device__ __forceinline__ int64_t find_group(const int64_t* offsets, int64_t groups, int64_t i) {
  int64_t lower = 0, upper = groups;
  while (upper - lower > 1) {
    const int64_t middle = lower + (upper - lower) / 2;
    (offsets[middle] <= i ? lower : upper) = middle;
  }
  return lower;
}

struct PackedLayout {
  const int64_t* row_offsets;    // by group, groups + 1
  const int64_t* block_offsets;  // by group, groups + 1
  int64_t groups;
  int64_t packed_rows;  // block_rows for each block
  int block_rows = kBlock;
  int64_t padding = 0;               // dimensions of zeros after the coordinates
  Vector<const int64_t> order = {};  // a permutation of the rows; absent: the identity
};

// Packs rows. ExtraValues is a functor with constants kCount and kZeroNotFinite; it is called with
// a row, the coordinates of the row and an array for its kCount extra values. Row -1 stands for an
// unused row.
template <typename T, typename ExtraValues>
__global__ void pack_rows(Matrix<const T> rows, PackedLayout layout, T factor,
                          ExtraValues extra_values, unsigned* too_large, unsigned* nan, T* packed) {
  constexpr int kExtra = ExtraValues::kCount;
  const int64_t width = layout.block_rows, stride = width * (kExtra + rows.cols + layout.padding);
  for (int64_t p = first_index(); p < layout.packed_rows; p += index_stride()) {
    const int64_t block = p / width;
    const int64_t group = find_group(layout.block_offsets, layout.groups, block);
    int64_t row = layout.row_offsets[group] + (p - layout.block_offsets[group] * width);
    const bool is_row = row < layout.row_offsets[group + 1];
    if (is_row && layout.order.data) row = layout.order.data[row * layout.order.stride];
    T* target = packed + block * stride + p % width;
    T values[kExtra > 0 ? kExtra : 1];
    const T* coordinates = rows.data + row * rows.row_stride;
    extra_values(is_row ? row : -1, coordinates, values);
    for (int e = 0; e < kExtra; ++e) target[e * width] = values[e];
    target += kExtra * width;
    for (int64_t k = 0; k < rows.cols; ++k) {
      const T value = is_row ? coordinates[k * rows.col_stride] : T(0);
      T scaled = value * factor;
      if (isnan(value)) {
        if (nan) atomicOr(nan + group, 1u);
      } else if (!isinf(value) && fabs(scaled) > Range<T>::kLargest / 4) {
        atomicOr(too_large, 1u);  // a difference of two such values may overflow
      }
      target[k * width] = ExtraValues::kZeroNotFinite && !isfinite(value) ? T(0) : scaled;
    }
    for (int64_t k = 0; k < layout.padding; ++k) target[(rows.cols + k) * width] = T(0);
  }
}

struct NoExtraValues {
  static constexpr int kCount = 0;
  static constexpr bool kZeroNotFinite = false;
  template <typename T>
  __device__ void operator()(int64_t, const T*, T*) const {}
};

}  // namespace layerbits::cuda
