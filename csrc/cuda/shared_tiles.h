// Tiles of packed rows in shared memory: asynchronous copies, and loads of a thread's part of a row
// without bank conflicts.
#pragma once

#include "arithmetic.h"
#include "device.h"

namespace layerbits::cuda {

template <typename T>
constexpr int kVector = 16 / int(sizeof(T));

template <typename T>
struct alignas(16) Vector16 {
  T values[kVector<T>];
};

// Starts a copy of `count` values, a multiple of 16 bytes, from global to shared memory. All
// threads of the thread block call it; wait_for_copies() completes the copies of the calling
// thread.
template <typename T>
__device__ __forceinline__ void start_copy(const T* source, int count, T* target) {
  for (int i = threadIdx.x * kVector<T>; i < count; i += blockDim.x * kVector<T>)
#ifdef __CUDACC__
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(
                     unsigned(__cvta_generic_to_shared(target + i))),
                 "l"(source + i)
                 : "memory");
#else
    *reinterpret_cast<Vector16<T>*>(target + i) = *reinterpret_cast<const Vector16<T>*>(source + i);
#endif
}

__device__ __forceinline__ void wait_for_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// Copies extra values or coordinates [first, first + count) of kBlocks packed blocks to
// tile[count][kBlocks * kBlock]. Blocks with an index >= `available` become zeros.
template <typename T, int kBlocks>
__device__ __forceinline__ void load_tile(const T* packed, int64_t block_size, int64_t available,
                                          int64_t first, int count, T* tile) {
  constexpr int kParts = kBlock / kVector<T>;
  for (int i = threadIdx.x; i < count * kBlocks * kParts; i += blockDim.x) {
    const int part = i % kParts, block = i / kParts % kBlocks, k = i / (kParts * kBlocks);
    Vector16<T> vector{};
    if (block < available)
      vector = *reinterpret_cast<const Vector16<T>*>(packed + block * block_size +
                                                     (first + k) * kBlock + part * kVector<T>);
    *reinterpret_cast<Vector16<T>*>(tile + (k * kBlocks + block) * kBlock + part * kVector<T>) =
        vector;
  }
}

// A row of a tile has one value of every point or center of the tile. It is divided among
// kSharers threads, kCount values each. The threads take vectors of the row in turn, so that a warp
// reads without bank conflicts. column_of returns the column of the i-th value of a thread.
template <typename T, int kCount>
constexpr int kPart = kCount < kVector<T> ? kCount : kVector<T>;

template <typename T, int kCount, int kSharers>
__device__ __forceinline__ int column_of(int sharer, int i) {
  constexpr int kWidth = kPart<T, kCount>;
  return i / kWidth * (kSharers * kWidth) + sharer * kWidth + i % kWidth;
}

template <typename T, int kCount, int kSharers>
__device__ __forceinline__ void load_row(const T* row, int sharer, T (&values)[kCount]) {
  constexpr int kWidth = kPart<T, kCount>;
  struct alignas(kWidth * sizeof(T)) Part {
    T values[kWidth];
  };
#pragma unroll
  for (int i = 0; i < kCount; i += kWidth) {
    const Part part =
        *reinterpret_cast<const Part*>(row + column_of<T, kCount, kSharers>(sharer, i));
#pragma unroll
    for (int v = 0; v < kWidth; ++v) values[i + v] = part.values[v];
  }
}

// Adds the squared differences of one dimension for the thread's rectangle of pairs: kRows values
// of a row that kY threads share, by kColumns values of a row that kX threads share.
template <int kRows, int kY, int kColumns, int kX, typename T>
__device__ __forceinline__ void add_squares(const T* rows, const T* columns, int y, int x,
                                            T (&square)[kRows][kColumns]) {
  T row[kRows], column[kColumns];
  load_row<T, kRows, kY>(rows, y, row);
  load_row<T, kColumns, kX>(columns, x, column);
#pragma unroll
  for (int i = 0; i < kRows; ++i)
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      const T difference = row[i] - column[j];
      square[i][j] = multiply_add(difference, difference, square[i][j]);
    }
}

}  // namespace layerbits::cuda
