// The bins of a histogram of distances, as the kernels of every back end read them. Included by
// files that are compiled with ISA flags: C headers only, and no functions.
#pragma once

#include <stdint.h>

namespace layerbits {

// Bin b holds the squared distances from first[b] up to below first[b + 1]. The first bin and the
// last one hold the pairs below and above all edges: first[0] is -inf, first[count] is NaN, which
// no square reaches. For evenly spaced edges (x - low) * per_unit + 1 is the bin or its neighbour,
// where x is the root of the square if `is_root`, else half of the square.
template <typename T>
struct DistanceBins {
  const T* first;
  int64_t count;  // at most kMaxBins, so that a float represents it
  bool is_root;
  T low, per_unit;
};
inline constexpr int64_t kMaxBins = int64_t(1) << 24;

}  // namespace layerbits
