// The log-sum-exp of mixtures on the line by expansions in cells, in O(n + m) for points whose sum
// is certain (grid_tables.h derives the bounds).
//
// Centers and points are sorted by cells of width about 3/8 sigma, or 3/2 sigma for a tolerance
// above 1e-8. The centers of a cell become moments; the moments of the cells near a cell of points
// become a polynomial times an exponential; each point evaluates its polynomial. A point whose sum
// is not certainly within the tolerance, such as one far from all centers, is summed over the
// centers that are not negligible for its cell (near_centers.h).
//
// The choice between both, and all terms of a sum, depend on the centers and on the point alone, so
// that a row has the same bits alone, in any batch and for any number of threads.
#include <cmath>

#include "gridded_groups.h"
#include "near_centers.h"

namespace layerbits {
namespace {

struct GridLimits {
  double tolerance;  // of a log-sum
  double max_pairs;  // largest number of pairs that may be summed without expansions
};

template <typename T>
class GriddedSum {
 public:
  GriddedSum(const MixtureProblem<T>& problem, const GridTables& tables, const GridLimits& limits,
             Vector<double> log_sum)
      : problem_(problem), tables_(tables), limits_(limits), log_sum_(log_sum) {}

  bool exceeds_limit() const { return double(near_pairs_.load()) > limits_.max_pairs; }

  // Sums the points of a group; sets `usable` to false if its centers are not usable.
  Status sum_group(int64_t group, int threads, Cancellation& cancellation,
                   std::atomic<bool>& usable) {
    const Groups& points = problem_.mixture.point_groups;
    const int64_t begin = points.begin(group), count = points.end(group) - begin;
    if (count == 0) return {};
    CenterCells<T> centers(problem_, tables_, group);
    Status status = centers.build(threads, cancellation);
    if (!status.ok()) return status;
    if (!centers.usable() || count > std::numeric_limits<uint32_t>::max()) {
      usable = false;
      return {};
    }
    // Points within the reach of a cell of centers or between such cells are near.
    const double lowest = double(lowest_index(centers) - CellIndex::kOrigin);
    const double highest = double(highest_index(centers) - CellIndex::kOrigin);
    const auto is_near = [&](int64_t row) {
      const double cells = centers.index().in_cells(double(point(row)));
      return cells >= lowest && cells <= highest;
    };
    const Run run{group, begin, count};
    DividedRows rows;
    status = divide_rows<1>(problem_, run, is_near, threads, cancellation, log_sum_, rows);
    if (!status.ok()) return status;
    status = sum_near_points(centers, run, rows, threads, cancellation);
    return status.ok() ? sum_far_points(centers, begin, rows.far, threads, cancellation) : status;
  }

 private:
  T point(int64_t row) const { return problem_.mixture.points(row, 0); }

  int64_t lowest_index(const CenterCells<T>& centers) const {
    return centers.lowest() - tables_.reach();
  }
  int64_t highest_index(const CenterCells<T>& centers) const {
    return centers.highest() + tables_.reach();
  }

  Status sum_near_points(const CenterCells<T>& centers, const Run& run, const DividedRows& rows,
                         int threads, Cancellation& cancellation) {
    const int64_t count = rows.near_count(run);
    if (count == 0) return {};
    SortedCells<T, uint32_t> points;
    const auto item = [&](int64_t i) {
      const uint32_t row = rows.near_row(i);
      return typename SortedCells<T, uint32_t>::Item{point(run.first + row), row};
    };
    // Rounding may move a point by one cell.
    Status status =
        sort_by_cells(RadixSort(count, threads), centers.index(), lowest_index(centers) - 1,
                      highest_index(centers) + 1, item, cancellation, points);
    if (!status.ok()) return status;
    const std::vector<CellPiece> pieces = divide_cells(points.first);
    return parallel_for(threads, int64_t(pieces.size()), cancellation, [&](int64_t p) {
      sum_piece(centers, points, pieces[p], run.first, cancellation);
    });
  }

  void sum_piece(const CenterCells<T>& centers, const SortedCells<T, uint32_t>& points,
                 const CellPiece& piece, int64_t begin, Cancellation& cancellation) {
    NearCenters<T> near_centers(problem_, tables_, centers, limits_.tolerance);
    const double reach = double(tables_.reach());
    const double first_index = double(points.index[piece.first_cell]);
    CellRange near = centers.cells_between(first_index - reach, first_index + reach);
    std::vector<double> logs;
    std::vector<T> uncertain;
    std::vector<int64_t> uncertain_rows;
    const int64_t piece_end = piece.first + piece.count;
    for (int64_t cell = piece.first_cell; cell < piece.end_cell; ++cell) {
      if (cancellation.requested() || exceeds_limit()) return;
      const int64_t index = points.index[cell];
      centers.advance(near, index, tables_.reach());
      const int64_t first = std::max(piece.first, points.first[cell]);
      const int64_t count = std::min(piece_end, points.first[cell + 1]) - first;
      logs.assign(size_t(count), kNan);
      if (centers.centers(near) > CenterCells<T>::kFewCenters)
        evaluate(centers, near, index, points.values.get() + first, count, logs.data());
      uncertain.clear(), uncertain_rows.clear();
      for (int64_t i = 0; i < count; ++i) {
        const int64_t row = begin + points.companions[first + i];
        if (std::isnan(logs[i])) {
          uncertain.push_back(points.values[first + i]);
          uncertain_rows.push_back(row);
        } else {
          log_sum_[row] = logs[i];
        }
      }
      if (uncertain.empty()) continue;
      if (!near_centers.sum(double(index), uncertain, logs.data(), cancellation).ok()) return;
      near_pairs_ += near_centers.pairs();
      for (size_t i = 0; i < uncertain.size(); ++i) log_sum_[uncertain_rows[i]] = logs[i];
    }
  }

  // Evaluates the polynomial of a cell of points; leaves NaN where its sum is not certain.
  void evaluate(const CenterCells<T>& centers, const CellRange& near, int64_t index,
                const T* points, int64_t count, double* logs) const {
    GridTables::Neighbor neighbors[GridTables::kMaxNeighbors];
    int64_t shifts[GridTables::kMaxNeighbors];
    const int64_t cells = near.end - near.first;
    for (int64_t c = 0; c < cells; ++c) {
      neighbors[c] = {index - centers.index_of(near.first + c), centers.weight(near.first + c)};
      shifts[c] = tables_.shift(neighbors[c].offset);
    }
    double values[kOrder], coefficients[kOrder];
    const Kernels<T>& kernels = *problem_.kernels;
    kernels.translate_moments(tables_.translations(), shifts, centers.moments(near.first), cells,
                              values);
    CellPolynomial polynomial = tables_.polynomial(neighbors, cells, centers.total_weight(), values,
                                                   kernels.interpolate, coefficients);
    polynomial.constant = -std::log(centers.weight_scale());
    const CellFrame frame{centers.index().scale, centers.index().middle(index), 1 / tables_.half()};
    kernels.evaluate_cell(points, count, frame, polynomial, logs);
  }

  Status sum_far_points(const CenterCells<T>& centers, int64_t begin,
                        const std::vector<uint32_t>& rows, int threads,
                        Cancellation& cancellation) {
    constexpr int64_t kRows = 64;
    return parallel_for(
        threads, divide_up(int64_t(rows.size()), kRows), cancellation, [&](int64_t p) {
          NearCenters<T> near_centers(problem_, tables_, centers, limits_.tolerance);
          for (int64_t i = p * kRows; i < std::min(int64_t(rows.size()), (p + 1) * kRows); ++i) {
            if (cancellation.requested() || exceeds_limit()) return;
            const std::vector<T> value = {point(begin + rows[i])};
            const double position =
                centers.index().in_cells(double(value[0])) + double(CellIndex::kOrigin);
            double log = kNan;
            if (!near_centers.sum(position, value, &log, cancellation).ok()) return;
            near_pairs_ += near_centers.pairs();
            log_sum_[begin + rows[i]] = log;
          }
        });
  }

  const MixtureProblem<T>& problem_;
  const GridTables& tables_;
  const GridLimits limits_;
  const Vector<double> log_sum_;
  std::atomic<int64_t> near_pairs_{0};  // summed by near_centers.h, including unused lanes
};

// Returns an upper bound of the number of cells with points: at most the number of points.
template <typename T>
double cells_with_points(const Mixture<T>& mixture, double width) {
  const int64_t m = mixture.points.rows;
  double lowest = kInfinity, highest = -kInfinity;
  for (int64_t i = 0; i < m; ++i) {
    const double point = double(mixture.points(i, 0));
    lowest = std::min(lowest, point), highest = std::max(highest, point);
  }
  const double cells =
      ((highest - lowest) / (width * mixture.sigma) + 1) * double(mixture.point_groups.count());
  return cells > 0 && cells < double(m) ? cells : double(m);  // negative if all points are NaN
}

// Compares costs in nanoseconds, chosen to favor all pairs: 50 for a center, 100 for a point, 1000
// for a cell with points, 0.3 ms for the tables of wide cells and 1 ms for those of narrow cells,
// and 0.25 for a pair in float or 0.6 in double, as with AVX-512 (AVX2: twice as much).
template <typename T>
bool is_worthwhile(const Mixture<T>& mixture, double width) {
  const double n = double(mixture.centers.rows), m = double(mixture.points.rows);
  const double dense_cost = (std::is_same_v<T, float> ? 0.25 : 0.6) * all_pairs(mixture);
  const double cost_without_cells = 50 * n + 100 * m + (width > 1 ? 3e5 : 1e6);
  return cost_without_cells < dense_cost &&
         cost_without_cells + 1000 * cells_with_points(mixture, width) < dense_cost;
}

}  // namespace

template <typename T>
Status gridded_log_sum_exp(const MixtureProblem<T>& problem, const Accuracy& accuracy,
                           Vector<double> log_sum, Execution execution, bool& done) {
  done = false;
  if (problem.mixture.points.cols == 2)
    return gridded_plane_log_sum_exp(problem, accuracy, log_sum, execution, done);
  if (problem.mixture.points.cols != 1) return {};
  const bool automatic = accuracy.method == Method::kAuto;
  constexpr double kRoundoffs = 18;
  const double tolerance = error_tolerance<T>(accuracy);
  const GridCells cells = GridTables::line_cells(tolerance);
  if (automatic && !is_worthwhile(problem.mixture, cells.width)) return {};
  const GridTables tables(problem.scaling.fraction, tolerance,
                          kRoundoffs * std::numeric_limits<T>::epsilon(), cells);
  // If more pairs than this must be summed without expansions, pruning is faster.
  const double max_pairs = automatic ? all_pairs(problem.mixture) / 8 : kInfinity;
  GriddedSum<T> sum(problem, tables, {tolerance, max_pairs}, log_sum);
  return sum_groups(problem, sum, execution, done);
}

template Status gridded_log_sum_exp(const MixtureProblem<float>&, const Accuracy&, Vector<double>,
                                    Execution, bool&);
template Status gridded_log_sum_exp(const MixtureProblem<double>&, const Accuracy&, Vector<double>,
                                    Execution, bool&);

}  // namespace layerbits
