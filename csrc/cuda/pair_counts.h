// Counts of pairs of rows by distance, and the largest distance. Squared distances have the same
// bits as on a CPU with fma, and counts are integers, so that CPU and CUDA agree exactly.
//
// A thread block takes tiles of pairs on and above the diagonal, one after the other, and counts in
// shared memory if the counts fit there.
#pragma once

#include "../api/distance_bins.h"
#include "shared_tiles.h"

namespace layerbits::cuda {

// A thread has only kRows * kColumns pairs, because it holds three sums for each pair in registers:
// `partial`, `chunk` and `square`.
constexpr int kBlockThreads = 256, kRows = 4, kColumns = 4, kX = 16, kY = 16;
constexpr int kTile = kRows * kY, kTileBlocks = kTile / kBlock;
static_assert(kTile == kColumns * kX && kX * kY == kBlockThreads);

// A sum over more than kChunk dimensions consists of the sums of chunks, as on the CPU.
constexpr int kChunk = 256;

template <typename T>
struct PairProblem {
  const T* packed;
  int64_t rows, dim, tiles;    // tiles of kTile rows
  unsigned long long* counts;  // [bin][2]
  unsigned long long* largest;
  Vector<const int64_t> labels = {};
  DistanceBins<T> bins = {};
  int copies = 0;  // number of copies of the counts in shared memory
};

template <typename T>
struct PairMemory {
  T rows[kPanel][kTile], columns[kPanel][kTile];
  int64_t row_labels[kTile], column_labels[kTile];
};

// The first row and the first column of a tile of pairs.
struct PairTile {
  int64_t row, column;
};

template <typename T>
__device__ __forceinline__ void compute_squares(const PairProblem<T>& problem,
                                                PairMemory<T>& memory, PairTile tile,
                                                T (&square)[kRows][kColumns]) {
  const int y = threadIdx.x % kY, x = threadIdx.x / kY;
  const int64_t block_size = kBlock * problem.dim, blocks = (problem.rows + kBlock - 1) / kBlock;
  T chunk[kRows][kColumns];
  for (int64_t first = 0; first < problem.dim; first += kPanel) {
    const int64_t end =
        (first / kChunk + 1) * kChunk < problem.dim ? (first / kChunk + 1) * kChunk : problem.dim;
    const int count = int(end - first < kPanel ? end - first : kPanel);
    __syncthreads();
    load_tile<T, kTileBlocks>(problem.packed + tile.row / kBlock * block_size, block_size,
                              blocks - tile.row / kBlock, first, count, memory.rows[0]);
    load_tile<T, kTileBlocks>(problem.packed + tile.column / kBlock * block_size, block_size,
                              blocks - tile.column / kBlock, first, count, memory.columns[0]);
    __syncthreads();
    T partial[kRows][kColumns] = {};
    for (int k = 0; k < count; ++k)
      add_squares<kRows, kY, kColumns, kX>(memory.rows[k], memory.columns[k], y, x, partial);
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        chunk[i][j] = first % kChunk == 0 ? partial[i][j] : chunk[i][j] + partial[i][j];
        if (first + count == end)
          square[i][j] = end <= kChunk ? chunk[i][j] : square[i][j] + chunk[i][j];
      }
  }
}

// Returns the bin of a square. Comparisons determine the bin exactly; the arithmetic only gives a
// first guess.
template <typename T>
__device__ __forceinline__ int64_t bin_of(const DistanceBins<T>& bins, T square) {
  const T x = bins.is_root ? square_root(square) : square * T(0.5);
  const T guess = multiply_add(x - bins.low, bins.per_unit, T(1));
  int64_t bin = int64_t(maximum(minimum(guess, T(bins.count - 1)), T(0)));
  while (square < bins.first_squares[bin]) --bin;
  while (square >= bins.first_squares[bin + 1]) ++bin;
  return bin;
}

// Returns the t-th tile on or above the diagonal of `tiles` by `tiles` tiles.
__device__ __forceinline__ PairTile tile_of(int64_t t, int64_t tiles) {
  const auto tiles_before = [&](int64_t r) { return r * tiles - r * (r - 1) / 2; };
  const double b = 2.0 * double(tiles) + 1;
  int64_t r = int64_t((b - sqrt(fmax(b * b - 8.0 * double(t), 0.0))) / 2);
  r = r < 0 ? 0 : r > tiles - 1 ? tiles - 1 : r;
  while (tiles_before(r) > t) --r;
  while (tiles_before(r + 1) <= t) ++r;
  return {r * kTile, (t - tiles_before(r) + r) * kTile};
}

template <typename T>
__device__ __forceinline__ void load_labels(const PairProblem<T>& problem, PairTile tile,
                                            PairMemory<T>& memory) {
  if (threadIdx.x < kTile) {
    const int64_t row = tile.row + threadIdx.x, column = tile.column + threadIdx.x;
    const bool has_labels = problem.labels.data != nullptr;
    memory.row_labels[threadIdx.x] =
        has_labels && row < problem.rows ? problem.labels.data[row * problem.labels.stride] : 0;
    memory.column_labels[threadIdx.x] = has_labels && column < problem.rows
                                            ? problem.labels.data[column * problem.labels.stride]
                                            : 0;
  }
  __syncthreads();
}

// Moves the counts from shared memory to global memory, where they are added to earlier counts.
__device__ __forceinline__ void flush_counts(unsigned* shared_counts, int copies, int64_t size,
                                             unsigned long long* counts) {
  __syncthreads();
  for (int64_t i = threadIdx.x; i < size; i += kBlockThreads) {
    unsigned long long total = 0;
    for (int copy = 0; copy < copies; ++copy) {
      total += shared_counts[copy * size + i];
      shared_counts[copy * size + i] = 0;
    }
    if (total > 0) atomicAdd(counts + i, total);
  }
  __syncthreads();
}

// Merges the largest squares of the threads. A thread block has one atomic operation, because all
// atomic operations access the same address.
template <typename T>
__device__ __forceinline__ void merge_largest(T largest, T* thread_largest,
                                              unsigned long long* result) {
  __syncthreads();
  thread_largest[threadIdx.x] = largest;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int thread = 1; thread < kBlockThreads; ++thread)
    largest = maximum(largest, thread_largest[thread]);
  atomicMax(result, static_cast<unsigned long long>(__double_as_longlong(double(largest))));
}

// Counts pairs if kCounts, and finds the largest square otherwise.
template <typename T, bool kCounts>
__global__ void __launch_bounds__(kBlockThreads, sizeof(T) == 4 ? 2 : 1)
    visit_pairs(const PairProblem<T> problem) {
  PairMemory<T>& memory = *shared_memory<PairMemory<T>>();
  unsigned* const shared_counts = reinterpret_cast<unsigned*>(&memory + 1);
  constexpr int64_t kMaxTiles = (int64_t(1) << 32) / (kTile * kTile) - 1;  // no 32-bit overflow
  const int y = threadIdx.x % kY, x = threadIdx.x / kY;
  const int64_t size = kCounts ? 2 * problem.bins.count : 0;
  for (int64_t i = threadIdx.x; i < size * problem.copies; i += kBlockThreads) shared_counts[i] = 0;
  T largest = 0;
  int64_t tiles_since_flush = 0;
  const int64_t pair_tiles = problem.tiles * (problem.tiles + 1) / 2;
  for (int64_t item = blockIdx.x; item < pair_tiles; item += gridDim.x) {
    const PairTile tile = tile_of(item, problem.tiles);
    T square[kRows][kColumns];
    compute_squares(problem, memory, tile, square);
    if (kCounts) load_labels(problem, tile, memory);
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        const int a = column_of<T, kRows, kY>(y, i), b = column_of<T, kColumns, kX>(x, j);
        if (tile.column + b >= problem.rows || tile.row + a >= tile.column + b) continue;
        if (!kCounts) {
          largest = maximum(largest, square[i][j]);
          continue;
        }
        const int64_t index = 2 * bin_of(problem.bins, square[i][j]) +
                              (memory.row_labels[a] == memory.column_labels[b]);
        if (problem.copies > 0)
          atomicAdd(shared_counts + threadIdx.x / 32 % problem.copies * size + index, 1u);
        else
          atomicAdd(problem.counts + index, 1ull);
      }
    if (kCounts && ++tiles_since_flush == kMaxTiles) {
      flush_counts(shared_counts, problem.copies, size, problem.counts);
      tiles_since_flush = 0;
    }
  }
  if (kCounts)
    flush_counts(shared_counts, problem.copies, size, problem.counts);
  else
    merge_largest(largest, memory.rows[0], problem.largest);
}

}  // namespace layerbits::cuda
