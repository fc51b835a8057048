// The tables of a grid of cells on the line: the translation of the moments of a cell of centers to
// the Chebyshev nodes of a cell of points, and the bounds of all errors. They depend on sigma and
// the error tolerance alone.
//
// Lengths are in units of sigma. Cells have the width `step`; half of it, with a slack for rounded
// cell indices, is h. Let u be the offset of a center from the middle of its cell, v that of a
// point, delta the offset of the middle of the point's cell from that of the center's, x = delta +
// v - u their difference, p = kOrder, and W a total weight.
//
// 1. exp(-x^2/2) as a function of u is replaced by its interpolant at the p Chebyshev nodes: an
//    error of at most 2 (h/2)^p / p! times the largest p-th derivative, He_p(x) exp(-x^2/2), which
//    is at most 1.0865 sqrt(p!) exp(-x^2/4) by Cramer's inequality. |x| >= |delta| - 2h.
// 2. Let F(v) be the sum over the centers of all cells with |delta| <= reach * step. For any y,
//    G(v) = F(v) exp(v^2/2 + y v) = sum_c w_c exp(-x_c^2/2 - (x_c - y) v), with x_c = delta - u, is
//    replaced by its interpolant at p nodes: an error of at most
//    2 (h/2)^p / p! sum_c w_c exp(-x_c^2/2) |x_c - y|^p exp(|x_c - y| h).
//    Errors of the values at the nodes grow by at most Lebesgue's constant, (2/pi) log p + 1.
// 3. The centers of other cells add at most W exp(-x^2/2) with |x| >= (reach + 1) step - 2h.
// 4. Rounding, in units of eps = 2^-52: a term A_k M_k of a translation has an error of at most
//    (2 + k + 3/4 k (k - 1)) |A_k| W (moments: the recurrence of T_k adds at most 3/4 k (k - 1),
//    the rounding of t is one of u, sums are compensated; A_k: 1/2; product and sum: (k + 2) / 2).
//    A_k contains exp(v^2/2). The value at a node has an error of its own of at most 3/2 eps (the
//    sum over cells, the factor exp(y v), the product), 1/2 eps if y = 0. The coefficients add
//    2 eps sum_k |transform| times the differences of the values, Clenshaw's recurrence
//    3/2 |c_0| + sum_k (k + 1)^2 |c_k|.
// 5. The rounding error of a log-sum may be proportional to 1 + sum_k p_k |e_k|, p_k the softmax of
//    the exponents e_k. This factor is at least 1 + m^2/2 with m the mean of x, which G'/G gives.
//
// If E bounds the error of a computed sum S, and E <= delta S, then log S is wrong by at most
// -log(1 - delta), which is the tolerance for delta = tolerance / (1 + tolerance).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernel_table.h"

namespace layerbits {

// Values by name; of two values with one name the last counts.
using NamedValues = std::vector<std::pair<std::string, std::vector<double>>>;

// The width of cells, and the distance that translations cover, in units of sigma.
struct GridCells {
  double width, reach;
};

class GridTables {
 public:
  // Returns the fastest cells on the line for an error tolerance.
  static GridCells line_cells(double tolerance);

  // Error bounds are for sums in double. `roundoff` times the factor of step 5 is the rounding
  // error that a log-sum may have beyond the tolerance.
  GridTables(double fraction, double tolerance, double roundoff, const GridCells& cells);

  double step() const { return step_; }  // in scaled coordinates; has at most 7 significant bits
  double half() const { return half_; }  // h, in scaled coordinates
  int64_t reach() const { return reach_; }

  // A cell of centers within the reach of a cell of points.
  struct Neighbor {
    int64_t offset;  // index of the cell of points minus index of the cell of centers
    double weight;
  };

  static constexpr int kMaxNeighbors = 80;

  // Makes the polynomial of a cell from the values at its nodes. `coefficients` has kOrder values.
  // The sum of no point is certain if a value at a node is not positive.
  CellPolynomial polynomial(const Neighbor* neighbors, int64_t count, double total_weight,
                            double* values, InterpolateKernel interpolate,
                            double* coefficients) const;

  const double* translations() const { return translations_.data(); }
  int64_t shift(int64_t offset) const { return offset + reach_; }
  const double* translation(int64_t offset) const {
    return translations() + shift(offset) * kOrder * kOrder;
  }

  // All values by name, with which layerbits.kernels.grids repeats the method.
  NamedValues values() const;

  // The parts of the bounds along one axis, for plane_tables.h.
  const double* transform() const { return transform_.data(); }  // [node][k]
  const double* tilts(int64_t slope) const { return tilts_.data() + shift(slope) * kOrder; }
  double moment_error(int64_t offset) const { return moment_errors_[shift(offset)]; }
  double rounding_error(int64_t offset) const { return rounding_errors_[shift(offset)]; }
  double largest_row_sum(int64_t offset) const { return row_sums_[shift(offset)]; }  // of |A_k|
  double lebesgue() const { return lebesgue_; }
  // Returns the slope y, in cells, that makes G nearly constant, from its first and last value.
  int64_t slope(double first, double last) const;

  // Lower bound of |x| between points and centers of cells at this distance, in units of sigma.
  double nearest(double cells) const {
    return cells * width_ > 2 * radius_ ? cells * width_ - 2 * radius_ : 0;
  }
  double farthest(double cells) const { return cells * width_ + 2 * radius_; }
  // The largest distance in cells at which nearest() may be within the radius.
  double cells_within(double radius) const { return (radius + 2 * radius_) / width_; }

 private:
  void set_translations();
  void set_bounds();

  double fraction_, tolerance_, roundoff_;
  double step_ = 0, half_ = 0;
  double width_ = 0, radius_ = 0;  // step and h in units of sigma
  int64_t reach_ = 0;
  double lebesgue_ = 0, beyond_ = 0, column_sum_ = 0;
  double nodes_[kOrder] = {};
  std::vector<double> translations_, transform_;
  std::vector<double> tilts_;                            // [slope][node], exp(y v) at the nodes
  std::vector<double> moment_errors_, rounding_errors_;  // [offset], of a cell of weight 1
  std::vector<double> row_sums_;                         // [offset]
  std::vector<double> decays_, growths_;  // [offset], [offset - slope]: step 2 as a product
};

}  // namespace layerbits
