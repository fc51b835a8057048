// The log-sum-exp of every point over all centers of its group.
//
// A thread block takes a tile of points and a share of the tiles of centers of their group. Up to
// kPanel dimensions the points stay in shared memory, and the next centers are copied there while
// the current centers are summed. With more dimensions, both sides are copied panel by panel, and
// shared memory keeps the distances over the previous panels. The sums of the threads are folded in
// their order at the end, the sums of the shares by a second kernel.
// tools/gpu/count_instructions.py counts the instructions of a pair.
#include "tiled_mixture.h"

namespace layerbits::cuda {
namespace {

template <typename T>
using LargeTiles = TileShape<T, sizeof(T) == 4 ? 8 : 4, 8, 16>;
template <typename T>
using SmallTiles = TileShape<T, 2, 4, 8>;

template <typename T>
struct Problem {
  const T* points;
  const T* centers;
  const int64_t* point_rows;  // offsets by group, like point_tiles and center_tiles
  const int64_t* point_tiles;
  const int64_t* center_tiles;
  int64_t groups, dim, tiles, shares;
  int stage_tiles;  // tiles of centers that are copied at once
  Scale<T> scale;
  double* sums;  // [shares][tiles][3][kTilePoints]
};

// Offsets of the arrays in shared memory, in values.
template <typename S>
struct SharedLayout {
  int centers, stage, totals, size;

  __host__ __device__ SharedLayout(int64_t dim, int stage_tiles) {
    const bool many_dimensions = dim > kPanel;
    const int panel = many_dimensions ? kPanel : int(dim);
    centers = panel * S::kTilePoints;
    stage = stage_tiles * (1 + panel) * S::kTileCenters;
    totals = centers + (many_dimensions ? 1 : 2) * stage;
    const int needed = totals + (many_dimensions ? S::kPoints * kBlock * S::kThreads : 0);
    size = needed > kFoldSize<S> ? needed : kFoldSize<S>;
  }
};

// The thread's distances over the previous panels. The 16 bytes of neighbouring threads are side by
// side, so that a warp reads without bank conflicts.
template <typename S, typename T>
__device__ __forceinline__ Vector16<T>* thread_total(T* totals, int i, int part) {
  return reinterpret_cast<Vector16<T>*>(totals) + (i * (kBlock / kVector<T>)+part) * S::kThreads +
         threadIdx.x;
}

template <typename S, typename T>
__device__ __forceinline__ void add_totals(T* totals, T (&distance)[S::kPoints][kBlock]) {
#pragma unroll
  for (int i = 0; i < S::kPoints; ++i)
#pragma unroll
    for (int part = 0; part < kBlock / kVector<T>; ++part) {
      const Vector16<T> total = *thread_total<S>(totals, i, part);
#pragma unroll
      for (int v = 0; v < kVector<T>; ++v) {
        T& value = distance[i][part * kVector<T> + v];
        value = total.values[v] + value;
      }
    }
}

template <typename S, typename T>
__device__ __forceinline__ void store_totals(T* totals, const T (&distance)[S::kPoints][kBlock]) {
#pragma unroll
  for (int i = 0; i < S::kPoints; ++i)
#pragma unroll
    for (int part = 0; part < kBlock / kVector<T>; ++part) {
      Vector16<T> total;
#pragma unroll
      for (int v = 0; v < kVector<T>; ++v) total.values[v] = distance[i][part * kVector<T> + v];
      *thread_total<S>(totals, i, part) = total;
    }
}

// The tile of points of a thread block, and its share of the centers: `count` tiles.
template <typename T>
struct Share {
  const T* points;
  const T* centers;
  int count;
};

template <typename S, int kFirst, typename T>
__device__ __forceinline__ void sum_few_dimensions(const Problem<T>& problem, const Share<T>& share,
                                                   T* memory, PointSums<S>& sums) {
  if (share.count == 0) return;  // before a copy is started
  const int dim = int(problem.dim), tile_size = (1 + dim) * S::kTileCenters;
  start_copy(share.points, dim * S::kTilePoints, memory);
  const SharedLayout<S> layout(problem.dim, problem.stage_tiles);
  sums.template sum_stages<kFirst>(
      memory, Stages<T>{memory + layout.centers, dim, problem.stage_tiles}, share.count,
      [&](int first, int tiles, T* buffer) {
        start_copy(share.centers + int64_t(first) * tile_size, tiles * tile_size, buffer);
      });
}

// For more than kPanel dimensions; their number is a multiple of kStep.
template <typename S, typename T>
__device__ __forceinline__ void sum_many_dimensions(const Problem<T>& problem,
                                                    const Share<T>& share, T* memory,
                                                    PointSums<S>& sums) {
  const SharedLayout<S> layout(problem.dim, 1);
  T *const tile = memory + layout.centers, *const totals = memory + layout.totals;
  const T* centers = share.centers;
  for (int t = 0; t < share.count; ++t, centers += (1 + problem.dim) * S::kTileCenters) {
    T distance[S::kPoints][kBlock];
    for (int64_t first = 0; first < problem.dim; first += kPanel) {
      const int dims = int(problem.dim - first < kPanel ? problem.dim - first : kPanel);
      __syncthreads();
      start_copy(share.points + first * S::kTilePoints, dims * S::kTilePoints, memory);
      start_copy(centers + (1 + first) * S::kTileCenters, dims * S::kTileCenters,
                 tile + S::kTileCenters);
      if (first == 0) start_copy(centers, S::kTileCenters, tile);
      wait_for_copies();
      __syncthreads();
      T offset[kBlock];
      load_row<T, kBlock, S::kX>(tile, sums.x, offset);
#pragma unroll
      for (int j = 0; j < kBlock; ++j) offset[j] = first > 0 ? T(0) : offset[j];
      sums.template compute_distances<0>(memory, tile + S::kTileCenters, offset, dims, distance);
      if (first > 0) add_totals<S>(totals, distance);
      if (first + kPanel < problem.dim) store_totals<S>(totals, distance);
    }
    add_blocks(distance, sums.scale, sums.sums);
    if ((t & (t + 1)) == 0) sums.share_references();
  }
}

// Thread blocks of a multiprocessor, limited by the registers. In float64 two warps for each
// scheduler are enough, because an instruction takes two cycles and many instructions are
// independent.
template <typename S, int kFirst>
inline constexpr int kBlocksPerSm = S::kThreads == 32                              ? 12
                                    : kFirst > 0 && sizeof(typename S::Value) == 4 ? 3
                                                                                   : 2;

// kFirst is first_dimensions(dim), or 0 for more than kPanel dimensions.
template <typename S, int kFirst, typename T = typename S::Value>
__global__ void __launch_bounds__(S::kThreads, kBlocksPerSm<S, kFirst>)
    sum_all_pairs(const Problem<T> problem) {
  T* const memory = shared_memory<T>();
  // A grid of kMaxBlocks exceeds every problem that fits device memory, so there is no stride.
  const int64_t share = blockIdx.x / problem.tiles, t = blockIdx.x % problem.tiles;
  const int64_t group = find_group(problem.point_tiles, problem.groups, t);
  const int64_t first_tile = problem.center_tiles[group];
  const int64_t tiles = problem.center_tiles[group + 1] - first_tile;
  const int64_t begin = tiles * share / problem.shares, end = tiles * (share + 1) / problem.shares;
  const Share<T> tiles_of_share{
      problem.points + t * problem.dim * S::kTilePoints,
      problem.centers + (first_tile + begin) * (1 + problem.dim) * S::kTileCenters,
      int(end - begin)};

  PointSums<S> sums(problem.scale);
  if constexpr (kFirst > 0)
    sum_few_dimensions<S, kFirst>(problem, tiles_of_share, memory, sums);
  else
    sum_many_dimensions<S>(problem, tiles_of_share, memory, sums);
  sums.fold(memory, problem.sums + 3 * S::kTilePoints * int64_t(blockIdx.x));
}

template <typename S, typename T = typename S::Value>
__global__ void fold_shares(Problem<T> problem, WeightExponents exponents, const unsigned* nan,
                            Vector<double> log_sum) {
  if (!exponents.checks->passed()) return;
  for (int64_t i = first_index(); i < log_sum.size; i += index_stride()) {
    const int64_t group = find_group(problem.point_rows, problem.groups, i);
    const int64_t row = i - problem.point_rows[group];
    const int64_t tile = problem.point_tiles[group] + row / S::kTilePoints;
    const ScaledSum sum =
        add_shares<S>(problem.sums, problem.shares, problem.tiles, tile, row % S::kTilePoints);
    log_sum.data[i * log_sum.stride] =
        nan[group] ? double(NAN) : sum.logarithm() + log(exponents.largest());
  }
}

template <typename S, typename T = typename S::Value>
auto kernel_for(int64_t dim) -> void (*)(const Problem<T>) {
  if (dim > kPanel) return sum_all_pairs<S, 0>;
  switch (first_dimensions(dim)) {
    case 1:
      return sum_all_pairs<S, 1>;
    case 2:
      return sum_all_pairs<S, 2>;
    case 3:
      return sum_all_pairs<S, 3>;
    default:
      return sum_all_pairs<S, 4>;
  }
}

template <typename S, typename T = typename S::Value>
Status sum(const Mixture<T>& mixture, Vector<double> log_sum, const Stream& stream,
           int multiprocessors) {
  const int64_t cols = mixture.points.cols;
  const int64_t dim = cols > kPanel ? divide_up(cols, kStep) * kStep : std::max<int64_t>(cols, 1);
  TiledMixture<S> tiled(mixture, dim);
  if (Status status = tiled.scaling.set(mixture.sigma); !status.ok()) return status;
  const int64_t max_tiles = divide_up(tiled.max_center_blocks, S::kX);
  const int64_t shares =
      choose_shares(std::max<int64_t>(tiled.point_tiles, 1), max_tiles, multiprocessors);

  Scratch scratch;
  double* sums = nullptr;
  tiled.add_to(scratch);
  scratch.add(sums, 3 * shares * tiled.packed_points());
  if (Status status = scratch.allocate(stream); !status.ok()) return status;
  if (Status status = tiled.start(stream); !status.ok()) return status;

  const Problem<T> problem{
      .points = tiled.points,
      .centers = tiled.centers,
      .point_rows = tiled.point_rows,
      .point_tiles = tiled.point_tile_offsets,
      .center_tiles = tiled.center_tile_offsets,
      .groups = tiled.groups,
      .dim = dim,
      .tiles = tiled.point_tiles,
      .shares = shares,
      .stage_tiles = dim > kPanel ? 1 : tiles_of_stage<S>(dim, divide_up(max_tiles, shares)),
      .scale = Scale<T>(tiled.scaling.exponent_scale),
      .sums = sums};
  const size_t shared = size_t(SharedLayout<S>(dim, problem.stage_tiles).size) * sizeof(T);
  Status status =
      launch(kernel_for<S>(dim), tiled.point_tiles * shares, S::kThreads, shared, stream, problem);
  if (!status.ok()) return status;
  status = launch_each(fold_shares<S>, log_sum.size, stream, problem, WeightExponents{tiled.checks},
                       tiled.nan, log_sum);
  if (!status.ok()) return status;
  if (status = finish(stream); !status.ok()) return status;
  return tiled.check(stream);
}

}  // namespace

template <typename T>
Status log_sum_exp_isotropic(const Mixture<T>& mixture, Vector<double> log_sum,
                             const Stream& stream) {
  const CurrentDevice current(stream);
  if (!current.status.ok()) return current.status;
  // Small groups would leave most of a large tile empty.
  const bool use_large_tiles =
      mixture.points.rows > LargeTiles<T>::kTilePoints / 2 * mixture.point_groups.count();
  return use_large_tiles ? sum<LargeTiles<T>>(mixture, log_sum, stream, current.multiprocessors)
                         : sum<SmallTiles<T>>(mixture, log_sum, stream, current.multiprocessors);
}

template Status log_sum_exp_isotropic(const Mixture<float>&, Vector<double>, const Stream&);
template Status log_sum_exp_isotropic(const Mixture<double>&, Vector<double>, const Stream&);

}  // namespace layerbits::cuda
