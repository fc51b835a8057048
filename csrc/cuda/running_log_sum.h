// Sums of exponentials: the log-sum-exp of a point while a thread adds centers to it, and the sum
// of the results of many threads. In double, the kernels round in the order of
// cpu/simd/running_sum.h. Contains no indices and no memory access.
#pragma once

#include "arithmetic.h"

namespace layerbits::cuda {

// Returns distance * minus_scale + shift. If the shift exceeds kFar, the product is rounded first,
// as move_reference() rounds it.
template <typename T>
__device__ __forceinline__ T exponent_of(T distance, T minus_scale, T shift) {
  return shift > Range<T>::kFar ? distance * minus_scale + shift
                                : multiply_add(distance, minus_scale, shift);
}

__device__ __forceinline__ float sum_of_powers(const float (&x)[kBlock]) {
  float t[kBlock];
#pragma unroll
  for (int j = 0; j < kBlock; ++j) t[j] = exp2_or_zero(x[j]);
  return ((t[0] + t[1]) + (t[2] + t[3])) + ((t[4] + t[5]) + (t[6] + t[7]));
}

// A product with a power of two is exact, so that fma rounds only the sum.
__device__ __forceinline__ double sum_of_powers(const double (&x)[kBlock]) {
  double even = 0, odd = 0;
#pragma unroll
  for (int j = 0; j < kBlock; j += 2) {
    const Power a = exp2_parts(x[j]), b = exp2_parts(x[j + 1]);
    even = fma(a.mantissa, a.scale, even);
    odd = fma(b.mantissa, b.scale, odd);
  }
  return even + odd;
}

// The scale of the terms exp2(-scale distance) of a running sum.
template <typename T>
struct Scale {
  T minus, inverse;

  __host__ __device__ explicit Scale(T scale) : minus(-scale), inverse(1 / scale) {}
};

// The sum is (high + low) 2^reference. The reference is an integer, so that moving the reference is
// exact. It moves as soon as a term would exceed 2: exponents near 0 have small rounding errors,
// which compensates for the error of the special-function unit. The CPU, whose power of two is
// accurate to an ulp, moves its reference at 2^16.
template <typename T>
struct RunningSum {
  T reference, high, low;
  T move_below;    // a term at a smaller distance exceeds 2
  T ignore_above;  // a term at a larger distance is exactly 0

  __device__ __forceinline__ void clear() {
    reference = -Range<T>::kLargest;
    high = low = 0;
    move_below = T(INFINITY);
    ignore_above = Range<T>::above_all();
  }

  __device__ __forceinline__ bool is_far() const { return reference < -Range<T>::kFar; }

  __device__ __forceinline__ void move_reference(T nearest, Scale<T> scale) {
    if (!(nearest < T(INFINITY))) return;
    const T exponent = maximum(-Range<T>::kLargest, nearest * scale.minus);
    raise_reference(round_to_integer(exponent), scale);
  }

  __device__ __forceinline__ void raise_reference(T exponent, Scale<T> scale) {
    const T moved = maximum(reference, exponent);
    const T factor = power_of_two(maximum(Range<T>::kLowest, reference - moved));
    high *= factor;
    low *= factor;
    reference = moved;
    // The relative slack covers the rounding of the product for a large reference; the absolute
    // slack of 1 covers the rounding of exp2.
    const T largest_distance = (1 - Range<T>::kLowest - reference) * scale.inverse;
    ignore_above = multiply_add(largest_distance, Range<T>::kSlack, largest_distance);
    const T move_distance = (-1 - reference) * scale.inverse;
    move_below =
        is_far() ? T(INFINITY) : multiply_add(move_distance, Range<T>::kSlack, move_distance);
  }

  // Two-sum: low accumulates the rounding errors of high.
  __device__ __forceinline__ void add_term(T term) {
    const T total = high + term;
    const T part = total - high;
    low = low + ((high - (total - part)) + (term - part));
    high = total;
  }

  __device__ __forceinline__ void add_distance(T distance, Scale<T> scale) {
    if (distance > ignore_above) return;
    if (distance < move_below) move_reference(distance, scale);
    add_term(exp2_or_zero(exponent_of(distance, scale.minus, -reference)));
  }
};

// Adds the terms of kBlock squared distances to each sum; overwrites the distances. May ignore NaN
// once a sum has terms: callers detect NaN themselves. A single test covers all sums, because a
// test of each would cost as much as a dimension. References below -kFar are updated at every
// block.
template <int kSums, typename T>
__device__ __forceinline__ void add_blocks(T (&distance)[kSums][kBlock], Scale<T> scale,
                                           RunningSum<T> (&sums)[kSums]) {
  bool any_term = false, any_move = false;
  int nearest[kSums];
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    int key[kBlock];
#pragma unroll
    for (int j = 0; j < kBlock; ++j) key[j] = order_key(distance[i][j]);
    nearest[i] = minimum_of_three(minimum_of_three(key[0], key[1], key[2]),
                                  minimum_of_three(key[3], key[4], key[5]),
                                  key[6] < key[7] ? key[6] : key[7]);
    any_term |= nearest[i] <= order_key(sums[i].ignore_above);
    any_move |= nearest[i] <= order_key(sums[i].move_below);
  }
  if (!any_term) return;
  bool any_far = false;
  if (any_move) {
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      if (nearest[i] <= order_key(sums[i].move_below)) {
        const T(&d)[kBlock] = distance[i];
        sums[i].move_reference(minimum(minimum(minimum(d[0], d[1]), minimum(d[2], d[3])),
                                       minimum(minimum(d[4], d[5]), minimum(d[6], d[7]))),
                               scale);
      }
      any_far |= sums[i].is_far();
    }
  }
  if (any_far) {
#pragma unroll
    for (int i = 0; i < kSums; ++i)
#pragma unroll
      for (int j = 0; j < kBlock; ++j)
        distance[i][j] = exponent_of(distance[i][j], scale.minus, -sums[i].reference);
  } else {
#pragma unroll
    for (int i = 0; i < kSums; ++i)
#pragma unroll
      for (int j = 0; j < kBlock; ++j)
        distance[i][j] = multiply_add(distance[i][j], scale.minus, -sums[i].reference);
  }
#pragma unroll
  for (int i = 0; i < kSums; ++i) sums[i].add_term(sum_of_powers(distance[i]));
}

// The sum of the results of many threads, in double, in the order of the calls.
struct ScaledSum {
  double reference = 0, high = 0, low = 0;

  // Adds (other_high + other_low) 2^other_reference; only the sum of the low parts rounds.
  __device__ __forceinline__ void add(double other_reference, double other_high, double other_low) {
    if (other_high == 0) return;
    if (high == 0) {
      reference = other_reference, high = other_high, low = other_low;
      return;
    }
    const double new_reference = fmax(reference, other_reference);
    const double factor = power(reference - new_reference);
    const double other_factor = power(other_reference - new_reference);
    const double a = high * factor, b = other_high * other_factor;
    const double scaled_low = other_low * other_factor;
    low = low * factor + scaled_low;
    high = a + b;
    const double part = high - a;
    low += (a - (high - part)) + (b - part);
    reference = new_reference;
  }

  // Returns the logarithm of the sum; -inf for an empty sum.
  __device__ __forceinline__ double logarithm() const {
    constexpr double kLog2 = 0x1.62e42fefa39efp-1, kLog2Low = 0x1.abc9e3b39803fp-56;
    if (high == 0) return -INFINITY;
    return fma(reference, kLog2, fma(reference, kLog2Low, log(high + low)));
  }

 private:
  static __device__ __forceinline__ double power(double exponent) {
    return power_of_two(fmax(Range<double>::kLowest, exponent));
  }
};

}  // namespace layerbits::cuda
