// Expansions of a mixture on the line in cells: moments of centers, their translation to the nodes
// of another cell, and polynomials at points. Sums over centers are compensated and have
// kLanesOfSum partial sums at every ISA level, so that AVX2 and AVX-512 agree in bits.
#pragma once

#include <math.h>

#include "logarithm.h"

namespace {

using layerbits::CellFrame;
using layerbits::CellPolynomial;
using layerbits::kOrder;

constexpr int kDoubles = Lanes<double>::kCount;
constexpr int kLanesOfSum = 8;
using Doubles = Lanes<double>::Register;

inline Doubles load_as_double(const float* p) { return load_double(p); }
inline Doubles load_as_double(const double* p) { return load(p); }

// Adds a value, a number or a register, to the sum high + low.
template <typename R>
inline void add_compensated(R value, R& high, R& low) {
  const R total = high + value;
  const R part = total - high;
  low = low + ((high - (total - part)) + (value - part));
  high = total;
}

// The sums of lane l of all registers: the high parts, then the low parts.
struct MomentSums {
  double high[kOrder][kLanesOfSum] = {}, low[kOrder][kLanesOfSum] = {};

  void add(int k, int lane, Doubles value) {
    Doubles sum = load(high[k] + lane), error = load(low[k] + lane);
    add_compensated(value, sum, error);
    store(high[k] + lane, sum);
    store(low[k] + lane, error);
  }

  void total(double* moments) {
    for (int width = kLanesOfSum / 2; width > 0; width /= 2)
      for (int k = 0; k < kOrder; ++k)
        for (int l = 0; l < width; ++l) {
          add_compensated(high[k][l + width], high[k][l], low[k][l]);
          low[k][l] += low[k][l + width];
        }
    for (int k = 0; k < kOrder; ++k) moments[k] = high[k][0] + low[k][0];
  }
};

// Adds the moments of kLanesOfSum centers.
template <typename T>
inline void add_moments(MomentSums& sums, const T* centers, const double* weights,
                        const CellFrame& frame) {
  for (int lane = 0; lane < kLanesOfSum; lane += kDoubles) {
    const Doubles x =
        load_as_double(centers + lane) * broadcast(frame.scale) - broadcast(frame.origin);
    const Doubles t = x * broadcast(frame.inverse_half), twice = t + t;
    const Doubles weight = load(weights + lane);
    Doubles before = weight, value = weight * t;  // w T_k(t)
    sums.add(0, lane, before);
    LAYERBITS_UNROLL
    for (int k = 1; k < kOrder; ++k) {
      sums.add(k, lane, value);
      const Doubles next = twice * value - before;
      before = value;
      value = next;
    }
  }
}

template <typename T>
void cell_moments(const T* centers, const T* weights, int64_t count, const CellFrame& frame,
                  double weight_scale, double* moments) {
  MomentSums sums;
  double scaled[kLanesOfSum];
  for (double& weight : scaled) weight = 1;
  for (int64_t i = 0; i < count; i += kLanesOfSum) {
    const int64_t rest = count - i;
    if (weights != nullptr)
      for (int l = 0; l < kLanesOfSum && l < rest; ++l)
        scaled[l] = double(weights[i + l]) * weight_scale;
    if (rest >= kLanesOfSum) {
      add_moments(sums, centers + i, scaled, frame);
      continue;
    }
    T last[kLanesOfSum];
    for (int l = 0; l < kLanesOfSum; ++l) {
      last[l] = centers[l < rest ? i + l : i];
      if (l >= rest) scaled[l] = 0;
    }
    add_moments(sums, last, scaled, frame);
  }
  sums.total(moments);
}

// The terms of a cell are summed from the smallest, k = kOrder - 1, to the largest, and the sums of
// cells are compensated.
inline void translate_moments(const double* translations, const int64_t* shifts,
                              const double* moments, int64_t cells, double* values) {
  constexpr int kRegisters = kOrder / kDoubles;
  Doubles high[kRegisters], low[kRegisters];
  LAYERBITS_UNROLL
  for (int r = 0; r < kRegisters; ++r) high[r] = low[r] = broadcast(0.0);
  for (int64_t c = 0; c < cells; ++c) {
    const double* matrix = translations + shifts[c] * kOrder * kOrder;
    Doubles sum[kRegisters];
    LAYERBITS_UNROLL
    for (int r = 0; r < kRegisters; ++r) sum[r] = broadcast(0.0);
    for (int k = kOrder - 1; k >= 0; --k) {
      const Doubles moment = broadcast(moments[c * kOrder + k]);
      LAYERBITS_UNROLL
      for (int r = 0; r < kRegisters; ++r)
        sum[r] = fma(load(matrix + k * kOrder + r * kDoubles), moment, sum[r]);
    }
    LAYERBITS_UNROLL
    for (int r = 0; r < kRegisters; ++r) add_compensated(sum[r], high[r], low[r]);
  }
  LAYERBITS_UNROLL
  for (int r = 0; r < kRegisters; ++r) store(values + r * kDoubles, high[r] + low[r]);
}

inline void interpolate(const double* values, const double* transform, double* coefficients) {
  for (int k = 0; k < kOrder; k += kDoubles) {
    Doubles high = broadcast(0.0), low = broadcast(0.0);
    // Differences from one value are small if the polynomial is nearly constant.
    for (int r = 0; r < kOrder; ++r)
      add_compensated(load(transform + r * kOrder + k) * broadcast(values[r] - values[0]), high,
                      low);
    store(coefficients + k, high + low);
  }
  coefficients[0] += values[0];
}

template <typename T>
inline void evaluate_points(const T* points, const CellFrame& frame,
                            const CellPolynomial& polynomial, double* out) {
  const Doubles x = load_as_double(points) * broadcast(frame.scale) - broadcast(frame.origin);
  const Doubles t = x * broadcast(frame.inverse_half), twice = t + t;
  // Clenshaw's recurrence.
  Doubles sum = broadcast(polynomial.coefficients[kOrder - 1]), after = broadcast(0.0);
  LAYERBITS_UNROLL
  for (int k = kOrder - 2; k > 0; --k) {
    const Doubles next = fma(twice, sum, broadcast(polynomial.coefficients[k]) - after);
    after = sum;
    sum = next;
  }
  const Doubles value = fma(t, sum, broadcast(polynomial.coefficients[0]) - after);
  const Doubles exponent =
      fma(x, broadcast(polynomial.quadratic), broadcast(polynomial.linear)) * x;
  const Doubles log_sum =
      log_plus(value, broadcast(0.0), exponent) + broadcast(polynomial.constant);
  store(out, where_less(broadcast(polynomial.threshold), value, log_sum, broadcast(double(NAN))));
}

template <typename T>
void evaluate_cell(const T* points, int64_t count, const CellFrame& frame,
                   const CellPolynomial& polynomial, double* out) {
  int64_t i = 0;
  for (; i + kDoubles <= count; i += kDoubles)
    evaluate_points(points + i, frame, polynomial, out + i);
  if (i == count) return;
  T last[kDoubles];
  double logs[kDoubles];
  for (int l = 0; l < kDoubles; ++l) last[l] = points[i + l < count ? i + l : i];
  evaluate_points(last, frame, polynomial, logs);
  for (int l = 0; i + l < count; ++l) out[i + l] = logs[l];
}

}  // namespace
