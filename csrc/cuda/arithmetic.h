// What one thread computes: powers of two, and the log-sum-exp of a query while centers are added
// to it. No indices and no memory here; the order of every rounding is written down (the kernels
// are compiled without contraction), and follows cpu/running_sum.h.
#pragma once

#include <cuda_runtime.h>
#include <float.h>
#include <math.h>
#include <stdint.h>

namespace layerbits::cuda {

__device__ __forceinline__ float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ double multiply_add(double a, double b, double c) {
  return fma(a, b, c);
}
__device__ __forceinline__ float smaller(float a, float b) { return fminf(a, b); }
__device__ __forceinline__ double smaller(double a, double b) { return fmin(a, b); }
__device__ __forceinline__ float larger(float a, float b) { return fmaxf(a, b); }
__device__ __forceinline__ double larger(double a, double b) { return fmax(a, b); }
__device__ __forceinline__ float round_to_integer(float a) { return rintf(a); }
__device__ __forceinline__ double round_to_integer(double a) { return rint(a); }
__device__ __forceinline__ float square_root(float a) { return sqrtf(a); }
__device__ __forceinline__ double square_root(double a) { return sqrt(a); }

template <typename T>
struct Range;

template <>
struct Range<float> {
  static constexpr float kLargest = FLT_MAX;
  static constexpr float kLowest = -127;  // 2^x is exactly 0 here
  static constexpr float kHighest = 127;
  // An exponent so large that its rounding exceeds what 2^x resolves.
  static constexpr float kFar = 0x1p22f;
  static constexpr float kSlack = 0x1p-20f;
};

template <>
struct Range<double> {
  static constexpr double kLargest = DBL_MAX;
  static constexpr double kLowest = -1023;
  static constexpr double kHighest = 1023;
  static constexpr double kFar = 0x1p51;
  static constexpr double kSlack = 0x1p-49;
};

// Squared distances are sums of partial sums over so many dimensions, as on the CPU.
inline constexpr int kPanel = 32;

// Of an integer from kLowest, which gives 0, to kHighest.
__device__ __forceinline__ float power_of_two(float n) {
  return __int_as_float((int(n) + 127) << 23);
}
__device__ __forceinline__ double power_of_two(double n) {
  return __longlong_as_double((static_cast<long long>(n) + 1023) << 52);
}

// 2^x of x <= kHighest. The special-function unit is within 2^-22, two units of the last place, and
// gives 0 below -126.
__device__ __forceinline__ float exp2_or_zero(float x) {
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return emulation::approximate_exp2(x);
#endif
}

// 2^x = 2^n 2^f as in cpu/exp2.h, within an ulp; tools/polynomials.py prints the coefficients.
struct Power {
  double mantissa, scale;
};

__device__ __forceinline__ Power exp2_parts(double x) {
  constexpr double kRounder = 6755399441055744.0 + 1023.0;
  x = x < Range<double>::kLowest ? Range<double>::kLowest : x;  // NaN stays
  const double shifted = x + kRounder;
  const double f = x - (shifted - kRounder);
  double p = 0x1.e9d3fe3952179p-32;
  p = fma(p, f, 0x1.e6063f7217bc6p-28);
  p = fma(p, f, 0x1.b524fae627834p-24);
  p = fma(p, f, 0x1.62bfd47773353p-20);
  p = fma(p, f, 0x1.ffcbfc670dcd4p-17);
  p = fma(p, f, 0x1.430913096fd9fp-13);
  p = fma(p, f, 0x1.5d87fe78a5276p-10);
  p = fma(p, f, 0x1.3b2ab6fba1ddap-7);
  p = fma(p, f, 0x1.c6b08d704a0c2p-5);
  p = fma(p, f, 0x1.ebfbdff82c598p-3);
  p = fma(p, f, 0x1.62e42fefa39efp-1);
  p = fma(p, f, 1.0);
  return {p, __longlong_as_double(__double_as_longlong(shifted) << 52)};
}

__device__ __forceinline__ double exp2_or_zero(double x) {
  const Power power = exp2_parts(x);
  return power.mantissa * power.scale;
}

// distance * minus_scale + shift. Where the shift is far, the product is rounded first, as it was
// when a reference was made of it.
template <typename T>
__device__ __forceinline__ T exponent_of(T distance, T minus_scale, T shift) {
  return shift > Range<T>::kFar ? distance * minus_scale + shift
                                : multiply_add(distance, minus_scale, shift);
}

inline constexpr int kBlock = 8;  // rows that are packed, and terms that are added, together

__device__ __forceinline__ float sum_of_powers(const float (&x)[kBlock]) {
  float t[kBlock];
#pragma unroll
  for (int j = 0; j < kBlock; ++j) t[j] = exp2_or_zero(x[j]);
  return ((t[0] + t[1]) + (t[2] + t[3])) + ((t[4] + t[5]) + (t[6] + t[7]));
}

// A product with a power of two is exact, so that the sum may take it in one operation.
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

// What a running sum of exp2(-scale distance) needs to know of the scale.
template <typename T>
struct Scale {
  T minus, inverse;

  __host__ __device__ explicit Scale(T scale) : minus(-scale), inverse(1 / scale) {}
};

// The sum is (high + low) 2^reference, of an integer reference, so that moving it is exact. It
// moves as soon as a term would exceed 2 of it: exponents near 0 keep the digits that the
// special-function unit costs, and the CPU, whose headroom is 2^16, does not lose.
template <typename T>
struct RunningSum {
  T reference, high, low;
  T move_below;    // a term at a smaller distance exceeds the headroom
  T ignore_above;  // a term at a larger distance is exactly 0

  __device__ __forceinline__ void clear() {
    reference = -Range<T>::kLargest;
    high = low = 0;
    move_below = ignore_above = T(INFINITY);
  }

  __device__ __forceinline__ void move_reference(T nearest, Scale<T> scale) {
    const T exponent = larger(-Range<T>::kLargest, nearest * scale.minus);
    const T moved = larger(reference, round_to_integer(exponent));
    const T factor = power_of_two(larger(Range<T>::kLowest, reference - moved));
    high *= factor;
    low *= factor;
    reference = moved;
    // The relative slack covers the rounding of the product where the reference is large; the
    // absolute one, of exp2.
    const T last = (1 - Range<T>::kLowest - reference) * scale.inverse;
    ignore_above = multiply_add(last, Range<T>::kSlack, last);
    const T first = (-1 - reference) * scale.inverse;
    move_below = multiply_add(first, Range<T>::kSlack, first);
  }

  // Two-sum: low collects what rounding takes from high.
  __device__ __forceinline__ void add_term(T term) {
    const T total = high + term;
    const T part = total - high;
    low = low + ((high - (total - part)) + (term - part));
    high = total;
  }

  // Adds the terms at these squared distances, which it overwrites. One that is NaN may be passed
  // over: callers know of those.
  __device__ __forceinline__ void add_block(T (&distance)[kBlock], Scale<T> scale) {
    const T nearest =
        smaller(smaller(smaller(distance[0], distance[1]), smaller(distance[2], distance[3])),
                smaller(smaller(distance[4], distance[5]), smaller(distance[6], distance[7])));
    if (nearest > ignore_above) return;
    if (nearest < move_below) move_reference(nearest, scale);
    if (reference < -Range<T>::kFar) {
#pragma unroll
      for (int j = 0; j < kBlock; ++j) distance[j] = distance[j] * scale.minus - reference;
    } else {
#pragma unroll
      for (int j = 0; j < kBlock; ++j)
        distance[j] = multiply_add(distance[j], scale.minus, -reference);
    }
    add_term(sum_of_powers(distance));
  }

  __device__ __forceinline__ void add_one(T distance, Scale<T> scale) {
    if (distance > ignore_above) return;
    if (distance < move_below) move_reference(distance, scale);
    add_term(exp2_or_zero(exponent_of(distance, scale.minus, -reference)));
  }
};

// The sums of many threads, put together in double, in the order of the calls.
struct ScaledSum {
  double reference = 0, high = 0, low = 0;

  // Exactly but for the last addition.
  __device__ __forceinline__ void add(double other_reference, double other_high, double other_low) {
    if (other_high == 0) return;
    if (high == 0) {
      reference = other_reference, high = other_high, low = other_low;
      return;
    }
    const double top = fmax(reference, other_reference);
    const double a = high * power(reference - top), b = other_high * power(other_reference - top);
    const double theirs = other_low * power(other_reference - top);
    low = low * power(reference - top) + theirs;
    high = a + b;
    const double part = high - a;
    low += (a - (high - part)) + (b - part);
    reference = top;
  }

  // log of the sum; -inf of an empty one.
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
