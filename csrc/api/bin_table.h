// The bins of a histogram of distances, as the kernels of every back end read them. Files that are
// compiled with ISA flags include this header: it has C headers only, and no functions.
#pragma once

#include <stdint.h>

namespace layerbits {

// A squared distance s is in bin b if s >= first[b] and not s >= first[b + 1]. The first and the
// last bin have the pairs below and above all edges: first[0] is -inf, and first[count] is NaN, so
// that its comparison with every s is false. With x the root of s if `is_root`, and s / 2
// otherwise, a kernel begins its search at the integer part of (x - low) * per_unit + 1, clamped to
// the bins. If the edges are evenly spaced, this is the bin or its neighbour.
template <typename T>
struct DistanceBins {
  const T* first;
  int64_t count;  // at most kMaxBins, so that a float represents it
  bool is_root;
  T low, per_unit;
};
inline constexpr int64_t kMaxBins = int64_t(1) << 24;

}  // namespace layerbits
