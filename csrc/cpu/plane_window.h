// The cells of centers around a cell of points, while the points are visited in bands of rows from
// left to right.
#pragma once

#include "plane_centers.h"

namespace layerbits {

inline constexpr int kBandBits = 5;
inline constexpr int64_t kBandRows = int64_t(1) << kBandBits;
inline int64_t band_of(const PlaneCell& cell) { return cell.y & -kBandRows; }

template <typename T>
class PlaneWindow {
 public:
  // A row of centers: its cells [first, end) are within the reach of `column`, the cells
  // [near_first, near_end) within the near reach; it has no cells from row_end on.
  struct Row {
    int64_t first = 0, end = 0, near_first = 0, near_end = 0, row_end = 0, column = -1;
    int64_t centers = 0;  // in [first, end)
  };

  explicit PlaneWindow(const PlaneCenters<T>& centers)
      : centers_(centers),
        reach_(centers.tables().reach()),
        near_(centers.tables().near_reach()),
        rows_(size_t(kBandRows + 2 * reach_)),
        near_runs_(rows_.size()),
        runs_(rows_.size()) {}

  // Moves to a cell, which comes after the last one, and returns the number of centers within its
  // reach.
  int64_t move_to(const PlaneCell& cell) {
    if (const int64_t band = band_of(cell); band != lowest_ + reach_) start_band(band, cell.x);
    middle_ = cell.y - lowest_;
    int64_t count = 0;
    for (int64_t s = middle_ - reach_; s <= middle_ + reach_; ++s) {
      if (rows_[s].column != cell.x) move(s, cell.x);
      count += rows_[s].centers;
    }
    return count;
  }

  int64_t slots() const { return int64_t(rows_.size()); }
  int64_t middle() const { return middle_; }  // the slot of the row of the cell
  int64_t band() const { return lowest_ + reach_; }
  const Row& row(int64_t slot) const { return rows_[slot]; }

  // The centers in the near rows of the cell.
  const CenterRun* near_runs() const { return near_runs_.data() + middle_ - near_; }

  // The centers in the rows within the reach of the cell.
  const CenterRun* runs() const { return runs_.data() + middle_ - reach_; }

 private:
  void start_band(int64_t y, int64_t x) {
    lowest_ = y - reach_;
    std::fill(rows_.begin(), rows_.end(), Row{});
    const auto& all = centers_.rows();
    auto row = std::lower_bound(all.begin(), all.end(), lowest_,
                                [](const PlaneRow& a, int64_t b) { return a.y < b; });
    for (; row != all.end() && row->y < lowest_ + slots(); ++row) {
      const int64_t first =
          centers_.lower_bound(row->first_cell, row->end_cell, double(x - reach_));
      rows_[row->y - lowest_] = {first, first, first, first, row->end_cell};
    }
  }

  void move(int64_t slot, int64_t x) {
    Row& row = rows_[slot];
    const auto advance = [&](int64_t& cell, int64_t lowest, int64_t least) {
      cell = std::max(cell, least);
      while (cell < row.row_end && centers_.x(cell) < lowest) ++cell;
    };
    advance(row.first, x - reach_, 0);
    advance(row.near_first, x - near_, row.first);
    advance(row.near_end, x + near_ + 1, row.near_first);
    advance(row.end, x + reach_ + 1, row.near_end);
    row.column = x;
    near_runs_[slot] = centers_.run(row.near_first, row.near_end);
    runs_[slot] = centers_.run(row.first, row.end);
    row.centers = runs_[slot].end - runs_[slot].first;
  }

  const PlaneCenters<T>& centers_;
  const int64_t reach_, near_;
  int64_t lowest_ = std::numeric_limits<int64_t>::min() / 2;
  int64_t middle_ = 0;
  std::vector<Row> rows_;
  std::vector<CenterRun> near_runs_, runs_;
};

}  // namespace layerbits
