// Sums of kernel-weighted differences, from which all gradients of the log-sum-exp are made: with
// queries as rows those of points and sigma, with centers as rows those of centers and weights. A
// lane is a row. Reads packed arrays only.
#pragma once

#include "distances.h"

namespace {

template <typename T>
inline void add_weighted_block(const T* tile, const T* block, int64_t dim, T scale, T* sums) {
  using R = typename Lanes<T>::Register;
  constexpr int kLanes = Lanes<T>::kCount;
  const T* coordinates = block + 2 * kBlock;
  R kernels[1][kBlock];
  R(&kernel)[kBlock] = kernels[0];
  for (int j = 0; j < kBlock; ++j) kernel[j] = broadcast(T(0));
  add_distances<T, 1>(tile + kLanes, coordinates, 0, dim, kernels);

  R distance[kBlock];
  R largest = broadcast(Exp2<T>::kLowest);
  const R row_exponent = load(tile);
  for (int j = 0; j < kBlock; ++j) {
    distance[j] = kernel[j];
    kernel[j] = far_exponent<T>(kernel[j], broadcast(-scale), row_exponent + broadcast(block[j]));
    largest = max(largest, kernel[j]);
  }
  if (!any_not_greater(broadcast(Exp2<T>::kLowest + T(0.5)), largest)) return;

  R total = load(sums), moment = load(sums + kLanes);
  for (int j = 0; j < kBlock; ++j) {
    const Power<T> power = exp2<T>(min(broadcast(Exp2<T>::kHighest), kernel[j]));
    kernel[j] = power.mantissa * (power.scale * broadcast(block[kBlock + j]));
    total = total + kernel[j];
    // A term of no weight may stand at an infinite distance.
    moment = fma(kernel[j], min(broadcast(kLargest<T>), distance[j]), moment);
  }
  store(sums, total);
  store(sums + kLanes, moment);
  for (int64_t k = 0; k < dim; ++k) {
    const R q = load(tile + (1 + k) * kLanes);
    R even = load(sums + (2 + k) * kLanes), odd = broadcast(T(0));
    for (int j = 0; j < kBlock; j += 2) {
      even = fma(kernel[j], q - broadcast(coordinates[k * kBlock + j]), even);
      odd = fma(kernel[j + 1], q - broadcast(coordinates[k * kBlock + j + 1]), odd);
    }
    store(sums + (2 + k) * kLanes, even + odd);
  }
}

template <typename T>
void weighted_differences(const T* rows, int64_t tiles, const T* columns, int64_t blocks,
                          int64_t dim, T scale, T* sums) {
  constexpr int kLanes = Lanes<T>::kCount;
  const int64_t size = (2 + dim) * kLanes;
  for (int64_t t = 0; t < tiles; ++t) {
    T* s = sums + t * size;
    for (int64_t i = 0; i < size; i += kLanes) store(s + i, broadcast(T(0)));
    for (int64_t b = 0; b < blocks; ++b)
      add_weighted_block(rows + t * (1 + dim) * kLanes, columns + b * kBlock * (2 + dim), dim,
                         scale, s);
  }
}

}  // namespace
