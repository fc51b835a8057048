// Sums of points in the plane over runs of centers. Lanes hold centers, not points, because a point
// has many centers but a cell may have one point. A sum has kLanesOfRun partial sums at every ISA
// level, so that AVX2 and AVX-512 agree in bits.
#pragma once

#include "cell_expansions.h"
#include "exp2.h"

namespace {

using layerbits::CenterRun;
using layerbits::PlanePoints;

constexpr int kLanesOfRun = 16;

// Loads from kRunMask + n have n ones, then zeros, for n up to kLanesOfRun.
template <typename T>
constexpr T kRunMask[2 * kLanesOfRun] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

template <typename T>
inline typename Lanes<T>::Register square_distance(const PlanePoints<T>& centers, int64_t i,
                                                   typename Lanes<T>::Register x,
                                                   typename Lanes<T>::Register y) {
  const auto dx = x - load(centers.x + i), dy = y - load(centers.y + i);
  return fma(dx, dx, dy * dy);
}

template <typename T>
T nearest_square(const PlanePoints<T>& centers, const CenterRun* runs, int64_t run_count, T x,
                 T y) {
  constexpr int kCount = Lanes<T>::kCount;
  const auto infinity = broadcast(T(INFINITY)), half = broadcast(T(0.5));
  auto nearest = infinity;
  for (int64_t r = 0; r < run_count; ++r)
    for (int64_t i = runs[r].first; i < runs[r].end; i += kCount) {
      const int64_t rest = runs[r].end - i < kCount ? runs[r].end - i : kCount;
      const auto square = square_distance(centers, i, broadcast(x), broadcast(y));
      const auto mask = load(kRunMask<T> + kLanesOfRun - rest);
      nearest = min(nearest, where_less(half, mask, square, infinity));
    }
  T squares[kCount];
  store(squares, nearest);
  T smallest = squares[0];
  for (const T square : squares) smallest = square < smallest ? square : smallest;
  return smallest;
}

// The partial sums of a point, compensated.
template <typename T>
struct RunSum {
  using R = typename Lanes<T>::Register;
  static constexpr int kCount = Lanes<T>::kCount, kRegisters = kLanesOfRun / kCount;
  R high[kRegisters], low[kRegisters];

  // Adds the terms of kLanesOfRun centers. `masks...` is empty or factors of the weights.
  template <typename... Mask>
  inline void add(const PlanePoints<T>& centers, int64_t first, R x, R y, R scale, R base,
                  const Mask*... masks) {
    LAYERBITS_UNROLL
    for (int r = 0; r < kRegisters; ++r) {
      const int64_t i = first + r * kCount;
      const R exponent = (base - square_distance(centers, i, x, y)) * scale;
      const Power<T> power = exp2<T>(exponent);
      const R weight = (load(centers.weights + i) * ... * load(masks + r * kCount));
      add_compensated(power.mantissa * (power.scale * weight), high[r], low[r]);
    }
  }

  double total() const {
    T lanes[2][kLanesOfRun];
    for (int r = 0; r < kRegisters; ++r) {
      store(lanes[0] + r * kCount, high[r]);
      store(lanes[1] + r * kCount, low[r]);
    }
    double sums[kLanesOfRun];
    for (int l = 0; l < kLanesOfRun; ++l) sums[l] = double(lanes[0][l]) + double(lanes[1][l]);
    for (int width = kLanesOfRun / 2; width > 0; width /= 2)
      for (int l = 0; l < width; ++l) sums[l] += sums[l + width];
    return sums[0];
  }
};

template <typename T>
void sum_near_plane(const PlanePoints<T>& centers, const CenterRun* runs, int64_t run_count,
                    const PlanePoints<T>& points, int64_t count, T scale, T base, double* out) {
  const auto scales = broadcast(scale), bases = broadcast(base);
  for (int64_t p = 0; p < count; ++p) {
    const auto x = broadcast(points.x[p]), y = broadcast(points.y[p]);
    RunSum<T> sum;
    LAYERBITS_UNROLL
    for (int r = 0; r < RunSum<T>::kRegisters; ++r) sum.high[r] = sum.low[r] = broadcast(T(0));
    for (int64_t r = 0; r < run_count; ++r) {
      int64_t i = runs[r].first;
      for (; i + kLanesOfRun <= runs[r].end; i += kLanesOfRun)
        sum.add(centers, i, x, y, scales, bases);
      if (i < runs[r].end)
        sum.add(centers, i, x, y, scales, bases, kRunMask<T> + kLanesOfRun - (runs[r].end - i));
    }
    out[p] = sum.total();
  }
}

inline void certain_logs(double* values, int64_t count, double threshold) {
  for (int64_t i = 0; i < count; i += kDoubles) {
    double lanes[kDoubles];
    for (int l = 0; l < kDoubles; ++l) lanes[l] = values[i + l < count ? i + l : i];
    const Doubles x = load(lanes);
    const Doubles log = log_plus(x, broadcast(0.0), broadcast(0.0));
    store(lanes, where_less(broadcast(threshold), x, log, broadcast(double(NAN))));
    for (int l = 0; l < kDoubles && i + l < count; ++l) values[i + l] = lanes[l];
  }
}

}  // namespace
