// The log-sum-exp of mixtures in the plane by expansions in cells, in O(n + m) for points whose sum
// is certain (plane_tables.h derives the bounds).
//
// Centers and points are sorted by square cells. Where many centers are within the reach of a cell
// of points, the moments of the cells of centers are translated along x to the column of the cell,
// and from there along y, to a polynomial that each point evaluates; the points of a column share
// the translations along x. Elsewhere, and at points whose polynomial is not certain, the centers
// of the near cells are summed; a point whose sum is not certain then, such as one far from all
// centers, is summed over all centers that are not negligible (far_plane.h).
//
// These choices, and all terms of a sum, depend on the centers and on the point alone, so that a
// row has the same bits alone, in any batch and for any number of threads.
#include "gridded_groups.h"
#include "plane_cell_sum.h"

namespace layerbits {
namespace {

// The method `auto` stops if it sums more pairs than this, times the number of points and centers,
// without expansions.
constexpr double kPairsPerPoint = 4096;

template <typename T>
class PlaneSum {
 public:
  PlaneSum(const MixtureProblem<T>& problem, const PlaneGrids& grids, double max_pairs,
           Vector<double> log_sum)
      : problem_(problem), grids_(grids), max_pairs_(max_pairs), log_sum_(log_sum) {}

  bool exceeds_limit() const { return double(pairs_.load()) > max_pairs_; }

  // Sums the points of a group; sets `usable` to false if its centers are not usable.
  Status sum_group(int64_t group, int threads, Cancellation& cancellation,
                   std::atomic<bool>& usable) {
    const Groups& groups = problem_.mixture.point_groups;
    const int64_t begin = groups.begin(group), count = groups.end(group) - begin;
    if (count == 0) return {};
    PlaneCenters<T> centers(problem_, grids_, group);
    Status status = centers.build(threads, cancellation);
    if (!status.ok()) return status;
    const int64_t reach = centers.tables().reach();
    PlaneBox box = centers.box();
    for (const int axis : {0, 1}) box.lowest[axis] -= reach, box.highest[axis] += reach;
    PlaneBox slack = box;  // rounding may move a point by one cell
    for (const int axis : {0, 1}) --slack.lowest[axis], ++slack.highest[axis];
    slack.lowest[1] &= -kBandRows;
    PlaneSort<T, uint32_t> sort(centers.index(), slack, kBandBits, threads);
    if (!centers.usable() || !sort.fits() || count > std::numeric_limits<uint32_t>::max()) {
      usable = false;
      return {};
    }
    const auto is_within = [&](T x, int axis) {
      const double cells = centers.index().in_cells(double(x)) + double(CellIndex::kOrigin);
      return cells >= double(box.lowest[axis]) && cells <= double(box.highest[axis]);
    };
    const auto is_near = [&](int64_t row) {
      const PlaneItem<T, uint32_t> item = point(row, 0);
      return is_within(item.x, 0) && is_within(item.y, 1);
    };
    const Run run{group, begin, count};
    DividedRows rows;
    status = divide_rows<2>(problem_, run, is_near, threads, cancellation, log_sum_, rows);
    if (!status.ok()) return status;
    SortedPlane<T, uint32_t> points;
    const auto item = [&](int64_t i) { return point(begin, rows.near_row(i)); };
    status = sort.sort(rows.near_count(run), item, cancellation, points);
    if (!status.ok()) return status;
    status = sum_near_points(centers, points, begin, threads, cancellation);
    return status.ok() ? sum_far_points(centers, begin, rows.far, threads, cancellation) : status;
  }

 private:
  PlaneItem<T, uint32_t> point(int64_t begin, uint32_t i) const {
    const Matrix<const T>& rows = problem_.mixture.points;
    const T power = T(problem_.scaling.power);
    return {rows(begin + i, 0) * power, rows(begin + i, 1) * power, i};
  }

  Status sum_near_points(PlaneCenters<T>& centers, const SortedPlane<T, uint32_t>& points,
                         int64_t begin, int threads, Cancellation& cancellation) {
    const std::vector<CellPiece> pieces = divide_cells(points.first, kPieceCells);
    const int64_t width = centers.tables().width(), reach = centers.tables().reach();
    if (centers.most_centers() * width * width > PlaneCellSum<T>::kFewCenters) {
      Status status = parallel_for(threads, int64_t(pieces.size()), cancellation, [&](int64_t p) {
        PlaneWindow<T> window(centers);
        for (int64_t c = pieces[p].first_cell; c < pieces[p].end_cell; ++c) {
          if (window.move_to(points.cells[c]) <= PlaneCellSum<T>::kFewCenters) continue;
          for (int64_t s = window.middle() - reach; s <= window.middle() + reach; ++s)
            centers.mark(window.row(s).first, window.row(s).end);
        }
      });
      if (!status.ok()) return status;
      status = centers.set_moments(threads, cancellation);
      if (!status.ok()) return status;
    }
    return parallel_for(threads, int64_t(pieces.size()), cancellation, [&](int64_t p) {
      sum_piece(centers, points, pieces[p], begin, cancellation);
    });
  }

  void sum_piece(const PlaneCenters<T>& centers, const SortedPlane<T, uint32_t>& points,
                 const CellPiece& piece, int64_t begin, Cancellation& cancellation) {
    PlaneCellSum<T> cell_sum(problem_, centers);
    const double constant = -std::log(centers.weight_scale());
    const int64_t piece_end = piece.first + piece.count;
    int64_t unpolled = kPointsPerPoll;
    for (int64_t c = piece.first_cell; c < piece.end_cell; ++c) {
      const int64_t first = std::max(piece.first, points.first[c]);
      const int64_t count = std::min(piece_end, points.first[c + 1]) - first;
      if ((unpolled += count) >= kPointsPerPoll) {
        if (cancellation.requested() || exceeds_limit()) return;
        unpolled = 0;
      }
      cell_sum.sum(points.cells[c], {points.x.get() + first, points.y.get() + first, nullptr},
                   count);
      pairs_ += cell_sum.pairs();
      for (int64_t i = 0; i < count; ++i)
        log_sum_[begin + points.companions[first + i]] = cell_sum.logs()[i] + constant;
    }
  }

  Status sum_far_points(const PlaneCenters<T>& centers, int64_t begin,
                        const std::vector<uint32_t>& rows, int threads,
                        Cancellation& cancellation) {
    constexpr int64_t kRows = 64;
    const double constant = -std::log(centers.weight_scale());
    return parallel_for(
        threads, divide_up(int64_t(rows.size()), kRows), cancellation, [&](int64_t p) {
          FarPlane<T> far(problem_, centers);
          for (int64_t i = p * kRows; i < std::min(int64_t(rows.size()), (p + 1) * kRows); ++i) {
            if (cancellation.requested() || exceeds_limit()) return;
            const PlaneItem<T, uint32_t> item = point(begin, rows[i]);
            log_sum_[begin + rows[i]] = far.sum(item.x, item.y) + constant;
            pairs_ += far.pairs();
          }
        });
  }

  static constexpr int64_t kPieceCells = 1024, kPointsPerPoll = 16;

  const MixtureProblem<T>& problem_;
  const PlaneGrids& grids_;
  const double max_pairs_;  // largest number of pairs that may be summed without expansions
  const Vector<double> log_sum_;
  std::atomic<int64_t> pairs_{0};
};

// Compares costs in nanoseconds on Zen 4 with AVX2, chosen to favor all pairs: 100 for a center,
// 1300 for a point that has a cell of its own, 1 ms for the tables, and 0.25 for a pair.
template <typename T>
bool is_worthwhile(const Mixture<T>& mixture) {
  const double n = double(mixture.centers.rows), m = double(mixture.points.rows);
  return 100 * n + 1300 * m + 1e6 < 0.25 * all_pairs(mixture);
}

}  // namespace

template <typename T>
Status gridded_plane_log_sum_exp(const MixtureProblem<T>& problem, const Accuracy& accuracy,
                                 Vector<double> log_sum, Execution execution, bool& done) {
  done = false;
  const double tolerance = error_tolerance<T>(accuracy);
  const bool automatic = accuracy.method == Method::kAuto;
  if (tolerance < PlaneTables::kLeastTolerance || (automatic && !is_worthwhile(problem.mixture)))
    return {};
  const PlaneGrids grids(problem.scaling.fraction, tolerance);
  // A tree is faster for points among cells that are mostly empty, or far from all centers.
  const double max_pairs =
      automatic
          ? kPairsPerPoint * double(problem.mixture.points.rows + problem.mixture.centers.rows)
          : kInfinity;
  PlaneSum<T> sum(problem, grids, max_pairs, log_sum);
  return sum_groups(problem, sum, execution, done);
}

template Status gridded_plane_log_sum_exp(const MixtureProblem<float>&, const Accuracy&,
                                          Vector<double>, Execution, bool&);
template Status gridded_plane_log_sum_exp(const MixtureProblem<double>&, const Accuracy&,
                                          Vector<double>, Execution, bool&);

}  // namespace layerbits
