// The gradients of the log-sum-exp from one pass over the pairs: sums of differences, weighted by
// the kernel, over columns for each row and over rows for each column. Each lane holds one row.
// Reads packed arrays only; no threads, no allocation.
#pragma once

#include "distances.h"

namespace {

// The number of lanes of sums over rows, the same at every level, so that AVX2 and AVX-512 agree.
template <typename T>
constexpr int kColumnLanes = layerbits::kMaxLanes * 4 / int(sizeof(T));

// The number of tiles whose pairs with a block are summed together, while the sums of the columns
// stay in registers: the rows of these tiles have 32 times 64 bytes for each coordinate. At d =
// 128, 16 times 64 bytes are 2 % slower, and 8 times are 6 % slower (Zen 5).
template <typename T>
constexpr int64_t kTilesTogether = 32 * kColumnLanes<T> / Lanes<T>::kCount;

// The number of coordinates that share a load of K, small enough that their sums stay in registers.
template <typename T>
constexpr int kSharedCoordinates = sizeof(typename Lanes<T>::Register) == 64 ? 2 : 1;

// Computes kernel[kBlock][lanes], K of a tile and a block, and adds K |r - c|^2 to the tile's
// `moments`. Returns false if every K is exactly 0.
template <typename T>
inline bool tile_kernel(const T* tile, const T* block, int64_t dim, T scale, T* kernel,
                        T* moments) {
  using R = typename Lanes<T>::Register;
  constexpr int kLanes = Lanes<T>::kCount;
  R distances[1][kBlock], exponent[kBlock];
  R(&distance)[kBlock] = distances[0];
  for (int j = 0; j < kBlock; ++j) distance[j] = broadcast(T(0));
  add_distances<T, 1>(tile + 2 * kLanes, block + kBlock, 0, dim, distances);
  R largest = broadcast(Exp2<T>::kLowest);
  const R row_exponent = load(tile), factor = load(tile + kLanes);
  const bool any_far = any_less(broadcast(kFar<T>), row_exponent);
  for (int j = 0; j < kBlock; ++j) {
    const R shift = row_exponent + broadcast(block[j]);
    exponent[j] = any_far ? far_exponent<T>(distance[j], broadcast(-scale), shift)
                          : fma(distance[j], broadcast(-scale), shift);
    largest = max(largest, exponent[j]);
  }
  if (!any_not_greater(broadcast(Exp2<T>::kLowest + T(0.5)), largest)) return false;
  R moment = moments ? load(moments) : broadcast(T(0));
  for (int j = 0; j < kBlock; ++j) {
    const Power<T> power = exp2<T>(min(broadcast(Exp2<T>::kHighest), exponent[j]));
    const R k = power.mantissa * (power.scale * factor);
    store(kernel + j * kLanes, k);
    // The distance of a pair with K = 0 may be infinite.
    moment = fma(k, min(broadcast(kLargest<T>), distance[j]), moment);
  }
  if (moments) store(moments, moment);
  return true;
}

// Prevents the compiler from loading the value of a register at every use, which costs 15 % here.
template <typename R>
inline void keep_in_register([[maybe_unused]] R& value) {
#if defined(__x86_64__)
  asm("" : "+v"(value));
#endif
}

// Adds K (r - c) in kCoordinates coordinates for the pairs of `count` tiles and a block.
template <int kCoordinates, bool kRows, bool kColumns, typename T>
inline void add_coordinates(const T* const* coordinates, T* const* row_sums, const T* kernels,
                            int64_t count, int64_t offset, const T* block, T* column_sums) {
  using R = typename Lanes<T>::Register;
  constexpr int kLanes = Lanes<T>::kCount;
  R sums[kCoordinates][kBlock];
  if (kColumns)
    for (int i = 0; i < kCoordinates; ++i)
      for (int j = 0; j < kBlock; ++j)
        sums[i][j] = load(column_sums + (i * kBlock + j) * kColumnLanes<T>);
  for (int64_t a = 0; a < count; ++a, kernels += kBlock * kLanes) {
    const T* q = coordinates[a] + offset;
    R row[kCoordinates][2], values[kCoordinates];
    for (int i = 0; i < kCoordinates; ++i) values[i] = load(q + i * kLanes);
    for (int j = 0; j < kBlock; ++j) {
      R k = load(kernels + j * kLanes);
      keep_in_register(k);
      for (int i = 0; i < kCoordinates; ++i) {
        const R difference = values[i] - broadcast(block[i * kBlock + j]);
        if (j < 2) {
          const R product = k * difference;
          row[i][j] = product;
          if (kColumns) sums[i][j] = sums[i][j] + product;
        } else {
          if (kRows) row[i][j % 2] = fma(k, difference, row[i][j % 2]);
          if (kColumns) sums[i][j] = fma(k, difference, sums[i][j]);
        }
      }
    }
    if (kRows)
      for (int i = 0; i < kCoordinates; ++i) {
        T* r = row_sums[a] + offset + i * kLanes;
        store(r, load(r) + (row[i][0] + row[i][1]));
      }
  }
  if (kColumns)
    for (int i = 0; i < kCoordinates; ++i)
      for (int j = 0; j < kBlock; ++j)
        store(column_sums + (i * kBlock + j) * kColumnLanes<T>, sums[i][j]);
}

// Adds K of `count` tiles and a block to the sums of the columns.
template <typename T>
inline void add_kernels(const T* kernels, int64_t count, T* column_sums) {
  using R = typename Lanes<T>::Register;
  R sums[kBlock];
  for (int j = 0; j < kBlock; ++j) sums[j] = load(column_sums + j * kColumnLanes<T>);
  for (int64_t a = 0; a < count; ++a)
    for (int j = 0; j < kBlock; ++j)
      sums[j] = sums[j] + load(kernels + (a * kBlock + j) * Lanes<T>::kCount);
  for (int j = 0; j < kBlock; ++j) store(column_sums + j * kColumnLanes<T>, sums[j]);
}

// Adds the pairs of `tiles` tiles and a block to row_sums and column_sums. Tiles of different turns
// add to different lanes of column_sums.
template <bool kRows, bool kColumns, typename T>
inline void add_block(const T* rows, int64_t tiles, const T* block, int64_t dim, T scale,
                      T* row_sums, T* column_sums) {
  constexpr int kLanes = Lanes<T>::kCount, kTurns = kColumns ? kColumnLanes<T> / kLanes : 1;
  alignas(64) T buffer[kTilesTogether<T> * kBlock * kLanes];
  for (int64_t turn = 0; turn < kTurns; ++turn) {
    const T* coordinates[kTilesTogether<T>];
    T* sums[kTilesTogether<T>];
    int64_t count = 0;
    for (int64_t t = turn; t < tiles; t += kTurns) {
      const T* tile = rows + t * (2 + dim) * kLanes;
      T* moments = kRows ? row_sums + t * (1 + dim) * kLanes : nullptr;
      if (!tile_kernel(tile, block, dim, scale, buffer + count * kBlock * kLanes, moments))
        continue;
      coordinates[count] = tile + 2 * kLanes;
      sums[count++] = kRows ? moments + kLanes : nullptr;
    }
    if (count == 0) continue;
    T* turn_sums = kColumns ? column_sums + turn * kLanes : nullptr;
    constexpr int kSize = kColumns ? kBlock * kColumnLanes<T> : 0;
    if (kColumns) add_kernels(buffer, count, turn_sums);
    int64_t k = 0;
    for (; k + kSharedCoordinates<T> <= dim; k += kSharedCoordinates<T>)
      add_coordinates<kSharedCoordinates<T>, kRows, kColumns>(coordinates, sums, buffer, count,
                                                              k * kLanes, block + (1 + k) * kBlock,
                                                              turn_sums + (1 + k) * kSize);
    for (; k < dim; ++k)
      add_coordinates<1, kRows, kColumns>(coordinates, sums, buffer, count, k * kLanes,
                                          block + (1 + k) * kBlock, turn_sums + (1 + k) * kSize);
  }
}

// Sums each of `count` vectors of kColumnLanes, by halves.
template <typename T>
inline void sum_lanes(const T* lanes, int64_t count, T* sums) {
  constexpr int kHalf = kColumnLanes<T> / 2;
  for (int64_t i = 0; i < count; ++i, lanes += 2 * kHalf) {
    T part[kHalf];
    for (int l = 0; l < kHalf; ++l) part[l] = lanes[l] + lanes[l + kHalf];
    for (int width = kHalf / 2; width > 0; width /= 2)
      for (int l = 0; l < width; ++l) part[l] += part[l + width];
    sums[i] = part[0];
  }
}

inline int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }

template <bool kRows, bool kColumns, typename T>
void softmax_gradient_sides(const T* rows, int64_t tiles, const T* columns, int64_t blocks,
                            int64_t dim, T scale, T* row_sums, T* column_sums, T* scratch,
                            int64_t scratch_blocks) {
  constexpr int kLanes = Lanes<T>::kCount;
  const int64_t row_size = (1 + dim) * kLanes, column_size = (1 + dim) * kBlock;
  for (int64_t i = 0; i < tiles * row_size && kRows; ++i) row_sums[i] = 0;
  for (int64_t first = 0; first < blocks; first += scratch_blocks) {
    const int64_t count = minimum(scratch_blocks, blocks - first) * column_size;
    for (int64_t i = 0; i < count * kColumnLanes<T> && kColumns; ++i) scratch[i] = 0;
    for (int64_t t = 0; t < tiles; t += kTilesTogether<T>)
      for (int64_t i = 0; i < count; i += column_size)
        add_block<kRows, kColumns>(rows + t * (2 + dim) * kLanes,
                                   minimum(kTilesTogether<T>, tiles - t),
                                   columns + first * column_size + i, dim, scale,
                                   kRows ? row_sums + t * row_size : nullptr,
                                   kColumns ? scratch + i * kColumnLanes<T> : nullptr);
    if (kColumns) sum_lanes(scratch, count, column_sums + first * column_size);
  }
}

template <typename T>
void softmax_gradient(const T* rows, int64_t tiles, const T* columns, int64_t blocks, int64_t dim,
                      T scale, T* row_sums, T* column_sums, T* scratch, int64_t scratch_blocks) {
  const auto sides = !column_sums ? softmax_gradient_sides<true, false, T>
                     : !row_sums  ? softmax_gradient_sides<false, true, T>
                                  : softmax_gradient_sides<true, true, T>;
  sides(rows, tiles, columns, blocks, dim, scale, row_sums, column_sums, scratch, scratch_blocks);
}

}  // namespace
