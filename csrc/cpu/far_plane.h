// Sums a point in the plane over all centers that are not negligible for it, at any distance.
//
// A cell of weight w whose farthest center is at distance f adds at least w exp(-f^2/2) to the sum.
// So cells further than r, with r^2 = f^2 - 2 log w + 2 log(W / delta), together add at most the
// share delta of the sum.
#pragma once

#include "plane_centers.h"

namespace layerbits {

template <typename T>
class FarPlane {
 public:
  FarPlane(const MixtureProblem<T>& problem, const PlaneCenters<T>& centers)
      : problem_(problem),
        line_(centers.tables().line()),
        share_(centers.tables().share()),
        centers_(centers) {}

  // The pairs of the last sum; a row of cells counts as kPairsOfRow pairs, which take as long.
  int64_t pairs() const { return pairs_; }

  // Returns the log-sum at a scaled point, which depends on the point alone.
  double sum(T x, T y) {
    pairs_ = 0;
    find_runs(centers_.index().in_cells(double(x)), centers_.index().in_cells(double(y)));
    for (const CenterRun& run : runs_) pairs_ += run.end - run.first;
    const auto count = int64_t(runs_.size());
    const PlanePoints<T> centers = centers_.points();
    const T base = problem_.kernels->nearest_square(centers, runs_.data(), count, x, y);
    if (!std::isfinite(base)) return -kInfinity;  // squares beyond the largest number
    double sum = 0;
    problem_.kernels->sum_near_plane(centers, runs_.data(), count, {&x, &y, nullptr}, 1,
                                     problem_.scaling.exponent_scale, base, &sum);
    const double fraction = problem_.scaling.fraction;
    return std::log(sum) - double(base) / (2 * fraction * fraction);
  }

 private:
  static constexpr int64_t kPairsOfRow = 256;

  using RowIterator = std::vector<PlaneRow>::const_iterator;

  static double origin(int64_t index) { return double(index - CellIndex::kOrigin); }

  // Calls visit(row, |y|) for the rows from the nearest on while the square of the smallest
  // distance from a row is at most limit().
  template <typename Limit, typename Visit>
  void visit_rows(double y, const Limit& limit, const Visit& visit) {
    const auto& rows = centers_.rows();
    const auto above = std::lower_bound(
        rows.begin(), rows.end(), y, [](const PlaneRow& a, double b) { return origin(a.y) < b; });
    const auto is_within = [&](RowIterator row) {
      const double nearest = line_.nearest(std::abs(origin(row->y) - y));
      return nearest * nearest <= limit();
    };
    for (auto row = above; row != rows.end() && is_within(row); ++row)
      visit(*row), pairs_ += kPairsOfRow;
    for (auto row = above; row != rows.begin() && is_within(row - 1); --row)
      visit(*(row - 1)), pairs_ += kPairsOfRow;
  }

  // Finds the centers of the cells within r of the position, in cells.
  void find_runs(double x, double y) {
    const double log_total = std::log(centers_.total_weight());
    double least = kInfinity;  // of f^2 - 2 log w
    visit_rows(
        y, [&] { return least + 2 * log_total; },
        [&](const PlaneRow& row) {
          const double dy = line_.farthest(std::abs(origin(row.y) - y));
          const int64_t right =
              centers_.lower_bound(row.first_cell, row.end_cell, x + double(CellIndex::kOrigin));
          for (int64_t c = std::max(row.first_cell, right - 1);
               c < std::min(row.end_cell, right + 1); ++c) {
            const double dx = line_.farthest(std::abs(origin(centers_.x(c)) - x));
            least = std::min(least, dx * dx + dy * dy - 2 * std::log(centers_.weight(c)));
          }
        });
    // The slacks cover the rounding of squares and of positions.
    const double square = least * (1 + 0x1p-48) + 2 * (log_total - std::log(share_)) + 0.01;
    runs_.clear();
    visit_rows(
        y, [&] { return square; },
        [&](const PlaneRow& row) {
          const double dy = line_.nearest(std::abs(origin(row.y) - y));
          const double within = line_.cells_within(std::sqrt(square - dy * dy));
          const double low = x - within * (1 + 0x1p-48) - 0.01;
          const double high = x + within * (1 + 0x1p-48) + 0.01;
          const int64_t first =
              centers_.lower_bound(row.first_cell, row.end_cell, low + double(CellIndex::kOrigin));
          const int64_t end =
              centers_.lower_bound(first, row.end_cell, high + double(CellIndex::kOrigin));
          if (first < end) runs_.push_back(centers_.run(first, end));
        });
  }

  const MixtureProblem<T>& problem_;
  const GridTables& line_;
  const double share_;
  const PlaneCenters<T>& centers_;
  int64_t pairs_ = 0;
  std::vector<CenterRun> runs_;
};

}  // namespace layerbits
