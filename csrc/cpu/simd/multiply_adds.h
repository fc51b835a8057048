// The peak of a core: multiply-adds in registers, alone or with as many additions. Benchmarks
// compare kernels to it; no result needs it.
#pragma once

#include "lanes.h"

namespace {

// Two pipes of multiply-adds and two of additions, with latencies of 4 and 3 cycles, need at least
// 8 and 6 chains, which fit 16 registers. More chains are needed to fill all pipes: 3.1
// instructions a cycle with 8 and 6 chains, 4.0 with 12 and 12, measured on Zen 5.
template <typename T>
constexpr bool kManyRegisters = sizeof(typename Lanes<T>::Register) == 64;
constexpr int kPerStep = 24;  // multiply-adds in a step, and additions

template <typename T, bool kWithAdditions>
int64_t multiply_adds(int64_t steps, T* out) {
  using R = typename Lanes<T>::Register;
  const R half = load(out);  // from memory, so that the compiler computes nothing in advance
  constexpr int kProducts = kManyRegisters<T> ? 12 : 8, kSums = kManyRegisters<T> ? 12 : 6;
  R products[kProducts], sums[kSums];
  for (R& value : products) value = half;
  for (R& value : sums) value = half;
  for (int64_t step = 0; step < steps; ++step) {
    for (int first = 0; first < kPerStep; first += kSums) {
      for (int i = 0; i < kSums; ++i) {
        R& product = products[(first + i) % kProducts];
        product = fma(product, half, half);
        if constexpr (kWithAdditions) sums[i] = sums[i] + half;
      }
    }
  }
  R total = half;
  for (const R value : products) total = total + value;
  for (const R value : sums) total = total + value;
  store(out, total);
  return steps * kPerStep * (kWithAdditions ? 2 : 1) * Lanes<T>::kCount;
}

}  // namespace
