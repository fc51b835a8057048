// Components with full covariances, packed for the log-sum-exp over them, and the checks of points,
// centers, triangular factors and offsets on the device.
#pragma once

#include <string.h>

#include "arithmetic.h"
#include "device.h"

namespace layerbits::cuda {

inline constexpr int kBandRows = 4;

// A packed component is its offset and its center, then its triangular factor in bands of kBandRows
// rows; a band has the columns up to its last row. If kBandRows does not divide d, the first band
// begins with rows of zeros.
__host__ __device__ inline int64_t head_size(int64_t dim) { return (1 + dim + 3) / 4 * 4; }
__host__ __device__ inline int64_t first_band_columns(int64_t dim) {
  return (dim - 1) % kBandRows + 1;
}
// Returns the number of columns of all bands before the band that ends at row `last`, exclusive.
__host__ __device__ inline int64_t columns_before(int64_t dim, int64_t last) {
  const int64_t first = first_band_columns(dim), bands = (last - first) / kBandRows;
  return bands * first + kBandRows * bands * (bands - 1) / 2;
}
__host__ __device__ inline int64_t component_values(int64_t dim) {
  return head_size(dim) + kBandRows * columns_before(dim, dim + kBandRows);
}

// Maps doubles to integers in the same order, so that atomicMax finds the largest double. No number
// maps to 0.
__device__ __forceinline__ unsigned long long ordered_bits(double value) {
  const auto bits = static_cast<unsigned long long>(__double_as_longlong(value));
  return bits >> 63 ? ~bits : bits | 1ull << 63;
}
__host__ __device__ inline unsigned long long bits_of_ordered(unsigned long long ordered) {
  return ordered >> 63 ? ordered & ~(1ull << 63) : ~ordered;
}
__host__ __device__ inline double double_of(unsigned long long bits) {
  double value = 0;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// Results of the checks on the device, which the host reads at the end of a call.
struct ComponentChecks {
  unsigned long long infinite_offset = ~0ull;  // the first index of an infinite offset
  unsigned long long largest_offset = 0;       // ordered_bits; 0 if no offset is a number
  unsigned long long largest_point = 0, largest_center = 0, largest_factor = 0;  // bits of |finite|
  unsigned nan = 0;

  // The largest offset; -inf if no offset is a number.
  __device__ double offset() const {
    return largest_offset == 0 ? double(-INFINITY) : double_of(bits_of_ordered(largest_offset));
  }

  // Whether no sum of products overflows, so that infinity is never subtracted from infinity.
  template <typename T>
  __host__ __device__ bool in_range(int64_t dim) const {
    const double reach = double_of(largest_point) + double_of(largest_center);
    const double limit = Range<T>::kLargest / 2;
    return reach < limit && reach * double_of(largest_factor) * double(dim) < limit;
  }
};

// The largest absolute value of the finite values, and whether there are infinite values or NaN.
struct Extent {
  double largest = 0;
  bool infinite = false, nan = false;

  __device__ void add(double value) {
    if (isfinite(value))
      largest = fmax(largest, fabs(value));
    else
      (isnan(value) ? nan : infinite) = true;
  }
  __device__ void merge_into(unsigned long long* result) const {
    atomicMax(result, static_cast<unsigned long long>(__double_as_longlong(largest)));
  }
};

template <typename T>
__global__ void check_points(Matrix<const T> points, ComponentChecks* checks) {
  Extent extent;
  for (int64_t i = first_index(); i < points.rows; i += index_stride())
    for (int64_t k = 0; k < points.cols; ++k)
      extent.add(points.data[i * points.row_stride + k * points.col_stride]);
  extent.merge_into(&checks->largest_point);
}

// A thread checks a row of a factor and a coordinate of the center; the thread of row 0 checks the
// offset. absent[j] becomes nonzero if component j has a center or a factor that is not finite.
template <typename T>
__global__ void check_components(Components<T> components, ComponentChecks* checks,
                                 unsigned* absent) {
  const Matrix<const T> rows = components.centers;
  const int64_t dim = rows.cols;
  Extent centers, factors;
  for (int64_t e = first_index(); e < rows.rows * dim; e += index_stride()) {
    const int64_t j = e / dim, r = e % dim;
    Extent center, factor;
    const T* row =
        components.factors.data + j * components.factors.stride + r * components.factors.row_stride;
    for (int64_t k = 0; k <= r; ++k) factor.add(row[k * components.factors.col_stride]);
    center.add(rows.data[j * rows.row_stride + r * rows.col_stride]);
    if (center.infinite || center.nan || factor.infinite || factor.nan) atomicOr(absent + j, 1u);
    bool nan = center.nan || factor.nan;
    if (r == 0) {
      const double offset = components.offsets.data[j * components.offsets.stride];
      nan |= isnan(offset);
      if (offset == INFINITY)
        atomicMin(&checks->infinite_offset, static_cast<unsigned long long>(j));
      if (!isnan(offset)) atomicMax(&checks->largest_offset, ordered_bits(offset));
    }
    if (nan) atomicOr(&checks->nan, 1u);
    centers.largest = fmax(centers.largest, center.largest);
    factors.largest = fmax(factors.largest, factor.largest);
  }
  centers.merge_into(&checks->largest_center);
  factors.merge_into(&checks->largest_factor);
}

// Packs points into tiles, packed[tile][dim][kTile], with 0 for values that are not finite.
template <int kTile, typename T>
__global__ void pack_tiles(Matrix<const T> points, int64_t tiles, T* packed) {
  for (int64_t e = first_index(); e < tiles * points.cols * kTile; e += index_stride()) {
    const int64_t i = e / (points.cols * kTile) * kTile + e % kTile, k = e / kTile % points.cols;
    const T value =
        i < points.rows ? points.data[i * points.row_stride + k * points.col_stride] : T(0);
    packed[e] = isfinite(value) ? value : T(0);
  }
}

// Packs components into `packed`, which is initially 0; a thread takes a row of a factor.
template <typename T>
__global__ void pack_components(Components<T> components, const ComponentChecks* checks,
                                const unsigned* absent, T* packed) {
  const Matrix<const T> rows = components.centers;
  const int64_t dim = rows.cols, first = first_band_columns(dim);
  for (int64_t e = first_index(); e < rows.rows * dim; e += index_stride()) {
    const int64_t j = e / dim, r = e % dim;
    T* component = packed + j * component_values(dim);
    const double offset =
        2 * (checks->offset() - double(components.offsets.data[j * components.offsets.stride]));
    const bool is_present = !absent[j] && offset < Range<T>::kLargest;
    if (r == 0) component[0] = is_present ? T(offset) : T(INFINITY);
    if (!is_present) continue;
    component[1 + r] = rows.data[j * rows.row_stride + r * rows.col_stride];
    const int64_t last = r < first ? first : first + ((r - first) / kBandRows + 1) * kBandRows;
    T* column = component + head_size(dim) + kBandRows * columns_before(dim, last) +
                (r - (last - kBandRows));
    const T* row =
        components.factors.data + j * components.factors.stride + r * components.factors.row_stride;
    for (int64_t k = 0; k <= r; ++k) column[k * kBandRows] = row[k * components.factors.col_stride];
  }
}

}  // namespace layerbits::cuda
