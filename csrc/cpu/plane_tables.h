// The error bounds of expansions in cells of the plane, in double. The expansions use the
// translations of grid_tables.h along each axis: the kernel exp(-|x|^2/2) is a product.
//
// Notation as in grid_tables.h, with a vector of two components for each offset and a slope y of
// two components. A product f g of functions of the two axes, |f - f'| <= E_f and |f| <= S_f, has
// an error of |f g - f' g'| <= E_f S_g + S_f E_g + E_f E_g. So:
//
// 1. The moments of a cell of weight 1 add E_1 N_2 + N_1 E_2 + E_1 E_2 at a node, E as in step 1 of
//    grid_tables.h and N = exp(-x^2/2) at the smallest |x|.
// 2. Between the nodes, the polynomial of a cell of weight 1 has an error of at most
//    D_1 B_2 + B_1 D_2 + D_1 D_2. D is the supremum over the cell of
//    2 (h/2)^p / p! exp(-x^2/2) |x - y|^p exp(|x - y| h), and B that of exp(-x^2/2 + |x - y| h).
//    The logarithms of both are concave on either side of y. Errors at the nodes grow by at most
//    the square of Lebesgue's constant.
// 3. Cells beyond the reach along either axis add at most W exp(-x^2/2), as in step 3 there.
// 4. Rounding, in units of eps = 2^-52: along each axis, the terms of a translation have the
//    errors P of step 4 there; a sum of moments, products and cells adds kSummands / 2. A
//    coefficient is wrong by at most 144 times the largest value at a node: two sums of 16
//    products with sum |transform| <= 2. A term c_kl T_k T_l adds
//    ((k + 1)^2 + (l + 1)^2 + 32) |c_kl|.
//
// The sum S of a point is certain if the bound of all errors is at most delta S. Rounding errors
// are far below a tolerance of kLeastTolerance, so float64 by default needs all pairs.
#pragma once

#include <mutex>
#include <optional>

#include "grid_tables.h"

namespace layerbits {

class PlaneTables {
 public:
  static constexpr double kLeastTolerance = 1e-8;
  static constexpr int kMaxWidth = 31;

  PlaneTables(double fraction, double tolerance, double cell_width);

  const GridTables& line() const { return line_; }
  int64_t reach() const { return line_.reach(); }
  int64_t width() const { return 2 * reach() + 1; }  // the cells of a row within the reach

  // Makes the polynomial of a cell of points from the values[x node][y node] at its nodes.
  // weights[y][x] are those of the width() x width() cells around it, from the lowest index on.
  // `coefficients` and `scratch` have kOrder^2 values.
  PlanePolynomial polynomial(const double* weights, double total_weight, double* values,
                             SumOfProductsKernel sum_of_products, double* coefficients,
                             double* scratch) const;

  // A sum over the cells within the near reach along both axes is certain above this threshold, if
  // the cells within the reach have this weight.
  double near_threshold(double weight_within_reach, double total_weight) const {
    return (weight_within_reach * beyond_near_ + total_weight * beyond_reach_) / share_;
  }
  // The threshold of a sum over the cells within the reach.
  double reach_threshold(double total_weight) const {
    return total_weight * beyond_reach_ / share_;
  }
  // The values of line(), and those of the plane, as in GridTables.
  NamedValues values() const;

  int64_t near_reach() const { return near_reach_; }
  double share() const { return share_; }  // delta

 private:
  enum Factor { kMoments, kNear, kRounding, kTerms, kBetween, kLargest, kFactors };

  void set_suprema();
  const double* suprema(Factor factor, int64_t slope) const {
    return suprema_.data() + ((factor - kBetween) * width() + slope + reach()) * width();
  }

  const GridTables line_;
  const double fraction_, share_;
  double radius_, width_;  // h and the width of a cell, in units of sigma
  double beyond_near_ = 0, beyond_reach_ = 0;
  int64_t near_reach_ = 0;
  std::vector<double> by_offset_[kBetween];  // E, N, P and the largest sum of |A_k|
  std::vector<double> suprema_;              // [D, B][slope][cell, from the lowest index on]
};

// The grids of a mixture. Narrow cells have smaller errors, so that sums at more points far from
// all centers are certain, but need more translations.
class PlaneGrids {
 public:
  static constexpr double kWide = 1.75;  // the fastest of 1.5, 1.75 and 2 on Zen 4

  PlaneGrids(double fraction, double tolerance)
      : fraction_(fraction), tolerance_(tolerance), wide_(fraction, tolerance, kWide) {}

  const PlaneTables& wide() const { return wide_; }
  const PlaneTables& narrow() const {  // made at first need
    const std::lock_guard lock(mutex_);
    if (!narrow_) narrow_.emplace(fraction_, tolerance_, kWide / 2);
    return *narrow_;
  }

 private:
  const double fraction_, tolerance_;
  const PlaneTables wide_;
  mutable std::mutex mutex_;
  mutable std::optional<PlaneTables> narrow_;
};

}  // namespace layerbits
