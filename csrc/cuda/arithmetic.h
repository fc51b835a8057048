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

// Numbers that are not negative, as integers of the same order; of a double, its upper half. NaN
// comes last, or, with a sign, first.
__device__ __forceinline__ int order_key(float a) { return __float_as_int(a); }
__device__ __forceinline__ int order_key(double a) { return __double2hiint(a); }
__device__ __forceinline__ int smallest(int a, int b, int c) { return __vimin3_s32(a, b, c); }

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
  // NaN, which no number exceeds, and which as an integer exceeds all.
  static __device__ __forceinline__ float above_all() { return __int_as_float(0x7fffffff); }
};

template <>
struct Range<double> {
  static constexpr double kLargest = DBL_MAX;
  static constexpr double kLowest = -1023;
  static constexpr double kHighest = 1023;
  static constexpr double kFar = 0x1p51;
  static constexpr double kSlack = 0x1p-49;
  static __device__ __forceinline__ double above_all() {
    return __longlong_as_double(0x7fffffffffffffffll);
  }
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
  // From -1023 (its upper half, or one unit less) to -inf, but not NaN. As integers: the
  // double-precision unit is the one that has no time.
  const unsigned high = unsigned(__double2hiint(x));
  const bool lowest = high - 0xc08ff800u <= 0xfff00000u - 0xc08ff800u;
  x = __hiloint2double(int(lowest ? 0xc08ff800u : high), __double2loint(x));
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
    move_below = T(INFINITY);
    ignore_above = Range<T>::above_all();
  }

  __device__ __forceinline__ bool is_far() const { return reference < -Range<T>::kFar; }

  __device__ __forceinline__ void move_reference(T nearest, Scale<T> scale) {
    if (!(nearest < T(INFINITY))) return;
    const T exponent = larger(-Range<T>::kLargest, nearest * scale.minus);
    raise_reference(round_to_integer(exponent), scale);
  }

  __device__ __forceinline__ void raise_reference(T to, Scale<T> scale) {
    const T moved = larger(reference, to);
    const T factor = power_of_two(larger(Range<T>::kLowest, reference - moved));
    high *= factor;
    low *= factor;
    reference = moved;
    // The relative slack covers the rounding of the product where the reference is large; the
    // absolute one, of exp2.
    const T last = (1 - Range<T>::kLowest - reference) * scale.inverse;
    ignore_above = multiply_add(last, Range<T>::kSlack, last);
    const T first = (-1 - reference) * scale.inverse;
    move_below = is_far() ? T(INFINITY) : multiply_add(first, Range<T>::kSlack, first);
  }

  // Two-sum: low collects what rounding takes from high.
  __device__ __forceinline__ void add_term(T term) {
    const T total = high + term;
    const T part = total - high;
    low = low + ((high - (total - part)) + (term - part));
    high = total;
  }

  __device__ __forceinline__ void add_one(T distance, Scale<T> scale) {
    if (distance > ignore_above) return;
    if (distance < move_below) move_reference(distance, scale);
    add_term(exp2_or_zero(exponent_of(distance, scale.minus, -reference)));
  }
};

// Adds the terms at a block of squared distances, which it overwrites, to each of some sums. NaN
// may be passed over once a sum has terms: callers know of those. One test for all sums, since that
// of each costs as much as a dimension; a reference moves seldom, and one that is far asks to be
// moved always.
template <int kSums, typename T>
__device__ __forceinline__ void add_blocks(T (&distance)[kSums][kBlock], Scale<T> scale,
                                           RunningSum<T> (&sums)[kSums]) {
  bool matters = false, moves = false;
  int nearest[kSums];
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    int key[kBlock];
#pragma unroll
    for (int j = 0; j < kBlock; ++j) key[j] = order_key(distance[i][j]);
    nearest[i] = smallest(smallest(key[0], key[1], key[2]), smallest(key[3], key[4], key[5]),
                          key[6] < key[7] ? key[6] : key[7]);
    matters |= nearest[i] <= order_key(sums[i].ignore_above);
    moves |= nearest[i] <= order_key(sums[i].move_below);
  }
  if (!matters) return;
  bool far = false;
  if (moves) {
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      if (nearest[i] <= order_key(sums[i].move_below)) {
        const T(&d)[kBlock] = distance[i];
        sums[i].move_reference(smaller(smaller(smaller(d[0], d[1]), smaller(d[2], d[3])),
                                       smaller(smaller(d[4], d[5]), smaller(d[6], d[7]))),
                               scale);
      }
      far |= sums[i].is_far();
    }
  }
  if (far) {
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
