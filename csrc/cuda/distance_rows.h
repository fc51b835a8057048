// Checks rows before their distances are computed, and normalizes them for the cosine distance.
#pragma once

#include "arithmetic.h"
#include "device.h"

namespace layerbits::cuda {

// Results of the checks on the device, which the host reads.
struct RowChecks {
  unsigned long long not_finite = ~0ull;  // the first row with NaN or infinity
  unsigned long long zero = ~0ull;        // the first row of zeros
  unsigned long long largest = 0;         // the bits of the largest absolute value, a double
};

template <typename T>
__global__ void check_rows(Matrix<const T> rows, RowChecks* checks) {
  for (int64_t i = first_index(); i < rows.rows; i += index_stride()) {
    T largest = 0, zero = 0;  // 0 times a nonfinite value makes the sum NaN
    for (int64_t k = 0; k < rows.cols; ++k) {
      const T value = rows.data[i * rows.row_stride + k * rows.col_stride];
      largest = maximum(largest, T(fabs(value)));
      zero += value * T(0);
    }
    if (!(zero == 0)) atomicMin(&checks->not_finite, static_cast<unsigned long long>(i));
    if (largest == 0) atomicMin(&checks->zero, static_cast<unsigned long long>(i));
    atomicMax(&checks->largest,
              static_cast<unsigned long long>(__double_as_longlong(double(largest))));
  }
}

// Divides each row by its length; units[rows][cols].
template <typename T>
__global__ void normalize_rows(Matrix<const T> rows, T* units) {
  for (int64_t i = first_index(); i < rows.rows; i += index_stride()) {
    const T* row = rows.data + i * rows.row_stride;
    T largest = 0;
    for (int64_t k = 0; k < rows.cols; ++k)
      largest = maximum(largest, T(fabs(row[k * rows.col_stride])));
    int exponent = 0;
    frexp(double(largest), &exponent);
    constexpr int kLimit = 1022;
    exponent = exponent < -kLimit ? -kLimit : exponent > kLimit ? kLimit : exponent;
    const double factor = ldexp(1.0, -exponent);
    double total = 0;
    for (int64_t first = 0; first < rows.cols; first += kPanel) {
      double partial = 0;
      for (int64_t k = first; k < rows.cols && k < first + kPanel; ++k) {
        const double value = double(row[k * rows.col_stride]) * factor;
        partial += value * value;
      }
      total += partial;
    }
    const double length = sqrt(total);
    for (int64_t k = 0; k < rows.cols; ++k)
      units[i * rows.cols + k] = T(double(row[k * rows.col_stride]) * factor / length);
  }
}

}  // namespace layerbits::cuda
