// How many pairs of rows have a distance in which bin, and the largest distance. Squares have the
// bits that they have on the CPU, and bins are counted in integers, so that both agree exactly.
//
// A block of threads takes tiles of pairs on and above the diagonal, one after the other, and
// counts in shared memory where the bins fit there.
#include <cstring>

#include "../api/distance_bins.h"
#include "sides.h"

namespace layerbits::cuda {
namespace {

// A thread has few pairs: three sums of each, in double, would not leave registers for more.
constexpr int kThreadsOfBlock = 256, kRows = 4, kColumns = 4, kX = 16, kY = 16;
constexpr int kTile = kRows * kY, kTileBlocks = kTile / kBlock;
static_assert(kTile == kColumns * kX && kX * kY == kThreadsOfBlock);

// Dimensions whose sums are a partial sum themselves, as on the CPU.
constexpr int kDims = 256;

struct Looked {
  unsigned long long not_finite = ~0ull, zero = ~0ull;  // the first rows of such
  unsigned long long largest = 0;                       // the bits of a double
};

template <typename T>
__global__ void look(Matrix<const T> rows, Looked* looked) {
  for (int64_t i = first_index(); i < rows.rows; i += index_stride()) {
    T most = 0, zero = 0;  // 0 times what is not finite is NaN, and stays it in a sum
    for (int64_t k = 0; k < rows.cols; ++k) {
      const T value = rows.data[i * rows.row_stride + k * rows.col_stride];
      most = larger(most, T(fabs(value)));
      zero += value * T(0);
    }
    if (!(zero == 0)) atomicMin(&looked->not_finite, static_cast<unsigned long long>(i));
    if (most == 0) atomicMin(&looked->zero, static_cast<unsigned long long>(i));
    atomicMax(&looked->largest,
              static_cast<unsigned long long>(__double_as_longlong(double(most))));
  }
}

// Rows as unit vectors, for the cosine distance.
template <typename T>
__global__ void normalize(Matrix<const T> rows, T* units) {
  for (int64_t i = first_index(); i < rows.rows; i += index_stride()) {
    const T* row = rows.data + i * rows.row_stride;
    T most = 0;
    for (int64_t k = 0; k < rows.cols; ++k) most = larger(most, T(fabs(row[k * rows.col_stride])));
    int exponent = 0;
    frexp(double(most), &exponent);
    constexpr int kLimit = 1022;
    exponent = exponent < -kLimit ? -kLimit : exponent > kLimit ? kLimit : exponent;
    const double factor = ldexp(1.0, -exponent);
    double total = 0;
    for (int64_t first = 0; first < rows.cols; first += kPanel) {
      double partial = 0;
      for (int64_t k = first; k < rows.cols && k < first + kPanel; ++k) {
        const double value = double(row[k * rows.col_stride]) * factor;
        partial += value * value;
      }
      total += partial;
    }
    const double length = sqrt(total);
    for (int64_t k = 0; k < rows.cols; ++k)
      units[i * rows.cols + k] = T(double(row[k * rows.col_stride]) * factor / length);
  }
}

template <typename T>
struct Work {
  const T* packed;
  int64_t rows, dim, tiles;
  Vector<const int64_t> labels;
  DistanceBins<T> bins;
  int copies;                  // of the counts, in shared memory
  unsigned long long* counts;  // [bin][2]
  unsigned long long* largest;
};

template <typename T>
struct Memory {
  T rows[kPanel][kTile], columns[kPanel][kTile];
  int64_t row_labels[kTile], column_labels[kTile];
};

template <typename T>
__device__ __forceinline__ void find_squares(const Work<T>& work, Memory<T>& memory, int64_t row,
                                             int64_t column, int x, int y,
                                             T (&square)[kRows][kColumns]) {
  const int64_t block_size = kBlock * work.dim, blocks = (work.rows + kBlock - 1) / kBlock;
  T chunk[kRows][kColumns];
  for (int64_t first = 0; first < work.dim; first += kPanel) {
    const int64_t end =
        (first / kDims + 1) * kDims < work.dim ? (first / kDims + 1) * kDims : work.dim;
    const int count = int(end - first < kPanel ? end - first : kPanel);
    __syncthreads();
    load_tile<T, kTileBlocks>(work.packed + row / kBlock * block_size, block_size,
                              blocks - row / kBlock, first, count, memory.rows[0]);
    load_tile<T, kTileBlocks>(work.packed + column / kBlock * block_size, block_size,
                              blocks - column / kBlock, first, count, memory.columns[0]);
    __syncthreads();
    T partial[kRows][kColumns] = {};
    for (int k = 0; k < count; ++k)
      add_squares<kRows, kY, kColumns, kX>(memory.rows[k], memory.columns[k], y, x, partial);
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        chunk[i][j] = first % kDims == 0 ? partial[i][j] : chunk[i][j] + partial[i][j];
        if (first + count == end)
          square[i][j] = end <= kDims ? chunk[i][j] : square[i][j] + chunk[i][j];
      }
  }
}

// Found by comparing squares alone, exactly; the arithmetic says only where to begin.
template <typename T>
__device__ __forceinline__ int64_t find_bin(const DistanceBins<T>& bins, T square) {
  const T x = bins.is_root ? square_root(square) : square * T(0.5);
  const T guess = multiply_add(x - bins.low, bins.per_unit, T(1));
  int64_t bin = int64_t(larger(smaller(guess, T(bins.count - 1)), T(0)));
  while (square < bins.first[bin]) --bin;
  while (square >= bins.first[bin + 1]) ++bin;
  return bin;
}

// The row of tiles that holds the t-th tile on or above the diagonal, of `tiles` rows.
__device__ __forceinline__ int64_t row_of_tile(int64_t t, int64_t tiles) {
  const auto before = [&](int64_t r) { return r * tiles - r * (r - 1) / 2; };
  const double b = 2.0 * double(tiles) + 1;
  int64_t r = int64_t((b - sqrt(fmax(b * b - 8.0 * double(t), 0.0))) / 2);
  r = r < 0 ? 0 : r > tiles - 1 ? tiles - 1 : r;
  while (before(r) > t) --r;
  while (before(r + 1) <= t) ++r;
  return r;
}

__device__ __forceinline__ void flush(unsigned* counted, int copies, int64_t size,
                                      unsigned long long* counts) {
  __syncthreads();
  for (int64_t i = threadIdx.x; i < size; i += kThreadsOfBlock) {
    unsigned long long total = 0;
    for (int copy = 0; copy < copies; ++copy) {
      total += counted[copy * size + i];
      counted[copy * size + i] = 0;
    }
    if (total > 0) atomicAdd(counts + i, total);
  }
  __syncthreads();
}

// Counts pairs, or finds the largest square.
template <typename T, bool kCounts>
__global__ void __launch_bounds__(kThreadsOfBlock, sizeof(T) == 4 ? 2 : 1)
    visit_pairs(const Work<T> work) {
  Memory<T>& memory = *shared_memory<Memory<T>>();
  unsigned* const counted = reinterpret_cast<unsigned*>(&memory + 1);
  constexpr int64_t kMostTiles = (int64_t(1) << 32) / (kTile * kTile) - 1;  // that 32 bits count
  const int y = threadIdx.x % kY, x = threadIdx.x / kY;
  const int64_t size = kCounts ? 2 * work.bins.count : 0;
  for (int64_t i = threadIdx.x; i < size * work.copies; i += kThreadsOfBlock) counted[i] = 0;
  T most = 0;
  int64_t since = 0;
  const int64_t all = work.tiles * (work.tiles + 1) / 2;
  for (int64_t item = blockIdx.x; item < all; item += gridDim.x) {
    const int64_t r = row_of_tile(item, work.tiles);
    const int64_t row = r * kTile, column = (item - (r * work.tiles - r * (r - 1) / 2) + r) * kTile;
    T square[kRows][kColumns];
    find_squares(work, memory, row, column, x, y, square);
    if (kCounts) {
      if (threadIdx.x < kTile) {
        const int64_t a = row + threadIdx.x, b = column + threadIdx.x;
        const bool has = work.labels.data != nullptr;
        memory.row_labels[threadIdx.x] =
            has && a < work.rows ? work.labels.data[a * work.labels.stride] : 0;
        memory.column_labels[threadIdx.x] =
            has && b < work.rows ? work.labels.data[b * work.labels.stride] : 0;
      }
      __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        const int a = column_of<T, kRows, kY>(y, i), b = column_of<T, kColumns, kX>(x, j);
        if (column + b >= work.rows || row + a >= column + b) continue;
        if (!kCounts) {
          most = larger(most, square[i][j]);
          continue;
        }
        const int64_t place = 2 * find_bin(work.bins, square[i][j]) +
                              (memory.row_labels[a] == memory.column_labels[b]);
        if (work.copies > 0)
          atomicAdd(counted + threadIdx.x / 32 % work.copies * size + place, 1u);
        else
          atomicAdd(work.counts + place, 1ull);
      }
    if (kCounts && ++since == kMostTiles) {
      flush(counted, work.copies, size, work.counts);
      since = 0;
    }
  }
  if (kCounts) {
    flush(counted, work.copies, size, work.counts);
    return;
  }
  // One atomic operation a block: all of them meet at one place.
  T* const of_threads = memory.rows[0];
  __syncthreads();
  of_threads[threadIdx.x] = most;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int from = 1; from < kThreadsOfBlock; ++from) most = larger(most, of_threads[from]);
  atomicMax(work.largest, static_cast<unsigned long long>(__double_as_longlong(double(most))));
}

__global__ void copy_counts(const unsigned long long* counts, Matrix<int64_t> out) {
  for (int64_t i = first_index(); i < 2 * out.rows; i += index_stride())
    out.data[i / 2 * out.row_stride + i % 2 * out.col_stride] = int64_t(counts[i]);
}

template <typename T>
class Pairs {
 public:
  Pairs(const Matrix<const T>& points, Metric metric, const Stream& stream)
      : points_(points), metric_(metric), stream_(stream) {}

  // Looks at the values, normalizes and packs; memory for so many bins.
  Status prepare(int64_t bins) {
    const int64_t dim = points_.cols, blocks = divide_up(points_.rows, kBlock);
    Scratch scratch;
    Looked* looked = nullptr;
    int64_t* rows_and_blocks = nullptr;
    T *units = nullptr, *packed = nullptr;
    unsigned* unused = nullptr;
    scratch.want(looked, 1);
    scratch.want(rows_and_blocks, 4);
    scratch.want(unused, 1);
    scratch.want(units, metric_ == Metric::kCosine ? points_.rows * dim : 0);
    scratch.want(packed, blocks * kBlock * dim);
    scratch.want(first_, bins + 1);
    scratch.want(counts_, 2 * bins + 1);
    if (Status status = scratch.allocate(stream_); !status.ok()) return status;
    const std::vector<Looked> nothing_yet(1);
    const std::vector<int64_t> group = {0, points_.rows, 0, blocks};
    Status status = upload(looked, nothing_yet, stream_);
    if (status.ok()) status = upload(rows_and_blocks, group, stream_);
    if (status.ok())
      status = status_of(
          cudaMemsetAsync(counts_, 0, size_t(2 * bins + 1) * sizeof *counts_, handle(stream_)));
    if (status.ok()) status = launch_each(look<T>, points_.rows, stream_, points_, looked);
    if (status.ok()) status = finish(stream_);
    Looked found;
    if (status.ok()) status = download(&found, looked, 1, stream_);
    if (status.ok()) status = verdict(found);
    if (!status.ok()) return status;

    Matrix<const T> rows = points_;
    double largest = 0;
    std::memcpy(&largest, &found.largest, sizeof largest);
    if (metric_ == Metric::kCosine) {
      status = launch_each(normalize<T>, points_.rows, stream_, points_, units);
      rows = {units, points_.rows, dim, dim, 1};
    } else if (points_.rows > 0) {
      power = power_for<T>(largest);
    }
    if (!status.ok()) return status;
    const Side side{rows_and_blocks, rows_and_blocks + 2, 1, blocks * kBlock};
    work_ = {packed,  points_.rows,      dim, divide_up(points_.rows, kTile), {}, {}, 0,
             counts_, counts_ + 2 * bins};
    return launch_each(pack<T, NoExtras>, side.packed_rows, stream_, rows, side, T(power),
                       NoExtras{}, unused, static_cast<unsigned*>(nullptr), packed);
  }

  Status count(Vector<const int64_t> labels, const std::vector<T>& first, DistanceBins<T> bins,
               Matrix<int64_t> counts, int multiprocessors) {
    if (Status status = upload(first_, first, stream_); !status.ok()) return status;
    bins.first = first_;
    work_.labels = labels;
    work_.bins = bins;
    const size_t bytes = size_t(2 * bins.count) * sizeof(unsigned);
    work_.copies = bytes <= 8192 ? kThreadsOfBlock / 32 : bytes <= 65536 ? 1 : 0;
    Status status = visit<true>(size_t(work_.copies) * bytes, multiprocessors);
    if (status.ok()) status = launch_each(copy_counts, 2 * bins.count, stream_, counts_, counts);
    return status.ok() ? finish(stream_) : status;
  }

  Status find_largest(double& square, int multiprocessors) {
    Status status = visit<false>(0, multiprocessors);
    if (status.ok()) status = finish(stream_);
    unsigned long long bits = 0;
    if (status.ok()) status = download(&bits, work_.largest, 1, stream_);
    std::memcpy(&square, &bits, sizeof square);
    return status;
  }

  double power = 1;

 private:
  template <bool kCounts>
  Status visit(size_t more, int multiprocessors) const {
    constexpr int64_t kBlocksPerMultiprocessor = 16;
    const int64_t all = work_.tiles * (work_.tiles + 1) / 2;
    return launch(visit_pairs<T, kCounts>,
                  std::min<int64_t>(all, kBlocksPerMultiprocessor * multiprocessors),
                  kThreadsOfBlock, sizeof(Memory<T>) + more, stream_, work_);
  }

  Status verdict(const Looked& found) const {
    if (found.not_finite != ~0ull)
      return Status::bad_value("points: got NaN or infinity in row " +
                               std::to_string(found.not_finite) + ", wanted finite numbers");
    if (found.zero != ~0ull && metric_ == Metric::kCosine)
      return Status::bad_value("points: got only zeros in row " + std::to_string(found.zero) +
                               ", which has no direction, wanted none such under the metric "
                               "cosine; leave the row out, or take the metric euclidean");
    return {};
  }

  const Matrix<const T>& points_;
  const Metric metric_;
  const Stream& stream_;
  Work<T> work_{};
  T* first_ = nullptr;
  unsigned long long* counts_ = nullptr;
};

}  // namespace

template <typename T>
Status distance_histogram(const Matrix<const T>& points, Vector<const int64_t> labels,
                          Vector<const double> edges, Metric metric, Matrix<int64_t> counts,
                          const Stream& stream) {
  if (Status status = check_edges(edges); !status.ok()) return status;
  const CurrentDevice current(stream);
  if (!current.status.ok()) return current.status;
  Pairs<T> pairs(points, metric, stream);
  if (Status status = pairs.prepare(edges.size + 1); !status.ok()) return status;
  const std::vector<T> first = bins_of_squares<T>(edges, metric, pairs.power);
  return pairs.count(labels, first, distance_bins(first, edges, metric, pairs.power), counts,
                     current.multiprocessors);
}

template <typename T>
Status largest_distance(const Matrix<const T>& points, Metric metric, double& largest,
                        const Stream& stream) {
  const CurrentDevice current(stream);
  if (!current.status.ok()) return current.status;
  Pairs<T> pairs(points, metric, stream);
  double square = 0;
  Status status = pairs.prepare(0);
  if (status.ok()) status = pairs.find_largest(square, current.multiprocessors);
  if (!status.ok()) return status;
  largest = metric == Metric::kCosine ? std::min(square / 2, 2.0)
                                      : double(std::sqrt(T(square))) / pairs.power;
  return {};
}

template Status distance_histogram(const Matrix<const float>&, Vector<const int64_t>,
                                   Vector<const double>, Metric, Matrix<int64_t>, const Stream&);
template Status distance_histogram(const Matrix<const double>&, Vector<const int64_t>,
                                   Vector<const double>, Metric, Matrix<int64_t>, const Stream&);
template Status largest_distance(const Matrix<const float>&, Metric, double&, const Stream&);
template Status largest_distance(const Matrix<const double>&, Metric, double&, const Stream&);

}  // namespace layerbits::cuda
