// The bins of a histogram of distances, as the kernels of every back end read them. Files that are
// compiled with ISA flags include this header: it has C headers only, and no functions.
#pragma once

#include <stdint.h>

namespace layerbits {

// A squared distance s is in bin b if s >= first_squares[b] and not s >= first_squares[b + 1]. The
// first and the last bin count the pairs below and above all edges: first_squares[0] is -inf, and
// first_squares[count] is NaN, so that its comparison with every s is false. Let x be the root of s
// if `is_root`, and s / 2 otherwise. A kernel begins its search at the integer part of (x - low) *
// per_unit + 1, clamped to the bins. If the edges are evenly spaced, the search ends there or one
// bin away.
template <typename T>
struct DistanceBins {
  const T* first_squares;
  int64_t count;  // at most kMaxBins, so that a float represents it
  bool is_root;
  T low, per_unit;
};
inline constexpr int64_t kMaxBins = int64_t(1) << 24;

}  // namespace layerbits
