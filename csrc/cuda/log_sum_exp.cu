// The log-sum-exp of every point over all centers of its group.
//
// A block of threads takes a tile of points and a share of the centers of their group; a thread, a
// rectangle of kQueries points by kBlock centers at a time, as in a product of matrices: of what it
// loads from shared memory each value serves many pairs, for any dimension, and without code of its
// own for each. Up to kPanel dimensions the points stay in shared memory; beyond, both sides come
// panel by panel, and the sums of the panels before are kept in shared memory. A thread keeps the
// running sums of its points over its own centers; those of the threads are folded in their order
// at the end, and those of the shares by a second kernel.
//
// What a pair costs, in float: d subtractions and d multiply-adds, one multiply-add, power, minimum
// and addition each, and 3/4 of an addition for the compensation: 2 d + 4.75 slots of issue, one of
// them on the special-function unit, which has a quarter of a slot's rate (an eighth of blocks of
// no weight has neither power nor additions). Loads from shared memory: a 16-byte one for 32
// subtractions and multiply-adds.
#include "sides.h"

namespace layerbits::cuda {
namespace {

// kX threads over centers, kY over points.
template <typename T, int kQueries_, int kX_, int kY_>
struct Shape {
  using Value = T;
  static constexpr int kQueries = kQueries_, kX = kX_, kY = kY_, kThreads = kX * kY;
  static constexpr int kTilePoints = kQueries * kY, kTileCenters = kBlock * kX;
  static constexpr int kPointBlocks = kTilePoints / kBlock;
};
template <typename T>
using Large = Shape<T, sizeof(T) == 4 ? 8 : 4, 8, 16>;
template <typename T>
using Small = Shape<T, 2, 4, 8>;

template <typename T>
struct Work {
  const T* points;
  const T* centers;
  GroupTable table;
  const int64_t* tiles;
  int64_t dim, point_tiles, shares;
  int staged_tiles;  // tiles of centers in shared memory at once
  Scale<T> scale;
  double* sums;  // [shares][3][packed_points]
  int64_t packed_points;
};

// Squared distances of the thread's points and centers over `count` more dimensions.
template <typename S, typename T>
__device__ __forceinline__ void add_distances(const T* points, const T* centers, int count, int x,
                                              int y, T (&distance)[S::kQueries][kBlock]) {
#pragma unroll 2
  for (int k = 0; k < count; ++k) {
    T q[S::kQueries], c[kBlock];
    load_row<T, S::kQueries, S::kY>(points + k * S::kTilePoints, y, q);
    load_row<T, kBlock, S::kX>(centers + k * S::kTileCenters, x, c);
#pragma unroll
    for (int i = 0; i < S::kQueries; ++i)
#pragma unroll
      for (int j = 0; j < kBlock; ++j) {
        const T difference = q[i] - c[j];
        distance[i][j] = multiply_add(difference, difference, distance[i][j]);
      }
  }
}

// Sums of the panels before, of each thread; 16 bytes of a thread beside those of the next.
template <typename S, typename T>
__device__ __forceinline__ Vector16<T>* total_of(T* totals, int i, int part) {
  return reinterpret_cast<Vector16<T>*>(totals) + (i * (kBlock / kVector<T>)+part) * S::kThreads +
         threadIdx.x;
}

template <typename S, typename T>
__device__ __forceinline__ void add_totals(T* totals, T (&distance)[S::kQueries][kBlock]) {
#pragma unroll
  for (int i = 0; i < S::kQueries; ++i)
#pragma unroll
    for (int part = 0; part < kBlock / kVector<T>; ++part) {
      const Vector16<T> total = *total_of<S>(totals, i, part);
#pragma unroll
      for (int v = 0; v < kVector<T>; ++v) {
        T& mine = distance[i][part * kVector<T> + v];
        mine = total.values[v] + mine;
      }
    }
}

template <typename S, typename T>
__device__ __forceinline__ void keep_totals(T* totals, const T (&distance)[S::kQueries][kBlock]) {
#pragma unroll
  for (int i = 0; i < S::kQueries; ++i)
#pragma unroll
    for (int part = 0; part < kBlock / kVector<T>; ++part) {
      Vector16<T> total;
#pragma unroll
      for (int v = 0; v < kVector<T>; ++v) total.values[v] = distance[i][part * kVector<T> + v];
      *total_of<S>(totals, i, part) = total;
    }
}

// Where the parts of shared memory are, in values.
template <typename S>
struct Layout {
  int panel, centers, totals, size;

  __host__ __device__ Layout(int64_t dim, int staged_tiles) {
    const bool wide = dim > kPanel;
    panel = wide ? kPanel : int(dim);
    centers = panel * S::kTilePoints;
    totals = centers + staged_tiles * (1 + panel) * S::kTileCenters;
    const int needed = totals + (wide ? S::kQueries * kBlock * S::kThreads : 0);
    const int folding = 3 * S::kX * S::kTilePoints;
    size = needed > folding ? needed : folding;
  }
};

template <typename S, typename T>
__device__ __forceinline__ void sum_tile(const Work<T>& work, T* memory, const Layout<S>& layout,
                                         const T* points, int64_t point_blocks, const T* centers,
                                         int64_t center_blocks, int x, int y,
                                         RunningSum<T> (&sums)[S::kQueries]) {
  const int64_t block_size = kBlock * work.dim, center_size = kBlock * (1 + work.dim);
  T* const tile = memory + layout.centers;
  T distance[S::kQueries][kBlock];
  for (int64_t first = 0; first < work.dim; first += kPanel) {
    const int count = int(work.dim - first < kPanel ? work.dim - first : kPanel);
    __syncthreads();
    load_tile<T, S::kPointBlocks>(points, block_size, point_blocks, first, count, memory);
    load_tile<T, S::kX>(centers, center_size, center_blocks, 1 + first, count,
                        tile + S::kTileCenters);
    if (first == 0) load_tile<T, S::kX>(centers, center_size, center_blocks, 0, 1, tile);
    __syncthreads();
    T start[kBlock];
    load_row<T, kBlock, S::kX>(tile, x, start);
#pragma unroll
    for (int j = 0; j < kBlock; ++j) {
      const bool beyond = column_of<T, kBlock, S::kX>(x, j) / kBlock >= center_blocks;
#pragma unroll
      for (int i = 0; i < S::kQueries; ++i)
        distance[i][j] = first > 0 ? T(0) : beyond ? T(INFINITY) : start[j];
    }
    add_distances<S>(memory, tile + S::kTileCenters, count, x, y, distance);
    if (first > 0) add_totals<S>(memory + layout.totals, distance);
    if (first + kPanel < work.dim) keep_totals<S>(memory + layout.totals, distance);
  }
#pragma unroll
  for (int i = 0; i < S::kQueries; ++i) sums[i].add_block(distance[i], work.scale);
}

// The same for some tiles of few dimensions, while the points stay where they are.
template <typename S, typename T>
__device__ __forceinline__ void sum_tiles(const Work<T>& work, T* memory, const Layout<S>& layout,
                                          const T* centers, int64_t center_blocks, int tiles, int x,
                                          int y, RunningSum<T> (&sums)[S::kQueries]) {
  const int dim = int(work.dim);
  const int64_t center_size = kBlock * (1 + work.dim);
  __syncthreads();
  for (int t = 0; t < tiles; ++t)
    load_tile<T, S::kX>(centers + t * S::kX * center_size, center_size, center_blocks - t * S::kX,
                        0, 1 + dim, memory + layout.centers + t * (1 + dim) * S::kTileCenters);
  __syncthreads();
  for (int t = 0; t < tiles; ++t) {
    const T* tile = memory + layout.centers + t * (1 + dim) * S::kTileCenters;
    T start[kBlock], distance[S::kQueries][kBlock];
    load_row<T, kBlock, S::kX>(tile, x, start);
#pragma unroll
    for (int j = 0; j < kBlock; ++j) {
      const bool beyond = t * S::kX + column_of<T, kBlock, S::kX>(x, j) / kBlock >= center_blocks;
#pragma unroll
      for (int i = 0; i < S::kQueries; ++i) distance[i][j] = beyond ? T(INFINITY) : start[j];
    }
    add_distances<S>(memory, tile + S::kTileCenters, dim, x, y, distance);
#pragma unroll
    for (int i = 0; i < S::kQueries; ++i) sums[i].add_block(distance[i], work.scale);
  }
}

template <typename S, bool kWide, typename T = typename S::Value>
__global__ void __launch_bounds__(S::kThreads, S::kThreads == 32 ? 12
                                               : kWide ? 2
                                                       : 3) sum_powers(const Work<T> work) {
  T* const memory = shared_memory<T>();
  const Layout<S> layout(work.dim, work.staged_tiles);
  const int x = threadIdx.x % S::kX, y = threadIdx.x / S::kX;
  for (int64_t item = blockIdx.x; item < work.point_tiles * work.shares; item += gridDim.x) {
    const int64_t share = item / work.point_tiles, t = item % work.point_tiles;
    const int64_t group = find_group(work.tiles, work.table.groups, t);
    const int64_t point_block =
        work.table.point_blocks[group] + (t - work.tiles[group]) * S::kPointBlocks;
    const int64_t point_blocks = work.table.point_blocks[group + 1] - point_block;
    const int64_t of_group = work.table.center_blocks[group];
    const int64_t blocks = work.table.center_blocks[group + 1] - of_group;
    const int64_t tiles = (blocks + S::kX - 1) / S::kX;
    const int64_t last = tiles * (share + 1) / work.shares;
    const T* const points = work.points + point_block * kBlock * work.dim;

    RunningSum<T> sums[S::kQueries];
#pragma unroll
    for (int i = 0; i < S::kQueries; ++i) sums[i].clear();
    if (!kWide)
      load_tile<T, S::kPointBlocks>(points, kBlock * work.dim, point_blocks, 0, int(work.dim),
                                    memory);
    for (int64_t tile = tiles * share / work.shares; tile < last; tile += work.staged_tiles) {
      const T* centers = work.centers + (of_group + tile * S::kX) * kBlock * (1 + work.dim);
      const int64_t center_blocks = blocks - tile * S::kX;
      if (kWide)
        sum_tile<S>(work, memory, layout, points, point_blocks, centers, center_blocks, x, y, sums);
      else
        sum_tiles<S>(work, memory, layout, centers, center_blocks,
                     int(last - tile < work.staged_tiles ? last - tile : work.staged_tiles), x, y,
                     sums);
    }

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
      if (q / kBlock >= point_blocks) continue;
      ScaledSum sum;
      for (int from = 0; from < S::kX; ++from) {
        const T* state = memory + 3 * from * S::kTilePoints + q;
        sum.add(state[0], state[S::kTilePoints], state[2 * S::kTilePoints]);
      }
      double* out = work.sums + 3 * share * work.packed_points + point_block * kBlock + q;
      out[0] = sum.reference;
      out[work.packed_points] = sum.high;
      out[2 * work.packed_points] = sum.low;
    }
    __syncthreads();
  }
}

template <typename T>
__global__ void fold_shares(Work<T> work, Exponents exponents, const unsigned* nan,
                            Vector<double> log_sum) {
  if (!exponents.findings->fine()) return;
  for (int64_t i = first_index(); i < log_sum.size; i += index_stride()) {
    const int64_t group = find_group(work.table.point_rows, work.table.groups, i);
    const int64_t place =
        work.table.point_blocks[group] * kBlock + (i - work.table.point_rows[group]);
    ScaledSum sum;
    for (int64_t share = 0; share < work.shares; ++share) {
      const double* from = work.sums + 3 * share * work.packed_points + place;
      sum.add(from[0], from[work.packed_points], from[2 * work.packed_points]);
    }
    log_sum.data[i * log_sum.stride] =
        nan[group] ? double(NAN) : sum.logarithm() + log(exponents.largest());
  }
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
int64_t choose_shares(int64_t point_tiles, int64_t center_tiles, int multiprocessors) {
  constexpr int64_t kBlocksPerMultiprocessor = 32, kLeastTiles = 4;
  const int64_t wanted = divide_up(kBlocksPerMultiprocessor * multiprocessors, point_tiles);
  return std::clamp<int64_t>(wanted, 1, std::max<int64_t>(center_tiles / kLeastTiles, 1));
}

template <typename S, typename T = typename S::Value>
Status sum(const Mixture<T>& mixture, Vector<double> log_sum, const Stream& stream,
           int multiprocessors) {
  Mixed<T> mixed(mixture, S::kPointBlocks);
  if (Status status = mixed.scaling.set(mixture.sigma); !status.ok()) return status;
  const int64_t dim = mixture.points.cols;
  const int64_t center_tiles = divide_up(mixed.most_center_blocks, S::kX);
  const int64_t shares =
      choose_shares(std::max<int64_t>(mixed.point_tiles, 1), center_tiles, multiprocessors);

  Scratch scratch;
  T *points = nullptr, *centers = nullptr;
  double* sums = nullptr;
  mixed.want(scratch);
  scratch.want(points, mixed.packed_points() * dim);
  scratch.want(centers, mixed.packed_centers() * (1 + dim));
  scratch.want(sums, 3 * shares * mixed.packed_points());
  if (Status status = scratch.allocate(stream); !status.ok()) return status;
  if (Status status = mixed.start(stream); !status.ok()) return status;

  const T factor = T(mixed.scaling.power);
  const Exponents exponents{mixed.findings};
  Status status = launch_each(pack<T, NoExtras>, mixed.packed_points(), stream, mixture.points,
                              mixed.points(), factor, NoExtras{}, &mixed.findings->points_too_large,
                              static_cast<unsigned*>(nullptr), points);
  if (!status.ok()) return status;
  status = launch_each(pack<T, WeightOffset<T>>, mixed.packed_centers(), stream, mixture.centers,
                       mixed.centers(), factor,
                       WeightOffset<T>{mixture.weights, exponents, mixed.scaling.scale},
                       &mixed.findings->centers_too_large, mixed.nan, centers);
  if (!status.ok()) return status;

  const bool wide = dim > kPanel;
  constexpr int64_t kStageBytes = 16384;
  const int64_t tile_bytes = (1 + dim) * S::kTileCenters * int64_t(sizeof(T));
  const int64_t most_staged = std::max<int64_t>(divide_up(center_tiles, shares), 1);
  const int staged = wide ? 1 : int(std::clamp<int64_t>(kStageBytes / tile_bytes, 1, most_staged));
  const Work<T> work{points,
                     centers,
                     mixed.table,
                     mixed.tiles_of_points,
                     dim,
                     mixed.point_tiles,
                     shares,
                     staged,
                     Scale<T>(mixed.scaling.scale),
                     sums,
                     mixed.packed_points()};
  status = launch(wide ? sum_powers<S, true> : sum_powers<S, false>, mixed.point_tiles * shares,
                  S::kThreads, size_t(Layout<S>(dim, staged).size) * sizeof(T), stream, work);
  if (!status.ok()) return status;
  status = launch_each(fold_shares<T>, log_sum.size, stream, work, exponents, mixed.nan, log_sum);
  if (!status.ok()) return status;
  if (status = finish(stream); !status.ok()) return status;
  return mixed.verdict(stream);
}

}  // namespace

template <typename T>
Status log_sum_exp(const Mixture<T>& mixture, Vector<double> log_sum, const Stream& stream) {
  const CurrentDevice current(stream);
  if (!current.status.ok()) return current.status;
  // Where groups are small, so are the tiles.
  const bool large = mixture.points.rows > Large<T>::kTilePoints / 2 * mixture.point_groups.count();
  return large ? sum<Large<T>>(mixture, log_sum, stream, current.multiprocessors)
               : sum<Small<T>>(mixture, log_sum, stream, current.multiprocessors);
}

template Status log_sum_exp(const Mixture<float>&, Vector<double>, const Stream&);
template Status log_sum_exp(const Mixture<double>&, Vector<double>, const Stream&);

}  // namespace layerbits::cuda
