// The log-sum-exp of every point over Gaussians with a covariance each.
//
// A lane has some points; the warps of a block share the components. A triangular factor is read in
// bands of four rows, each value once for all points of the warp, from the first-level cache: no
// dimension is too large for it. After a band the sums of squares, which only grow, may say that
// the terms are exactly 0; the other rows are left out then.
#include <string.h>

#include "sides.h"

namespace layerbits::cuda {
namespace {

constexpr int kWarps = 4, kLanes = 32, kQueries = 4, kTile = kLanes * kQueries;
constexpr int kRows = 4;  // of a band

// A component: its offset and its mean, then the bands, of which the last column is that of the
// diagonal; the first band has rows of zeros before the others where kRows does not divide d.
__host__ __device__ inline int64_t head_size(int64_t dim) { return (1 + dim + 3) / 4 * 4; }
__host__ __device__ inline int64_t first_band(int64_t dim) { return (dim - 1) % kRows + 1; }
// Columns of all bands that end before row `last`.
__host__ __device__ inline int64_t columns_before(int64_t dim, int64_t last) {
  const int64_t rest = first_band(dim), bands = (last - rest) / kRows;
  return bands * rest + kRows * bands * (bands - 1) / 2;
}
__host__ __device__ inline int64_t component_values(int64_t dim) {
  return head_size(dim) + kRows * columns_before(dim, dim + kRows);
}

// Doubles as integers of the same order; 0 comes before all.
__device__ __forceinline__ unsigned long long ordered(double value) {
  const auto bits = static_cast<unsigned long long>(__double_as_longlong(value));
  return bits >> 63 ? ~bits : bits | 1ull << 63;
}
__host__ __device__ inline unsigned long long bits_of_ordered(unsigned long long order) {
  return order >> 63 ? order & ~(1ull << 63) : ~order;
}

__host__ __device__ inline double double_of(unsigned long long bits) {
  double value = 0;
  memcpy(&value, &bits, sizeof value);
  return value;
}

struct Looked {
  unsigned long long infinite_offset = ~0ull;  // the first index of one
  unsigned long long largest_offset = 0;       // ordered
  unsigned long long largest_point = 0, largest_mean = 0, largest_factor = 0;  // bits, of |finite|
  unsigned nan = 0;

  // No offset at all is one of -inf.
  __device__ double offset() const {
    return largest_offset == 0 ? double(-INFINITY) : double_of(bits_of_ordered(largest_offset));
  }

  // Then no sum of products overflows, so that infinity is never taken from infinity.
  template <typename T>
  __host__ __device__ bool in_range(int64_t dim) const {
    const double reach = double_of(largest_point) + double_of(largest_mean);
    const double limit = Range<T>::kLargest / 2;
    return reach < limit && reach * double_of(largest_factor) * double(dim) < limit;
  }
};

// What is in some values.
struct Extent {
  double largest = 0;
  bool infinite = false, nan = false;

  __device__ void add(double value) {
    if (isfinite(value))
      largest = fmax(largest, fabs(value));
    else
      (isnan(value) ? nan : infinite) = true;
  }
  __device__ void tell(unsigned long long* most) const {
    atomicMax(most, static_cast<unsigned long long>(__double_as_longlong(largest)));
  }
};

template <typename T>
__global__ void look_at_points(Matrix<const T> points, Looked* looked) {
  Extent extent;
  for (int64_t i = first_index(); i < points.rows; i += index_stride())
    for (int64_t k = 0; k < points.cols; ++k)
      extent.add(points.data[i * points.row_stride + k * points.col_stride]);
  extent.tell(&looked->largest_point);
}

// A thread looks at a row of a factor; that of the first row, at mean and offset too.
template <typename T>
__global__ void look_at_components(Gaussians<T> gaussians, Looked* looked, unsigned* absent) {
  const int64_t dim = gaussians.means.cols;
  Extent means, factors;
  for (int64_t e = first_index(); e < gaussians.means.rows * dim; e += index_stride()) {
    const int64_t j = e / dim, r = e % dim;
    Extent mean, factor;
    const T* row =
        gaussians.factors.data + j * gaussians.factors.stride + r * gaussians.factors.row_stride;
    for (int64_t k = 0; k <= r; ++k) factor.add(row[k * gaussians.factors.col_stride]);
    mean.add(gaussians.means.data[j * gaussians.means.row_stride + r * gaussians.means.col_stride]);
    if (mean.infinite || mean.nan || factor.infinite || factor.nan) atomicOr(absent + j, 1u);
    bool nan = mean.nan || factor.nan;
    if (r == 0) {
      const double offset = gaussians.offsets.data[j * gaussians.offsets.stride];
      nan |= isnan(offset);
      if (offset == INFINITY)
        atomicMin(&looked->infinite_offset, static_cast<unsigned long long>(j));
      if (!isnan(offset)) atomicMax(&looked->largest_offset, ordered(offset));
    }
    if (nan) atomicOr(&looked->nan, 1u);
    means.largest = fmax(means.largest, mean.largest);
    factors.largest = fmax(factors.largest, factor.largest);
  }
  means.tell(&looked->largest_mean);
  factors.tell(&looked->largest_factor);
}

template <typename T>
__global__ void pack_points(Matrix<const T> points, int64_t tiles, T* out) {
  for (int64_t e = first_index(); e < tiles * points.cols * kTile; e += index_stride()) {
    const int64_t i = e / (points.cols * kTile) * kTile + e % kTile, k = e / kTile % points.cols;
    const T value =
        i < points.rows ? points.data[i * points.row_stride + k * points.col_stride] : T(0);
    out[e] = isfinite(value) ? value : T(0);
  }
}

// Into zeros; a thread for each row of each factor.
template <typename T>
__global__ void pack_components(Gaussians<T> gaussians, const Looked* looked,
                                const unsigned* absent, T* packed) {
  const int64_t dim = gaussians.means.cols, rest = first_band(dim);
  for (int64_t e = first_index(); e < gaussians.means.rows * dim; e += index_stride()) {
    const int64_t j = e / dim, r = e % dim;
    T* out = packed + j * component_values(dim);
    const double offset =
        2 * (looked->offset() - double(gaussians.offsets.data[j * gaussians.offsets.stride]));
    const bool present = !absent[j] && offset < Range<T>::kLargest;
    if (r == 0) out[0] = present ? T(offset) : T(INFINITY);
    if (!present) continue;
    out[1 + r] =
        gaussians.means.data[j * gaussians.means.row_stride + r * gaussians.means.col_stride];
    const int64_t last = r < rest ? rest : rest + ((r - rest) / kRows + 1) * kRows;
    T* place = out + head_size(dim) + kRows * columns_before(dim, last) + (r - (last - kRows));
    const T* row =
        gaussians.factors.data + j * gaussians.factors.stride + r * gaussians.factors.row_stride;
    for (int64_t k = 0; k <= r; ++k) place[k * kRows] = row[k * gaussians.factors.col_stride];
  }
}

template <typename T>
struct Work {
  const T* points;  // [tile][dim][kTile]
  const T* components;
  int64_t rows, dim, count, tiles, shares;
  Scale<T> scale;
  double* sums;  // [share][3][tiles * kTile]
};

template <typename T>
__global__ void __launch_bounds__(kWarps* kLanes, 3) sum_components(const Work<T> work) {
  T* const memory = shared_memory<T>();  // [warp][3][kTile]
  const int lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes;
  const int64_t size = component_values(work.dim), head = head_size(work.dim);
  for (int64_t item = blockIdx.x; item < work.tiles * work.shares; item += gridDim.x) {
    const int64_t share = item / work.tiles, tile = item % work.tiles;
    const T* const points = work.points + tile * work.dim * kTile;
    RunningSum<T> sums[kQueries];
#pragma unroll
    for (int i = 0; i < kQueries; ++i) sums[i].clear();
    const int64_t end = work.count * (share + 1) / work.shares;
    for (int64_t j = work.count * share / work.shares + warp; j < end; j += kWarps) {
      const T* const component = work.components + j * size;
      const T* column = component + head;
      T distance[kQueries];
#pragma unroll
      for (int i = 0; i < kQueries; ++i) distance[i] = component[0];
      bool matters = component[0] <= Range<T>::kLargest;
      for (int64_t last = first_band(work.dim); last <= work.dim && matters; last += kRows) {
        T product[kRows][kQueries] = {};
        for (int64_t k = 0; k < last; ++k, column += kRows) {
          const T mean = component[1 + k];
          T difference[kQueries], factor[kRows];
          load_row<T, kQueries, kLanes>(points + k * kTile, lane, difference);
          load_row<T, kRows, 1>(column, 0, factor);
#pragma unroll
          for (int i = 0; i < kQueries; ++i) difference[i] = difference[i] - mean;
#pragma unroll
          for (int r = 0; r < kRows; ++r)
#pragma unroll
            for (int i = 0; i < kQueries; ++i)
              product[r][i] = multiply_add(factor[r], difference[i], product[r][i]);
        }
        matters = false;
#pragma unroll
        for (int i = 0; i < kQueries; ++i) {
#pragma unroll
          for (int r = 0; r < kRows; ++r)
            distance[i] = multiply_add(product[r][i], product[r][i], distance[i]);
          matters |= !(distance[i] > sums[i].ignore_above);
        }
      }
      if (!matters) continue;
#pragma unroll
      for (int i = 0; i < kQueries; ++i) sums[i].add_one(distance[i], work.scale);
    }

#pragma unroll
    for (int i = 0; i < kQueries; ++i) {
      T* state = memory + 3 * warp * kTile + column_of<T, kQueries, kLanes>(lane, i);
      state[0] = sums[i].reference;
      state[kTile] = sums[i].high;
      state[2 * kTile] = sums[i].low;
    }
    __syncthreads();
    for (int q = threadIdx.x; q < kTile; q += kWarps * kLanes) {
      ScaledSum sum;
      for (int from = 0; from < kWarps; ++from) {
        const T* state = memory + 3 * from * kTile + q;
        sum.add(state[0], state[kTile], state[2 * kTile]);
      }
      double* out = work.sums + 3 * share * work.tiles * kTile + tile * kTile + q;
      out[0] = sum.reference;
      out[work.tiles * kTile] = sum.high;
      out[2 * work.tiles * kTile] = sum.low;
    }
    __syncthreads();
  }
}

template <typename T>
__global__ void fold_shares(Work<T> work, Matrix<const T> points, const Looked* looked,
                            Vector<double> log_sum) {
  if (looked->infinite_offset != ~0ull || !looked->template in_range<T>(work.dim)) return;
  for (int64_t i = first_index(); i < log_sum.size; i += index_stride()) {
    ScaledSum sum;
    for (int64_t share = 0; share < work.shares; ++share) {
      const double* from = work.sums + 3 * share * work.tiles * kTile + i;
      sum.add(from[0], from[work.tiles * kTile], from[2 * work.tiles * kTile]);
    }
    Extent row;
    for (int64_t k = 0; k < points.cols; ++k)
      row.add(points.data[i * points.row_stride + k * points.col_stride]);
    const double found = row.infinite ? double(-INFINITY) : sum.logarithm() + looked->offset();
    log_sum.data[i * log_sum.stride] = looked->nan || row.nan ? double(NAN) : found;
  }
}

template <typename T>
Status verdict(const Looked& found, int64_t dim) {
  if (found.infinite_offset != ~0ull)
    return Status::bad_value("offsets: got inf at index " + std::to_string(found.infinite_offset) +
                             ", wanted numbers below it");
  if (!found.in_range<T>(dim))
    return Status::bad_value(
        "points: got finite values whose products with the factors may leave the range of the "
        "dtype; shift points and means towards 0, or use float64");
  return {};
}

}  // namespace

template <typename T>
Status log_sum_exp_full(const Matrix<const T>& points, const Gaussians<T>& gaussians,
                        Vector<double> log_sum, const Stream& stream) {
  const CurrentDevice current(stream);
  if (!current.status.ok()) return current.status;
  const int64_t dim = points.cols, count = gaussians.means.rows;
  const int64_t tiles = divide_up(points.rows, kTile);
  constexpr int64_t kBlocksPerMultiprocessor = 24, kLeastComponents = 32;
  const int64_t wanted =
      divide_up(kBlocksPerMultiprocessor * current.multiprocessors, std::max<int64_t>(tiles, 1));
  const int64_t shares =
      std::clamp<int64_t>(wanted, 1, std::max<int64_t>(count / kLeastComponents, 1));

  Scratch scratch;
  Looked* looked = nullptr;
  unsigned* absent = nullptr;
  T *packed_points = nullptr, *components = nullptr;
  double* sums = nullptr;
  scratch.want(looked, 1);
  scratch.want(absent, count);
  scratch.want(packed_points, tiles * kTile * dim);
  scratch.want(components, count * component_values(dim));
  scratch.want(sums, 3 * shares * tiles * kTile);
  if (Status status = scratch.allocate(stream); !status.ok()) return status;
  const std::vector<Looked> nothing_yet(1);
  Status status = upload(looked, nothing_yet, stream);
  if (status.ok())
    status = status_of(cudaMemsetAsync(absent, 0, size_t(count) * sizeof *absent, handle(stream)));
  if (status.ok())
    status = status_of(cudaMemsetAsync(
        components, 0, size_t(count * component_values(dim)) * sizeof(T), handle(stream)));
  if (status.ok())
    status = launch_each(look_at_points<T>, std::min<int64_t>(points.rows, 1 << 18), stream, points,
                         looked);
  if (status.ok())
    status = launch_each(look_at_components<T>, count * dim, stream, gaussians, looked, absent);
  if (status.ok())
    status = launch_each(pack_points<T>, tiles * dim * kTile, stream, points, tiles, packed_points);
  if (status.ok())
    status =
        launch_each(pack_components<T>, count * dim, stream, gaussians, looked, absent, components);
  // exp(-distance / 2)
  const Work<T> work{packed_points,           components, points.rows, dim, count, tiles, shares,
                     Scale<T>(T(kLog2E / 2)), sums};
  if (status.ok())
    status = launch(sum_components<T>, tiles * shares, kWarps * kLanes,
                    3 * kWarps * kTile * sizeof(T), stream, work);
  if (status.ok())
    status = launch_each(fold_shares<T>, log_sum.size, stream, work, points, looked, log_sum);
  if (status.ok()) status = finish(stream);
  Looked found;
  if (status.ok()) status = download(&found, looked, 1, stream);
  return status.ok() ? verdict<T>(found, dim) : status;
}

template Status log_sum_exp_full(const Matrix<const float>&, const Gaussians<float>&,
                                 Vector<double>, const Stream&);
template Status log_sum_exp_full(const Matrix<const double>&, const Gaussians<double>&,
                                 Vector<double>, const Stream&);

}  // namespace layerbits::cuda
