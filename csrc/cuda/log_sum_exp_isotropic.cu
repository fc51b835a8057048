// The log-sum-exp of every point over all centers of its group.
//
// A block of threads takes a tile of points and a share of the tiles of centers of their group. Up
// to kPanel dimensions the points stay in shared memory, and the next centers are copied there
// while those before are summed; beyond, both sides come panel by panel, and the sums of the panels
// before are kept in shared memory. A thread keeps the running sums of its points over its own
// centers; those of the threads are folded in their order at the end, and those of the shares by a
// second kernel. tools/count_instructions.py says what a pair costs.
#include "query_tiles.h"

namespace layerbits::cuda {
namespace {

template <typename T>
using Large = Shape<T, sizeof(T) == 4 ? 8 : 4, 8, 16>;
template <typename T>
using Small = Shape<T, 2, 4, 8>;

template <typename T>
struct Work {
  const T* points;
  const T* centers;
  const int64_t* point_rows;  // by group, as the next two
  const int64_t* point_tiles;
  const int64_t* center_tiles;
  int64_t groups, dim, tiles, shares;
  int staged;  // tiles of centers that are copied at once
  Scale<T> scale;
  double* sums;  // [shares][tiles][3][kTilePoints]
};

// Where the parts of shared memory are, in values.
template <typename S>
struct Layout {
  int centers, stage, totals, size;

  __host__ __device__ Layout(int64_t dim, int staged) {
    const bool wide = dim > kPanel;
    const int panel = wide ? kPanel : int(dim);
    centers = panel * S::kTilePoints;
    stage = staged * (1 + panel) * S::kTileCenters;
    totals = centers + (wide ? 1 : 2) * stage;
    const int needed = totals + (wide ? S::kQueries * kBlock * S::kThreads : 0);
    size = needed > kFolding<S> ? needed : kFolding<S>;
  }
};

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

// A share of the centers of few dimensions, `count` tiles.
template <typename S, int kFirst, typename T>
__device__ __forceinline__ void sum_narrow(const Work<T>& work, T* memory, const T* points,
                                           const T* centers, int count, int x, int y,
                                           RunningSum<T> (&sums)[S::kQueries]) {
  if (count == 0) return;  // with no copy under way
  const int dim = int(work.dim), tile_size = (1 + dim) * S::kTileCenters;
  start_copy(points, dim * S::kTilePoints, memory);
  sum_stages<S, kFirst>(
      memory, memory + Layout<S>(work.dim, work.staged).centers, dim, work.staged, count,
      [&](int first, int tiles, T* to) {
        start_copy(centers + int64_t(first) * tile_size, tiles * tile_size, to);
      },
      work.scale, x, y, sums);
}

// The same of many dimensions, which are a multiple of kStep.
template <typename S, typename T>
__device__ __forceinline__ void sum_wide(const Work<T>& work, T* memory, const T* points,
                                         const T* centers, int count, int x, int y,
                                         RunningSum<T> (&sums)[S::kQueries]) {
  const Layout<S> layout(work.dim, 1);
  T *const tile = memory + layout.centers, *const totals = memory + layout.totals;
  for (int t = 0; t < count; ++t, centers += (1 + work.dim) * S::kTileCenters) {
    T distance[S::kQueries][kBlock];
    for (int64_t first = 0; first < work.dim; first += kPanel) {
      const int dims = int(work.dim - first < kPanel ? work.dim - first : kPanel);
      __syncthreads();
      start_copy(points + first * S::kTilePoints, dims * S::kTilePoints, memory);
      start_copy(centers + (1 + first) * S::kTileCenters, dims * S::kTileCenters,
                 tile + S::kTileCenters);
      if (first == 0) start_copy(centers, S::kTileCenters, tile);
      wait_for_copies();
      __syncthreads();
      T start[kBlock];
      load_row<T, kBlock, S::kX>(tile, x, start);
#pragma unroll
      for (int j = 0; j < kBlock; ++j) start[j] = first > 0 ? T(0) : start[j];
      find_distances<S, 0>(memory, tile + S::kTileCenters, start, dims, x, y, distance);
      if (first > 0) add_totals<S>(totals, distance);
      if (first + kPanel < work.dim) keep_totals<S>(totals, distance);
    }
    add_blocks(distance, work.scale, sums);
    if ((t & (t + 1)) == 0) share_references<S>(work.scale, sums);
  }
}

// Blocks of an SM, as many as have registers. Two warps for each scheduler are enough in float64,
// where one instruction of many independent ones takes two cycles.
template <typename S, int kFirst>
inline constexpr int kBlocksOfSm = S::kThreads == 32                              ? 12
                                   : kFirst > 0 && sizeof(typename S::Value) == 4 ? 3
                                                                                  : 2;

// kFirst: of the dimensions; 0: they are many.
template <typename S, int kFirst, typename T = typename S::Value>
__global__ void __launch_bounds__(S::kThreads, kBlocksOfSm<S, kFirst>)
    sum_powers(const Work<T> work) {
  T* const memory = shared_memory<T>();
  const int x = threadIdx.x % S::kX, y = threadIdx.x / S::kX;
  // No device has memory for more tiles than a grid has blocks.
  const int64_t share = blockIdx.x / work.tiles, t = blockIdx.x % work.tiles;
  const int64_t group = find_group(work.point_tiles, work.groups, t);
  const int64_t first_tile = work.center_tiles[group];
  const int64_t tiles = work.center_tiles[group + 1] - first_tile;
  const int64_t begin = tiles * share / work.shares, end = tiles * (share + 1) / work.shares;
  const T* const points = work.points + t * work.dim * S::kTilePoints;
  const T* const centers = work.centers + (first_tile + begin) * (1 + work.dim) * S::kTileCenters;

  RunningSum<T> sums[S::kQueries];
#pragma unroll
  for (int i = 0; i < S::kQueries; ++i) sums[i].clear();
  if constexpr (kFirst > 0)
    sum_narrow<S, kFirst>(work, memory, points, centers, int(end - begin), x, y, sums);
  else
    sum_wide<S>(work, memory, points, centers, int(end - begin), x, y, sums);
  fold_sums<S>(sums, x, y, memory, work.sums + 3 * S::kTilePoints * int64_t(blockIdx.x));
}

template <typename S, typename T = typename S::Value>
__global__ void fold_shares(Work<T> work, Exponents exponents, const unsigned* nan,
                            Vector<double> log_sum) {
  if (!exponents.findings->fine()) return;
  for (int64_t i = first_index(); i < log_sum.size; i += index_stride()) {
    const int64_t group = find_group(work.point_rows, work.groups, i);
    const int64_t row = i - work.point_rows[group];
    const int64_t tile = work.point_tiles[group] + row / S::kTilePoints;
    const ScaledSum sum =
        add_shares<S>(work.sums, work.shares, work.tiles, tile, row % S::kTilePoints);
    log_sum.data[i * log_sum.stride] =
        nan[group] ? double(NAN) : sum.logarithm() + log(exponents.largest());
  }
}

template <typename S, typename T = typename S::Value>
auto kernel_for(int64_t dim) -> void (*)(const Work<T>) {
  if (dim > kPanel) return sum_powers<S, 0>;
  switch (first_dimensions(dim)) {
    case 1:
      return sum_powers<S, 1>;
    case 2:
      return sum_powers<S, 2>;
    case 3:
      return sum_powers<S, 3>;
    default:
      return sum_powers<S, 4>;
  }
}

template <typename S, typename T = typename S::Value>
Status sum(const Mixture<T>& mixture, Vector<double> log_sum, const Stream& stream,
           int multiprocessors) {
  Mixed<T> mixed(mixture, S::kTilePoints / kBlock, S::kX);
  if (Status status = mixed.scaling.set(mixture.sigma); !status.ok()) return status;
  const int64_t cols = mixture.points.cols;
  const int64_t dim = cols > kPanel ? divide_up(cols, kStep) * kStep : std::max<int64_t>(cols, 1);
  const int64_t most_tiles = divide_up(mixed.most_center_blocks, S::kX);
  const int64_t shares =
      choose_shares(std::max<int64_t>(mixed.point_tiles, 1), most_tiles, multiprocessors);

  Scratch scratch;
  T *points = nullptr, *centers = nullptr;
  double* sums = nullptr;
  const int64_t packed_points = mixed.point_tiles * S::kTilePoints;
  const int64_t packed_centers = mixed.center_tiles * S::kTileCenters;
  mixed.want(scratch);
  scratch.want(points, packed_points * dim);
  scratch.want(centers, packed_centers * (1 + dim));
  scratch.want(sums, 3 * shares * packed_points);
  if (Status status = scratch.allocate(stream); !status.ok()) return status;
  if (Status status = mixed.start(stream); !status.ok()) return status;

  const T factor = T(mixed.scaling.power);
  const Exponents exponents{mixed.findings};
  const Side of_points{mixed.table.point_rows, mixed.tiles_of_points, mixed.table.groups,
                       packed_points,          S::kTilePoints,        dim - cols};
  Status status = launch_each(pack<T, NoExtras>, packed_points, stream, mixture.points, of_points,
                              factor, NoExtras{}, &mixed.findings->points_too_large,
                              static_cast<unsigned*>(nullptr), points);
  if (!status.ok()) return status;
  const Side of_centers{mixed.table.center_rows, mixed.tiles_of_centers, mixed.table.groups,
                        packed_centers,          S::kTileCenters,        dim - cols};
  status =
      launch_each(pack<T, WeightOffset<T>>, packed_centers, stream, mixture.centers, of_centers,
                  factor, WeightOffset<T>{mixture.weights, exponents, mixed.scaling.scale},
                  &mixed.findings->centers_too_large, mixed.nan, centers);
  if (!status.ok()) return status;

  const int staged = dim > kPanel ? 1 : tiles_of_stage<S>(dim, divide_up(most_tiles, shares));
  const Work<T> work{points,
                     centers,
                     mixed.table.point_rows,
                     mixed.tiles_of_points,
                     mixed.tiles_of_centers,
                     mixed.table.groups,
                     dim,
                     mixed.point_tiles,
                     shares,
                     staged,
                     Scale<T>(mixed.scaling.scale),
                     sums};
  status = launch(kernel_for<S>(dim), mixed.point_tiles * shares, S::kThreads,
                  size_t(Layout<S>(dim, staged).size) * sizeof(T), stream, work);
  if (!status.ok()) return status;
  status = launch_each(fold_shares<S>, log_sum.size, stream, work, exponents, mixed.nan, log_sum);
  if (!status.ok()) return status;
  if (status = finish(stream); !status.ok()) return status;
  return mixed.verdict(stream);
}

}  // namespace

template <typename T>
Status log_sum_exp_isotropic(const Mixture<T>& mixture, Vector<double> log_sum,
                             const Stream& stream) {
  const CurrentDevice current(stream);
  if (!current.status.ok()) return current.status;
  // Where groups are small, so are the tiles.
  const bool large = mixture.points.rows > Large<T>::kTilePoints / 2 * mixture.point_groups.count();
  return large ? sum<Large<T>>(mixture, log_sum, stream, current.multiprocessors)
               : sum<Small<T>>(mixture, log_sum, stream, current.multiprocessors);
}

template Status log_sum_exp_isotropic(const Mixture<float>&, Vector<double>, const Stream&);
template Status log_sum_exp_isotropic(const Mixture<double>&, Vector<double>, const Stream&);

}  // namespace layerbits::cuda
