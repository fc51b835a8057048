// The log-sum-exp of every query, in registers: a lane is a query, so that a row's bits do not
// depend on its neighbours. Reads packed arrays only; no threads, no allocation.
#pragma once

#include "distances.h"

namespace {

// A new reference is taken only when a term would exceed 2^kHeadroom: rarely, and far from
// overflow.
constexpr int kHeadroom = 16;

// Centers are taken in panels that stay in the first-level cache while all tiles pass over them.
constexpr int64_t kPanelBytes = 8192;

// Running sum of a tile: (high + low) 2^reference. The reference is an integer, so that moving it
// is exact; before the first finite term it is -kLargest.
template <typename T>
struct Sum {
  using R = typename Lanes<T>::Register;
  R minus_scale, inverse_scale;
  R reference, high, low;
  R rescale_below;  // a term at a smaller distance exceeds the headroom
  R ignore_above;   // a term at a larger distance is exactly 0
  bool any_far;     // is a reference of the tile beyond -kFar

  inline void set_limits() {
    // The relative slack covers the rounding of the product where the reference is large; the
    // absolute one, of exp2.
    const R slack = broadcast(sizeof(T) == 4 ? T(0x1p-20) : T(0x1p-49));
    const R last = (broadcast(1 - Exp2<T>::kLowest) - reference) * inverse_scale;
    ignore_above = fma(last, slack, last);
    const R first = (broadcast(T(-kHeadroom)) - reference) * inverse_scale;
    rescale_below = fma(first, slack, first);
    any_far = any_less(reference, broadcast(-kFar<T>));
  }

  inline void move_reference(R nearest) {
    const R rounder = broadcast(Exp2<T>::kRounder);
    const R exponent = max(broadcast(-kLargest<T>), nearest * minus_scale);
    const R candidate = max(reference, (exponent + rounder) - rounder);
    const R moved = where_less(nearest, rescale_below, candidate, reference);
    const R shift = max(broadcast(Exp2<T>::kLowest), min(broadcast(T(0)), reference - moved));
    const R factor = low_bits_to_exponent(shift + rounder);
    high = high * factor;
    low = low * factor;
    reference = moved;
    set_limits();
  }

  inline void exponents(R (&distance)[kBlock]) const {
    const R minus_reference = broadcast(T(0)) - reference;
    for (int j = 0; j < kBlock; ++j)
      distance[j] = any_far ? far_exponent<T>(distance[j], minus_scale, minus_reference)
                            : fma(distance[j], minus_scale, minus_reference);
  }

  // Two-sum: low collects what rounding takes from high.
  inline void add(R terms) {
    const R total = high + terms;
    const R part = total - high;
    low = low + ((high - (total - part)) + (terms - part));
    high = total;
  }

  inline void add_block(const T* points, const T* block, int64_t dim) {
    R distance[kBlock];
    for (int j = 0; j < kBlock; ++j) distance[j] = broadcast(block[j]);
    add_distances(points, block + kBlock, dim, distance);
    R nearest = distance[0];
    for (int j = 1; j < kBlock; ++j) nearest = min(nearest, distance[j]);
    if (any_less(nearest, rescale_below)) move_reference(nearest);
    if (!any_not_greater(nearest, ignore_above)) return;
    exponents(distance);
    R even = broadcast(T(0)), odd = broadcast(T(0));
    for (int j = 0; j < kBlock; j += 2) {
      const Power<T> a = exp2<T>(distance[j]);
      const Power<T> b = exp2<T>(distance[j + 1]);
      even = fma(a.mantissa, a.scale, even);
      odd = fma(b.mantissa, b.scale, odd);
    }
    add(even + odd);
  }
};

template <typename T>
void log_sum_exp(const T* points, int64_t tiles, const T* centers, int64_t blocks, int64_t dim,
                 T scale, T* state) {
  constexpr int kLanes = Lanes<T>::kCount;
  const int64_t block_size = kBlock * (1 + dim);
  const int64_t panel = 1 + kPanelBytes / (block_size * int64_t(sizeof(T)));
  for (int64_t t = 0; t < tiles; ++t) {
    store(state + 3 * t * kLanes, broadcast(-kLargest<T>));
    store(state + (3 * t + 1) * kLanes, broadcast(T(0)));
    store(state + (3 * t + 2) * kLanes, broadcast(T(0)));
  }
  Sum<T> sum;
  sum.minus_scale = broadcast(-scale);
  sum.inverse_scale = broadcast(1 / scale);
  for (int64_t first = 0; first < blocks; first += panel) {
    const int64_t last = first + panel < blocks ? first + panel : blocks;
    for (int64_t t = 0; t < tiles; ++t) {
      T* s = state + 3 * t * kLanes;
      sum.reference = load(s);
      sum.high = load(s + kLanes);
      sum.low = load(s + 2 * kLanes);
      sum.set_limits();
      for (int64_t b = first; b < last; ++b)
        sum.add_block(points + t * dim * kLanes, centers + b * block_size, dim);
      store(s, sum.reference);
      store(s + kLanes, sum.high);
      store(s + 2 * kLanes, sum.low);
    }
  }
}

}  // namespace
