// The centers of one group in the plane, sorted by rows of cells, with the moments of the cells
// that expansions need.
#pragma once

#include <atomic>

#include "center_cells.h"
#include "plane_sort.h"
#include "plane_tables.h"

namespace layerbits {

// A row of cells that contain centers.
struct PlaneRow {
  int64_t y, first_cell, end_cell;
};

template <typename T>
class PlaneCenters {
 public:
  PlaneCenters(const MixtureProblem<T>& problem, const PlaneGrids& grids, int64_t group)
      : problem_(problem),
        grids_(grids),
        begin_(problem.mixture.center_groups.begin(group)),
        count_(problem.mixture.center_groups.end(group) - begin_) {}

  // Sorts the centers of positive weight. They are not usable() if there is none, if a center is
  // not finite, too large relative to sigma or 2^40 cells from 0, if the cells between the centers
  // are too many for a key, or if a positive weight is below kLeastWeight of the largest weight.
  Status build(int threads, Cancellation& cancellation) {
    if (Status status = check(threads, cancellation); !status.ok() || !usable_) return status;
    PlaneSort<T, T> sort(index(), box_, 0, threads);
    usable_ = sort.fits();
    if (!usable_) return {};
    Status status = sort.sort(count_, [&](int64_t i) { return item(i); }, cancellation, sorted_);
    if (!status.ok()) return status;
    set_cells();
    return {};
  }

  bool usable() const { return usable_; }
  const PlaneTables& tables() const { return *tables_; }
  CellIndex index() const { return {.scale = 1, .step = tables_->line().step()}; }
  const PlaneBox& box() const { return box_; }
  const std::vector<PlaneRow>& rows() const { return rows_; }
  int64_t x(int64_t cell) const { return cells_[cell].x; }
  double weight(int64_t cell) const { return cell_weights_[cell]; }
  int64_t most_centers() const { return most_centers_; }  // of a cell
  double total_weight() const { return total_weight_; }
  double weight_scale() const { return weight_scale_; }
  int64_t first_center(int64_t cell) const { return cells_[cell].first_center; }
  CenterRun run(int64_t first_cell, int64_t end_cell) const {
    return {first_center(first_cell), first_center(end_cell)};
  }
  PlanePoints<T> points() const {
    return {sorted_.x.get(), sorted_.y.get(), sorted_.companions.get()};
  }

  // The first cell of a row, from `first` on, whose index is at least x.
  int64_t lower_bound(int64_t first, int64_t end, double x) const {
    const auto begin = cells_.begin();
    return std::lower_bound(begin + first, begin + end, x,
                            [](const Cell& a, double b) { return double(a.x) < b; }) -
           begin;
  }

  // Requests the moments of cells; several threads may call it at once.
  void mark(int64_t first_cell, int64_t end_cell) {
    for (int64_t c = first_cell; c < end_cell; ++c)
      marks_[c].store(true, std::memory_order_relaxed);
  }

  // Computes the moments of marked cells.
  Status set_moments(int threads, Cancellation& cancellation) {
    struct Piece {
      int64_t cell, first, count;
      PlaneFrame frame;
    };
    std::vector<Piece> pieces;
    places_.resize(cell_weights_.size());
    int64_t marked = 0;
    for (const PlaneRow& row : rows_)
      for (int64_t c = row.first_cell; c < row.end_cell; ++c) {
        if (!marks_[c]) continue;
        places_[c] = marked++;
        for (int64_t i = first_center(c); i < first_center(c + 1); i += kPieceCenters)
          pieces.push_back(
              {c, i, std::min(kPieceCenters, first_center(c + 1) - i), frame_of({x(c), row.y})});
      }
    moments_ = std::make_unique_for_overwrite<double[]>(size_t(marked * kMoments));
    std::vector<int64_t> parts;  // pieces that are part of a cell
    std::vector<int64_t> part_of(pieces.size(), -1);
    for (size_t p = 0; p < pieces.size(); ++p)
      if (pieces[p].count < first_center(pieces[p].cell + 1) - first_center(pieces[p].cell)) {
        part_of[p] = int64_t(parts.size());
        parts.push_back(int64_t(p));
      }
    std::vector<double> partial(parts.size() * kMoments);
    Status status =
        parallel_for_short(threads, int64_t(pieces.size()), cancellation, [&](int64_t p) {
          const auto& [c, first, count, frame] = pieces[p];
          double* out = part_of[p] < 0 ? moments_of(c) : partial.data() + part_of[p] * kMoments;
          problem_.kernels->plane_moments(
              {sorted_.x.get() + first, sorted_.y.get() + first, sorted_.companions.get() + first},
              count, frame, out);
        });
    if (!status.ok()) return status;
    for (size_t q = 0; q < parts.size();) {
      const int64_t c = pieces[parts[q]].cell;
      size_t end = q + 1;
      while (end < parts.size() && pieces[parts[end]].cell == c) ++end;
      add_compensated(partial.data() + q * kMoments, end - q, kMoments, moments_of(c));
      q = end;
    }
    return {};
  }

  const double* moments(int64_t c) const { return moments_.get() + places_[c] * kMoments; }
  PlaneFrame frame_of(const PlaneCell& cell) const {
    return {{index().middle(cell.x), index().middle(cell.y)}, 1 / tables_->line().half()};
  }

 private:
  static constexpr int kMoments = kOrder * kOrder;
  static constexpr int64_t kPieceCenters = 4096;
  // The least weight as a share of the largest one: far above the least power of two of a kernel.
  static constexpr double kLeastWeight = sizeof(T) == 4 ? 0x1p-60 : 0x1p-900;

  // With this many centers in the average cell, a point whose polynomial is not certain costs more
  // than the translations of narrow cells.
  static constexpr double kManyCenters = 2000;

  struct Cell {
    int64_t x, first_center;
  };

  double* moments_of(int64_t c) { return moments_.get() + places_[c] * kMoments; }

  PlaneItem<T, T> item(int64_t i) const {
    const Mixture<T>& mixture = problem_.mixture;
    const int64_t row = selected_.empty() ? begin_ + i : selected_[i];
    const T power = T(problem_.scaling.power);
    return {mixture.centers(row, 0) * power, mixture.centers(row, 1) * power,
            mixture.weights ? T(double(mixture.weights[row]) * weight_scale_) : T(1)};
  }

  Status check(int threads, Cancellation& cancellation) {
    constexpr int64_t kRows = 1 << 14;
    const Mixture<T>& mixture = problem_.mixture;
    const double limit = std::numeric_limits<T>::max() / 4;
    // The scale brings the largest weight into [1/2, 1): a power of two, which rounds no weight.
    if (mixture.weights) {
      int exponent = 0;
      std::frexp(problem_.largest_weight, &exponent);
      weight_scale_ = std::ldexp(1.0, -exponent);
      for (int64_t j = begin_; j < begin_ + count_; ++j)
        if (mixture.weights[j] > 0) selected_.push_back(j);
      if (int64_t(selected_.size()) == count_)
        selected_.clear();
      else
        count_ = int64_t(selected_.size());
    }
    struct Part {
      double lowest[2] = {kInfinity, kInfinity}, highest[2] = {-kInfinity, -kInfinity};
      bool usable = true;
    };
    std::vector<Part> parts(size_t(divide_up(count_, kRows)));
    Status status = parallel_for(threads, int64_t(parts.size()), cancellation, [&](int64_t p) {
      Part part;
      for (int64_t i = p * kRows; i < std::min(count_, (p + 1) * kRows); ++i) {
        const PlaneItem<T, T> center = item(i);
        part.usable &= !(double(center.companion) < kLeastWeight / 2);
        for (const int axis : {0, 1}) {
          const double x = double(axis == 0 ? center.x : center.y);
          part.usable &=
              std::abs(x) <= limit && std::abs(index().in_cells(x)) < CellIndex::kMaxCells;
          part.lowest[axis] = std::min(part.lowest[axis], x);
          part.highest[axis] = std::max(part.highest[axis], x);
        }
      }
      parts[p] = part;
    });
    if (!status.ok()) return status;
    Part whole;
    for (const Part& part : parts) {
      whole.usable &= part.usable;
      for (const int axis : {0, 1}) {
        whole.lowest[axis] = std::min(whole.lowest[axis], part.lowest[axis]);
        whole.highest[axis] = std::max(whole.highest[axis], part.highest[axis]);
      }
    }
    usable_ = whole.usable && count_ > 0;
    if (!usable_) return {};
    set_box(whole.lowest, whole.highest);
    const double cells =
        double(box_.highest[0] - box_.lowest[0] + 1) * double(box_.highest[1] - box_.lowest[1] + 1);
    if (cells * kManyCenters <= double(count_)) {
      tables_ = &grids_.narrow();
      set_box(whole.lowest, whole.highest);
    }
    return {};
  }

  void set_box(const double* lowest, const double* highest) {
    for (const int axis : {0, 1}) {
      box_.lowest[axis] = index()(lowest[axis]);
      box_.highest[axis] = index()(highest[axis]);
    }
  }

  void set_cells() {
    const auto count = int64_t(sorted_.cells.size());
    cells_.resize(size_t(count + 1));
    cell_weights_.resize(size_t(count));
    marks_ = std::make_unique<std::atomic<bool>[]>(size_t(count));
    cells_[count].first_center = sorted_.first[count];
    for (int64_t c = 0; c < count; ++c) {
      const auto& [x, y] = sorted_.cells[c];
      if (rows_.empty() || rows_.back().y != y) rows_.push_back({y, c, c});
      rows_.back().end_cell = c + 1;
      const int64_t first = sorted_.first[c], end = sorted_.first[c + 1];
      cells_[c] = {x, first};
      most_centers_ = std::max(most_centers_, end - first);
      if (!problem_.mixture.weights)
        cell_weights_[c] = double(end - first);
      else
        for (int64_t i = first; i < end; ++i) cell_weights_[c] += double(sorted_.companions[i]);
      total_weight_ += cell_weights_[c];
    }
    sorted_.cells = {};
    sorted_.first = {};
  }

  const MixtureProblem<T>& problem_;
  const PlaneGrids& grids_;
  const PlaneTables* tables_ = &grids_.wide();
  const int64_t begin_;
  int64_t count_;
  bool usable_ = false;
  double weight_scale_ = 1, total_weight_ = 0;
  PlaneBox box_{};
  std::vector<int64_t> selected_;  // the centers of positive weight if a weight is 0
  SortedPlane<T, T> sorted_;       // without its cells
  std::vector<PlaneRow> rows_;
  std::vector<Cell> cells_;  // and the end
  int64_t most_centers_ = 0;
  std::vector<double> cell_weights_;
  std::unique_ptr<std::atomic<bool>[]> marks_;
  std::vector<int64_t> places_;  // of the moments of a cell
  std::unique_ptr<double[]> moments_;
};

}  // namespace layerbits
