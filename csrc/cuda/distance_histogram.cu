// The histogram of pairwise distances, and the largest distance.
#include <cstring>

#include "../api/divide_up.h"
#include "distance_rows.h"
#include "packed_rows.h"
#include "pair_counts.h"

namespace layerbits::cuda {
namespace {

__global__ void copy_counts(const unsigned long long* counts, Matrix<int64_t> result) {
  for (int64_t i = first_index(); i < 2 * result.rows; i += index_stride())
    result.data[i / 2 * result.row_stride + i % 2 * result.col_stride] = int64_t(counts[i]);
}

template <typename T>
class Pairs {
 public:
  Pairs(const Matrix<const T>& points, Metric metric, const Stream& stream, int multiprocessors)
      : points_(points), metric_(metric), stream_(stream), multiprocessors_(multiprocessors) {}

  // Checks, normalizes and packs the points, and allocates memory for this number of bins.
  Status prepare(int64_t bins) {
    const int64_t dim = points_.cols, blocks = divide_up(points_.rows, kBlock);
    Scratch scratch;
    RowChecks* checks = nullptr;
    int64_t* offsets = nullptr;
    T *units = nullptr, *packed = nullptr;
    unsigned* unused = nullptr;
    unsigned long long* counts = nullptr;
    scratch.add(checks, 1);
    scratch.add(offsets, 4);
    scratch.add(unused, 1);
    scratch.add(units, metric_ == Metric::kCosine ? points_.rows * dim : 0);
    scratch.add(packed, blocks * kBlock * dim);
    scratch.add(first_squares_, bins + 1);
    scratch.add(counts, 2 * bins + 1);
    if (Status status = scratch.allocate(stream_); !status.ok()) return status;
    const std::vector<RowChecks> initial(1);
    const std::vector<int64_t> group = {0, points_.rows, 0, blocks};
    Status status = upload(checks, initial, stream_);
    if (status.ok()) status = upload(offsets, group, stream_);
    if (status.ok())
      status = status_of(
          cudaMemsetAsync(counts, 0, size_t(2 * bins + 1) * sizeof *counts, handle(stream_)));
    if (status.ok()) status = launch_each(check_rows<T>, points_.rows, stream_, points_, checks);
    if (status.ok()) status = finish(stream_);
    RowChecks result;
    if (status.ok()) status = download(&result, checks, 1, stream_);
    if (status.ok()) status = check_values(result);
    if (!status.ok()) return status;

    Matrix<const T> rows = points_;
    double largest = 0;
    std::memcpy(&largest, &result.largest, sizeof largest);
    if (metric_ == Metric::kCosine) {
      status = launch_each(normalize_rows<T>, points_.rows, stream_, points_, units);
      rows = {units, points_.rows, dim, dim, 1};
    } else if (points_.rows > 0) {
      power = scaling_power<T>(largest);
    }
    if (!status.ok()) return status;
    problem_ = {.packed = packed,
                .rows = points_.rows,
                .dim = dim,
                .tiles = divide_up(points_.rows, kTile),
                .counts = counts,
                .largest = counts + 2 * bins};
    const PackedLayout layout{offsets, offsets + 2, 1, blocks * kBlock};
    return launch_each(pack_rows<T, NoExtraValues>, layout.packed_rows, stream_, rows, layout,
                       T(power), NoExtraValues{}, unused, static_cast<unsigned*>(nullptr), packed);
  }

  // `first_squares` is from bins_of_squares.
  Status count(Vector<const int64_t> labels, const std::vector<T>& first_squares,
               DistanceBins<T> bins, Matrix<int64_t> counts) {
    if (Status status = upload(first_squares_, first_squares, stream_); !status.ok()) return status;
    bins.first_squares = first_squares_;
    problem_.labels = labels;
    problem_.bins = bins;
    // If there are few bins, each warp has its own copy of the counts, so that atomic operations
    // collide less. Counts that do not fit shared memory are in global memory.
    const size_t bytes = size_t(2 * bins.count) * sizeof(unsigned);
    problem_.copies = bytes <= 8192 ? kBlockThreads / 32 : bytes <= 65536 ? 1 : 0;
    Status status = visit<true>(size_t(problem_.copies) * bytes);
    if (status.ok())
      status = launch_each(copy_counts, 2 * bins.count, stream_, problem_.counts, counts);
    return status.ok() ? finish(stream_) : status;
  }

  Status find_largest(double& square) {
    Status status = visit<false>(0);
    if (status.ok()) status = finish(stream_);
    unsigned long long bits = 0;
    if (status.ok()) status = download(&bits, problem_.largest, 1, stream_);
    std::memcpy(&square, &bits, sizeof square);
    return status;
  }

  double power = 1;  // the packed rows are the points times this power of two

 private:
  template <bool kCounts>
  Status visit(size_t count_bytes) const {
    constexpr int64_t kBlocksPerMultiprocessor = 16;
    const int64_t pair_tiles = problem_.tiles * (problem_.tiles + 1) / 2;
    const int64_t blocks =
        std::min<int64_t>(pair_tiles, kBlocksPerMultiprocessor * multiprocessors_);
    return launch(visit_pairs<T, kCounts>, blocks, kBlockThreads,
                  sizeof(PairMemory<T>) + count_bytes, stream_, problem_);
  }

  Status check_values(const RowChecks& checks) const {
    if (checks.not_finite != ~0ull)
      return Status::bad_value("points: got NaN or infinity in row " +
                               std::to_string(checks.not_finite) + ", wanted finite numbers");
    if (checks.zero != ~0ull && metric_ == Metric::kCosine)
      return Status::bad_value("points: got only zeros in row " + std::to_string(checks.zero) +
                               ", which has no direction, wanted a nonzero row under the metric "
                               "cosine; remove the row, or use the metric euclidean");
    return {};
  }

  const Matrix<const T>& points_;
  const Metric metric_;
  const Stream& stream_;
  const int multiprocessors_;
  PairProblem<T> problem_{};
  T* first_squares_ = nullptr;
};

}  // namespace

template <typename T>
Status distance_histogram(const Matrix<const T>& points, Vector<const int64_t> labels,
                          Vector<const double> edges, Metric metric, Matrix<int64_t> counts,
                          const Stream& stream) {
  if (Status status = check_edges(edges); !status.ok()) return status;
  const CurrentDevice current(stream);
  if (!current.status.ok()) return current.status;
  Pairs<T> pairs(points, metric, stream, current.multiprocessors);
  if (Status status = pairs.prepare(edges.size + 1); !status.ok()) return status;
  const std::vector<T> first_squares = bins_of_squares<T>(edges, metric, pairs.power);
  return pairs.count(labels, first_squares,
                     distance_bins(first_squares, edges, metric, pairs.power), counts);
}

template <typename T>
Status largest_distance(const Matrix<const T>& points, Metric metric, double& largest,
                        const Stream& stream) {
  const CurrentDevice current(stream);
  if (!current.status.ok()) return current.status;
  Pairs<T> pairs(points, metric, stream, current.multiprocessors);
  double square = 0;
  Status status = pairs.prepare(0);
  if (status.ok()) status = pairs.find_largest(square);
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
