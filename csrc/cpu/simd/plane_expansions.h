// Expansions of a mixture in the plane in cells: moments of centers, products with the matrices of
// translations, and polynomials at points. Sums over centers have kLanesOfSum partial sums at every
// ISA level, so that AVX2 and AVX-512 agree in bits.
#pragma once

#include "cell_expansions.h"

namespace {

using layerbits::PlaneFrame;
using layerbits::PlanePoints;
using layerbits::PlanePolynomial;

// A product of two matrices has kRowsOfProduct rows and two registers of columns in registers.
constexpr int kRowsOfProduct = 4 * kBlocksAtOnce;

inline void sum_of_products(const double* const* left, const double* const* right, int64_t count,
                            double* out) {
  for (int j = 0; j < kOrder; j += 2 * kDoubles)
    for (int i = 0; i < kOrder; i += kRowsOfProduct) {
      Doubles sum[kRowsOfProduct][2];
      LAYERBITS_UNROLL
      for (int r = 0; r < kRowsOfProduct; ++r) sum[r][0] = sum[r][1] = broadcast(0.0);
      for (int64_t c = 0; c < count; ++c) {
        const double *a = left[c] + i, *b = right[c] + j;
        for (int k = 0; k < kOrder; ++k, a += kOrder, b += kOrder) {
          const Doubles first = load(b), second = load(b + kDoubles);
          LAYERBITS_UNROLL
          for (int r = 0; r < kRowsOfProduct; ++r) {
            const Doubles factor = broadcast(a[r]);
            sum[r][0] = fma(factor, first, sum[r][0]);
            sum[r][1] = fma(factor, second, sum[r][1]);
          }
        }
      }
      LAYERBITS_UNROLL
      for (int r = 0; r < kRowsOfProduct; ++r) {
        store(out + (i + r) * kOrder + j, sum[r][0]);
        store(out + (i + r) * kOrder + j + kDoubles, sum[r][1]);
      }
    }
}

// Writes factor T_k(t) of kLanesOfSum values to out[k][stride].
inline void write_chebyshev(const double* values, const double* factors, double origin,
                            double inverse_half, double* out, int stride) {
  for (int lane = 0; lane < kLanesOfSum; lane += kDoubles) {
    const Doubles t = (load(values + lane) - broadcast(origin)) * broadcast(inverse_half);
    const Doubles twice = t + t;
    Doubles before = load(factors + lane), value = before * t;
    store(out + lane, before);
    LAYERBITS_UNROLL
    for (int k = 1; k < kOrder; ++k) {
      store(out + k * stride + lane, value);
      const Doubles next = twice * value - before;
      before = value;
      value = next;
    }
  }
}

constexpr int kBatch = 64;  // centers whose Chebyshev polynomials fit the first cache

// Adds left[k][c] right[l][c] to sums[k][l][lane] over the first `count` centers c, a multiple of
// kLanesOfSum, lane = c modulo kLanesOfSum.
inline void add_outer_products(const double* left, const double* right, int count, double* sums) {
  constexpr int kRows = 4, kColumns = 2;
  for (int k = 0; k < kOrder; k += kRows)
    for (int l = 0; l < kOrder; l += kColumns)
      for (int lane = 0; lane < kLanesOfSum; lane += kDoubles) {
        Doubles sum[kRows][kColumns];
        LAYERBITS_UNROLL
        for (int i = 0; i < kRows * kColumns; ++i) sum[i / kColumns][i % kColumns] = broadcast(0.0);
        for (int c = lane; c < count; c += kLanesOfSum) {
          Doubles column[kColumns];
          LAYERBITS_UNROLL
          for (int j = 0; j < kColumns; ++j) column[j] = load(right + (l + j) * kBatch + c);
          LAYERBITS_UNROLL
          for (int i = 0; i < kRows; ++i) {
            const Doubles row = load(left + (k + i) * kBatch + c);
            LAYERBITS_UNROLL
            for (int j = 0; j < kColumns; ++j) sum[i][j] = fma(row, column[j], sum[i][j]);
          }
        }
        LAYERBITS_UNROLL
        for (int i = 0; i < kRows * kColumns; ++i) {
          double* total =
              sums + ((k + i / kColumns) * kOrder + l + i % kColumns) * kLanesOfSum + lane;
          store(total, load(total) + sum[i / kColumns][i % kColumns]);
        }
      }
}

template <typename T>
void plane_moments(const PlanePoints<T>& centers, int64_t count, const PlaneFrame& frame,
                   double* moments) {
  double sums[kOrder * kOrder * kLanesOfSum] = {};
  double left[kOrder * kBatch], right[kOrder * kBatch];
  double ones[kLanesOfSum];
  for (double& one : ones) one = 1;
  for (int64_t first = 0; first < count; first += kBatch) {
    const int rest = int(count - first < kBatch ? count - first : kBatch);
    int c = 0;
    for (; c < rest; c += kLanesOfSum) {
      double x[kLanesOfSum], y[kLanesOfSum], weights[kLanesOfSum];
      for (int l = 0; l < kLanesOfSum; ++l) {
        const int64_t i = first + (c + l < rest ? c + l : c);
        x[l] = double(centers.x[i]);
        y[l] = double(centers.y[i]);
        weights[l] = c + l < rest ? double(centers.weights[i]) : 0;
      }
      write_chebyshev(x, weights, frame.origin[0], frame.inverse_half, left + c, kBatch);
      write_chebyshev(y, ones, frame.origin[1], frame.inverse_half, right + c, kBatch);
    }
    add_outer_products(left, right, c, sums);
  }
  for (int i = 0; i < kOrder * kOrder; ++i) {
    double* lanes = sums + i * kLanesOfSum;
    for (int width = kLanesOfSum / 2; width > 0; width /= 2)
      for (int l = 0; l < width; ++l) lanes[l] += lanes[l + width];
    moments[i] = lanes[0];
  }
}

template <typename T>
inline void evaluate_plane_points(const T* x, const T* y, const PlaneFrame& frame,
                                  const PlanePolynomial& polynomial, double* out) {
  const Doubles u = load_as_double(x) - broadcast(frame.origin[0]);
  const Doubles v = load_as_double(y) - broadcast(frame.origin[1]);
  const Doubles t = u * broadcast(frame.inverse_half), twice = t + t;
  const Doubles s = v * broadcast(frame.inverse_half), twice_s = s + s;
  Doubles chebyshev[kOrder];  // T_l(s)
  chebyshev[0] = broadcast(1.0);
  chebyshev[1] = s;
  LAYERBITS_UNROLL
  for (int l = 2; l < kOrder; ++l) chebyshev[l] = twice_s * chebyshev[l - 1] - chebyshev[l - 2];
  // Clenshaw's recurrence over k.
  Doubles sum = broadcast(0.0), after = broadcast(0.0);
  for (int k = kOrder - 1; k >= 0; --k) {
    const double* row = polynomial.coefficients + k * kOrder;
    Doubles even = broadcast(row[0]), odd = broadcast(row[1]) * chebyshev[1];
    LAYERBITS_UNROLL
    for (int l = 2; l < kOrder; l += 2) {
      even = fma(broadcast(row[l]), chebyshev[l], even);
      odd = fma(broadcast(row[l + 1]), chebyshev[l + 1], odd);
    }
    const Doubles next = fma(k > 0 ? twice : t, sum, (even + odd) - after);
    after = sum;
    sum = next;
  }
  const Doubles exponent =
      fma(u, broadcast(polynomial.quadratic), broadcast(polynomial.linear[0])) * u +
      fma(v, broadcast(polynomial.quadratic), broadcast(polynomial.linear[1])) * v;
  const Doubles log_sum = log_plus(sum, broadcast(0.0), exponent) + broadcast(polynomial.constant);
  store(out, where_less(broadcast(polynomial.threshold), sum, log_sum, broadcast(double(NAN))));
}

template <typename T>
void evaluate_plane(const PlanePoints<T>& points, int64_t count, const PlaneFrame& frame,
                    const PlanePolynomial& polynomial, double* out) {
  int64_t i = 0;
  for (; i + kDoubles <= count; i += kDoubles)
    evaluate_plane_points(points.x + i, points.y + i, frame, polynomial, out + i);
  if (i == count) return;
  T x[kDoubles], y[kDoubles];
  double logs[kDoubles];
  for (int l = 0; l < kDoubles; ++l) {
    x[l] = points.x[i + l < count ? i + l : i];
    y[l] = points.y[i + l < count ? i + l : i];
  }
  evaluate_plane_points(x, y, frame, polynomial, logs);
  for (int l = 0; i + l < count; ++l) out[i + l] = logs[l];
}

}  // namespace
