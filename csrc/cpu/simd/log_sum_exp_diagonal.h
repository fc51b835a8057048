// The log-sum-exp of every query over components with diagonal covariances: a factor scales each
// difference. Reads packed arrays only; no threads, no allocation.
//
// A squared scaled difference has a relative error of at most 4 u, u half an ulp of 1, because the
// difference and the product round. Each addition within a partial sum, and of each partial sum,
// adds at most u of the whole sum. So the relative error of a distance is at most
// (4 + kScaledPanel + d / kScaledPanel) u, which it approaches only if the roundings have one sign.
// Where all differences are equal, the error stays below the usual bound of operations.py,
// (8 + d / 32) u; partial sums of kPanel dimensions exceed that bound by 2 % (d = 32).
#pragma once

#include "running_sum.h"

namespace {

constexpr int64_t kScaledPanel = 16;

// Adds the squares of the scaled differences to `distance`, which begins with the offsets. Sums of
// squares only grow: once all terms are certain to be exactly 0, skips the remaining dimensions and
// returns false; this changes no bit.
template <typename T>
inline bool add_scaled_distances(const RunningSum<T>& sum, const T* tile, const T* block,
                                 int64_t dim, typename Lanes<T>::Register (&distance)[kBlock]) {
  using R = typename Lanes<T>::Register;
  for (int64_t first = 0; first < dim; first += kScaledPanel) {
    const int64_t last = first + kScaledPanel < dim ? first + kScaledPanel : dim;
    R partial[kBlock];
    LAYERBITS_UNROLL
    for (int j = 0; j < kBlock; ++j) partial[j] = first ? broadcast(T(0)) : distance[j];
    for (int64_t k = first; k < last; ++k, block += 2 * kBlock) {
      const R q = load(tile + k * Lanes<T>::kCount);
      LAYERBITS_UNROLL
      for (int j = 0; j < kBlock; ++j) {
        const R scaled = (q - broadcast(block[j])) * broadcast(block[kBlock + j]);
        partial[j] = fma(scaled, scaled, partial[j]);
      }
    }
    bool any_term = false;
    LAYERBITS_UNROLL
    for (int j = 0; j < kBlock; ++j) {
      distance[j] = first ? distance[j] + partial[j] : partial[j];
      any_term |= any_not_greater(distance[j], sum.ignore_above);
    }
    if (!any_term) return false;
  }
  return true;
}

template <typename T>
void log_sum_exp_diagonal(const T* points, int64_t tiles, const T* components, int64_t blocks,
                          int64_t dim, T* state) {
  constexpr int kLanes = Lanes<T>::kCount;
  const int64_t size = kBlock * (1 + 2 * dim);
  RunningSum<T> sum;
  for (int64_t t = 0; t < tiles; ++t, points += dim * kLanes, state += 3 * kLanes) {
    sum.restore(state);
    for (int64_t b = 0; b < blocks; ++b) {
      const T* block = components + b * size;
      typename Lanes<T>::Register distance[kBlock];
      LAYERBITS_UNROLL
      for (int j = 0; j < kBlock; ++j) distance[j] = broadcast(block[j]);
      if (add_scaled_distances(sum, points, block + kBlock, dim, distance)) sum.add_block(distance);
    }
    sum.save(state);
  }
}

}  // namespace
