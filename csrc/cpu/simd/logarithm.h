// Logarithms of running sums, in double for float sums too.
//
// log(x) = k log 2 + log(m) with m in [sqrt(1/2), sqrt 2), and log(m) = f - s (f - z Q(z)) for
// f = m - 1, s = f / (2 + f), z = s^2: the error of s is multiplied by f, so that the error of
// log(m) is at most 1 ulp (1.5 if fma rounds twice), of which the polynomial causes less than 0.1
// (tools/polynomials.py prints coefficients and error).
#pragma once

#include <math.h>

#include "lanes.h"

namespace {

constexpr double kLog2 = 0x1.62e42fefa39efp-1, kLog2Low = 0x1.abc9e3b39803fp-56;

constexpr double kLogCoefficients[] = {
    0x1.5555555555558p-1,  // 0.666666667
    0x1.99999999952e2p-2,  // 0.4
    0x1.2492492df148dp-2,  // 0.285714286
    0x1.c71c62e5800a1p-3,  // 0.222222111
    0x1.7462b4ab2ef6bp-3,  // 0.181828891
    0x1.39fe606542ddep-3,  // 0.153317216
    0x1.2b584aae78a57p-3,  // 0.146164497
};

// Returns log(x 2^reference) + addend for a positive, normal and finite x. A small addend is
// rounded with log(m).
inline Lanes<double>::Register log_plus(Lanes<double>::Register x,
                                        Lanes<double>::Register reference,
                                        Lanes<double>::Register addend) {
  using R = Lanes<double>::Register;
  const R one = broadcast(1.0);
  const R mantissa = mantissa_of(x);
  const R root_of_two = broadcast(1.41421356237309504880);
  const R f = where_less(root_of_two, mantissa, mantissa * broadcast(0.5), mantissa) - one;
  const R k = exponent_of(x) + where_less(root_of_two, mantissa, one, broadcast(0.0)) + reference;
  const R s = f / (broadcast(2.0) + f), z = s * s;
  R q = broadcast(kLogCoefficients[6]);
  for (int i = 5; i >= 0; --i) q = fma(q, z, broadcast(kLogCoefficients[i]));
  const R log_m = f - s * (f - z * q);
  return fma(k, broadcast(kLog2), fma(k, broadcast(kLog2Low), log_m + addend));
}

// Returns log(x 2^reference) for an x that is 0, NaN, or positive, normal and finite.
inline Lanes<double>::Register log_of_scaled(Lanes<double>::Register x,
                                             Lanes<double>::Register reference) {
  const auto zero = broadcast(0.0);
  return where_less(zero, x, log_plus(x, reference, zero), x - broadcast(double(INFINITY)));
}

inline void log_of_tile(const double* state, double* out) {
  constexpr int kLanes = Lanes<double>::kCount;
  store(out, log_of_scaled(load(state + kLanes) + load(state + 2 * kLanes), load(state)));
}

inline void log_of_tile(const float* state, double* out) {
  constexpr int kLanes = Lanes<float>::kCount;
  for (int i = 0; i < kLanes; i += kLanes / 2)
    store(out + i,
          log_of_scaled(load_double(state + kLanes + i) + load_double(state + 2 * kLanes + i),
                        load_double(state + i)));
}

template <typename T>
void log_of_sums(const T* state, int64_t tiles, double* out) {
  for (int64_t t = 0; t < tiles; ++t)
    log_of_tile(state + 3 * t * Lanes<T>::kCount, out + t * Lanes<T>::kCount);
}

}  // namespace
