// The log-sum-exp of every query over components with full covariances: products of a triangular
// factor and a difference, in bands of four rows. Reads packed arrays only; no threads, no
// allocation.
#pragma once

#include "running_sum.h"

namespace {

using layerbits::component_size;
using layerbits::kFactorRows;

// The number of tiles that share the broadcast entries of a component. The sums of kFactorRows rows
// of these tiles fit the registers.
constexpr int kTilesAtOnce = 2 * kBlocksAtOnce;

// Adds the squares of rows [first, first + kRows) of factor (q - center) to `distance`; returns the
// address of the next band.
template <typename T, int kRows, int kTiles>
inline const T* add_rows(const T* tile, const T* values, int64_t first, int64_t dim,
                         typename Lanes<T>::Register (&distance)[kTiles]) {
  using R = typename Lanes<T>::Register;
  constexpr int kLanes = Lanes<T>::kCount;
  R product[kRows][kTiles];
  LAYERBITS_UNROLL
  for (int i = 0; i < kRows * kTiles; ++i) product[i / kTiles][i % kTiles] = broadcast(T(0));
  const auto add_column = [&](int64_t k, int zeros) {
    R difference[kTiles];
    LAYERBITS_UNROLL
    for (int t = 0; t < kTiles; ++t)
      difference[t] = load(tile + (t * dim + k) * kLanes) - broadcast(values[0]);
    LAYERBITS_UNROLL
    for (int i = zeros * kTiles; i < kRows * kTiles; ++i) {
      R& sum = product[i / kTiles][i % kTiles];
      sum = fma(broadcast(values[1 + i / kTiles - zeros]), difference[i % kTiles], sum);
    }
    values += 1 + kRows - zeros;
  };
  for (int64_t k = 0; k < first; ++k) add_column(k, 0);
  LAYERBITS_UNROLL
  for (int k = 0; k < kRows; ++k) add_column(first + k, k);
  LAYERBITS_UNROLL
  for (int i = 0; i < kRows * kTiles; ++i) {
    const R row = product[i / kTiles][i % kTiles];
    distance[i % kTiles] = fma(row, row, distance[i % kTiles]);
  }
  return values;
}

// Computes squared distances from a component, plus its offset. Sums of squares only grow: once all
// terms are certain to be exactly 0, skips the remaining bands and returns false; this changes no
// bit.
// The short band comes first, so that the first check is early. A closer cutoff for each lane was
// 20 % faster on SZT layers of 5 to 10 units, and 10 % slower on smaller layers.
template <typename T, int kTiles>
inline bool find_distances(const RunningSum<T> (&sums)[kTiles], const T* tile, const T* component,
                           int64_t dim, typename Lanes<T>::Register (&distance)[kTiles]) {
  LAYERBITS_UNROLL
  for (int t = 0; t < kTiles; ++t) distance[t] = broadcast(component[0]);
  const auto has_terms = [&] {
    bool any_term = false;
    LAYERBITS_UNROLL
    for (int t = 0; t < kTiles; ++t) any_term |= any_not_greater(distance[t], sums[t].ignore_above);
    return any_term;
  };
  const T* values = component + 1;
  int64_t first = dim % kFactorRows;
  if (first == 1)
    values = add_rows<T, 1, kTiles>(tile, values, 0, dim, distance);
  else if (first == 2)
    values = add_rows<T, 2, kTiles>(tile, values, 0, dim, distance);
  else if (first == 3)
    values = add_rows<T, 3, kTiles>(tile, values, 0, dim, distance);
  bool any_term = first == 0 || has_terms();
  for (; first < dim && any_term; first += kFactorRows) {
    values = add_rows<T, kFactorRows, kTiles>(tile, values, first, dim, distance);
    any_term = has_terms();
  }
  return any_term;
}

template <typename T, int kTiles>
inline void add_components(const T* tile, const T* components, int64_t blocks, int64_t dim,
                           T* state) {
  using R = typename Lanes<T>::Register;
  constexpr int kLanes = Lanes<T>::kCount;
  const int64_t size = component_size(dim);
  RunningSum<T> sums[kTiles];
  for (int t = 0; t < kTiles; ++t) sums[t].restore(state + 3 * t * kLanes);
  for (int64_t b = 0; b < blocks; ++b, components += kBlock * size) {
    R distances[kTiles][kBlock];
    bool any_term = false;
    for (int j = 0; j < kBlock; ++j) {
      R distance[kTiles];
      any_term |= find_distances<T, kTiles>(sums, tile, components + j * size, dim, distance);
      LAYERBITS_UNROLL
      for (int t = 0; t < kTiles; ++t) distances[t][j] = distance[t];
    }
    if (!any_term) continue;
    for (int t = 0; t < kTiles; ++t) sums[t].add_block(distances[t]);
  }
  for (int t = 0; t < kTiles; ++t) sums[t].save(state + 3 * t * kLanes);
}

template <typename T>
void log_sum_exp_full(const T* points, int64_t tiles, const T* components, int64_t blocks,
                      int64_t dim, T* state) {
  constexpr int kLanes = Lanes<T>::kCount;
  int64_t t = 0;
  for (; t + kTilesAtOnce <= tiles; t += kTilesAtOnce)
    add_components<T, kTilesAtOnce>(points + t * dim * kLanes, components, blocks, dim,
                                    state + 3 * t * kLanes);
  for (; t < tiles; ++t)
    add_components<T, 1>(points + t * dim * kLanes, components, blocks, dim,
                         state + 3 * t * kLanes);
}

}  // namespace
