// Squared distances of rows and columns, and counts of the pairs by bin. Reads packed arrays only;
// no threads, no allocation.
#pragma once

#include "distances.h"

namespace {

// The dimensions of a chunk, few enough that a chunk of two blocks of columns stays in the
// first-level cache. A sum over more dimensions consists of the sums of chunks.
constexpr int64_t kChunkDims = 256;

template <typename T, int kBlocks>
inline void add_squared_distances(const T* tile, const T* block, int64_t stride, int64_t dims,
                                  bool is_first, T* out) {
  constexpr int kLanes = Lanes<T>::kCount;
  typename Lanes<T>::Register sums[kBlocks][kBlock];
  LAYERBITS_UNROLL
  for (int i = 0; i < kBlocks * kBlock; ++i) sums[i / kBlock][i % kBlock] = broadcast(T(0));
  add_distances<T, kBlocks>(tile, block, stride, dims, sums);
  LAYERBITS_UNROLL
  for (int i = 0; i < kBlocks * kBlock; ++i) {
    const auto sum = sums[i / kBlock][i % kBlock];
    store(out + i * kLanes, is_first ? sum : load(out + i * kLanes) + sum);
  }
}

template <typename T>
void squared_distances(const T* rows, int64_t tiles, const T* columns, int64_t blocks, int64_t dim,
                       T* out) {
  constexpr int kLanes = Lanes<T>::kCount;
  const int64_t stride = kBlock * dim;
  for (int64_t first = 0; first < dim; first += kChunkDims) {
    const int64_t dims = first + kChunkDims < dim ? kChunkDims : dim - first;
    const T* block = columns + first * kBlock;
    int64_t b = 0;
    for (; b + kBlocksAtOnce <= blocks; b += kBlocksAtOnce)
      for (int64_t t = 0; t < tiles; ++t)
        add_squared_distances<T, kBlocksAtOnce>(rows + (t * dim + first) * kLanes,
                                                block + b * stride, stride, dims, first == 0,
                                                out + (t * blocks + b) * kBlock * kLanes);
    for (; b < blocks; ++b)
      for (int64_t t = 0; t < tiles; ++t)
        add_squared_distances<T, 1>(rows + (t * dim + first) * kLanes, block + b * stride, stride,
                                    dims, first == 0, out + (t * blocks + b) * kBlock * kLanes);
  }
}

// Comparisons of squares determine the bin exactly; the arithmetic only gives a first guess.
template <typename T>
void count_pairs(const T* squares, int64_t row, int64_t column, int64_t columns,
                 const int64_t* labels, const layerbits::DistanceBins<T>& bins, int64_t* counts) {
  constexpr int kLanes = Lanes<T>::kCount;
  const auto lower = broadcast(bins.low), per_unit = broadcast(bins.per_unit);
  const auto last = broadcast(T(bins.count - 1));
  for (int64_t c = column; c < column + columns; ++c, squares += kLanes) {
    if (c <= row) continue;
    const auto square = load(squares);
    const auto x = bins.is_root ? square_root(square) : square * broadcast(T(0.5));
    T guess[kLanes];
    store(guess, max(min(fma(x - lower, per_unit, broadcast(T(1))), last), broadcast(T(0))));
    const int64_t rows = c - row < kLanes ? c - row : kLanes;
    for (int64_t lane = 0; lane < rows; ++lane) {
      int64_t bin = int64_t(guess[lane]);
      while (squares[lane] < bins.first_squares[bin]) --bin;
      while (squares[lane] >= bins.first_squares[bin + 1]) ++bin;
      ++counts[2 * bin + (labels[row + lane] == labels[c])];
    }
  }
}

}  // namespace
