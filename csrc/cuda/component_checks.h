// Checks of points, centers, factors and offsets on the device, and their packing, for the
// log-sum-exps over components that each have a factor in place of sigma.
//
// A Layout has the constants and functions
//   component_values(dim)                    values of a packed component; the first is its offset
//   factor_row(components, j, r)             the extent of row r of the factor of component j
//   pack_row(components, j, r, component)    packs coordinate r of its center and this row
#pragma once

#include <string.h>

#include "arithmetic.h"
#include "device.h"

namespace layerbits::cuda {

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

  // The largest possible difference of a point and a center.
  __host__ __device__ double reach() const {
    return double_of(largest_point) + double_of(largest_center);
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

// A thread checks a coordinate of a center and row r of its factor; the thread of row 0 checks the
// offset. absent[j] becomes nonzero if component j has a center or a factor that is not finite.
template <typename Layout, typename Components>
__global__ void check_components(Components components, ComponentChecks* checks, unsigned* absent) {
  const auto rows = components.centers;
  Extent centers, factors;
  for (int64_t e = first_index(); e < rows.rows * rows.cols; e += index_stride()) {
    const int64_t j = e / rows.cols, r = e % rows.cols;
    Extent center;
    center.add(rows.data[j * rows.row_stride + r * rows.col_stride]);
    const Extent factor = Layout::factor_row(components, j, r);
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

// Packs components into `packed`, which is initially 0; a thread takes row r of a component.
template <typename Layout, typename Components, typename T>
__global__ void pack_components(Components components, const ComponentChecks* checks,
                                const unsigned* absent, T* packed) {
  const auto rows = components.centers;
  for (int64_t e = first_index(); e < rows.rows * rows.cols; e += index_stride()) {
    const int64_t j = e / rows.cols, r = e % rows.cols;
    T* component = packed + j * Layout::component_values(rows.cols);
    const double offset =
        2 * (checks->offset() - double(components.offsets.data[j * components.offsets.stride]));
    const bool is_present = !absent[j] && offset < Range<T>::kLargest;
    if (r == 0) component[0] = is_present ? T(offset) : T(INFINITY);
    if (is_present) Layout::pack_row(components, j, r, component);
  }
}

}  // namespace layerbits::cuda
