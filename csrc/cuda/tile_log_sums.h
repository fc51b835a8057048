// Sums of powers of two for a tile of points over tiles of centers, which the dense and the pruned
// log-sum-exp share.
//
// A thread takes a rectangle of kPoints points by kBlock centers of a tile, as in a product of
// matrices: each value that it loads from shared memory serves many pairs, in any dimension.
// Centers are packed as tiles[1 + dim][kTileCenters], with their weights as offsets first, and
// points as tiles[dim][kTilePoints], so that a tile is copied without rearrangement.
#pragma once

#include "running_log_sum.h"
#include "shared_tiles.h"

namespace layerbits::cuda {

// A thread block has kX threads over centers, neighbours in a warp, by kY threads over points.
template <typename T, int kPoints_, int kX_, int kY_>
struct TileShape {
  using Value = T;
  static constexpr int kPoints = kPoints_, kX = kX_, kY = kY_, kThreads = kX * kY;
  static constexpr int kTilePoints = kPoints * kY, kTileCenters = kBlock * kX;
};

// A loop over dimensions takes kStep dimensions at a time, after the first 1 to kStep dimensions.
inline constexpr int kStep = 4;
inline int first_dimensions(int64_t dim) { return int((dim - 1) % kStep) + 1; }

// The number of values of shared memory that PointSums::fold needs.
template <typename S>
inline constexpr int kFoldSize = 3 * S::kX * S::kTilePoints;

// Two buffers in shared memory for `tiles` tiles of centers of `dim` dimensions each.
template <typename T>
struct Stages {
  T* memory;
  int dim, tiles;
};

// The running sums of the thread's points over its centers.
template <typename S>
struct PointSums {
  using T = typename S::Value;
  const int x = threadIdx.x % S::kX, y = threadIdx.x / S::kX;
  const Scale<T> scale;
  RunningSum<T> sums[S::kPoints];

  __device__ __forceinline__ explicit PointSums(Scale<T> scale_) : scale(scale_) {
#pragma unroll
    for (int i = 0; i < S::kPoints; ++i) sums[i].clear();
  }

  template <int kCount>
  __device__ __forceinline__ void add_dimensions(const T* points, const T* centers,
                                                 T (&distance)[S::kPoints][kBlock]) const {
#pragma unroll
    for (int k = 0; k < kCount; ++k)
      add_squares<S::kPoints, S::kY, kBlock, S::kX>(points + k * S::kTilePoints,
                                                    centers + k * S::kTileCenters, y, x, distance);
  }

  // Computes squared distances over `dim` dimensions plus the offset of each center.
  template <int kFirst>
  __device__ __forceinline__ void compute_distances(const T* points, const T* centers,
                                                    const T (&offset)[kBlock], int dim,
                                                    T (&distance)[S::kPoints][kBlock]) const {
#pragma unroll
    for (int i = 0; i < S::kPoints; ++i)
#pragma unroll
      for (int j = 0; j < kBlock; ++j) distance[i][j] = offset[j];
    add_dimensions<kFirst>(points, centers, distance);
#pragma unroll 1
    for (int k = kFirst; k < dim; k += kStep)
      add_dimensions<kStep>(points + k * S::kTilePoints, centers + k * S::kTileCenters, distance);
  }

  // Prevents the compiler from keeping points in registers from tile to tile: there are too few
  // registers.
  static __device__ __forceinline__ void reload_memory() { asm volatile("" ::: "memory"); }

  // Adds the terms of `tiles` tiles of centers in shared memory.
  template <int kFirst>
  __device__ __forceinline__ void sum_tiles(const T* points, const T* tile, int tiles, int dim) {
#pragma unroll 1
    for (int t = 0; t < tiles; ++t, tile += (1 + dim) * S::kTileCenters) {
      T offset[kBlock], distance[S::kPoints][kBlock];
      reload_memory();
      load_row<T, kBlock, S::kX>(tile, x, offset);
      compute_distances<kFirst>(points, tile + S::kTileCenters, offset, dim, distance);
      add_blocks(distance, scale, sums);
    }
  }

  // Raises each reference to the largest of the kX threads with the same point, so that the threads
  // move their own references less often. All threads of the thread block call it.
  __device__ __forceinline__ void share_references() {
#pragma unroll
    for (int i = 0; i < S::kPoints; ++i) {
      T largest = sums[i].reference;
#pragma unroll
      for (int lanes = 1; lanes < S::kX; lanes *= 2)
        largest = maximum(largest, __shfl_xor_sync(~0u, largest, lanes));
      if (largest > sums[i].reference) sums[i].raise_reference(largest, scale);
    }
  }

  // Adds the terms of `count` tiles of centers. Calls copy_tiles(first, count, buffer) to start the
  // copy of the next stage while the current stage is summed. All threads of the thread block call
  // sum_stages, after they have read the previous content of the buffers.
  template <int kFirst, typename CopyTiles>
  __device__ __forceinline__ void sum_stages(const T* points, Stages<T> stages, int count,
                                             const CopyTiles& copy_tiles) {
    if (count == 0) return;
    const int tiles = stages.tiles;
    const auto buffer = [&](int stage) {
      return stages.memory + (stage & 1) * tiles * (1 + stages.dim) * S::kTileCenters;
    };
    const auto start_stage = [&](int stage) {
      copy_tiles(stage * tiles, min(count - stage * tiles, tiles), buffer(stage));
    };
    start_stage(0);
#pragma unroll 1
    for (int stage = 0; stage * tiles < count; ++stage) {
      wait_for_copies();
      __syncthreads();  // all threads have read the buffer of the next stage
      if ((stage + 1) * tiles < count) start_stage(stage + 1);
      sum_tiles<kFirst>(points, buffer(stage), min(count - stage * tiles, tiles), stages.dim);
      // Moves of references become rarer as the sum grows: share after 1, 2, 4, ... stages.
      if ((stage & (stage + 1)) == 0) share_references();
    }
  }

  // Adds the sums of the threads, in their order, into out[3][kTilePoints]: reference, high, low.
  // All threads of the thread block call it; `memory` is shared.
  __device__ __forceinline__ void fold(T* memory, double* out) const {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < S::kPoints; ++i) {
      const int q = column_of<T, S::kPoints, S::kY>(y, i);
      memory[(3 * x + 0) * S::kTilePoints + q] = sums[i].reference;
      memory[(3 * x + 1) * S::kTilePoints + q] = sums[i].high;
      memory[(3 * x + 2) * S::kTilePoints + q] = sums[i].low;
    }
    __syncthreads();
    for (int q = threadIdx.x; q < S::kTilePoints; q += S::kThreads) {
      ScaledSum sum;
      for (int thread = 0; thread < S::kX; ++thread) {
        const T* state = memory + 3 * thread * S::kTilePoints + q;
        sum.add(state[0], state[S::kTilePoints], state[2 * S::kTilePoints]);
      }
      out[q] = sum.reference;
      out[q + S::kTilePoints] = sum.high;
      out[q + 2 * S::kTilePoints] = sum.low;
    }
  }
};

// Adds the sums of point q of a tile over all shares of the centers:
// sums[shares][tiles][3][kTilePoints].
template <typename S>
__device__ __forceinline__ ScaledSum add_shares(const double* sums, int64_t shares, int64_t tiles,
                                                int64_t tile, int64_t q) {
  ScaledSum total;
  for (int64_t share = 0; share < shares; ++share) {
    const double* sum = sums + 3 * S::kTilePoints * (share * tiles + tile) + q;
    total.add(sum[0], sum[S::kTilePoints], sum[2 * S::kTilePoints]);
  }
  return total;
}

}  // namespace layerbits::cuda
