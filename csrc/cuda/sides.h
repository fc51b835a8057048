// The points and the centers of a call, packed on the device in blocks of kBlock rows: the extra
// values of the rows of a block, then its coordinates, kBlock of each, scaled by a power of two.
// Each group starts a block of its own, so that a kernel copies 16 bytes at a time and no thread
// has to know where a group ends: places left over hold zeros, and extra values of no weight.
#pragma once

#include "../api/scaling.h"
#include "arithmetic.h"
#include "launch.h"

namespace layerbits::cuda {

// Where groups begin, for G groups G + 1 of each; in memory of the device.
struct GroupTable {
  int64_t groups;
  const int64_t* point_rows;
  const int64_t* center_rows;
  const int64_t* point_blocks;
  const int64_t* center_blocks;
};

// The last g with first[g] <= i, which of groups that begin together is the one that is not empty.
__device__ __forceinline__ int64_t find_group(const int64_t* first, int64_t groups, int64_t i) {
  int64_t low = 0, high = groups;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (first[middle] <= i ? low : high) = middle;
  }
  return low;
}

// What the values of a call are found to be, for the host to read at its end.
struct Findings {
  unsigned long long bad_weight = ~0ull;  // the first index of one
  unsigned long long largest_weight = 0;  // the bits of a double, whose order is theirs
  unsigned points_too_large = 0, centers_too_large = 0;

  // A call that fails writes no results.
  __device__ __forceinline__ bool fine() const {
    return bad_weight == ~0ull && largest_weight != 0 && !points_too_large && !centers_too_large;
  }
};

struct Side {
  const int64_t* rows;  // by group, as in GroupTable
  const int64_t* blocks;
  int64_t groups, packed_rows;       // packed_rows: kBlock for each block
  int width = kBlock;                // of a block; `blocks` counts in it
  int64_t zeros = 0;                 // coordinates more than a row has, all 0
  Vector<const int64_t> order = {};  // of the rows; none: as they come
};

template <typename T>
constexpr int kVector = 16 / int(sizeof(T));

template <typename T>
struct alignas(16) Vector16 {
  T values[kVector<T>];
};

// Groups of a mixture, their table on the device, and its findings.
template <typename T>
class Mixed {
 public:
  // Splits points, and centers, into tiles of so many blocks.
  Mixed(const Mixture<T>& mixture, int point_tile_blocks, int center_tile_blocks);

  // Asks for memory; after the scratch is allocated, start() fills it.
  void want(Scratch& scratch);
  Status start(const Stream& stream);

  // What is wrong with the values; to be called after finish().
  Status verdict(const Stream& stream) const;

  // Of all blocks; known from the beginning.
  int64_t packed_points() const { return point_blocks_ * kBlock; }
  int64_t packed_centers() const { return center_blocks_ * kBlock; }

  // To be called after start().
  Side points() const {
    return {table.point_rows, table.point_blocks, table.groups, packed_points()};
  }
  Side centers() const {
    return {table.center_rows, table.center_blocks, table.groups, packed_centers()};
  }

  const Mixture<T>& mixture;
  Scaling<T> scaling{};
  GroupTable table{};
  const int64_t* tiles_of_points = nullptr;   // the first tile of each group, G + 1
  const int64_t* tiles_of_centers = nullptr;  // the same for tiles of centers
  int64_t point_tiles = 0, center_tiles = 0;
  int64_t most_center_blocks = 0, most_point_blocks = 0;  // of a group
  Findings* findings = nullptr;
  unsigned* nan = nullptr;  // by group: has a center any

 private:
  std::vector<int64_t> on_host_;  // one copy for all: groups, findings, nan
  int64_t* on_device_ = nullptr;
  int64_t point_blocks_ = 0, center_blocks_ = 0;
};

// The weights as exponents of 2 beside the largest: never positive.
struct Exponents {
  const Findings* findings;

  __device__ double largest() const {
    return __longlong_as_double(static_cast<long long>(findings->largest_weight));
  }
  // Their ratio itself might underflow.
  __device__ double operator()(double weight) const {
    int mine = 0, of_largest = 0;
    const double ratio = frexp(weight, &mine) / frexp(largest(), &of_largest);
    return log2(ratio) + (mine - of_largest);
  }
};

// Packs the rows of a side. Extras: a functor with kCount and kZeroNotFinite, which is called with
// a row, where its coordinates are, and an array for its extra values; row -1 asks for those of no
// weight.
template <typename T, typename Extras>
__global__ void pack(Matrix<const T> rows, Side side, T factor, Extras extras, unsigned* too_large,
                     unsigned* nan, T* out) {
  const int64_t width = side.width, stride = width * (Extras::kCount + rows.cols + side.zeros);
  for (int64_t p = first_index(); p < side.packed_rows; p += index_stride()) {
    const int64_t block = p / width, group = find_group(side.blocks, side.groups, block);
    int64_t row = side.rows[group] + (p - side.blocks[group] * width);
    const bool is_row = row < side.rows[group + 1];
    if (is_row && side.order.data) row = side.order.data[row * side.order.stride];
    T* place = out + block * stride + p % width;
    T values[Extras::kCount > 0 ? Extras::kCount : 1];
    const T* coordinates = rows.data + row * rows.row_stride;
    extras(is_row ? row : -1, coordinates, values);
    for (int e = 0; e < Extras::kCount; ++e) place[e * width] = values[e];
    place += Extras::kCount * width;
    for (int64_t k = 0; k < rows.cols; ++k) {
      const T value = is_row ? coordinates[k * rows.col_stride] : T(0);
      T scaled = value * factor;
      if (isnan(value)) {
        if (nan) atomicOr(nan + group, 1u);
      } else if (!isinf(value) && fabs(scaled) > Range<T>::kLargest / 4) {
        atomicOr(too_large, 1u);  // a difference might not be finite
      }
      place[k * width] = Extras::kZeroNotFinite && !isfinite(value) ? T(0) : scaled;
    }
    for (int64_t k = 0; k < side.zeros; ++k) place[(rows.cols + k) * width] = T(0);
  }
}

// Of a side without extra values.
struct NoExtras {
  static constexpr int kCount = 0;
  static constexpr bool kZeroNotFinite = false;
  template <typename T>
  __device__ void operator()(int64_t, const T*, T*) const {}
};

// Starts to copy `count` values, a multiple of 16 bytes, from global to shared memory, by all
// threads of the block; wait_for_copies() ends what a thread has started.
template <typename T>
__device__ __forceinline__ void start_copy(const T* from, int count, T* to) {
  for (int i = threadIdx.x * kVector<T>; i < count; i += blockDim.x * kVector<T>)
#ifdef __CUDACC__
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(
                     unsigned(__cvta_generic_to_shared(to + i))),
                 "l"(from + i)
                 : "memory");
#else
    *reinterpret_cast<Vector16<T>*>(to + i) = *reinterpret_cast<const Vector16<T>*>(from + i);
#endif
}

__device__ __forceinline__ void wait_for_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// Copies rows [first, first + count) of some packed blocks to tile[count][kBlocks * kBlock]. Blocks
// from `available` on are zeros.
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

// `kCount` values of a row of a tile for one of kSharers threads, in vectors that take turns among
// them: so the threads of a warp read without conflicts of banks. column_of says which they are.
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

// Adds the squared differences of one dimension, of a thread's rows in two tiles that kY and kX
// threads share.
template <int kRows, int kY, int kColumns, int kX, typename T>
__device__ __forceinline__ void add_squares(const T* rows, const T* columns, int y, int x,
                                            T (&square)[kRows][kColumns]) {
  T here[kRows], there[kColumns];
  load_row<T, kRows, kY>(rows, y, here);
  load_row<T, kColumns, kX>(columns, x, there);
#pragma unroll
  for (int i = 0; i < kRows; ++i)
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      const T difference = here[i] - there[j];
      square[i][j] = multiply_add(difference, difference, square[i][j]);
    }
}

}  // namespace layerbits::cuda
