// Sums over sources for each target: of K (target - source), and of K or K |target - source|^2,
// where K is the kernel value of a pair. For the gradients of points the sources are the centers;
// for the gradients of centers the sources are the points.
//
// A thread block takes a tile of targets and tiles of sources. It computes the kernel values K of
// all pairs of two tiles into shared memory; then its threads divide the work by targets and
// coordinates, and sum K (target - source) over the sources. Tiles in which every K is 0 are
// omitted. The sums of a tile are added in double, in the order of the tiles, to memory that no
// other thread block writes.
#pragma once

#include "packed_rows.h"
#include "running_log_sum.h"
#include "shared_tiles.h"

namespace layerbits::cuda {

constexpr int kBlockThreads = 128, kTargets = 4, kX = 8, kY = 16;
constexpr int kTile = kTargets * kY, kTileBlocks = kTile / kBlock;
static_assert(kTile == kBlock * kX && kX * kY == kBlockThreads);

// The sum besides the sums of the coordinates: of K |target - source|^2 for d_sigma, or of K for
// d_weights.
enum class Moment { kDistance, kOne };

template <typename T>
struct SourceSums {
  const T* targets;
  const T* sources;
  int64_t groups;
  const int64_t* target_rows;  // offsets by group, like the next three
  const int64_t* target_blocks;
  const int64_t* source_blocks;
  const int64_t* target_tiles;
  int64_t dim, tiles, shares;  // tiles of targets in all groups
  T minus_scale;
  bool has_coordinates;  // whether to sum the coordinates beside the moment
  double* sums;          // [shares][1 + dim][packed_targets], initially 0
  int64_t packed_targets;

  __host__ __device__ int64_t sums_per_target() const { return has_coordinates ? 1 + dim : 1; }
  int64_t size() const { return shares * sums_per_target() * packed_targets; }
};

template <typename T>
struct SourceMemory {
  T targets[2 + kPanel][kTile];  // exponents and factors, then coordinates
  T sources[2 + kPanel][kTile];
  T kernel[kTile][kTile];         // by source, by target
  T partial_sums[kPanel][kTile];  // the sums of several threads for a target
};

// Computes K for the thread's pairs: a power of two times the factors of target and source.
template <typename T>
__device__ __forceinline__ void compute_kernel(const SourceMemory<T>& memory, T minus_scale, int x,
                                               int y, const T (&distance)[kTargets][kBlock],
                                               T (&kernel)[kTargets][kBlock]) {
  T target_exponents[kTargets], target_factors[kTargets];
  T source_exponents[kBlock], source_factors[kBlock];
  load_row<T, kTargets, kY>(memory.targets[0], y, target_exponents);
  load_row<T, kTargets, kY>(memory.targets[1], y, target_factors);
  load_row<T, kBlock, kX>(memory.sources[0], x, source_exponents);
  load_row<T, kBlock, kX>(memory.sources[1], x, source_factors);
#pragma unroll
  for (int i = 0; i < kTargets; ++i)
#pragma unroll
    for (int j = 0; j < kBlock; ++j) {
      const T exponent =
          exponent_of(distance[i][j], minus_scale, target_exponents[i] + source_exponents[j]);
      kernel[i][j] = exp2_or_zero(minimum(Range<T>::kHighest, exponent)) *
                     (target_factors[i] * source_factors[j]);
    }
}

template <typename T>
__device__ __forceinline__ void load_panel(const T* packed, int64_t dim, int64_t blocks,
                                           int64_t first, T (*tile)[kTile]) {
  const int count = int(dim - first < kPanel ? dim - first : kPanel);
  load_tile<T, kTileBlocks>(packed, kBlock * (2 + dim), blocks, 2 + first, count, tile[2]);
}

template <typename T>
__device__ __forceinline__ void load_extra_values(const T* packed, int64_t dim, int64_t blocks,
                                                  T (*tile)[kTile]) {
  load_tile<T, kTileBlocks>(packed, kBlock * (2 + dim), blocks, 0, 2, tile[0]);
}

// Adds K (target - source) in the `count` coordinates that are in shared memory. The fewer
// coordinates, the more threads share the sources of a target.
template <typename T>
__device__ __forceinline__ void add_coordinates(SourceMemory<T>& memory, int count,
                                                int64_t target_blocks, double* sums,
                                                int64_t packed_targets) {
  constexpr int kTogether = 4, kSlots = kBlockThreads / kY;
  int groups = 1;  // of kTogether coordinates, a power of two
  while (groups * kTogether < count) groups *= 2;
  const int sharers = kSlots / groups, y = threadIdx.x % kY, slot = threadIdx.x / kY;
  const int first = slot % groups * kTogether, sharer = slot / groups;

  T target[kTogether][kTargets], sum[kTogether][kTargets];
#pragma unroll
  for (int c = 0; c < kTogether; ++c) {
#pragma unroll
    for (int i = 0; i < kTargets; ++i) target[c][i] = sum[c][i] = 0;
    if (first + c < count) load_row<T, kTargets, kY>(memory.targets[2 + first + c], y, target[c]);
  }
  for (int s = sharer; s < kTile; s += sharers) {
    T kernel[kTargets];
    load_row<T, kTargets, kY>(memory.kernel[s], y, kernel);
#pragma unroll
    for (int c = 0; c < kTogether; ++c) {
      const T source = first + c < count ? memory.sources[2 + first + c][s] : T(0);
#pragma unroll
      for (int i = 0; i < kTargets; ++i)
        sum[c][i] = multiply_add(kernel[i], target[c][i] - source, sum[c][i]);
    }
  }
#pragma unroll
  for (int c = 0; c < kTogether; ++c) {
    T* const partial_sums = memory.partial_sums[sharer * groups * kTogether + first + c];
#pragma unroll
    for (int i = 0; i < kTargets; ++i) partial_sums[column_of<T, kTargets, kY>(y, i)] = sum[c][i];
  }
  __syncthreads();
  for (int e = threadIdx.x; e < count * kTile; e += kBlockThreads) {
    const int k = e / kTile, t = e % kTile;
    if (t / kBlock >= target_blocks) continue;
    double total = 0;
    for (int thread = 0; thread < sharers; ++thread)
      total += double(memory.partial_sums[thread * groups * kTogether + k][t]);
    sums[k * packed_targets + t] += total;
  }
}

template <typename T, Moment kMoment>
__global__ void __launch_bounds__(kBlockThreads, 2) sum_over_sources(const SourceSums<T> problem) {
  SourceMemory<T>& memory = *shared_memory<SourceMemory<T>>();
  const int y = threadIdx.x % kY, x = threadIdx.x / kY;
  const int64_t dim = problem.dim, block_size = kBlock * (2 + dim);
  for (int64_t item = blockIdx.x; item < problem.tiles * problem.shares; item += gridDim.x) {
    const int64_t share = item / problem.tiles, t = item % problem.tiles;
    const int64_t group = find_group(problem.target_tiles, problem.groups, t);
    const int64_t target_block =
        problem.target_blocks[group] + (t - problem.target_tiles[group]) * kTileBlocks;
    const int64_t target_blocks = problem.target_blocks[group + 1] - target_block;
    const T* const targets = problem.targets + target_block * block_size;
    const int64_t first_source_block = problem.source_blocks[group];
    const int64_t blocks = problem.source_blocks[group + 1] - first_source_block;
    const int64_t tiles = (blocks + kTileBlocks - 1) / kTileBlocks;
    double* const sums = problem.sums + share * problem.sums_per_target() * problem.packed_targets +
                         target_block * kBlock;
    double target_moment = 0;  // of target threadIdx.x, if there is one
    load_extra_values(targets, dim, target_blocks, memory.targets);
    for (int64_t tile = tiles * share / problem.shares; tile < tiles * (share + 1) / problem.shares;
         ++tile) {
      const T* const sources =
          problem.sources + (first_source_block + tile * kTileBlocks) * block_size;
      const int64_t source_blocks = blocks - tile * kTileBlocks;
      T distance[kTargets][kBlock], kernel[kTargets][kBlock];
      for (int64_t first = 0; first < dim; first += kPanel) {
        __syncthreads();
        load_panel(targets, dim, target_blocks, first, memory.targets);
        load_panel(sources, dim, source_blocks, first, memory.sources);
        if (first == 0) load_extra_values(sources, dim, source_blocks, memory.sources);
        __syncthreads();
        const int count = int(dim - first < kPanel ? dim - first : kPanel);
        T partial[kTargets][kBlock] = {};
        for (int k = 0; k < count; ++k)
          add_squares<kTargets, kY, kBlock, kX>(memory.targets[2 + k], memory.sources[2 + k], y, x,
                                                partial);
#pragma unroll
        for (int i = 0; i < kTargets; ++i)
#pragma unroll
          for (int j = 0; j < kBlock; ++j)
            distance[i][j] = first == 0 ? partial[i][j] : distance[i][j] + partial[i][j];
      }
      compute_kernel(memory, problem.minus_scale, x, y, distance, kernel);
      bool any_nonzero = false;  // true for NaN too
#pragma unroll
      for (int i = 0; i < kTargets; ++i)
#pragma unroll
        for (int j = 0; j < kBlock; ++j) any_nonzero |= kernel[i][j] != 0;
      if (!__syncthreads_or(any_nonzero)) continue;

#pragma unroll
      for (int i = 0; i < kTargets; ++i) {
        const int target = column_of<T, kTargets, kY>(y, i);
        T moment = 0;
#pragma unroll
        for (int j = 0; j < kBlock; ++j) {
          memory.kernel[column_of<T, kBlock, kX>(x, j)][target] = kernel[i][j];
          // The distance of a term with K = 0 may be infinite.
          moment =
              kMoment == Moment::kOne
                  ? moment + kernel[i][j]
                  : multiply_add(kernel[i][j], minimum(Range<T>::kLargest, distance[i][j]), moment);
        }
        memory.partial_sums[x][target] = moment;
      }
      __syncthreads();
      if (threadIdx.x < kTile)
        for (int thread = 0; thread < kX; ++thread)
          target_moment += double(memory.partial_sums[thread][threadIdx.x]);
      // The loop begins with the panel that is still in shared memory.
      const int64_t last = (dim - 1) / kPanel * kPanel;
      for (int64_t first = last; first >= 0 && problem.has_coordinates; first -= kPanel) {
        __syncthreads();
        if (first < last) {
          load_panel(targets, dim, target_blocks, first, memory.targets);
          load_panel(sources, dim, source_blocks, first, memory.sources);
          __syncthreads();
        }
        add_coordinates(memory, int(dim - first < kPanel ? dim - first : kPanel), target_blocks,
                        sums + (1 + first) * problem.packed_targets, problem.packed_targets);
      }
    }
    if (threadIdx.x < kTile && int64_t(threadIdx.x) / kBlock < target_blocks)
      sums[threadIdx.x] = target_moment;
    __syncthreads();
  }
}

}  // namespace layerbits::cuda
