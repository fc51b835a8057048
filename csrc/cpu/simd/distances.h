// Squared distances of a tile of rows to a block of columns, by direct differences
// (api/operations.h says why).
#pragma once

#include "../kernel_table.h"
#include "exp2.h"

namespace {

using layerbits::kBlock;

// The dimensions of a partial sum. With u half an ulp of 1, a squared difference has a relative
// error of at most 2 u, and each addition adds at most u of the whole sum: the relative error of a
// distance is at most (2 + kPanel + d / kPanel) u, which it approaches only if the roundings have
// one sign.
constexpr int64_t kPanel = 32;

// Adds |q - c|^2 to `out` for kBlocks blocks, which are `stride` values apart.
template <typename T, int kBlocks>
inline void add_distances(const T* tile, const T* block, int64_t stride, int64_t dim,
                          typename Lanes<T>::Register (&out)[kBlocks][kBlock]) {
  using R = typename Lanes<T>::Register;
  constexpr int kColumns = kBlocks * kBlock;
  for (int64_t first = 0; first < dim; first += kPanel) {
    const int64_t last = first + kPanel < dim ? first + kPanel : dim;
    R partial[kColumns];
    LAYERBITS_UNROLL
    for (int i = 0; i < kColumns; ++i)
      partial[i] = first ? broadcast(T(0)) : out[i / kBlock][i % kBlock];
    for (int64_t k = first; k < last; ++k, block += kBlock) {
      const R q = load(tile + k * Lanes<T>::kCount);
      LAYERBITS_UNROLL
      for (int i = 0; i < kColumns; ++i) {
        const R difference = q - broadcast(block[i / kBlock * stride + i % kBlock]);
        partial[i] = fma(difference, difference, partial[i]);
      }
    }
    LAYERBITS_UNROLL
    for (int i = 0; i < kColumns; ++i) {
      R& sum = out[i / kBlock][i % kBlock];
      sum = first ? sum + partial[i] : partial[i];
    }
  }
}

// The rounding error of exponents beyond this size may be a quarter or more.
template <typename T>
constexpr T kFar = sizeof(T) == 4 ? T(0x1p22) : T(0x1p51);

// Returns distance * minus_scale + shift. For a shift beyond kFar the product is rounded first, as
// when the reference was computed from it. Otherwise the nearest term of a row would be
// 2^(rounding error of a huge number), which is 0 or overflows.
template <typename T>
inline typename Lanes<T>::Register far_exponent(typename Lanes<T>::Register distance,
                                                typename Lanes<T>::Register minus_scale,
                                                typename Lanes<T>::Register shift) {
  return where_less(broadcast(kFar<T>), shift, distance * minus_scale + shift,
                    fma(distance, minus_scale, shift));
}

}  // namespace
