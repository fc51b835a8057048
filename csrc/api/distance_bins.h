// Converts edges of distances to bins of scaled squared distances, for every back end.
//
// For the euclidean metric an edge becomes the smallest square whose rounded root is at least the
// edge, so that comparing squares puts every pair into the bin in which numpy.histogram puts its
// rounded distance. The cosine distance is computed as half the squared distance of unit vectors:
// the same kernel serves, and small angles lose no digits to cancellation.
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "bin_table.h"
#include "operations.h"
#include "scaling.h"
#include "status.h"
#include "views.h"

namespace layerbits {

// The smallest T that is not less than `value`.
template <typename T>
T round_up(double value) {
  const T rounded = T(value);
  return double(rounded) < value ? std::nextafter(rounded, std::numeric_limits<T>::infinity())
                                 : rounded;
}

// The smallest square whose root, rounded to T, is not less than `root`.
template <typename T>
T smallest_square(T root) {
  constexpr T kInfinite = std::numeric_limits<T>::infinity();
  if (root <= 0) return 0;
  T square = root * root;
  while (square > 0 && std::sqrt(std::nextafter(square, T(0))) >= root)
    square = std::nextafter(square, T(0));
  while (std::sqrt(square) < root) square = std::nextafter(square, kInfinite);
  return square;
}

// The first square of every bin, followed by NaN, the end mark of DistanceBins.
template <typename T>
std::vector<T> bins_of_squares(const Vector<const double>& edges, Metric metric, double power) {
  constexpr T kInfinite = std::numeric_limits<T>::infinity();
  const auto square_of = [&](T scaled) {
    return metric == Metric::kCosine ? scaled : smallest_square(scaled);
  };
  const double unit = metric == Metric::kCosine ? 2 : power;
  std::vector<T> first_squares = {-kInfinite};
  for (int64_t i = 0; i < edges.size; ++i)
    first_squares.push_back(square_of(round_up<T>(edges[i] * unit)));
  // As in numpy.histogram, a distance equal to the last edge belongs to the last bin, so the
  // overflow bin starts at the next T. A cosine distance exceeds 2 only by rounding, so no pair
  // lies above a last edge of 2 or more.
  const double last_edge = edges[edges.size - 1];
  const T rounded = T(last_edge * unit);
  const bool rounded_up = double(rounded) > last_edge * unit;
  first_squares.back() = metric == Metric::kCosine && last_edge >= 2
                             ? kInfinite
                             : square_of(rounded_up ? rounded : std::nextafter(rounded, kInfinite));
  first_squares.push_back(std::numeric_limits<T>::quiet_NaN());
  return first_squares;
}

inline Status check_edges(const Vector<const double>& edges) {
  if (edges.size < 2 || edges.size > kMaxBins - 2)
    return Status::bad_value("edges: got " + std::to_string(edges.size) + " edges, wanted 2 to " +
                             std::to_string(kMaxBins - 2));
  for (int64_t i = 0; i < edges.size; ++i)
    if (!std::isfinite(edges[i]) || (i > 0 && edges[i] < edges[i - 1]))
      return Status::bad_value("edges: got " + number_text(edges[i]) + " at index " +
                               std::to_string(i) +
                               ", wanted finite, nondecreasing numbers; sort the edges and remove "
                               "NaN and infinity");
  return {};
}

// The table of bins. It points into `first_squares`, from bins_of_squares, which must outlive it.
template <typename T>
DistanceBins<T> distance_bins(const std::vector<T>& first_squares,
                              const Vector<const double>& edges, Metric metric, double power) {
  const double low = edges[0] * power;
  const double width = (edges[edges.size - 1] * power - low) / double(edges.size - 1);
  return {.first_squares = first_squares.data(),
          .count = edges.size + 1,
          .is_root = metric == Metric::kEuclidean,
          .low = T(low),
          .per_unit = T(1 / width)};
}

}  // namespace layerbits
