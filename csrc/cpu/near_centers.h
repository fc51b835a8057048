// Sums points of one cell over the centers that are not negligible there, by the kernel for all
// pairs.
//
// Let the points be at most h from a position, and let a cell at distance D have the centers of
// weight W_D. The sum at a point is at least W_D exp(-f^2/2) for every cell, f = D + 2h the largest
// distance from its centers. Cells whose centers are all further than r, with
// r^2/2 = f^2/2 + log(W / (W_D delta)), together add at most the share delta of the sum.
#pragma once

#include "center_cells.h"
#include "log_sum_exp_methods.h"

namespace layerbits {

template <typename T>
class NearCenters {
 public:
  NearCenters(const MixtureProblem<T>& problem, const GridTables& tables,
              const CenterCells<T>& centers, double tolerance)
      : problem_(problem),
        tables_(tables),
        centers_(centers),
        log_share_(std::log(tolerance / (1 + tolerance) / centers.total_weight()) - 0.01) {}

  int64_t pairs() const { return pairs_; }  // of the last sum, including unused lanes

  // Writes the log-sums of points, all within half a cell of `position` in cells. They depend on
  // the position and on the point alone.
  Status sum(double position, const std::vector<T>& points, double* log_sums,
             Cancellation& cancellation) {
    const CellRange cells = relevant_cells(position);
    const int64_t first = centers_.first_center(cells.first), count = centers_.centers(cells);
    const int lanes = problem_.kernels->lanes;
    const int64_t tiles = divide_up(int64_t(points.size()), lanes);
    pairs_ = tiles * lanes * count;
    if (count > kMaxPacked) return sum_all(points, first, count, log_sums, cancellation);
    const int64_t blocks = divide_up(count, kBlock);
    packed_.resize(size_t(tiles * lanes + 2 * blocks * kBlock));
    states_.resize(size_t(3 * tiles * lanes));
    logs_.resize(size_t(tiles * lanes));
    T* const packed_centers = packed_.data() + tiles * lanes;
    const T power = T(problem_.scaling.power);
    for (int64_t i = 0; i < tiles * lanes; ++i)
      packed_[i] = i < int64_t(points.size()) ? points[i] * power : T(0);
    for (int64_t j = 0; j < blocks * kBlock; ++j) {
      T* block = packed_centers + j / kBlock * 2 * kBlock + j % kBlock;
      block[0] = j < count ? offset(first + j) : T(kInfinity);
      block[kBlock] = j < count ? centers_.values()[first + j] * power : T(0);
    }
    problem_.kernels->log_sum_exp_isotropic(packed_.data(), tiles, packed_centers, blocks, 1,
                                            problem_.scaling.exponent_scale, states_.data());
    problem_.kernels->log_of_sums(states_.data(), tiles, logs_.data());
    const double shift = std::log(problem_.largest_weight);
    for (size_t i = 0; i < points.size(); ++i) log_sums[i] = logs_[i] + shift;
    return {};
  }

 private:
  static constexpr int64_t kMaxPacked = 4096;

  T offset(int64_t center) const {
    if (centers_.center_weights() == nullptr) return 0;
    return problem_.offset_of(double(centers_.center_weights()[center]));
  }

  CellRange relevant_cells(double position) const {
    const double reach = double(tables_.reach());
    CellRange bounding = centers_.cells_between(position - reach, position + reach);
    if (bounding.first == bounding.end) {  // the cells on both sides of the position
      bounding.first = std::max<int64_t>(0, bounding.first - 1);
      bounding.end = std::min(centers_.cells(), bounding.end + 1);
    }
    // The cell with the largest lower bound of the sum. Large squares would round away the
    // logarithms, so two cells are compared by the difference of squares.
    int64_t best = bounding.first;
    for (int64_t c = bounding.first + 1; c < bounding.end; ++c) {
      const double f = farthest(position, c), g = farthest(position, best);
      if (std::log(centers_.weight(c) / centers_.weight(best)) > (f - g) * (f + g) / 2) best = c;
    }
    // r - f without the cancellation of large numbers.
    const double f = farthest(position, best);
    const double excess = 2 * std::max(0.0, -log_share_ - std::log(centers_.weight(best)));
    const double further = excess / (f + std::sqrt(f * f + excess));
    // A cell further than this from the position, in cells beyond the distance of `best`, is
    // negligible: its centers may be 2h nearer than its middle, those of `best` 2h further away.
    const double beyond = 1 + tables_.cells_within(further) + tables_.cells_within(0);
    const double index = double(centers_.index_of(best));
    const double mirrored = 2 * position - index;
    return centers_.cells_between(std::min(index, mirrored) - beyond,
                                  std::max(index, mirrored) + beyond);
  }

  double farthest(double position, int64_t cell) const {
    return tables_.farthest(std::abs(position - double(centers_.index_of(cell))));
  }

  Status sum_all(const std::vector<T>& points, int64_t first, int64_t count, double* log_sums,
                 Cancellation& cancellation) const {
    const int64_t rows = int64_t(points.size());
    Mixture<T> near;
    near.points = {points.data(), rows, 1, 1, 1};
    near.centers = {centers_.values() + first, count, 1, 1, 1};
    if (centers_.center_weights() != nullptr)
      near.weights = {centers_.center_weights() + first, count, 1};
    near.sigma = problem_.mixture.sigma;
    near.point_groups.rows = rows;
    near.center_groups.rows = count;
    const MixtureProblem<T> near_problem{.mixture = near,
                                         .table = problem_.table,
                                         .kernels = problem_.kernels,
                                         .scaling = problem_.scaling,
                                         .largest_weight = problem_.largest_weight,
                                         .threads = 1};
    return dense_log_sum_exp(near_problem, Vector<double>{log_sums, rows, 1}, cancellation);
  }

  const MixtureProblem<T>& problem_;
  const GridTables& tables_;
  const CenterCells<T>& centers_;
  const double log_share_;
  int64_t pairs_ = 0;
  std::vector<T> packed_, states_;
  std::vector<double> logs_;
};

}  // namespace layerbits
