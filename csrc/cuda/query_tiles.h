// Sums of powers of a tile of points over tiles of centers: what the dense and the pruned
// log-sum-exp have alike.
//
// A thread takes a rectangle of kQueries points by kBlock centers of a tile, as in a product of
// matrices: of what it loads from shared memory each value serves many pairs. Centers are packed as
// tiles[1 + dim][kTileCenters], the offsets that their weights are first, and points as
// tiles[dim][kTilePoints], so that a tile is copied as it is.
#pragma once

#include "sides.h"

namespace layerbits::cuda {

// kX threads over centers, which are neighbours in a warp, by kY over points.
template <typename T, int kQueries_, int kX_, int kY_>
struct Shape {
  using Value = T;
  static constexpr int kQueries = kQueries_, kX = kX_, kY = kY_, kThreads = kX * kY;
  static constexpr int kTilePoints = kQueries * kY, kTileCenters = kBlock * kX;
};

// Dimensions are taken four at a time, after the first 1 to 4.
inline constexpr int kStep = 4;
inline int first_dimensions(int64_t dim) { return int((dim - 1) % kStep) + 1; }

template <typename S, int kCount, typename T>
__device__ __forceinline__ void add_dimensions(const T* points, const T* centers, int x, int y,
                                               T (&distance)[S::kQueries][kBlock]) {
#pragma unroll
  for (int k = 0; k < kCount; ++k)
    add_squares<S::kQueries, S::kY, kBlock, S::kX>(points + k * S::kTilePoints,
                                                   centers + k * S::kTileCenters, y, x, distance);
}

// Squared distances over `dim` dimensions, from the `start` of each center.
template <typename S, int kFirst, typename T>
__device__ __forceinline__ void find_distances(const T* points, const T* centers,
                                               const T (&start)[kBlock], int dim, int x, int y,
                                               T (&distance)[S::kQueries][kBlock]) {
#pragma unroll
  for (int i = 0; i < S::kQueries; ++i)
#pragma unroll
    for (int j = 0; j < kBlock; ++j) distance[i][j] = start[j];
  add_dimensions<S, kFirst>(points, centers, x, y, distance);
#pragma unroll 1
  for (int k = kFirst; k < dim; k += kStep)
    add_dimensions<S, kStep>(points + k * S::kTilePoints, centers + k * S::kTileCenters, x, y,
                             distance);
}

// Keeps the compiler from holding points in registers from tile to tile, which it has not enough
// of.
__device__ __forceinline__ void reload() { asm volatile("" ::: "memory"); }

// Adds the terms of some tiles of centers in shared memory.
template <typename S, int kFirst, typename T>
__device__ __forceinline__ void sum_tiles(const T* points, const T* tile, int tiles, int dim,
                                          Scale<T> scale, int x, int y,
                                          RunningSum<T> (&sums)[S::kQueries]) {
#pragma unroll 1
  for (int t = 0; t < tiles; ++t, tile += (1 + dim) * S::kTileCenters) {
    T start[kBlock], distance[S::kQueries][kBlock];
    reload();
    load_row<T, kBlock, S::kX>(tile, x, start);
    find_distances<S, kFirst>(points, tile + S::kTileCenters, start, dim, x, y, distance);
    add_blocks(distance, scale, sums);
  }
}

// Raises references to the largest of the kX threads that have a point in common: so each of them
// has to move its own less often. By all threads of the block.
template <typename S, typename T>
__device__ __forceinline__ void share_references(Scale<T> scale,
                                                 RunningSum<T> (&sums)[S::kQueries]) {
#pragma unroll
  for (int i = 0; i < S::kQueries; ++i) {
    T largest = sums[i].reference;
#pragma unroll
    for (int lanes = 1; lanes < S::kX; lanes *= 2)
      largest = larger(largest, __shfl_xor_sync(~0u, largest, lanes));
    if (largest > sums[i].reference) sums[i].raise_reference(largest, scale);
  }
}

// Adds the terms of `count` tiles of centers, `staged` at a time: start(first, count, place) starts
// to copy the next while those before are summed. `stages` has room for twice as many. By all
// threads of the block, and what was copied there before must have been read.
template <typename S, int kFirst, typename T, typename Start>
__device__ __forceinline__ void sum_stages(const T* points, T* stages, int dim, int staged,
                                           int count, const Start& start, Scale<T> scale, int x,
                                           int y, RunningSum<T> (&sums)[S::kQueries]) {
  if (count == 0) return;
  const auto place = [&](int stage) {
    return stages + (stage & 1) * staged * (1 + dim) * S::kTileCenters;
  };
  const auto start_stage = [&](int stage) {
    start(stage * staged, min(count - stage * staged, staged), place(stage));
  };
  start_stage(0);
#pragma unroll 1
  for (int stage = 0; stage * staged < count; ++stage) {
    wait_for_copies();
    __syncthreads();  // all threads have read what was where the next ones come
    if ((stage + 1) * staged < count) start_stage(stage + 1);
    sum_tiles<S, kFirst>(points, place(stage), min(count - stage * staged, staged), dim, scale, x,
                         y, sums);
    // References move ever more seldom, as records are broken.
    if ((stage & (stage + 1)) == 0) share_references<S>(scale, sums);
  }
}

// So many tiles of centers of few dimensions that a stage is worth a barrier.
template <typename S>
int tiles_of_stage(int64_t dim, int64_t most) {
  constexpr int64_t kBytes = 16384;
  const int64_t tile = (1 + dim) * S::kTileCenters * int64_t(sizeof(typename S::Value));
  return int(std::clamp<int64_t>(kBytes / tile, 1, std::max<int64_t>(most, 1)));
}

// Values of shared memory that fold_sums needs.
template <typename S>
inline constexpr int kFolding = 3 * S::kX * S::kTilePoints;

// Folds the sums of the threads, in their order, into out[3][kTilePoints]: reference, high, low. By
// all threads of the block; `memory` is shared.
template <typename S, typename T>
__device__ __forceinline__ void fold_sums(const RunningSum<T> (&sums)[S::kQueries], int x, int y,
                                          T* memory, double* out) {
  __syncthreads();
#pragma unroll
  for (int i = 0; i < S::kQueries; ++i) {
    const int q = column_of<T, S::kQueries, S::kY>(y, i);
    memory[(3 * x + 0) * S::kTilePoints + q] = sums[i].reference;
    memory[(3 * x + 1) * S::kTilePoints + q] = sums[i].high;
    memory[(3 * x + 2) * S::kTilePoints + q] = sums[i].low;
  }
  __syncthreads();
  for (int q = threadIdx.x; q < S::kTilePoints; q += S::kThreads) {
    ScaledSum sum;
    for (int from = 0; from < S::kX; ++from) {
      const T* state = memory + 3 * from * S::kTilePoints + q;
      sum.add(state[0], state[S::kTilePoints], state[2 * S::kTilePoints]);
    }
    out[q] = sum.reference;
    out[q + S::kTilePoints] = sum.high;
    out[q + 2 * S::kTilePoints] = sum.low;
  }
}

// The sum of point q of a tile, over all shares of the centers:
// sums[shares][tiles][3][kTilePoints].
template <typename S>
__device__ __forceinline__ ScaledSum add_shares(const double* sums, int64_t shares, int64_t tiles,
                                                int64_t tile, int64_t q) {
  ScaledSum sum;
  for (int64_t share = 0; share < shares; ++share) {
    const double* from = sums + 3 * S::kTilePoints * (share * tiles + tile) + q;
    sum.add(from[0], from[S::kTilePoints], from[2 * S::kTilePoints]);
  }
  return sum;
}

// The extra value of a center: the offset of squared distances that its weight is.
template <typename T>
struct WeightOffset {
  static constexpr int kCount = 1;
  static constexpr bool kZeroNotFinite = false;
  Vector<const T> weights;
  Exponents exponents;
  T scale;

  __device__ void operator()(int64_t row, const T*, T* out) const {
    if (row < 0)
      out[0] = T(INFINITY);
    else
      out[0] = weights.data ? T(-exponents(weights.data[row * weights.stride]) / scale) : T(0);
  }
};

// Shares of the centers, so many that the device is busy to the end, but none too short.
inline int64_t choose_shares(int64_t point_tiles, int64_t center_tiles, int multiprocessors) {
  constexpr int64_t kBlocksPerMultiprocessor = 32, kLeastTiles = 4;
  const int64_t wanted = divide_up(kBlocksPerMultiprocessor * multiprocessors, point_tiles);
  return std::clamp<int64_t>(wanted, 1, std::max<int64_t>(center_tiles / kLeastTiles, 1));
}

}  // namespace layerbits::cuda
