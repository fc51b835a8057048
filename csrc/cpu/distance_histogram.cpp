// The histogram of pairwise distances and their maximum. A piece of work is a run of rows, which is
// compared with the columns from its first row on, cell by cell. Counts and maxima do not depend on
// the order of the pairs, so each thread has its own counts or maximum, combined at the end.
#include <memory>

#include "../api/distance_bins.h"
#include "cpu_operations.h"
#include "dispatch.h"
#include "packing.h"

namespace layerbits {
namespace {

constexpr int64_t kRunRows = 128;

// The number of columns of a cell: small enough that Ctrl-C takes effect between cells, and that
// the squares of a cell, at most 128 by 128, fit the second-level cache.
int64_t cell_columns(int64_t dim) {
  return std::clamp<int64_t>((int64_t(1) << 22) / (dim + 16), kBlock, 128) / kBlock * kBlock;
}

// Returns |factor * row|^2 as partial sums over 32 dimensions, as in the kernels.
template <typename T>
double squared_length(const Matrix<const T>& rows, int64_t i, double factor) {
  double total = 0;
  for (int64_t first = 0; first < rows.cols; first += 32) {
    double partial = 0;
    for (int64_t k = first; k < std::min(first + 32, rows.cols); ++k) {
      const double value = double(rows(i, k)) * factor;
      partial += value * value;
    }
    total += partial;
  }
  return total;
}

template <typename T>
class Pairs {
 public:
  Pairs(const Matrix<const T>& points, Metric metric, Share share, Cancellation& cancellation)
      : points_(points), metric_(metric), share_(share), cancellation_(cancellation) {}

  // Checks the points, normalizes them for the cosine metric, and packs them as columns.
  Status prepare(const Execution& execution) {
    const KernelTable* table = nullptr;
    if (Status status = find_level(execution.level, table); !status.ok()) return status;
    kernels = &kernels_of<T>(*table);
    runs_ = split_into_runs({{}, points_.rows}, kRunRows);
    threads_ = worthwhile_threads(execution.threads, double(points_.rows) * double(points_.rows),
                                  points_.cols);
    threads_ = int(std::clamp<int64_t>(int64_t(runs_.size()), 1, threads_));
    if (Status status = check_values(); !status.ok()) return status;
    blocks_ = divide_up(points_.rows, kBlock);
    columns_ = std::make_unique_for_overwrite<T[]>(size_t(blocks_ * kBlock * points_.cols));
    return for_each_run([&](int64_t r) {
      pack_run(runs_[r], kBlock, columns_.get() + runs_[r].first * points_.cols);
    });
  }

  // Calls visit(worker, row, column, columns, squares) for tiles of rows from `row` on and
  // `columns` columns from `column` on. The calls contain every pair of a row of the share with a
  // later column.
  template <typename Visit>
  Status for_each_tile(const Visit& visit) const {
    const int64_t cell = cell_columns(points_.cols) / kBlock, lanes = kernels->lanes;
    std::atomic<int64_t> next{share_.index};
    return parallel_for(threads_, threads_, cancellation_, [&](int64_t worker) {
      std::vector<T> tiles(static_cast<size_t>(kRunRows * points_.cols));
      std::vector<T> squares(static_cast<size_t>(kRunRows * cell * kBlock));
      // Runs with the most columns come first, so that threads finish at about the same time.
      for (int64_t r; (r = next.fetch_add(share_.count)) < int64_t(runs_.size());) {
        const Run& run = runs_[r];
        const int64_t count = divide_up(run.count, lanes);
        pack_run(run, int(lanes), tiles.data());
        for (int64_t b = run.first / kBlock; b < blocks_; b += cell) {
          if (cancellation_.requested()) return;
          const int64_t blocks = std::min(cell, blocks_ - b), column = b * kBlock;
          kernels->squared_distances(tiles.data(), count, columns_.get() + column * points_.cols,
                                     blocks, points_.cols, squares.data());
          for (int64_t t = 0; t < count; ++t)
            visit(worker, run.first + t * lanes, column,
                  std::min(blocks * kBlock, points_.rows - column),
                  squares.data() + t * blocks * kBlock * lanes);
        }
      }
    });
  }

  int threads() const { return threads_; }
  double power() const { return power_; }

  const Kernels<T>* kernels = nullptr;

 private:
  template <typename Work>
  Status for_each_run(const Work& work) const {
    return parallel_for(threads_, int64_t(runs_.size()), cancellation_, work);
  }

  void pack_run(const Run& run, int width, T* out) const {
    const Packer<NotFinite::kKeep, T, 0> packer{*kernels, rows_, width, power_};
    packer.pack(run.first, run.count, out);
  }

  Status check_values() {
    std::vector<double> largest(static_cast<size_t>(points_.rows));
    Status status = for_each_run([&](int64_t r) {
      for (int64_t i = runs_[r].first; i < runs_[r].first + runs_[r].count; ++i) {
        T size = 0, zero = 0;  // 0 times a nonfinite value makes the sum NaN
        for (int64_t k = 0; k < points_.cols; ++k) {
          size = std::max(size, std::abs(points_(i, k)));
          zero += points_(i, k) * T(0);
        }
        largest[i] = double(size + zero);
      }
    });
    if (!status.ok()) return status;
    for (int64_t i = 0; i < points_.rows; ++i) {
      if (!std::isfinite(largest[i]))
        return Status::bad_value("points: got NaN or infinity in row " + std::to_string(i) +
                                 ", wanted finite numbers");
      if (largest[i] == 0 && metric_ == Metric::kCosine)
        return Status::bad_value("points: got only zeros in row " + std::to_string(i) +
                                 ", which has no direction, wanted a nonzero row under the metric "
                                 "cosine; remove the row, or use the metric euclidean");
    }
    rows_ = points_;
    if (metric_ == Metric::kCosine) return normalize(largest);
    power_ =
        points_.rows > 0 ? scaling_power<T>(*std::max_element(largest.begin(), largest.end())) : 1;
    return {};
  }

  Status normalize(const std::vector<double>& largest) {
    units_ = std::make_unique_for_overwrite<T[]>(size_t(points_.rows * points_.cols));
    rows_ = {units_.get(), points_.rows, points_.cols, points_.cols, 1};
    return for_each_run([&](int64_t r) {
      for (int64_t i = runs_[r].first; i < runs_[r].first + runs_[r].count; ++i) {
        const double factor = scaling_power<double>(largest[i]);
        const double length = std::sqrt(squared_length(points_, i, factor));
        for (int64_t k = 0; k < points_.cols; ++k)
          units_[i * points_.cols + k] = T(double(points_(i, k)) * factor / length);
      }
    });
  }

  const Matrix<const T>& points_;
  const Metric metric_;
  const Share share_;
  Cancellation& cancellation_;
  Matrix<const T> rows_;  // the points, or their unit vectors
  std::unique_ptr<T[]> units_, columns_;
  std::vector<Run> runs_;
  int64_t blocks_ = 0;
  double power_ = 1;
  int threads_ = 1;
};

}  // namespace

template <typename T>
Status distance_histogram(const Matrix<const T>& points, Vector<const int64_t> labels,
                          Vector<const double> edges, Metric metric, Matrix<int64_t> counts,
                          Share share, Execution execution) {
  if (Status status = check_edges(edges); !status.ok()) return status;
  Pairs<T> pairs(points, metric, share, execution.cancellation);
  if (Status status = pairs.prepare(execution); !status.ok()) return status;

  const int64_t size = edges.size + 1;
  const std::vector<T> first_squares = bins_of_squares<T>(edges, metric, pairs.power());
  const DistanceBins<T> bins = distance_bins(first_squares, edges, metric, pairs.power());
  std::vector<int64_t> classes(size_t(points.rows), 0);
  for (int64_t i = 0; labels && i < points.rows; ++i) classes[i] = labels[i];
  std::vector<std::vector<int64_t>> worker_counts(size_t(pairs.threads()),
                                                  std::vector<int64_t>(size_t(2 * size), 0));
  Status status = pairs.for_each_tile(
      [&](int64_t worker, int64_t row, int64_t column, int64_t columns, const T* squares) {
        pairs.kernels->count_pairs(squares, row, column, columns, classes.data(), bins,
                                   worker_counts[worker].data());
      });
  if (!status.ok()) return status;
  for (int64_t i = 0; i < 2 * size; ++i) {
    int64_t& count = counts(i / 2, i % 2) = 0;
    for (const std::vector<int64_t>& partial : worker_counts) count += partial[i];
  }
  return {};
}

template <typename T>
Status largest_distance(const Matrix<const T>& points, Metric metric, double& largest, Share share,
                        Execution execution) {
  Pairs<T> pairs(points, metric, share, execution.cancellation);
  if (Status status = pairs.prepare(execution); !status.ok()) return status;
  const int lanes = pairs.kernels->lanes;
  std::vector<T> worker_squares(size_t(pairs.threads()), T(0));
  Status status = pairs.for_each_tile(
      [&](int64_t worker, int64_t row, int64_t, int64_t columns, const T* squares) {
        const int rows = int(std::min<int64_t>(lanes, points.rows - row));
        std::array<T, kMaxLanes> lane_squares{};
        for (int64_t c = 0; c < columns; ++c, squares += lanes)
          for (int lane = 0; lane < rows; ++lane)
            lane_squares[lane] = std::max(lane_squares[lane], squares[lane]);
        worker_squares[worker] = std::max(
            worker_squares[worker], *std::max_element(lane_squares.begin(), lane_squares.end()));
      });
  if (!status.ok()) return status;
  const T square = *std::max_element(worker_squares.begin(), worker_squares.end());
  largest = metric == Metric::kCosine ? std::min(double(square) / 2, 2.0)
                                      : double(std::sqrt(square)) / pairs.power();
  return {};
}

template Status distance_histogram(const Matrix<const float>&, Vector<const int64_t>,
                                   Vector<const double>, Metric, Matrix<int64_t>, Share, Execution);
template Status distance_histogram(const Matrix<const double>&, Vector<const int64_t>,
                                   Vector<const double>, Metric, Matrix<int64_t>, Share, Execution);
template Status largest_distance(const Matrix<const float>&, Metric, double&, Share, Execution);
template Status largest_distance(const Matrix<const double>&, Metric, double&, Share, Execution);

}  // namespace layerbits
