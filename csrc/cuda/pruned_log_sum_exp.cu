// The log-sum-exp of one group, without the tiles of centers that are too far to matter.
//
// Points and centers come in orders that bring together what is near. A block takes a tile of
// points: one center of each tile gives every row a lower bound of its sum, and from it a cutoff of
// squared distances; then the block looks at the boxes of all tiles of centers, and sums those that
// are within the largest cutoff of its rows, in the order of the tiles.
//
// Why that is enough: with 2^b a lower bound of a row's sum, n centers and a tolerance eps, what is
// left out are terms below 2^b eps / (1 + eps) / n, in all less than that share of the sum.
#include "query_tiles.h"

namespace layerbits::cuda {
namespace {

template <typename T>
using Tiles = Shape<T, 4, 8, 16>;

constexpr int kListed = 512;  // tiles that are found before they are summed
constexpr int kWord = 32;

template <typename T>
struct Work {
  const T* points;
  const T* centers;
  const T* samples;  // tiles of one center of each tile
  const T* boxes;    // [1 + 2 dim][center_tiles]: least offset, least and largest coordinates
  int64_t rows, tiles, center_tiles, shares;
  int dim, sample_tiles, staged;
  Scale<T> scale;
  T allowed;     // how far a term must be below a row's bound, in units of log 2
  T slack;       // relative; of the rounding of squared distances
  double* sums;  // [shares][tiles][3][kTilePoints]
  unsigned long long* taken;
};

// Of centers that weigh something. NaN is in no box: callers know of it.
template <typename T>
__global__ void find_boxes(const T* centers, int64_t tiles, int dim, T* boxes) {
  constexpr int kTile = Tiles<T>::kTileCenters;
  for (int64_t i = first_index(); i < tiles * (1 + dim); i += index_stride()) {
    const int64_t t = i % tiles, k = i / tiles;
    const T* const offsets = centers + t * (1 + dim) * kTile;
    T low = T(INFINITY), high = -T(INFINITY);
    for (int c = 0; c < kTile; ++c) {
      if (!(offsets[c] < T(INFINITY))) continue;
      low = smaller(low, offsets[k * kTile + c]);
      high = larger(high, offsets[k * kTile + c]);
    }
    if (k > 0) boxes[2 * k * tiles + t] = high;
    boxes[(k > 0 ? 2 * k - 1 : 0) * tiles + t] = low;
  }
}

// One center of each tile: from its middle, where that is a center that weighs something.
template <typename T>
__global__ void take_samples(const T* centers, int64_t tiles, int dim, int64_t sample_tiles,
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

// The box of a tile of points, in shared memory.
template <typename T>
__device__ __forceinline__ void find_box(const T* points, int rows, int dim, T* box) {
  for (int k = threadIdx.x; k < dim; k += blockDim.x) {
    T low = T(INFINITY), high = -T(INFINITY);
    for (int q = 0; q < rows; ++q) {
      low = smaller(low, points[k * Tiles<T>::kTilePoints + q]);
      high = larger(high, points[k * Tiles<T>::kTilePoints + q]);
    }
    box[2 * k] = low;
    box[2 * k + 1] = high;
  }
}

// The least squared distance, with offset, of anything in a box of points and one of centers.
// Infinite coordinates leave NaN of which fmax takes the other.
template <typename T>
__device__ __forceinline__ T least_distance(const Work<T>& work, const T* box, int64_t tile) {
  T distance = work.boxes[tile];
  for (int k = 0; k < work.dim; ++k) {
    const T low = work.boxes[(2 * k + 1) * work.center_tiles + tile];
    const T high = work.boxes[(2 * k + 2) * work.center_tiles + tile];
    const T gap = larger(larger(low - box[2 * k + 1], box[2 * k] - high), T(0));
    distance = multiply_add(gap, gap, distance);
  }
  return distance;
}

// The largest cutoff of the rows of the tile. A reference is a bound: it was rounded from the
// exponent of a term, by less than the 1 that is added. Rows of NaN have none.
template <typename S, typename T>
__device__ __forceinline__ T find_cutoff(const Work<T>& work,
                                         const RunningSum<T> (&sums)[S::kQueries], int rows, int x,
                                         int y, T* bounds) {
#pragma unroll
  for (int i = 0; i < S::kQueries; ++i)
    if (x == 0)
      bounds[column_of<T, S::kQueries, S::kY>(y, i)] =
          isnan(sums[i].high) ? T(INFINITY) : sums[i].reference;
  __syncthreads();
  T least = T(INFINITY);
  for (int q = 0; q < rows; ++q) least = smaller(least, bounds[q]);
  __syncthreads();
  if (least <= -Range<T>::kLargest) return T(INFINITY);  // of a row too far from what is nearest
  const T cutoff = (work.allowed + 1 - least) * work.scale.inverse;
  return multiply_add(work.slack, larger(cutoff, T(0)), cutoff);
}

// Appends to the list those of blockDim.x tiles, in their order, that threads say to be near; by
// all threads of the block. Returns how many there are now.
__device__ __forceinline__ int append(bool near, int tile, int count, unsigned* words, int* list) {
  const int mine = threadIdx.x / kWord, all = blockDim.x / kWord;
  if (int(threadIdx.x) < all) words[threadIdx.x] = 0;
  __syncthreads();
  const unsigned bit = 1u << (threadIdx.x % kWord);
  if (near) atomicOr(words + mine, bit);
  __syncthreads();
  int place = count;
  for (int word = 0; word < all; ++word) {
    if (word < mine) place += __popc(words[word]);
    count += __popc(words[word]);
  }
  if (near) list[place + __popc(words[mine] & (bit - 1))] = tile;
  __syncthreads();
  return count;
}

// Where the parts of shared memory are: values, then integers.
template <typename T>
struct Layout {
  using S = Tiles<T>;
  int stages, box, bounds, size;

  __host__ __device__ Layout(int dim, int staged) {
    stages = dim * S::kTilePoints;
    box = stages + 2 * staged * (1 + dim) * S::kTileCenters;
    bounds = box + 2 * dim;
    size = bounds + S::kTilePoints;
    if (size < kFolding<S>) size = kFolding<S>;
  }
  size_t bytes() const {
    return size_t(size) * sizeof(T) + (kListed + S::kThreads / kWord) * sizeof(int);
  }
};

template <int kFirst, typename T>
__global__ void __launch_bounds__(Tiles<T>::kThreads, sizeof(T) == 4 ? 4 : 2)
    sum_near_tiles(const Work<T> work) {
  using S = Tiles<T>;
  const Layout<T> layout(work.dim, work.staged);
  T *const memory = shared_memory<T>(), *const stages = memory + layout.stages;
  T *const box = memory + layout.box, *const bounds = memory + layout.bounds;
  int* const list = reinterpret_cast<int*>(memory + layout.size);
  unsigned* const words = reinterpret_cast<unsigned*>(list + kListed);
  const int x = threadIdx.x % S::kX, y = threadIdx.x / S::kX;
  const int64_t share = blockIdx.x / work.tiles, t = blockIdx.x % work.tiles;
  const int64_t rows_left = work.rows - t * S::kTilePoints;
  const int rows = int(rows_left < S::kTilePoints ? rows_left : S::kTilePoints);
  const int tile_size = (1 + work.dim) * S::kTileCenters;

  start_copy(work.points + t * work.dim * S::kTilePoints, work.dim * S::kTilePoints, memory);
  wait_for_copies();
  __syncthreads();
  find_box(memory, rows, work.dim, box);
  __syncthreads();

  RunningSum<T> sums[S::kQueries];
#pragma unroll
  for (int i = 0; i < S::kQueries; ++i) sums[i].clear();
  // Of samples only the references are of use, and what is NaN.
  sum_stages<S, kFirst>(
      memory, stages, work.dim, work.staged, work.sample_tiles,
      [&](int first, int tiles, T* to) {
        start_copy(work.samples + int64_t(first) * tile_size, tiles * tile_size, to);
      },
      work.scale, x, y, sums);
  share_references<S>(work.scale, sums);
  const T cutoff = find_cutoff<S>(work, sums, rows, x, y, bounds);
#pragma unroll
  for (int i = 0; i < S::kQueries; ++i) sums[i].low = sums[i].high *= 0;

  const int64_t last = work.center_tiles * (share + 1) / work.shares;
  int64_t tile = work.center_tiles * share / work.shares, taken = 0;
  while (tile < last) {
    int count = 0;
    for (; tile < last && count + S::kThreads <= kListed; tile += S::kThreads) {
      const int64_t mine = tile + threadIdx.x;
      const bool near = mine < last && !(least_distance(work, box, mine) > cutoff);
      count = append(near, int(mine), count, words, list);
    }
    sum_stages<S, kFirst>(
        memory, stages, work.dim, work.staged, count,
        [&](int first, int tiles, T* to) {
          for (int i = 0; i < tiles; ++i)
            start_copy(work.centers + int64_t(list[first + i]) * tile_size, tile_size,
                       to + i * tile_size);
        },
        work.scale, x, y, sums);
    taken += count;
    __syncthreads();  // all have read the list and the last stage
  }
  if (threadIdx.x == 0) atomicAdd(work.taken, static_cast<unsigned long long>(taken));
  fold_sums<S>(sums, x, y, memory, work.sums + 3 * S::kTilePoints * int64_t(blockIdx.x));
}

template <typename T>
__global__ void finish_rows(Work<T> work, Vector<const int64_t> order, Exponents exponents,
                            const unsigned* nan, Vector<double> log_sum) {
  using S = Tiles<T>;
  if (!exponents.findings->fine()) return;
  for (int64_t i = first_index(); i < work.rows; i += index_stride()) {
    const ScaledSum sum =
        add_shares<S>(work.sums, work.shares, work.tiles, i / S::kTilePoints, i % S::kTilePoints);
    log_sum.data[order.data[i * order.stride] * log_sum.stride] =
        *nan ? double(NAN) : sum.logarithm() + log(exponents.largest());
  }
}

template <typename T>
auto kernel_for(int64_t dim) -> void (*)(const Work<T>) {
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
                          Vector<const int64_t> center_order, double tolerance,
                          Vector<double> log_sum, double& taken, const Stream& stream) {
  using S = Tiles<T>;
  const CurrentDevice current(stream);
  if (!current.status.ok()) return current.status;
  Mixed<T> mixed(mixture, S::kTilePoints / kBlock, S::kX);
  if (Status status = mixed.scaling.set(mixture.sigma); !status.ok()) return status;
  const int64_t dim = mixture.points.cols, tiles = mixed.point_tiles;
  const int64_t shares = choose_shares(tiles, mixed.center_tiles, current.multiprocessors);
  const int64_t packed_points = tiles * S::kTilePoints;
  const int64_t packed_centers = mixed.center_tiles * S::kTileCenters;

  Scratch scratch;
  T *points = nullptr, *centers = nullptr, *samples = nullptr, *boxes = nullptr;
  const int64_t sample_tiles = divide_up(mixed.center_tiles, S::kTileCenters);
  double* sums = nullptr;
  unsigned long long* tiles_taken = nullptr;
  mixed.want(scratch);
  scratch.want(points, packed_points * dim);
  scratch.want(centers, packed_centers * (1 + dim));
  scratch.want(samples, sample_tiles * S::kTileCenters * (1 + dim));
  scratch.want(boxes, mixed.center_tiles * (1 + 2 * dim));
  scratch.want(sums, 3 * shares * packed_points);
  scratch.want(tiles_taken, 1);
  if (Status status = scratch.allocate(stream); !status.ok()) return status;
  if (Status status = mixed.start(stream); !status.ok()) return status;
  Status status = status_of(cudaMemsetAsync(tiles_taken, 0, sizeof *tiles_taken, handle(stream)));
  if (!status.ok()) return status;

  const T factor = T(mixed.scaling.power);
  const Exponents exponents{mixed.findings};
  const Side of_points{mixed.table.point_rows,
                       mixed.tiles_of_points,
                       1,
                       packed_points,
                       S::kTilePoints,
                       0,
                       point_order};
  status = launch_each(pack<T, NoExtras>, packed_points, stream, mixture.points, of_points, factor,
                       NoExtras{}, &mixed.findings->points_too_large,
                       static_cast<unsigned*>(nullptr), points);
  if (!status.ok()) return status;
  const Side of_centers{mixed.table.center_rows,
                        mixed.tiles_of_centers,
                        1,
                        packed_centers,
                        S::kTileCenters,
                        0,
                        center_order};
  status =
      launch_each(pack<T, WeightOffset<T>>, packed_centers, stream, mixture.centers, of_centers,
                  factor, WeightOffset<T>{mixture.weights, exponents, mixed.scaling.scale},
                  &mixed.findings->centers_too_large, mixed.nan, centers);
  if (!status.ok()) return status;
  status = launch_each(find_boxes<T>, mixed.center_tiles * (1 + dim), stream, centers,
                       mixed.center_tiles, int(dim), boxes);
  if (!status.ok()) return status;

  status = launch_each(take_samples<T>, sample_tiles * S::kTileCenters * (1 + dim), stream, centers,
                       mixed.center_tiles, int(dim), sample_tiles, samples);
  if (!status.ok()) return status;

  const double eps = std::numeric_limits<T>::epsilon();
  const double allowed = tolerance > 0 ? std::min(tolerance, 1.0) : eps / 2;
  const Work<T> work{points,
                     centers,
                     samples,
                     boxes,
                     mixture.points.rows,
                     tiles,
                     mixed.center_tiles,
                     shares,
                     int(dim),
                     int(sample_tiles),
                     tiles_of_stage<S>(dim, mixed.center_tiles),
                     Scale<T>(mixed.scaling.scale),
                     T(std::log2(double(mixture.centers.rows) * (1 + allowed) / allowed)),
                     T(4 * double(dim + 4) * eps),
                     sums,
                     tiles_taken};
  status = launch(kernel_for<T>(dim), tiles * shares, S::kThreads,
                  Layout<T>(work.dim, work.staged).bytes(), stream, work);
  if (!status.ok()) return status;
  status = launch_each(finish_rows<T>, mixture.points.rows, stream, work, point_order, exponents,
                       mixed.nan, log_sum);
  if (!status.ok()) return status;
  if (status = finish(stream); !status.ok()) return status;
  unsigned long long count = 0;
  if (status = download(&count, tiles_taken, 1, stream); !status.ok()) return status;
  taken = double(count) / (double(tiles) * double(mixed.center_tiles));
  return mixed.verdict(stream);
}

template Status pruned_log_sum_exp(const Mixture<float>&, Vector<const int64_t>,
                                   Vector<const int64_t>, double, Vector<double>, double&,
                                   const Stream&);
template Status pruned_log_sum_exp(const Mixture<double>&, Vector<const int64_t>,
                                   Vector<const int64_t>, double, Vector<double>, double&,
                                   const Stream&);

}  // namespace layerbits::cuda
