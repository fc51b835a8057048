// The centers of one group on the line, sorted by cells, with the moments of the cells.
#pragma once

#include "cell_sort.h"
#include "grid_tables.h"
#include "mixture_problem.h"

namespace layerbits {

// Consecutive cells, or numbers of one cell, that one thread handles.
struct CellPiece {
  int64_t first_cell, end_cell;
  int64_t first, count;  // numbers
};

// Divides sorted numbers into pieces of about kPieceNumbers numbers and at most max_cells cells.
inline std::vector<CellPiece> divide_cells(const std::vector<int64_t>& first,
                                           int64_t max_cells = 64) {
  constexpr int64_t kPieceNumbers = 4096;
  std::vector<CellPiece> pieces;
  const int64_t cells = int64_t(first.size()) - 1;
  for (int64_t c = 0; c < cells;) {
    int64_t end = c + 1;
    while (end < cells && end - c < max_cells && first[end + 1] - first[c] <= kPieceNumbers) ++end;
    for (int64_t i = first[c]; i < first[end]; i += kPieceNumbers)
      pieces.push_back({c, end, i, std::min(kPieceNumbers, first[end] - i)});
    c = end;
  }
  return pieces;
}

// Sets out[k] to the sum of terms[i][k] over i, compensated: its error hardly grows with `count`.
inline void add_compensated(const double* terms, size_t count, size_t size, double* out) {
  for (size_t k = 0; k < size; ++k) {
    double high = 0, low = 0;
    for (size_t i = 0; i < count; ++i) {
      const double value = terms[i * size + k], sum = high + value, part = sum - high;
      low += (high - (sum - part)) + (value - part);
      high = sum;
    }
    out[k] = high + low;
  }
}

// The cells [first, end) of sorted centers.
struct CellRange {
  int64_t first, end;
};

template <typename T>
class CenterCells {
 public:
  CenterCells(const MixtureProblem<T>& problem, const GridTables& tables, int64_t group)
      : problem_(problem),
        tables_(tables),
        index_{.scale = problem.scaling.power, .step = tables.step()},
        begin_(problem.mixture.center_groups.begin(group)),
        count_(problem.mixture.center_groups.end(group) - begin_) {}

  // Sorts the centers of positive weight. They are not usable() if there is none, if a center is
  // not finite, too large relative to sigma or 2^40 cells from 0, or if a positive weight is below
  // 2^-1022 of the largest weight.
  Status build(int threads, Cancellation& cancellation) {
    if (Status status = check(threads, cancellation); !status.ok() || !usable_) return status;
    const Mixture<T>& mixture = problem_.mixture;
    const auto item = [&](int64_t i) {
      const int64_t row = selected_.empty() ? begin_ + i : selected_[i];
      return typename SortedCells<T, T>::Item{mixture.centers(row, 0),
                                              mixture.weights ? mixture.weights[row] : T(1)};
    };
    sorted_.has_companions = bool(mixture.weights);
    Status status = sort_by_cells(RadixSort(count_, threads), index_, lowest_, highest_, item,
                                  cancellation, sorted_);
    return status.ok() ? set_moments(threads, cancellation) : status;
  }

  bool usable() const { return usable_; }
  const CellIndex& index() const { return index_; }
  int64_t lowest() const { return lowest_; }
  int64_t highest() const { return highest_; }
  int64_t cells() const { return sorted_.cells(); }
  int64_t index_of(int64_t cell) const { return sorted_.index[cell]; }
  double weight(int64_t cell) const { return weights_[cell]; }
  double total_weight() const { return total_weight_; }
  double weight_scale() const { return weight_scale_; }
  const double* moments(int64_t cell) const { return moments_.get() + cell * kOrder; }

  int64_t first_center(int64_t cell) const { return sorted_.first[cell]; }
  int64_t centers(const CellRange& range) const {
    return sorted_.first[range.end] - sorted_.first[range.first];
  }
  const T* values() const { return sorted_.values.get(); }
  const T* center_weights() const { return sorted_.companions.get(); }

  CellRange cells_between(double lowest, double highest) const {
    const auto& index = sorted_.index;
    const auto first = std::lower_bound(index.begin(), index.end(), lowest);
    const auto end = std::upper_bound(first, index.end(), highest);
    return {first - index.begin(), end - index.begin()};
  }

  // Moves a range to the cells within `reach` of a cell of no smaller index than before.
  void advance(CellRange& range, int64_t index, int64_t reach) const {
    while (range.first < cells() && sorted_.index[range.first] < index - reach) ++range.first;
    range.end = std::max(range.end, range.first);
    while (range.end < cells() && sorted_.index[range.end] <= index + reach) ++range.end;
  }

  // A cell of points with at most this many centers within its reach needs no moments.
  static constexpr int64_t kFewCenters = 64;

 private:
  Status check(int threads, Cancellation& cancellation) {
    constexpr int64_t kRows = 1 << 14;
    const Mixture<T>& mixture = problem_.mixture;
    const double limit = std::numeric_limits<T>::max() / 4;
    // The scale brings the largest weight into [1/2, 1): a power of two, which rounds no weight.
    if (mixture.weights) {
      int exponent = 0;
      std::frexp(problem_.largest_weight, &exponent);
      weight_scale_ = std::ldexp(1.0, -exponent);
    }
    struct Part {
      double lowest = kInfinity, highest = -kInfinity;
      bool usable = true, zero_weight = false;
    };
    std::vector<Part> parts(size_t(divide_up(count_, kRows)));
    Status status = parallel_for(threads, int64_t(parts.size()), cancellation, [&](int64_t p) {
      Part part;
      for (int64_t j = begin_ + p * kRows; j < begin_ + std::min(count_, (p + 1) * kRows); ++j) {
        const double x = double(mixture.centers(j, 0));
        const double cells = index_.in_cells(x);
        part.usable &=
            std::abs(x * index_.scale) <= limit && std::abs(cells) < CellIndex::kMaxCells;
        part.lowest = std::min(part.lowest, x), part.highest = std::max(part.highest, x);
        if (!mixture.weights) continue;
        const double weight = double(mixture.weights[j]);
        part.usable &= weight == 0 || weight * weight_scale_ >= 0x1p-1021;
        part.zero_weight |= weight == 0;
      }
      parts[p] = part;
    });
    if (!status.ok()) return status;
    Part whole;
    for (const Part& part : parts) {
      whole.lowest = std::min(whole.lowest, part.lowest);
      whole.highest = std::max(whole.highest, part.highest);
      whole.usable &= part.usable;
      whole.zero_weight |= part.zero_weight;
    }
    if (whole.zero_weight) select_positive_weights();
    usable_ = whole.usable && count_ > 0;
    if (!usable_) return {};
    lowest_ = index_(whole.lowest), highest_ = index_(whole.highest);
    return {};
  }

  void select_positive_weights() {
    for (int64_t j = begin_; j < begin_ + count_; ++j)
      if (problem_.mixture.weights[j] > 0) selected_.push_back(j);
    count_ = int64_t(selected_.size());
  }

  Status set_moments(int threads, Cancellation& cancellation) {
    const std::vector<CellPiece> pieces = divide_cells(sorted_.first);
    // Uninitialised, because the cells among few centers have no moments.
    moments_ = std::make_unique_for_overwrite<double[]>(size_t(cells() * kOrder));
    weights_.resize(size_t(cells()));
    std::vector<double> partial(pieces.size() * kOrder);  // of pieces that are part of a cell
    Status status = parallel_for(threads, int64_t(pieces.size()), cancellation, [&](int64_t p) {
      const CellPiece& piece = pieces[p];
      if (is_part(piece)) {
        add_moments(piece.first_cell, piece.first, piece.count, partial.data() + p * kOrder);
        return;
      }
      const double reach = 2.0 * double(tables_.reach());
      CellRange near = cells_between(double(index_of(piece.first_cell)) - reach,
                                     double(index_of(piece.first_cell)) + reach);
      for (int64_t cell = piece.first_cell; cell < piece.end_cell; ++cell) {
        advance(near, index_of(cell), 2 * tables_.reach());
        const int64_t first = first_center(cell), count = sorted_.size(cell);
        double* moments = moments_.get() + cell * kOrder;
        if (centers(near) > kFewCenters) {
          add_moments(cell, first, count, moments);
          weights_[cell] = moments[0];
        } else {
          weights_[cell] = total(first, count);
        }
      }
    });
    if (!status.ok()) return status;
    for (size_t p = 0; p < pieces.size(); ++p)
      if (is_part(pieces[p])) p = add_parts(pieces, partial, p);
    for (const double weight : weights_) total_weight_ += weight;
    return {};
  }

  bool is_part(const CellPiece& piece) const {
    return piece.end_cell == piece.first_cell + 1 && piece.count < sorted_.size(piece.first_cell);
  }

  // Adds the moments of the pieces of the cell of piece p, compensated; returns its last piece.
  size_t add_parts(const std::vector<CellPiece>& pieces, const std::vector<double>& partial,
                   size_t p) {
    const int64_t cell = pieces[p].first_cell;
    size_t last = p;
    while (last + 1 < pieces.size() && pieces[last + 1].first_cell == cell) ++last;
    add_compensated(partial.data() + p * kOrder, last + 1 - p, kOrder,
                    moments_.get() + cell * kOrder);
    weights_[cell] = moments_[cell * kOrder];
    return last;
  }

  void add_moments(int64_t cell, int64_t first, int64_t count, double* moments) const {
    const CellFrame frame{index_.scale, index_.middle(index_of(cell)), 1 / tables_.half()};
    const T* weights = center_weights() == nullptr ? nullptr : center_weights() + first;
    problem_.kernels->cell_moments(values() + first, weights, count, frame, weight_scale_, moments);
  }

  double total(int64_t first, int64_t count) const {
    if (center_weights() == nullptr) return double(count);
    double sum = 0;
    for (int64_t i = first; i < first + count; ++i)
      sum += double(center_weights()[i]) * weight_scale_;
    return sum;
  }

  const MixtureProblem<T>& problem_;
  const GridTables& tables_;
  const CellIndex index_;
  const int64_t begin_;
  int64_t count_;
  bool usable_ = false;
  double weight_scale_ = 1, total_weight_ = 0;
  int64_t lowest_ = 0, highest_ = 0;
  std::vector<int64_t> selected_;  // the centers of positive weight if a weight is 0
  SortedCells<T, T> sorted_;
  std::vector<double> weights_;
  std::unique_ptr<double[]> moments_;
};

}  // namespace layerbits
