// The running log-sum-exp of a tile of queries. Each lane holds one query, and kernels broadcast a
// center to all lanes.
#pragma once

#include <math.h>

#include "distances.h"

namespace {

// The reference changes only if a term exceeds about 2^(reference + kHeadroom), far below overflow.
constexpr int kHeadroom = 16;

// The scale of exp(-distance / 2).
constexpr double kHalfLog2E = 0x1.71547652b82fep-1;

// The sum is (high + low) 2^reference. The reference is an integer, so that a change of the
// reference multiplies the sum by a power of two, exactly. Sums are compensated, so that a million
// equal terms round like one.
template <typename T>
struct RunningSum {
  using R = typename Lanes<T>::Register;
  R minus_scale, inverse_scale;
  R reference, high, low;
  R rescale_below;  // a term beyond the headroom has a smaller distance
  R ignore_above;   // a term at a larger distance is exactly 0
  bool any_far;     // whether a reference of the tile is below -kFar

  inline explicit RunningSum(T scale = T(kHalfLog2E))
      : minus_scale(broadcast(-scale)), inverse_scale(broadcast(1 / scale)) {}

  // Resets to an empty sum, whose reference is the lowest finite number.
  inline void clear() {
    reference = broadcast(-kLargest<T>);
    high = low = broadcast(T(0));
    rescale_below = ignore_above = broadcast(T(INFINITY));
    any_far = true;
  }

  inline void start_from(R exponent) {
    reference = exponent;
    high = low = broadcast(T(0));
    set_limits();
  }

  inline void restore(const T* state) {
    reference = load(state);
    high = load(state + Lanes<T>::kCount);
    low = load(state + 2 * Lanes<T>::kCount);
    set_limits();
  }

  inline void save(T* state) const {
    store(state, reference);
    store(state + Lanes<T>::kCount, high);
    store(state + 2 * Lanes<T>::kCount, low);
  }

  inline void set_limits() {
    // The relative slack covers the rounding of the product for a large reference; the absolute
    // slack of 1 covers the rounding of exp2.
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

  // Two-sum: low accumulates the rounding errors of high.
  inline void add_term(R term) {
    const R total = high + term;
    const R part = total - high;
    low = low + ((high - (total - part)) + (term - part));
    high = total;
  }

  // Prepares for terms whose nearest center has this squared distance. Returns false if all terms
  // are exactly 0, so that skipping the terms changes no bit.
  inline bool prepare(R nearest) {
    if (any_less(nearest, rescale_below)) move_reference(nearest);
    return any_not_greater(nearest, ignore_above);
  }

  inline R exponent(R distance) const {
    const R minus_reference = broadcast(T(0)) - reference;
    return any_far ? far_exponent<T>(distance, minus_scale, minus_reference)
                   : fma(distance, minus_scale, minus_reference);
  }

  // Adds the terms of a block at these squared distances; overwrites the distances.
  inline void add_block(R (&distance)[kBlock]) {
    R nearest[kBlock];
    LAYERBITS_UNROLL
    for (int j = 0; j < kBlock; ++j) nearest[j] = distance[j];
    LAYERBITS_UNROLL
    for (int width = kBlock / 2; width > 0; width /= 2) LAYERBITS_UNROLL
    for (int j = 0; j < width; ++j) nearest[j] = min(nearest[j], nearest[j + width]);
    if (!prepare(nearest[0])) return;
    LAYERBITS_UNROLL
    for (int j = 0; j < kBlock; ++j) distance[j] = exponent(distance[j]);
    R even = broadcast(T(0)), odd = broadcast(T(0));
    LAYERBITS_UNROLL
    for (int j = 0; j < kBlock; j += kPowersAtOnce) {
      Power<T> powers[kPowersAtOnce];
      exp2<T, kPowersAtOnce>(distance + j, powers);
      LAYERBITS_UNROLL
      for (int i = 0; i < kPowersAtOnce; i += 2) {
        even = fma(powers[i].mantissa, powers[i].scale, even);
        odd = fma(powers[i + 1].mantissa, powers[i + 1].scale, odd);
      }
    }
    add_term(even + odd);
  }

  // Adds the term of a merged center.
  inline void add_merged(R distance, R factor) {
    if (!prepare(distance)) return;
    const Power<T> power = exp2<T>(exponent(distance));
    add_term(power.mantissa * power.scale * factor);
  }
};

// Adds kBlocks blocks of centers. `beyond...` is empty or a register that is added to all squared
// distances: 0, or +inf for the queries that skip these blocks.
template <typename T, int kBlocks, typename... Beyond>
inline void add_blocks(RunningSum<T>& sum, const T* tile, const T* blocks, int64_t dim,
                       Beyond... beyond) {
  const int64_t stride = kBlock * (1 + dim);
  typename Lanes<T>::Register distance[kBlocks][kBlock];
  LAYERBITS_UNROLL
  for (int i = 0; i < kBlocks * kBlock; ++i)
    distance[i / kBlock][i % kBlock] =
        (broadcast(blocks[i / kBlock * stride + i % kBlock]) + ... + beyond);
  add_distances<T, kBlocks>(tile, blocks + kBlock, stride, dim, distance);
  LAYERBITS_UNROLL
  for (int b = 0; b < kBlocks; ++b) sum.add_block(distance[b]);
}

}  // namespace
