// Checks for unusual values, which packing must examine one by one.
#pragma once

#include <stdint.h>

#include "lanes.h"

namespace {

// 0 times a nonfinite value makes a sum NaN.
template <typename T>
bool any_unusual(const T* values, int64_t count, T factor) {
  using R = typename Lanes<T>::Register;
  constexpr int kLanes = Lanes<T>::kCount;
  constexpr int kChains = 4;  // independent sums
  const R four = broadcast(T(4)), zero = broadcast(T(0));
  R zeros[kChains] = {zero, zero, zero, zero};
  int64_t i = 0;
  for (; i + kChains * kLanes <= count; i += kChains * kLanes)
    for (int c = 0; c < kChains; ++c)
      zeros[c] = fma(load(values + i + c * kLanes) * broadcast(factor) * four, zero, zeros[c]);
  for (; i + kLanes <= count; i += kLanes)
    zeros[0] = fma(load(values + i) * broadcast(factor) * four, zero, zeros[0]);
  const R sum = (zeros[0] + zeros[1]) + (zeros[2] + zeros[3]);
  bool usual = !any_not_greater(sum, broadcast(T(-1)));
  for (; i < count; ++i) usual &= values[i] * factor * 4 * 0 == 0;
  return !usual;
}

}  // namespace
