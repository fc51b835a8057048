// Arithmetic of a thread: functions overloaded for float and double, limits of both types, and
// powers of two. The kernels are compiled without contraction, so that the code states the order of
// every rounding. Contains no indices and no memory access.
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
__device__ __forceinline__ float minimum(float a, float b) { return fminf(a, b); }
__device__ __forceinline__ double minimum(double a, double b) { return fmin(a, b); }
__device__ __forceinline__ float maximum(float a, float b) { return fmaxf(a, b); }
__device__ __forceinline__ double maximum(double a, double b) { return fmax(a, b); }
__device__ __forceinline__ float round_to_integer(float a) { return rintf(a); }
__device__ __forceinline__ double round_to_integer(double a) { return rint(a); }
__device__ __forceinline__ float square_root(float a) { return sqrtf(a); }
__device__ __forceinline__ double square_root(double a) { return sqrt(a); }

// Maps nonnegative numbers to integers of the same order; doubles with the same upper 32 bits have
// the same key. The key of NaN is above the keys of all these numbers, or below with a sign bit.
__device__ __forceinline__ int order_key(float a) { return __float_as_int(a); }
__device__ __forceinline__ int order_key(double a) { return __double2hiint(a); }
__device__ __forceinline__ int minimum_of_three(int a, int b, int c) {
  return __vimin3_s32(a, b, c);
}

template <typename T>
struct Range;

template <>
struct Range<float> {
  static constexpr float kLargest = FLT_MAX;
  static constexpr float kLowest = -127;  // 2^x is computed as exactly 0 here and below
  static constexpr float kHighest = 127;
  // The rounding error of exponents beyond this size may be a quarter or more.
  static constexpr float kFar = 0x1p22f;
  static constexpr float kSlack = 0x1p-20f;  // exceeds the relative rounding error of an exponent
  // NaN: comparisons with it are false, and its order_key exceeds all others.
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

inline constexpr int kBlock = 8;  // rows packed together, and terms added together

// Squared distances are sums of partial sums over kPanel dimensions, as on the CPU.
inline constexpr int kPanel = 32;

// Returns 2^n for an integer n above kLowest and up to kHighest, and 0 for kLowest.
__device__ __forceinline__ float power_of_two(float n) {
  return __int_as_float((int(n) + 127) << 23);
}
__device__ __forceinline__ double power_of_two(double n) {
  return __longlong_as_double((static_cast<long long>(n) + 1023) << 52);
}

// Returns 2^x for x <= kHighest, and 0 below -126. The relative error of the special-function unit
// is at most 2^-22.
__device__ __forceinline__ float exp2_or_zero(float x) {
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return emulation::approximate_exp2(x);
#endif
}

// 2^x = 2^n 2^f as in cpu/simd/exp2.h, with an error of at most an ulp. tools/polynomials.py prints
// the coefficients.
struct Power {
  double mantissa, scale;
};

__device__ __forceinline__ Power exp2_parts(double x) {
  constexpr double kRounder = 6755399441055744.0 + 1023.0;
  // Whether x <= -1023; false for NaN. The upper 32 bits are compared as integers and replaced,
  // because the double-precision unit limits the speed. So x becomes -1023 up to one unit of the
  // upper 32 bits.
  const unsigned high = unsigned(__double2hiint(x));
  const bool is_lowest = high - 0xc08ff800u <= 0xfff00000u - 0xc08ff800u;
  x = __hiloint2double(int(is_lowest ? 0xc08ff800u : high), __double2loint(x));
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

}  // namespace layerbits::cuda
