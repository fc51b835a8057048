// Edges of distances as bins of scaled squares, which every back end counts into.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "../cpu/kernel_table.h"
#include "operations.h"
#include "status.h"
#include "views.h"

namespace layerbits {

// The power of two that brings a largest absolute value into [1/2, 1), or near it at the ends of
// the range: no square over- or underflows then, as far as T reaches.
template <typename T>
double power_for(double largest) {
  constexpr int kLimit = std::numeric_limits<T>::max_exponent - 2;
  int exponent = 0;
  std::frexp(largest, &exponent);
  return std::ldexp(1.0, -std::clamp(exponent, -kLimit, kLimit));
}

// The smallest T that is not less.
template <typename T>
T round_up(double value) {
  const T rounded = T(value);
  return double(rounded) < value ? std::nextafter(rounded, std::numeric_limits<T>::infinity())
                                 : rounded;
}

// The smallest square whose root, rounded to T, is not less.
template <typename T>
T smallest_square(T root) {
  constexpr T kUp = std::numeric_limits<T>::infinity();
  if (root <= 0) return 0;
  T square = root * root;
  while (square > 0 && std::sqrt(std::nextafter(square, T(0))) >= root)
    square = std::nextafter(square, T(0));
  while (std::sqrt(square) < root) square = std::nextafter(square, kUp);
  return square;
}

// Bins of squares that hold what the edges say of distances.
template <typename T>
std::vector<T> bins_of_squares(const Vector<const double>& edges, Metric metric, double power) {
  constexpr T kUp = std::numeric_limits<T>::infinity();
  const auto square_of = [&](T scaled) {
    return metric == Metric::kCosine ? scaled : smallest_square(scaled);
  };
  const double unit = metric == Metric::kCosine ? 2 : power;
  std::vector<T> first = {-kUp};
  for (int64_t i = 0; i < edges.size; ++i) first.push_back(square_of(round_up<T>(edges[i] * unit)));
  // The last edge is in the range: what follows it is not. No cosine distance exceeds 2, but for
  // rounding.
  const double last = edges[edges.size - 1];
  const T inside = T(last * unit);
  const bool is_above = double(inside) > last * unit;
  first.back() = metric == Metric::kCosine && last >= 2
                     ? kUp
                     : square_of(is_above ? inside : std::nextafter(inside, kUp));
  first.push_back(std::numeric_limits<T>::quiet_NaN());
  return first;
}

inline Status check_edges(const Vector<const double>& edges) {
  if (edges.size < 2 || edges.size > kMaxBins - 2)
    return Status::bad_value("edges: got " + std::to_string(edges.size) + ", wanted from 2 to " +
                             std::to_string(kMaxBins - 2));
  for (int64_t i = 0; i < edges.size; ++i)
    if (!std::isfinite(edges[i]) || (i > 0 && edges[i] < edges[i - 1]))
      return Status::bad_value("edges: got " + std::to_string(edges[i]) + " at index " +
                               std::to_string(i) + ", wanted finite numbers that never fall");
  return {};
}

// `first` from bins_of_squares, which the result refers to.
template <typename T>
DistanceBins<T> distance_bins(const std::vector<T>& first, const Vector<const double>& edges,
                              Metric metric, double power) {
  const double low = edges[0] * power;
  const double width = (edges[edges.size - 1] * power - low) / double(edges.size - 1);
  return {first.data(), edges.size + 1, metric == Metric::kEuclidean, T(low), T(1 / width)};
}

}  // namespace layerbits
