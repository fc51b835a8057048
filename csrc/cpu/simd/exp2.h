// 2^x for vector registers, as two factors whose product is 2^x, so that one fma adds 2^x to a sum.
//
// 2^x = 2^n 2^f with n = round(x) and f = x - n exact. Error of the product: at most 1 ulp (1.5 on
// SSE2, where fma rounds twice), of which the polynomial causes less than 0.2
// (tools/polynomials.py prints coefficients and error; tests/kernels/test_exp2.py measures the
// ulps). NaN gives NaN. At and below kLowest the result is exactly 0. Callers keep x at or below
// kHighest.
#pragma once

#include "lanes.h"

namespace {

template <typename T>
struct Exp2;

template <>
struct Exp2<float> {
  // Adding 1.5 * 2^23 leaves round(x) in the low bits; 127 is the bias of the exponent.
  static constexpr float kRounder = 12582912.0f + 127.0f;
  static constexpr float kLowest = -127.0f;
  static constexpr float kHighest = 127.0f;
  static constexpr int kDegree = 6;
  static constexpr float kCoefficients[kDegree] = {
      0x1.62e43p-1f,    // 0.693147182
      0x1.ebfbep-3f,    // 0.240226507
      0x1.c6af6cp-5f,   // 0.0555035695
      0x1.3b2a54p-7f,   // 0.00961808302
      0x1.5f089p-10f,   // 0.00133908633
      0x1.44138ap-13f,  // 0.000154531634
  };
};

template <>
struct Exp2<double> {
  static constexpr double kRounder = 6755399441055744.0 + 1023.0;
  static constexpr double kLowest = -1023.0;
  static constexpr double kHighest = 1023.0;
  static constexpr int kDegree = 11;
  static constexpr double kCoefficients[kDegree] = {
      0x1.62e42fefa39efp-1,   // 0.693147181
      0x1.ebfbdff82c598p-3,   // 0.240226507
      0x1.c6b08d704a0c2p-5,   // 0.0555041087
      0x1.3b2ab6fba1ddap-7,   // 0.00961812911
      0x1.5d87fe78a5276p-10,  // 0.00133335581
      0x1.430913096fd9fp-13,  // 0.000154035304
      0x1.ffcbfc670dcd4p-17,  // 1.52527338e-5
      0x1.62bfd47773353p-20,  // 1.32154426e-6
      0x1.b524fae627834p-24,  // 1.01780624e-7
      0x1.e6063f7217bc6p-28,  // 7.07258595e-9
      0x1.e9d3fe3952179p-32,  // 4.4549606e-10
  };
};

template <typename T>
struct Power {
  typename Lanes<T>::Register mantissa, scale;
};

// Several powers at once, operation by operation, so that independent operations are neighbors.
template <typename T, int kCount>
inline void exp2(const typename Lanes<T>::Register* x, Power<T> (&powers)[kCount]) {
  using E = Exp2<T>;
  typename Lanes<T>::Register shifted[kCount], f[kCount], p[kCount];
  LAYERBITS_UNROLL
  for (int j = 0; j < kCount; ++j) {
    const auto bounded = max(broadcast(E::kLowest), x[j]);
    shifted[j] = bounded + broadcast(E::kRounder);
    f[j] = bounded - (shifted[j] - broadcast(E::kRounder));
    p[j] = broadcast(E::kCoefficients[E::kDegree - 1]);
  }
  LAYERBITS_UNROLL
  for (int i = E::kDegree - 2; i >= 0; --i) LAYERBITS_UNROLL
  for (int j = 0; j < kCount; ++j) p[j] = fma(p[j], f[j], broadcast(E::kCoefficients[i]));
  LAYERBITS_UNROLL
  for (int j = 0; j < kCount; ++j)
    powers[j] = {fma(p[j], f[j], broadcast(T(1))), low_bits_to_exponent(shifted[j])};
}

template <typename T>
inline Power<T> exp2(typename Lanes<T>::Register x) {
  Power<T> powers[1];
  exp2<T, 1>(&x, powers);
  return powers[0];
}

}  // namespace
