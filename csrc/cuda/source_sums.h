// Sums over sources for targets, of kernel values K and of K (target - source): what the gradients
// of both sides are made of.
//
// A block takes tiles of targets and sources. It finds the kernel values K of all their pairs into
// shared memory; then its threads take other shares, of targets by coordinates, and sum
// K (target - source) over the sources. Tiles in which every K is 0 are left out. Sums of a tile
// are added in double, in their order, to memory that is the block's own.
#pragma once

#include "sides.h"

namespace layerbits::cuda {

constexpr int kThreadsOfBlock = 128, kTargets = 4, kX = 8, kY = 16;
constexpr int kTile = kTargets * kY, kTileBlocks = kTile / kBlock;
static_assert(kTile == kBlock * kX && kX * kY == kThreadsOfBlock);

// Sums over sources of K |target - source|^2 go to d_sigma, those of K itself to d_weights.
enum class Moment { kDistance, kOne };

template <typename T>
struct Work {
  const T* targets;
  const T* sources;
  int64_t groups;
  const int64_t* target_blocks;
  const int64_t* source_blocks;
  const int64_t* tiles;  // of targets
  int64_t dim, target_tiles, shares;
  T minus_scale;
  bool coordinates;  // are they wanted, beside the moment
  double* sums;      // [shares][1 + dim][packed_targets], zeros before
  int64_t packed_targets;

  __host__ __device__ int64_t sums_of_target() const { return coordinates ? 1 + dim : 1; }
};

template <typename T>
struct Memory {
  T targets[2 + kPanel][kTile];  // exponent and factor of each, then coordinates
  T sources[2 + kPanel][kTile];
  T kernel[kTile][kTile];  // by source, by target
  T parts[kPanel][kTile];  // sums that several threads have parts of
};

// K of the thread's pairs, times what its factors say.
template <typename T>
__device__ __forceinline__ void find_kernel(const Memory<T>& memory, T minus_scale, int x, int y,
                                            const T (&distance)[kTargets][kBlock],
                                            T (&kernel)[kTargets][kBlock]) {
  T exponents[kTargets], factors[kTargets], other_exponents[kBlock], other_factors[kBlock];
  load_row<T, kTargets, kY>(memory.targets[0], y, exponents);
  load_row<T, kTargets, kY>(memory.targets[1], y, factors);
  load_row<T, kBlock, kX>(memory.sources[0], x, other_exponents);
  load_row<T, kBlock, kX>(memory.sources[1], x, other_factors);
#pragma unroll
  for (int i = 0; i < kTargets; ++i)
#pragma unroll
    for (int j = 0; j < kBlock; ++j) {
      const T exponent =
          exponent_of(distance[i][j], minus_scale, exponents[i] + other_exponents[j]);
      kernel[i][j] =
          exp2_or_zero(smaller(Range<T>::kHighest, exponent)) * (factors[i] * other_factors[j]);
    }
}

template <typename T>
__device__ __forceinline__ void load_panel(const T* packed, int64_t dim, int64_t blocks,
                                           int64_t first, T (*tile)[kTile]) {
  const int count = int(dim - first < kPanel ? dim - first : kPanel);
  load_tile<T, kTileBlocks>(packed, kBlock * (2 + dim), blocks, 2 + first, count, tile[2]);
}

template <typename T>
__device__ __forceinline__ void load_extras(const T* packed, int64_t dim, int64_t blocks,
                                            T (*tile)[kTile]) {
  load_tile<T, kTileBlocks>(packed, kBlock * (2 + dim), blocks, 0, 2, tile[0]);
}

// Sums of K (target - source) of `count` coordinates that are in memory. The fewer coordinates, the
// more threads share the sources of a target.
template <typename T>
__device__ __forceinline__ void add_coordinates(Memory<T>& memory, int count, int64_t target_blocks,
                                                double* sums, int64_t packed_targets) {
  constexpr int kTogether = 4, kSlots = kThreadsOfBlock / kY;
  int groups = 1;  // of coordinates, a power of two
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
  for (int c = 0; c < kTogether; ++c)
#pragma unroll
    for (int i = 0; i < kTargets; ++i)
      memory.parts[sharer * groups * kTogether + first + c][column_of<T, kTargets, kY>(y, i)] =
          sum[c][i];
  __syncthreads();
  for (int e = threadIdx.x; e < count * kTile; e += kThreadsOfBlock) {
    const int k = e / kTile, t = e % kTile;
    if (t / kBlock >= target_blocks) continue;
    double total = 0;
    for (int from = 0; from < sharers; ++from)
      total += double(memory.parts[from * groups * kTogether + k][t]);
    sums[k * packed_targets + t] += total;
  }
}

template <typename T, Moment kMoment>
__global__ void __launch_bounds__(kThreadsOfBlock, 2) sum_over_sources(const Work<T> work) {
  Memory<T>& memory = *shared_memory<Memory<T>>();
  const int y = threadIdx.x % kY, x = threadIdx.x / kY;
  const int64_t block_size = kBlock * (2 + work.dim);
  for (int64_t item = blockIdx.x; item < work.target_tiles * work.shares; item += gridDim.x) {
    const int64_t share = item / work.target_tiles, t = item % work.target_tiles;
    const int64_t group = find_group(work.tiles, work.groups, t);
    const int64_t target_block = work.target_blocks[group] + (t - work.tiles[group]) * kTileBlocks;
    const int64_t target_blocks = work.target_blocks[group + 1] - target_block;
    const T* const targets = work.targets + target_block * block_size;
    const int64_t of_group = work.source_blocks[group];
    const int64_t blocks = work.source_blocks[group + 1] - of_group;
    const int64_t tiles = (blocks + kTileBlocks - 1) / kTileBlocks;
    double* const sums =
        work.sums + share * work.sums_of_target() * work.packed_targets + target_block * kBlock;
    double moment_of_target = 0;  // of the thread's own one, if it has one
    load_extras(targets, work.dim, target_blocks, memory.targets);
    for (int64_t tile = tiles * share / work.shares; tile < tiles * (share + 1) / work.shares;
         ++tile) {
      const T* const sources = work.sources + (of_group + tile * kTileBlocks) * block_size;
      const int64_t source_blocks = blocks - tile * kTileBlocks;
      T distance[kTargets][kBlock], kernel[kTargets][kBlock];
      for (int64_t first = 0; first < work.dim; first += kPanel) {
        __syncthreads();
        load_panel(targets, work.dim, target_blocks, first, memory.targets);
        load_panel(sources, work.dim, source_blocks, first, memory.sources);
        if (first == 0) load_extras(sources, work.dim, source_blocks, memory.sources);
        __syncthreads();
        const int count = int(work.dim - first < kPanel ? work.dim - first : kPanel);
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
      find_kernel(memory, work.minus_scale, x, y, distance, kernel);
      bool any = false;  // NaN too
#pragma unroll
      for (int i = 0; i < kTargets; ++i)
#pragma unroll
        for (int j = 0; j < kBlock; ++j) any |= kernel[i][j] != 0;
      if (!__syncthreads_or(any)) continue;

#pragma unroll
      for (int i = 0; i < kTargets; ++i) {
        const int target = column_of<T, kTargets, kY>(y, i);
        T moment = 0;
#pragma unroll
        for (int j = 0; j < kBlock; ++j) {
          memory.kernel[column_of<T, kBlock, kX>(x, j)][target] = kernel[i][j];
          // A term of no weight may stand at an infinite distance.
          moment =
              kMoment == Moment::kOne
                  ? moment + kernel[i][j]
                  : multiply_add(kernel[i][j], smaller(Range<T>::kLargest, distance[i][j]), moment);
        }
        memory.parts[x][target] = moment;
      }
      __syncthreads();
      if (threadIdx.x < kTile)
        for (int from = 0; from < kX; ++from)
          moment_of_target += double(memory.parts[from][threadIdx.x]);
      // The panel that is in memory comes first.
      const int64_t last = (work.dim - 1) / kPanel * kPanel;
      for (int64_t first = last; first >= 0 && work.coordinates; first -= kPanel) {
        __syncthreads();
        if (first < last) {
          load_panel(targets, work.dim, target_blocks, first, memory.targets);
          load_panel(sources, work.dim, source_blocks, first, memory.sources);
          __syncthreads();
        }
        add_coordinates(memory, int(work.dim - first < kPanel ? work.dim - first : kPanel),
                        target_blocks, sums + (1 + first) * work.packed_targets,
                        work.packed_targets);
      }
    }
    if (threadIdx.x < kTile && int64_t(threadIdx.x) / kBlock < target_blocks)
      sums[threadIdx.x] = moment_of_target;
    __syncthreads();
  }
}

}  // namespace layerbits::cuda
