// The log-sum-exp of one group, without tiles of centers that are too far away to change a result.
//
// Points and centers come in an order in which consecutive rows are close in space. A thread block
// takes a tile of points. The samples, one center of each tile, give every row a lower bound of its
// sum, and the bound gives a cutoff of squared distances. Then the thread block compares the
// bounding boxes of all tiles of centers in its share, and sums the tiles within the largest cutoff
// of its rows, in the order of the tiles.
//
// Error: let 2^b be a lower bound of a row's sum, n the number of centers and eps the error
// tolerance. Every omitted term is below 2^b eps / (1 + eps) / n. Together the omitted terms are
// below eps / (1 + eps) of the sum, so that its logarithm changes by at most eps.
#include "bounding_boxes.h"
#include "tiled_mixture.h"

namespace layerbits::cuda {
namespace {

template <typename T>
using Tiles = TileShape<T, 4, 8, 16>;

constexpr int kListSize = 512;  // near tiles that are listed before they are summed
constexpr int kWarp = 32;

template <typename T>
struct Problem {
  const T* points;
  const T* centers;
  const T* samples;  // tiles of sampled centers
  const T* boxes;    // bounding boxes of tiles of centers
  int64_t rows, tiles, center_tiles, shares;
  int dim, sample_tiles, stage_tiles;
  Scale<T> scale;
  T allowed_gap;  // log2 of a row's bound over the largest term that may be omitted
  T slack;        // bounds the relative rounding error of squared distances
  double* sums;   // [shares][tiles][3][kTilePoints]
  unsigned long long* summed_tiles;
};

// Samples the middle center of each tile, or the first center if the middle one has no weight.
template <typename T>
__global__ void sample_centers(const T* centers, int64_t tiles, int dim, int64_t sample_tiles,
                               T* samples) {
  constexpr int kTile = Tiles<T>::kTileCenters;
  const int64_t size = kTile * (1 + dim);
  for (int64_t i = first_index(); i < sample_tiles * size; i += index_stride()) {
    const int64_t t = i / size * kTile + i % kTile, k = i % size / kTile;
    const T* const tile = centers + t * size;
    if (t < tiles)
      samples[i] = tile[k * kTile + (tile[kTile / 2] < T(INFINITY) ? kTile / 2 : 0)];
    else
      samples[i] = k > 0 ? T(0) : T(INFINITY);
  }
}

// Returns the largest cutoff of the rows of the tile. A reference is the rounded exponent of a
// term, so that it exceeds the logarithm of a lower bound by less than 1; the 1 in allowed_gap + 1
// covers this excess. Rows with NaN have no cutoff.
template <typename S, typename T>
__device__ __forceinline__ T compute_cutoff(const Problem<T>& problem, const PointSums<S>& sums,
                                            int rows, T* bounds) {
#pragma unroll
  for (int i = 0; i < S::kPoints; ++i)
    if (sums.x == 0)
      bounds[column_of<T, S::kPoints, S::kY>(sums.y, i)] =
          isnan(sums.sums[i].high) ? T(INFINITY) : sums.sums[i].reference;
  __syncthreads();
  T least = T(INFINITY);
  for (int q = 0; q < rows; ++q) least = minimum(least, bounds[q]);
  __syncthreads();
  if (least <= -Range<T>::kLargest) return T(INFINITY);  // a row is too far from every sample
  const T cutoff = (problem.allowed_gap + 1 - least) * problem.scale.inverse;
  return multiply_add(problem.slack, maximum(cutoff, T(0)), cutoff);
}

// Appends the tiles of the threads with `is_near` to the list, in the order of the threads; returns
// the new length of the list. All threads of the thread block call it.
__device__ __forceinline__ int append(bool is_near, int tile, int count, unsigned* words,
                                      int* list) {
  const int warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  if (int(threadIdx.x) < warps) words[threadIdx.x] = 0;
  __syncthreads();
  const unsigned bit = 1u << (threadIdx.x % kWarp);
  if (is_near) atomicOr(words + warp, bit);
  __syncthreads();
  int position = count;
  for (int word = 0; word < warps; ++word) {
    if (word < warp) position += __popc(words[word]);
    count += __popc(words[word]);
  }
  if (is_near) list[position + __popc(words[warp] & (bit - 1))] = tile;
  __syncthreads();
  return count;
}

// Offsets of the arrays in shared memory: values, then integers.
template <typename T>
struct SharedLayout {
  using S = Tiles<T>;
  int stages, box, bounds, size;

  __host__ __device__ SharedLayout(int dim, int stage_tiles) {
    stages = dim * S::kTilePoints;
    box = stages + 2 * stage_tiles * (1 + dim) * S::kTileCenters;
    bounds = box + 2 * dim;
    size = bounds + S::kTilePoints;
    if (size < kFoldSize<S>) size = kFoldSize<S>;
  }
  size_t bytes() const {
    return size_t(size) * sizeof(T) + (kListSize + S::kThreads / kWarp) * sizeof(int);
  }
};

template <int kFirst, typename T>
__global__ void __launch_bounds__(Tiles<T>::kThreads, sizeof(T) == 4 ? 4 : 2)
    sum_near_tiles(const Problem<T> problem) {
  using S = Tiles<T>;
  const SharedLayout<T> layout(problem.dim, problem.stage_tiles);
  T* const memory = shared_memory<T>();
  T *const box = memory + layout.box, *const bounds = memory + layout.bounds;
  int* const list = reinterpret_cast<int*>(memory + layout.size);
  unsigned* const words = reinterpret_cast<unsigned*>(list + kListSize);
  const Stages<T> stages{memory + layout.stages, problem.dim, problem.stage_tiles};
  const int64_t share = blockIdx.x / problem.tiles, t = blockIdx.x % problem.tiles;
  const int64_t rows_left = problem.rows - t * S::kTilePoints;
  const int rows = int(rows_left < S::kTilePoints ? rows_left : S::kTilePoints);
  const int tile_size = (1 + problem.dim) * S::kTileCenters;

  start_copy(problem.points + t * problem.dim * S::kTilePoints, problem.dim * S::kTilePoints,
             memory);
  wait_for_copies();
  __syncthreads();
  compute_point_box<S>(memory, rows, problem.dim, box);
  __syncthreads();

  // The sums over the samples give only references, and detect NaN.
  PointSums<S> sums(problem.scale);
  sums.template sum_stages<kFirst>(
      memory, stages, problem.sample_tiles, [&](int first, int tiles, T* buffer) {
        start_copy(problem.samples + int64_t(first) * tile_size, tiles * tile_size, buffer);
      });
  sums.share_references();
  const T cutoff = compute_cutoff<S>(problem, sums, rows, bounds);
#pragma unroll
  for (int i = 0; i < S::kPoints; ++i) sums.sums[i].low = sums.sums[i].high *= 0;

  const int64_t end = problem.center_tiles * (share + 1) / problem.shares;
  int64_t tile = problem.center_tiles * share / problem.shares, summed = 0;
  while (tile < end) {
    int count = 0;
    for (; tile < end && count + S::kThreads <= kListSize; tile += S::kThreads) {
      const int64_t candidate = tile + threadIdx.x;
      const bool is_near =
          candidate < end && !(least_distance(box, problem.dim, problem.boxes, problem.center_tiles,
                                              candidate) > cutoff);
      count = append(is_near, int(candidate), count, words, list);
    }
    sums.template sum_stages<kFirst>(memory, stages, count, [&](int first, int tiles, T* buffer) {
      for (int i = 0; i < tiles; ++i)
        start_copy(problem.centers + int64_t(list[first + i]) * tile_size, tile_size,
                   buffer + i * tile_size);
    });
    summed += count;
    __syncthreads();  // all threads have read the list and the last stage
  }
  if (threadIdx.x == 0) atomicAdd(problem.summed_tiles, static_cast<unsigned long long>(summed));
  sums.fold(memory, problem.sums + 3 * S::kTilePoints * int64_t(blockIdx.x));
}

template <typename T>
__global__ void finish_rows(Problem<T> problem, Vector<const int64_t> order,
                            WeightExponents exponents, const unsigned* nan,
                            Vector<double> log_sum) {
  using S = Tiles<T>;
  if (!exponents.checks->passed()) return;
  for (int64_t i = first_index(); i < problem.rows; i += index_stride()) {
    const ScaledSum sum = add_shares<S>(problem.sums, problem.shares, problem.tiles,
                                        i / S::kTilePoints, i % S::kTilePoints);
    log_sum.data[order.data[i * order.stride] * log_sum.stride] =
        *nan ? double(NAN) : sum.logarithm() + log(exponents.largest());
  }
}

template <typename T>
auto kernel_for(int64_t dim) -> void (*)(const Problem<T>) {
  switch (first_dimensions(dim)) {
    case 1:
      return sum_near_tiles<1, T>;
    case 2:
      return sum_near_tiles<2, T>;
    case 3:
      return sum_near_tiles<3, T>;
    default:
      return sum_near_tiles<4, T>;
  }
}

}  // namespace

template <typename T>
Status pruned_log_sum_exp(const Mixture<T>& mixture, Vector<const int64_t> point_order,
                          Vector<const int64_t> center_order, double error_tolerance,
                          Vector<double> log_sum, double& summed_share, const Stream& stream) {
  using S = Tiles<T>;
  const CurrentDevice current(stream);
  if (!current.status.ok()) return current.status;
  const int64_t dim = mixture.points.cols;
  TiledMixture<S> tiled(mixture, dim);
  if (Status status = tiled.scaling.set(mixture.sigma); !status.ok()) return status;
  const int64_t tiles = tiled.point_tiles, center_tiles = tiled.center_tiles;
  const int64_t shares = choose_shares(tiles, center_tiles, current.multiprocessors);
  const int64_t sample_tiles = divide_up(center_tiles, S::kTileCenters);
  const int64_t sample_values = sample_tiles * S::kTileCenters * (1 + dim);

  Scratch scratch;
  T *samples = nullptr, *boxes = nullptr;
  double* sums = nullptr;
  unsigned long long* summed_tiles = nullptr;
  tiled.add_to(scratch);
  scratch.add(samples, sample_values);
  scratch.add(boxes, center_tiles * (1 + 2 * dim));
  scratch.add(sums, 3 * shares * tiled.packed_points());
  scratch.add(summed_tiles, 1);
  if (Status status = scratch.allocate(stream); !status.ok()) return status;
  if (Status status = tiled.start(stream, point_order, center_order); !status.ok()) return status;
  Status status = status_of(cudaMemsetAsync(summed_tiles, 0, sizeof *summed_tiles, handle(stream)));
  if (status.ok())
    status = launch_each(compute_center_boxes<S>, center_tiles * (1 + dim), stream, tiled.centers,
                         center_tiles, int(dim), boxes);
  if (status.ok())
    status = launch_each(sample_centers<T>, sample_values, stream, tiled.centers, center_tiles,
                         int(dim), sample_tiles, samples);
  if (!status.ok()) return status;

  const double eps = std::numeric_limits<T>::epsilon();
  const double tolerance = error_tolerance > 0 ? std::min(error_tolerance, 1.0) : eps / 2;
  const double bound_over_term = double(mixture.centers.rows) * (1 + tolerance) / tolerance;
  const Problem<T> problem{.points = tiled.points,
                           .centers = tiled.centers,
                           .samples = samples,
                           .boxes = boxes,
                           .rows = mixture.points.rows,
                           .tiles = tiles,
                           .center_tiles = center_tiles,
                           .shares = shares,
                           .dim = int(dim),
                           .sample_tiles = int(sample_tiles),
                           .stage_tiles = tiles_of_stage<S>(dim, center_tiles),
                           .scale = Scale<T>(tiled.scaling.exponent_scale),
                           .allowed_gap = T(std::log2(bound_over_term)),
                           .slack = T(4 * double(dim + 4) * eps),
                           .sums = sums,
                           .summed_tiles = summed_tiles};
  status = launch(kernel_for<T>(dim), tiles * shares, S::kThreads,
                  SharedLayout<T>(problem.dim, problem.stage_tiles).bytes(), stream, problem);
  if (status.ok())
    status = launch_each(finish_rows<T>, mixture.points.rows, stream, problem, point_order,
                         WeightExponents{tiled.checks}, tiled.nan, log_sum);
  if (status.ok()) status = finish(stream);
  unsigned long long count = 0;
  if (status.ok()) status = download(&count, summed_tiles, 1, stream);
  if (!status.ok()) return status;
  summed_share = double(count) / (double(tiles) * double(center_tiles));
  return tiled.check(stream);
}

template Status pruned_log_sum_exp(const Mixture<float>&, Vector<const int64_t>,
                                   Vector<const int64_t>, double, Vector<double>, double&,
                                   const Stream&);
template Status pruned_log_sum_exp(const Mixture<double>&, Vector<const int64_t>,
                                   Vector<const int64_t>, double, Vector<double>, double&,
                                   const Stream&);

}  // namespace layerbits::cuda
